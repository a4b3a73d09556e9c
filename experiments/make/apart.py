"""Having stages answer in processes of their own: one that is to start others on an accelerator must not hold it."""

import itertools
import pickle
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.evals.code.executed import Problem
from experiments.make import answers
from experiments.make.sampling import Order, Portion
from experiments.workers.child import POLL_SECONDS, started
from models.devices.threads import accelerated, cores
from store.errors import Failure
from store.paths import remote

COMMAND = (sys.executable, "-m", "experiments.make.sampling")
PROGRESS_SECONDS = {False: 1.0, True: 15.0}
"""As how far they are is read out of the store."""
PORTION = 128
"""Answers between two writes to the disk. A portion is always asked whole, so that it is batched as it would have been
had nobody interrupted."""


def sampled(
    order: Order, problems: Sequence[Problem], folder: Path, who: int, progress: Callable[[int], None]
) -> answers.Said:
    """What a stage says to all `problems`: what is not kept yet is asked, by a process a core of a CPU, or by one on
    accelerators.

    Args:
        order: its portions and its file are chosen here.
        folder: of what is made.
        who: number of who answers.
        progress: told how many answers there are.

    Raises:
        Failure: a process failed, which has said why, or was killed.
    """
    known = answers.said(folder, who, order.key)
    every = _portions(problems, order.drawing.samples)
    missing = [portion for portion in every if not all((problem.id, draw) in known for problem, draw in portion)]
    count = min(1 if accelerated() else len(cores()), len(missing))
    crew = [replace(order, portions=tuple(missing[n::count]), file=answers.place(folder, who, n)) for n in range(count)]
    if crew:
        _work(crew, lambda: progress(len(answers.said(folder, who, order.key))))
        known = answers.said(folder, who, order.key)
    progress(len(known))
    return known


def _portions(problems: Sequence[Problem], samples: int) -> list[Portion]:
    """All that is asked, in portions of a fixed size and order."""
    pairs = list(itertools.product(problems, range(samples)))
    return [tuple(pairs[first : first + PORTION]) for first in range(0, len(pairs), PORTION)]


def _work(orders: Sequence[Order], look: Callable[[], None]) -> None:
    processes = [started(COMMAND, pickle.dumps(order)) for order in orders]
    due = time.monotonic()
    try:
        while any(process.poll() is None for process in processes):
            if broken := [process for process in processes if process.poll()]:
                raise Failure(_why(broken[0].returncode))
            if time.monotonic() >= due:
                look()
                due = time.monotonic() + PROGRESS_SECONDS[remote(orders[0].store)]
            time.sleep(POLL_SECONDS)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if broken := [process for process in processes if process.returncode]:
        raise Failure(_why(broken[0].returncode))


def _why(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"a process that answers was ended by {name}, perhaps for want of memory; run again to carry on"
    return "a process that answers has failed, as it says above; what was answered is kept"
