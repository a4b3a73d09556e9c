"""Run the tiny study in workers: run_tiny STORE CHECKPOINT_SECONDS WORKERS [GRACE_SECONDS].

Without its report, which takes as long as its training, unless TINY_REPORT is set.
"""

import os
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
    if "TINY_REPORT" not in os.environ:
        run._reports = lambda plan, store: store / "no report"
    crew.COMMAND = (sys.executable, "-m", "tests.experiments.run_worker", seconds)
    cli.guard(lambda: print(f"report: {run.run_study(STUDY, Path(store), int(count))}"))
