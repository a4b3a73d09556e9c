"""`ablate work` on the tiny study: run_work STORE CHECKPOINT_SECONDS STEPS OPTIONS.

All of it with so many steps, or for 0 one run; OPTIONS are those of `Asked`, as JSON.
"""

import json
import sys

from experiments import cli
from experiments.commands.work_on import Asked, work_on
from experiments.run import trainer
from experiments.study import Study
from store import paths
from tests.experiments.tiny import study


def small() -> Study:
    """One run of it, of two stages."""
    return study(arms=study().arms[1:2], baseline="half-only", seeds=(0,))


if __name__ == "__main__":
    store, seconds, steps, options = sys.argv[1:]
    trainer.interval = lambda blocked: float(seconds)
    asked = Asked(**json.loads(options))
    cli.guard(lambda: work_on(study(int(steps)) if int(steps) else small(), paths.at(store), asked))
