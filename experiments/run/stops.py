"""Being asked to stop: SIGTERM from a scheduler, Ctrl-C from a person."""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils


class StopRequested(Exception):
    """SIGTERM came and the state is saved: requeue the command."""

    exit_code = 42


_asked = itertools.count()
"""How often jax was asked whether to stop: all processes have to ask with the same, rising number."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """Yield a function to call after every step: the signal because of which to stop now, or None.

    SIGTERM and SIGINT are noted instead of dying, so that the loop can checkpoint first. Of several processes one may
    get SIGTERM alone: jax notes it, and all of them are told to stop after the same step. Ctrl-C ends one where
    it is, and the others where they meet it next.
    """
    if jax.process_count() > 1:
        reached = multihost_utils.reached_preemption_sync_point
        yield lambda: signal.SIGTERM if reached(next(_asked)) else None
        return
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: seen[-1] if seen else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(number: int) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return StopRequested("stopped after a checkpoint; run the same command again to carry on")
