"""What holds workers back: that one of them has shown that training works, and what all of them may cost."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analysis.ledger_rows import last_steps
from analysis.records import read_end, read_stage, stage_folder
from experiments.plan import status
from experiments.plan.stage import PreparedPlan
from experiments.workers import ready
from models import saved
from store.errors import Failure
from store.layout import DONE, STAGE
from store.paths import names, place, together

CAP_SECONDS = 60.0
"""Between two looks at what was spent."""


def canary(plan: PreparedPlan, store: Path, tries: int) -> Callable[[], bool]:
    """A function that says whether a stage of the plan has a checkpoint: until then all reach for the same one.

    Raises (the function):
        Failure: a stage has failed as often as it may before that, so nothing else is begun.
    """
    released = False

    def is_released() -> bool:
        nonlocal released
        released = released or any(together(store, lambda stage: _has_checkpoint(store, stage.folder), plan.stages))
        for stage in () if released else plan.stages:
            if ready.failed(store, stage, tries):
                why = status.why_failed(stage, store)
                raise Failure(f"the canary, {stage.id}, has failed, so nothing else is begun: {why}")
        return released

    return is_released


def _has_checkpoint(store: Path, stage: str) -> bool:
    """Asked in one process alone, so not by what all of a gang ask together."""
    return bool(saved.complete(place(status.checkpoints(store, stage))))


def spent(plan: PreparedPlan, store: Path, price: float) -> float:
    """What the stages of a plan have cost so far: seconds of their steps, by their devices and the price of an hour.

    Of a stage that is not done the newest rows of its ledger speak for all.

    Args:
        price: of an hour of one device.

    Raises:
        Failure: a record is damaged.
    """

    def hours(folder: Path) -> float:
        there = names(folder)
        if STAGE not in there:
            return 0.0
        devices = int(read_stage(folder).environment["device"].partition(" ")[0])
        if DONE in there:
            return devices * read_end(folder).seconds / 3600
        rows = last_steps(folder)
        return devices * rows[-1].step * sum(row.seconds for row in rows) / len(rows) / 3600 if rows else 0.0

    return price * sum(together(store, hours, [stage_folder(store, stage.folder) for stage in plan.stages]))


@contextmanager
def capped(plan: PreparedPlan, store: Path, price: float, cap: float) -> Iterator[None]:
    """While the block runs, have this process checkpoint and stop, as for SIGTERM, once `cap` was spent by all workers.

    Raises:
        Failure: it was before.
    """
    if (so_far := spent(plan, store, price)) >= cap:
        raise Failure(f"{so_far:,.2f} of at most {cap:,.2f} are spent; give a higher --max-cost to go on")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(CAP_SECONDS):
            with suppress(Failure, OSError):  # the next look tells more
                if spent(plan, store, price) >= cap:
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
