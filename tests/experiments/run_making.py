"""Make a source and be killed on the way: run_making STORE PROCESSES [POINT], where that is one of POINTS."""

import os
import signal
import sys
from pathlib import Path

from experiments.make import apart, levels, node
from tests.experiments.making import MADE, reading

POINTS = ("sampling", "executing", "writing")


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(store: Path, processes: int, point: str = "") -> None:
    apart.cores = lambda: list(range(processes))
    apart.PORTION, apart.PROGRESS_SECONDS, levels.PORTION = 2, {False: 0.0}, 2

    def progress(what: str, done: float, total: float) -> None:
        """Killed once something was kept, and before all was."""
        phase = {"sampling": "student", "executing": "executing"}.get(point, "nothing of this")
        if phase in what and 0 < done < total and done != total / 2:
            die()

    if point == "writing":
        node.write_sealed = die
    node.make(reading(MADE), store, progress)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
