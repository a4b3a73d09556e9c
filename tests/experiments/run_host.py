"""Train a tiny study as one of two processes: run_host STORE [STEPS], with jax's variables in the environment.

With STEP_SECONDS there, every step takes as long at the least: a signal must find the run in its middle, also on a fast
machine.
"""

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

from experiments import cli
from experiments.progress import Display
from experiments.run import trainer
from experiments.study import Arm, Study
from experiments.workers.gang import work_on_hosts
from experiments.workers.work import Terms
from tests.experiments.tiny import HALF, TEXT, stage, study

STEPS = 40


def tiny(steps: int = STEPS) -> Study:
    """One run of two stages."""
    stages = (stage("pretrain", HALF, steps), stage("cooldown", TEXT, 4))
    return study(arms=(Arm("text-only", "", stages),), seeds=(0,))


def slowly(display: Display, *what: Any) -> None:
    time.sleep(float(os.environ.get("STEP_SECONDS", "0")))


def fail_in_a_step(count: int = 5) -> None:
    """As a device does that runs out of memory, while the other process is in a collective."""
    real, steps = trainer._on_devices, itertools.count(1)

    def put(*arguments: Any) -> Any:
        if next(steps) == count:
            raise RuntimeError("RESOURCE_EXHAUSTED: made up")
        return real(*arguments)

    trainer._on_devices = put


if __name__ == "__main__":
    folder, *steps = sys.argv[1:]
    if os.environ.get("FAILS") == os.environ["JAX_PROCESS_ID"]:
        fail_in_a_step()
    Display.update = slowly  # type: ignore[method-assign]
    cli.guard(lambda: work_on_hosts(tiny(*map(int, steps)), Path(folder), Terms(scores=False)))
