"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent.

`ablate train` is the second part alone.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from analysis.records import write
from experiments.commands.data import warn
from experiments.plan.make import make_plan, prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.progress import Display
from experiments.run.train import study_record
from experiments.study import Study
from experiments.tracking.follower import followed
from experiments.workers.crew import default_count, run
from mixtures.prepare import prepare, prepared_folder
from mixtures.tokens.manifest import read_manifest
from store import layout
from store.lease import Held
from store.lock import shared_store, whole_store


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
    with _at_work(study, store) as share:
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        warn(study, manifest)
        plan = prepared_plan(study, store)
        _record(plan, store)
        share()
        with followed(plan, store):
            run(plan, store, workers or default_count(plan))
            return _reports(plan, store)


@contextmanager
def _at_work(study: Study, store: Path) -> Iterator[Callable[[], None]]:
    """Hold the store to prepare in it, and until what is yielded is called; share it where all is prepared."""
    with ExitStack() as hold:
        share: Callable[[], None] = lambda: None  # noqa: E731
        try:
            share = hold.enter_context(whole_store(store))
        except Held:
            if read_manifest(prepared_folder(study.data, store)) is None:
                raise
            hold.enter_context(shared_store(store))
        yield share


def _reports(plan: PreparedPlan, store: Path) -> Path:
    """Write the report of a study, and before it those of the studies that it is a union of; the path of its own."""
    from experiments.show.report import write_report

    for part in plan.study.parts:
        _record(of_part := prepared_plan(part, store), store)
        print(f"report: {write_report(of_part, store)}", file=sys.stderr)
    return write_report(plan, store)


def _record(plan: PreparedPlan, store: Path) -> None:
    write(store / layout.STUDIES / plan.study.key / layout.STUDY, study_record(plan, store))


def train_study(study: Study, store: Path, workers: int | None = None) -> None:
    """Train whatever of `study` is missing, in so many processes of this machine (`default_count`).

    Raises:
        UserError: the plan cannot be met, or the data are not prepared.
        Failure: another process uses the store, or as `experiments.workers.crew.run`.
        StopRequested: SIGTERM came; the state is saved.
    """
    with shared_store(store):
        plan = prepared_plan(study, store)
        _record(plan, store)
        with followed(plan, store):
            run(plan, store, workers or default_count(plan), scores=False)
