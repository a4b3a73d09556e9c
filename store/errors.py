"""The two ways a command can end badly. The command line turns them into one line and an exit code."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Something the user typed or declared is wrong; the message names it and says what to do."""

    exit_code = 2


class Failure(Exception):
    """The world did not keep its side (disk, network, a corrupt file); the message says what to do."""

    exit_code = 1


class Away(Failure):
    """An object store does not answer, or refuses: nothing is wrong with what was being done; it can be tried again."""


def require_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raises UserError for the name of something that there is not, with those that there are."""
    if name not in (names := list(known)):
        raise UserError(f"{what} '{name}' is unknown; choose one of {', '.join(names)}")


def said(error: BaseException) -> str:
    """What another's error says, or else its kind, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def about(what: str) -> Iterator[None]:
    """While the block runs, errors to the user begin with `what` they are about, each once."""
    try:
        yield
    except (UserError, Failure) as error:
        if str(error).startswith(what):
            raise
        raise type(error)(f"{what}: {error}") from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """While the block runs, a Failure names the user's file `path` where it cannot be read."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror}); make it readable or leave it out") from error
