"""Run the tiny study in a process of its own: run_tiny STORE [CHECKPOINT_SECONDS]."""

import sys
from pathlib import Path

from experiments import cli
from experiments.commands import run
from experiments.run import trainer
from tests.experiments.tiny import STUDY

if __name__ == "__main__":
    if len(sys.argv) > 2:
        trainer.CHECKPOINT_SECONDS = float(sys.argv[2])
    cli.guard(lambda: run.run_study(STUDY, Path(sys.argv[1])))
