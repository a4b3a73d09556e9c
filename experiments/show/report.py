"""What the report needs beside the records, the audit and the plan; and the forms that it takes."""

from pathlib import Path
from typing import Any

from analysis.report.build import build, gather
from experiments.audit import audit
from experiments.plan.stage import Plan
from experiments.show.dag import draw
from experiments.show.plans import forecast_json
from store.errors import UserError
from store.files import write_json


def write_report(plan: Plan, store: Path, paper_values: bool = False) -> Path:
    """Write report.html and its CSVs for a study that has been run."""
    return build(store, plan.study.key, _extras(plan, store), paper_values)


def write_spec(plan: Plan, store: Path, path: Path) -> Path:
    """Write the spec of the W&B report to a file of JSON, without a network."""
    from analysis.report.wandb_report import spec

    write_json(path, spec(gather(store, plan.study.key, _extras(plan, store)).report))
    return path


def publish_report(plan: Plan, store: Path) -> str:
    """Send what W&B does not have of the study's runs, and put the report on them up; its address.

    Raises:
        UserError: the user has not logged in.
        Failure: W&B does not take it.
    """
    from experiments.plan.make import prepared_plan
    from experiments.tracking.mode import mode
    from experiments.tracking.publish import publish
    from experiments.tracking.push import push

    if mode() != "online":
        raise UserError(
            "you have not logged in to W&B, or WANDB_MODE is offline; `wandb login` or WANDB_API_KEY, or write its "
            "spec with --spec FILE"
        )
    report = gather(store, plan.study.key, _extras(plan, store)).report  # what cannot be shown is not sent
    push(prepared_plan(plan.study, store), store)
    return publish(report, store)


def _extras(plan: Plan, store: Path) -> dict[str, Any]:
    return {"audit": audit(plan, store), "plan": forecast_json(plan, store), "stages": draw(plan)}
