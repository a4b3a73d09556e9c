"""Leases of the store: one process at a time, and no longer than it lives, so that a killed one never blocks the next.

`exclusive` takes one and `held` says who has it; nothing else knows what a lease is made of (here the lock of a file).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import Failure
from store.files import remove_leftovers
from store.layout import LOCK


class Held(Failure):
    """Another process has the lease."""


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    Raises:
        Held: another process holds it.
        Failure: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise Failure(f"cannot write {path} ({error.strerror}); choose another --store") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise Held(f"{what} is in use by process {owner}; wait for it to end or choose another --store") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def whole_store(store: Path) -> Iterator[None]:
    """Hold `store` while the block runs, after removing what killed processes left half-written in it.

    Raises:
        Held: another process holds it.
        Failure: it cannot be written.
    """
    with exclusive(store / LOCK, f"store {store}"):
        remove_leftovers(store)
        yield


def held(path: Path) -> str:
    """The process that holds the lock; "" if none that lives does."""
    if not path.exists():
        return ""
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return ""
