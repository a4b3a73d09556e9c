"""`ablate work` on the tiny study: run_work STORE CHECKPOINT_SECONDS [OPTIONS of `Asked`, as JSON]."""

import json
import sys

from experiments import cli
from experiments.commands.work import Asked, work_on
from experiments.run import trainer
from experiments.study import Study
from store import paths
from tests.experiments.tiny import study


def small() -> Study:
    """One seed of it."""
    return study(seeds=(0,))


if __name__ == "__main__":
    store, seconds, *options = sys.argv[1:]
    trainer.CHECKPOINT_SECONDS = float(seconds)
    asked = Asked(**json.loads(options[0] if options else "{}"))
    cli.guard(lambda: work_on(small(), paths.at(store), asked))
