"""The two ways a command can end badly. The rooms stand alone, so each has its own; callers read only `exit_code`."""


class UserError(Exception):
    """Something the user typed or declared is wrong."""

    exit_code = 2


class Failure(Exception):
    """The world did not keep its side."""

    exit_code = 1
