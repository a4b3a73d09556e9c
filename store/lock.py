"""Leases of the store: one process at a time, and no longer than it lives, so that a killed one never blocks the next.

`exclusive` takes one and `held` says who has it. On a disk it is the lock of a file, which ends with its process; in an
object store it is what lease.py describes.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from store import lease, paths
from store.errors import Failure
from store.files import remove_leftovers
from store.layout import LOCK
from store.lease import Held

Check = Callable[[], None]
"""Returns while a lease is held, and raises `lease.Lost` when another process may have it."""


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[Check]:
    """Hold the lease `path` while the block runs.

    Raises:
        Held: another process holds it.
        Failure: the folder or object store cannot be written.
    """
    if paths.remote(path):
        with lease.leased(path, what) as its:
            yield its.check
        return
    with _locked(path, what, fcntl.LOCK_EX):
        yield lambda: None  # as long as this process lives nobody else can have it


@contextmanager
def _locked(path: Path, what: str, how: int) -> Iterator[int]:
    """Hold a lock of a file; yield its descriptor."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise Failure(f"cannot write {path} ({error.strerror}); choose another --store") from error
    with file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise Held(f"{what} is in use by process {owner}; wait for it to end or choose another --store") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


@contextmanager
def whole_store(store: Path) -> Iterator[Callable[[], None]]:
    """Hold `store` while the block runs, or until what is yielded is called: from then on share it.

    What killed processes left half-written in it is removed first.

    Raises:
        Held: another process holds or shares it.
        Failure: it cannot be written.
    """
    path, what = store / LOCK, f"store {store}"
    if paths.remote(store):  # where a put that was broken off leaves nothing
        with ExitStack() as hold:
            hold.enter_context(lease.leased(path, what))
            yield hold.close
        return
    with _locked(path, what, fcntl.LOCK_EX) as descriptor:
        remove_leftovers(store)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def shared_store(store: Path) -> Iterator[None]:
    """Work in `store` beside others while the block runs: each at what it holds a lease of.

    Raises:
        Held: another process holds it whole, for it prepares data.
        Failure: it cannot be written.
    """
    if paths.remote(store):
        yield  # what is not prepared yet is missing, and what is there never changes
        return
    with _locked(store / LOCK, f"store {store}", fcntl.LOCK_SH):
        yield


def held(path: Path) -> str:
    """The process that holds the lease; "" if none that lives does."""
    if paths.remote(path):
        return lease.holder(path)
    if not path.exists():
        return ""
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return ""
