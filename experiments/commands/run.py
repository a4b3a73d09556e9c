"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent.

What the study needs of others comes first: stages that it starts from, and sources that checkpoints write. `ablate
train` is the training alone.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from analysis.records import write
from experiments.commands.data import keep_fresh, warn
from experiments.plan.check import check
from experiments.plan.epochs import waits_for_counts
from experiments.plan.make import make_plan, prepared_plan
from experiments.plan.sources import as_made
from experiments.plan.stage import PreparedPlan
from experiments.plan.starts import check_trained, direct, found, only, trained
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
    _announce(as_made(study, store), store)
    study = _supplied(study, store, workers)
    with _at_work(study, store) as share:
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        keep_fresh(study, store)
        warn(study, manifest)
        plan = prepared_plan(study, store)
        _record(plan, store)
        share()
        with followed(plan, store):
            run(plan, store, workers or default_count(plan))
            return _reports(plan, store)


def _announce(study: Study, store: Path) -> None:
    """Say what changed, and refuse a bad plan before the first byte is fetched."""
    if waits_for_counts(study) and read_manifest(prepared_folder(study.data, store)) is None:
        check(study)  # all that can be said before
        return
    for line in make_plan(study, store).changes:
        print(line, file=sys.stderr)


def _supplied(study: Study, store: Path, workers: int | None) -> Study:
    """Train what `study` starts from, and have its sources made; `study` that reads these."""
    wanted = list(direct(study))
    for other in {id(start.study): start.study for start, _ in wanted}.values():
        ready = _supplied(other, store, workers)
        starts = [(start, seed) for start, seed in wanted if start.study is other]
        with _at_work(ready, store) as share:
            with Display("prepare") as display:
                prepare(ready.data, store, display.update)
            plan = prepared_plan(ready, store)
            part = only(plan, {found(start, seed, plan).id for start, seed in starts})
            share()
            if not trained(part, store):
                print(f"training what study '{study.typed}' needs of '{other.typed}'", file=sys.stderr)
                with followed(part, store):
                    run(part, store, workers or default_count(part), scores=False)
    if study.made:
        from experiments.make.node import make

        with shared_store(store), Display("make") as display:
            make(study, store, display.update)
    return as_made(study, store)


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
        UserError: the plan cannot be met, the data are not prepared, or what the study starts from is not trained.
        Failure: another process uses the store, or as `experiments.workers.crew.run`.
        StopRequested: SIGTERM came; the state is saved.
    """
    study = as_made(study, store)
    with shared_store(store):
        plan = prepared_plan(study, store)
        check_trained(plan, store)
        _record(plan, store)
        with followed(plan, store):
            run(plan, store, workers or default_count(plan), scores=False)
