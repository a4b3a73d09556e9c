"""`ablate work` on the tiny study, or on a part: run_work STORE CHECKPOINT_SECONDS WHOLE OPTIONS (`Asked`, as JSON)."""

import json
import sys

from experiments import cli
from experiments.commands.work_on import Asked, work_on
from experiments.run import trainer
from experiments.study import Study
from store import paths
from tests.experiments.tiny import STUDY, study


def small() -> Study:
    """One run of it, of two stages."""
    return study(arms=study().arms[1:2], baseline="half-only", seeds=(0,))


if __name__ == "__main__":
    store, seconds, whole, options = sys.argv[1:]
    trainer.CHECKPOINT_SECONDS = float(seconds)
    asked = Asked(**json.loads(options))
    cli.guard(lambda: work_on(STUDY if whole == "True" else small(), paths.at(store), asked))
