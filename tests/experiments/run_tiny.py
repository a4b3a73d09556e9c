"""Run the tiny study in workers: run_tiny STORE CHECKPOINT_SECONDS WORKERS [GRACE_SECONDS]."""

import sys
from pathlib import Path

from experiments import cli
from experiments.commands import run
from experiments.tracking import follower
from experiments.workers import crew
from tests.experiments.tiny import STUDY

if __name__ == "__main__":
    store, seconds, count, *grace = sys.argv[1:]
    follower.GRACE_SECONDS = float(grace[0]) if grace else follower.GRACE_SECONDS
    crew.COMMAND = (sys.executable, "-m", "tests.experiments.run_worker", seconds)
    cli.guard(lambda: print(f"report: {run.run_study(STUDY, Path(store), int(count))}"))
