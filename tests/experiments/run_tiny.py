"""Run the tiny study in workers: run_tiny STORE CHECKPOINT_SECONDS WORKERS."""

import sys
from pathlib import Path

from experiments import cli
from experiments.commands import run
from experiments.workers import crew
from tests.experiments.tiny import STUDY

if __name__ == "__main__":
    store, seconds, count = sys.argv[1:]
    crew.COMMAND = (sys.executable, "-m", "tests.experiments.run_worker", seconds)
    cli.guard(lambda: print(f"report: {run.run_study(STUDY, Path(store), int(count))}"))
