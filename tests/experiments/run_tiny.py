"""Run the tiny study in workers: run_tiny STORE CHECKPOINT_SECONDS WORKERS SEEDS [GRACE_SECONDS].

Without its report, which takes as long as its training, unless TINY_REPORT is set.
"""

import os
import sys
from pathlib import Path

from experiments import cli
from experiments.commands import run
from experiments.tracking import follower
from experiments.workers import crew
from tests.experiments.tiny import study

if __name__ == "__main__":
    store, seconds, count, seeds, *grace = sys.argv[1:]
    follower.GRACE_SECONDS = float(grace[0]) if grace else follower.GRACE_SECONDS
    if "TINY_REPORT" not in os.environ:
        run._reports = lambda plan, store: store / "no report"
    crew.COMMAND = (sys.executable, "-m", "tests.experiments.run_worker", seconds)
    wanted = study(seeds=tuple(range(int(seeds))))
    cli.guard(lambda: print(f"report: {run.run_study(wanted, Path(store), int(count))}"))
