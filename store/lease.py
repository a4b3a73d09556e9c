"""A lease in an object store: a small object that its holder writes again and again, as nobody else may meanwhile.

It is taken and kept by conditional writes, so that of several who try one succeeds. It runs out when whoever wants it
has seen it unchanged for `seconds()`, by a clock of their own that only measures spans: no two machines need agree on
the time, and a clock that jumps does no harm. A holder that could not write for half as long stops what it does, so
that it has stopped before another begins.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from store.errors import Away, Failure, UserError, said
from store.paths import kvstore

BEATS = 6
"""Writes in the time after which a lease runs out."""


class Held(Failure):
    """Another process has the lease."""


class Lost(Held):
    """This process had it, and another may have it by now."""


def seconds() -> float:
    """Until a lease that nobody renews runs out: ABLATE_LEASE_SECONDS, or 60.

    Raises:
        UserError: the variable is no number above zero.
    """
    text = os.environ.get("ABLATE_LEASE_SECONDS", "60")
    try:
        found = float(text)
    except ValueError:
        found = 0
    if not 0 < found < float("inf"):
        raise UserError(f"ABLATE_LEASE_SECONDS is '{text[:40]}'; give seconds, such as 60")
    return found


class Lease:
    """One that this process holds, renewed by a thread of its own."""

    def __init__(self, kv: Any, key: str, generation: bytes, what: str) -> None:
        self._kv, self._key, self._generation, self._what = kv, key, generation, what
        self._seconds, self._lock, self._ended = seconds(), threading.Lock(), threading.Event()
        self._renewed, self._lost = time.monotonic(), False
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Return if it is still held for a while.

        Raises:
            Lost: it is not, or the object store has not answered for so long that it may not be.
        """
        if not self._lost and time.monotonic() - self._renewed > self._seconds / 2:
            self._renew()
        if self._lost or time.monotonic() - self._renewed > self._seconds / 2:
            raise Lost(f"{self._what} is no longer held by this process: another may be at it; nothing more is written")

    def release(self) -> None:
        self._ended.set()
        self._thread.join(self._seconds)
        if not self._lost:
            with suppress(Exception):  # then it runs out
                self._kv.write(self._key, None, if_equal=self._generation).result()

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds / BEATS) and not self._lost:
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            began = time.monotonic()
            try:
                written = self._kv.write(self._key, _content(), if_equal=self._generation).result()
            except Exception:  # the network, a busy store: it is tried again
                return
            if written.generation:
                self._generation, self._renewed = written.generation, began
            else:
                self._lost = True


_seen: dict[str, tuple[bytes, float]] = {}
"""Of leases that others hold: their generation, and when it was first seen here."""


@contextmanager
def leased(path: Path, what: str) -> Iterator[Lease]:
    """Hold the lease `path` while the block runs.

    Raises:
        Held: another process holds it, or has not been seen to have lost it.
        Away: the object store cannot be reached.
        Failure: it knows no conditional writes.
    """
    lease = Lease(*_taken(path, what), what)
    try:
        yield lease
    finally:
        lease.release()


def _taken(path: Path, what: str) -> tuple[Any, str, bytes]:
    kv, key = _place(path)
    try:
        found = kv.read(key).result()
        if found.state == "value" and not _ran_out(str(path), found.stamp.generation):
            raise Held(f"{what} is in use by {_owner(found.value)}; wait for it to end or choose another --store")
        written = kv.write(key, _content(), if_equal=found.stamp.generation).result()
    except Failure:
        raise
    except Exception as error:
        raise Away(f"cannot take {path} ({said(error)}); see to the network and your rights, then run again") from error
    if not written.generation:
        raise Held(f"{what} was taken by another process at this moment; wait for it to end or choose another --store")
    _seen.pop(str(path), None)
    return kv, key, written.generation


def _ran_out(path: str, generation: bytes) -> bool:
    seen = _seen.get(path)
    if seen is None or seen[0] != generation:
        _seen[path] = seen = (generation, time.monotonic())
    return time.monotonic() - seen[1] > seconds()


def holder(path: Path) -> str:
    """Who holds the lease, by its own word, and since when it was not heard of; "" if it was given back."""
    kv, key = _place(path)
    try:
        found = kv.read(key).result()
    except Exception as error:
        raise Away(f"cannot read {path} ({said(error)}); see to the network and your rights") from error
    return _owner(found.value) if found.state == "value" else ""


def _place(path: Path) -> tuple[Any, str]:
    import tensorstore as ts

    try:
        return ts.KvStore.open(kvstore(path.parent)).result(), path.name
    except ValueError as error:
        raise Failure(f"workers cannot share a store at {path.parent} ({said(error)}); use gs:// or s3://") from error


def _content() -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")  # for people alone; it makes every beat another content, too
    return json.dumps(
        {"host": socket.gethostname(), "process": os.getpid(), "at": now, "beat": time.monotonic_ns()}
    ).encode()


def _owner(content: bytes) -> str:
    try:
        row = json.loads(content)
        return f"process {row['process']} on {row['host']}, last heard of at {row['at']}"
    except (ValueError, TypeError, KeyError):
        return "an unknown process"
