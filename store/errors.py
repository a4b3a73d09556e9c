"""The two ways a command can end badly. The command line turns them into one line and an exit code."""


class UserError(Exception):
    """Something the user typed or declared is wrong; the message names it and says what to do."""

    exit_code = 2


class Failure(Exception):
    """The world did not keep its side (disk, network, a corrupt file); the message says what to do."""

    exit_code = 1
