"""Make a source and be killed on the way: run_making STORE POINT, where that is one of POINTS."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from experiments.make import apart, levels, node
from tests.experiments.making import MADE, reading

POINTS = ("sampling", "executing", "writing")


def in_small_portions(change: Callable[[object, str, object], None], processes: int) -> None:
    """So that there is something to be killed in the middle of; `change` sets an attribute."""
    change(apart, "cores", lambda: list(range(processes)))
    change(apart, "PORTION", 2)
    change(apart, "PROGRESS_SECONDS", {False: 0.0})
    change(levels, "PORTION", 2)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(store: Path, point: str) -> None:
    in_small_portions(setattr, 1)

    def progress(what: str, done: float, total: float) -> None:
        """Killed once something was kept, and before all was."""
        phase = {"sampling": "student", "executing": "executing"}.get(point, "nothing of this")
        if phase in what and 0 < done < total and done != total / 2:
            die()

    if point == "writing":
        node.write_sealed = die
    node.make(reading(MADE), store, progress)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
