"""Being asked to stop: SIGTERM from a scheduler, Ctrl-C from a person. Loads no jax of itself."""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(Exception):
    """SIGTERM came and the state is saved: requeue the command."""

    exit_code = 42


_asked = itertools.count()
"""How often jax was asked whether to stop: all processes have to ask with the same, rising number."""


@contextmanager
def noted() -> Iterator[list[int]]:
    """A list to which SIGTERM and SIGINT are added as they come, instead of ending the process."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """Yield a function to call after every step: the signal because of which to stop now, or None.

    The signals are noted, so that the loop can checkpoint first. Of several processes one may
    get SIGTERM alone: jax notes it, and all of them are told to stop after the same step. Ctrl-C ends one where
    it is, and the others where they meet it next.
    """
    import jax

    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        reached = multihost_utils.reached_preemption_sync_point
        yield lambda: signal.SIGTERM if reached(next(_asked)) else None
        return
    with noted() as seen:
        yield lambda: seen[-1] if seen else None


def stopped(number: int) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return StopRequested("stopped after a checkpoint; run the same command again to carry on")
