"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent.

`ablate train` is the second part alone.
"""

import sys
from pathlib import Path

from analysis.records import write
from experiments.commands.data import warn
from experiments.plan.make import make_plan, prepared_plan
from experiments.progress import Display
from experiments.run.train import study_record
from experiments.study import Study
from experiments.workers.crew import default_count, run
from mixtures.prepare import prepare
from store.lock import whole_store


def run_study(study: Study, store: Path, workers: int | None = None) -> Path:
    """Run whatever of `study` is missing in `store` and return the path of the report.

    Args:
        study: the study.
        store: root of the records.
        workers: processes that train and score; None for `default_count`.

    Raises:
        UserError: the plan cannot be met.
        Failure: another process uses the store, a source cannot be had, or as `experiments.workers.crew.run`.
        StopRequested: SIGTERM came while training or scoring; the state is saved.
    """
    for line in make_plan(study, store).changes:  # which refuses a bad plan before the first byte is fetched
        print(line, file=sys.stderr)
    with whole_store(store):
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        warn(study, manifest)
        plan = prepared_plan(study, store)
        write(store / "studies" / study.key / "study.json", study_record(plan, store))
        run(plan, store, workers or default_count(plan))
        from experiments.show.report import write_report

        return write_report(plan, store)


def train_study(study: Study, store: Path, workers: int | None = None) -> None:
    """Train whatever of `study` is missing, in so many processes of this machine (`default_count`).

    Raises:
        UserError: the plan cannot be met, or the data are not prepared.
        Failure: another process uses the store, or as `experiments.workers.crew.run`.
        StopRequested: SIGTERM came; the state is saved.
    """
    with whole_store(store):
        plan = prepared_plan(study, store)
        write(store / "studies" / study.key / "study.json", study_record(plan, store))
        run(plan, store, workers or default_count(plan), scores=False)
