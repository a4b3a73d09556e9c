"""A worker that checkpoints so often: run_worker SECONDS, with its orders on the standard input."""

import sys
from pathlib import Path

from experiments.plan import status
from experiments.plan.stage import PreparedPlan
from experiments.run import trainer
from experiments.workers import ready, worker
from experiments.workers.work import Terms, work


def again(plan: PreparedPlan, store: Path) -> None:
    """What the one worker of another command does, in this process."""
    ready.forgive(plan, store, status.records(plan, store))
    work(plan, store, Terms())


if __name__ == "__main__":
    trainer.interval = lambda blocked: float(sys.argv[1])
    worker.main()
