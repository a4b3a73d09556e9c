"""What the report needs beside the records: the audit, the plan and how to reproduce it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from analysis.report import build
from experiments.audit import audit
from experiments.plan.stage import Plan
from experiments.show.plans import plan_json


def write_report(plan: Plan, store: Path) -> Path:
    """Write report.html and its CSVs for a study that has been run."""
    reproduce = {
        "command": f"make quickstart  # ablate run {plan.study.name}",
        "versions": {
            "python": platform.python_version(),
            **{
                name: version(name)
                for name in ("code-data-ablation", "jax", "flax", "optax", "tensorstore", "tokenizers")
            },
        },
        "hardware": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }
    extras = {"audit": audit(plan, store), "plan": plan_json(plan, store), "reproduce": reproduce}
    return build(store, plan.study.name, extras)
