"""What the processes of one run tell each other besides gradients. With a single process nothing is sent."""

import hashlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from store.errors import Failure

_REASON_BYTES = 1_000
_ENDED, _LATE_SECONDS = "ablate/ended", 0.5


class Interrupted(Failure):
    """Another process was told to end: nothing is wrong with what was being done."""


def first() -> bool:
    """Whether this is the process that writes what is written once: records, ledger, checksums."""
    return jax.process_index() == 0


def alone() -> bool:
    return jax.process_count() == 1


def told(number: int) -> int:
    """The first process's number, in all of them. Every process has to ask, at the same point of the program."""
    if alone():
        return number
    return int(multihost_utils.broadcast_one_to_all(np.array(number, np.int32)))


def agreed(answer: bool) -> bool:
    """The first process's answer, in all of them: clocks and file systems differ, and they must go the same way.

    Every process has to ask, at the same point of the program.
    """
    return bool(told(answer))


def unlike(text: str) -> int | None:
    """The first process whose `text` is not that of process 0, in all of them; None where all have the same.

    Every process has to ask, at the same point of the program.
    """
    if alone():
        return None
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    found_HxD = multihost_utils.process_allgather(digest)
    others = np.flatnonzero((found_HxD != found_HxD[0]).any(axis=1))
    return int(others[0]) if len(others) else None


@contextmanager
def ending_together(agreed_on: type[Exception], ended: Callable[[str], None], code: int) -> Iterator[None]:
    """While the block runs, a process that ends by an error ends the others with its reason, wherever they wait.

    Not by one that all have `agreed_on`. All exit with `code`; those that are ended tell `ended` the reason before.

    What `together` does not see: an error in the midst of a step, while the others are in a collective that it was to
    come to. Whoever ends says so in the store of jax's coordinator, at which a thread of every process listens. Python
    is not ended in order, where jax would wait for processes that are gone.
    """
    if alone():
        yield
        return
    # jax has no public name for it; Orbax and others use the same.
    from jax._src.distributed import global_state

    client: Any = global_state.client
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            with suppress(Exception):  # nobody has said anything in that time
                reason = client.blocking_key_value_get(_ENDED, 1_000)
                if not over.wait(_LATE_SECONDS):  # else it knows, by `together`
                    print(f"ablate: {reason}", file=sys.stderr, flush=True)
                    ended(reason)
                    os._exit(code)
                return

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        yield
    except agreed_on:
        raise
    except Exception as error:
        over.set()  # its own word is not for it
        reason = " ".join(str(error).split())[:_REASON_BYTES] or type(error).__name__
        if isinstance(error, Failure):
            print(f"ablate: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        sys.stderr.flush()
        with suppress(Exception):  # another was first
            client.key_value_set(_ENDED, f"process {jax.process_index()} failed: {reason}")
        time.sleep(2 * _LATE_SECONDS)  # as long as the coordinator, which may be this process, has to be there
        os._exit(code)
    finally:
        over.set()
        # One that is still in jax's client when Python ends would abort the process.
        listening.join()


@contextmanager
def together() -> Iterator[None]:
    """A part of the program that all processes come through, or all leave with the reason of the one that failed.

    They meet at its end. Inside, none may wait for another: it would wait for one that has failed for ever.

    Raises:
        Failure: another process failed. One that failed itself goes on with its own error.
        Interrupted: another process was told to end.
    """
    if jax.process_count() == 1:
        yield
        return
    failed: BaseException | None = None
    reason_R = np.zeros(_REASON_BYTES, np.uint8)
    try:
        yield
    except BaseException as error:  # Ctrl-C here, too, would leave the others waiting
        failed = error
        text = (str(error) or type(error).__name__).encode()[: _REASON_BYTES - 1]
        reason_R[: len(text)] = np.frombuffer(text, np.uint8)
        reason_R[-1] = not isinstance(error, Exception)
    reasons_HxR = multihost_utils.process_allgather(reason_R)
    if failed is not None:
        raise failed
    for number, reason_R in enumerate(reasons_HxR):
        if reason_R.any():
            reason = bytes(reason_R[:-1]).rstrip(b"\0").decode(errors="replace")
            raise (Interrupted if reason_R[-1] else Failure)(f"process {number} failed: {reason}")
