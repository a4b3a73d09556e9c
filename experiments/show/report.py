"""What the report needs beside the records: the audit and the plan."""

from pathlib import Path

from analysis.report.build import build
from experiments.audit import audit
from experiments.plan.stage import Plan
from experiments.show.dag import draw
from experiments.show.plans import forecast_json


def write_report(plan: Plan, store: Path) -> Path:
    """Write report.html and its CSVs for a study that has been run."""
    extras = {"audit": audit(plan, store), "plan": forecast_json(plan, store), "stages": draw(plan)}
    return build(store, plan.study.key, extras)
