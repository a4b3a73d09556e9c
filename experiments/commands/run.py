"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent."""

import sys
from pathlib import Path

from analysis.records import write
from experiments.commands.data import warn
from experiments.plan import status
from experiments.plan.make import make_plan, prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.progress import Display
from experiments.run.train import study_record, train, use_compilation_cache
from experiments.study import Study
from mixtures.prepare import prepare
from store.lock import whole_store


def run_study(study: Study, store: Path) -> Path:
    """Run whatever of `study` is missing in `store` and return the path of the report.

    Raises:
        UserError: the plan cannot be met.
        Failure: another process uses the store, a source cannot be had, or the disk fails.
        StopRequested: SIGTERM came while training; the state is saved.
    """
    for line in make_plan(study, store).changes:  # which refuses a bad plan before the first byte is fetched
        print(line, file=sys.stderr)
    with whole_store(store):
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        warn(study, manifest)
        plan = prepared_plan(study, store)
        write(store / "studies" / study.key / "study.json", study_record(plan, store))
        train(plan, store, [stage for stage in plan.stages if status.state(plan, stage, store) != "done"])
        _evaluate(plan, store)
        from experiments.show.report import write_report

        return write_report(plan, store)


def _evaluate(plan: PreparedPlan, store: Path) -> None:
    if all(status.evaluation_state(plan, stage, store) == "done" for stage in plan.stages):
        return
    use_compilation_cache(store)
    from experiments.score.checkpoints import evaluate

    with Display("evaluate") as display:
        evaluate(plan, store, display.update)
