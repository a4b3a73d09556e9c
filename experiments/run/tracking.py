"""W&B as a view of the ledger: the real client, offline unless the user has logged in.

Run id = stage fingerprint, group = study, job type = stage kind, x-axis = tokens. The ledger is the truth, so a lost
W&B run is replayed from it, and W&B failing never stops training.
"""

import netrc
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.records import StepRecord
from experiments.plan.stage import PreparedPlan, PreparedStage

PROJECT = "code-data-ablation"


def mode() -> str:
    """WANDB_MODE if the user set it, "online" if the user has logged in, else "offline"."""
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"]
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return "offline"
    return "online" if any("wandb" in host for host in hosts) else "offline"


class Tracker:
    """One W&B run that is fed ledger rows; rows that an earlier process sent are skipped."""

    def __init__(self, plan: PreparedPlan, stage: PreparedStage, store: Path):
        import wandb

        self._before, self._skipped = stage.tokens_before, 0
        self._run: Any = None
        (store / "wandb").mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=PROJECT,
                id=stage.fingerprint,
                name=stage.id,
                group=plan.study.key,
                job_type=stage.stage.kind,
                tags=list(stage.arms),
                config={"arms": list(stage.arms), "model_size": stage.model.name, **stage.identity},
                dir=str(store),
                mode=mode(),  # type: ignore[arg-type]
                resume="allow",
                settings=wandb.Settings(
                    silent=True,
                    quiet=True,
                    console="off",
                    disable_git=True,
                    disable_code=True,
                    x_disable_stats=True,
                    x_save_requirements=False,  # it reads what is installed anew for every run, as long as all else
                ),
            )
            self._run.define_metric("tokens", hidden=True)
            self._run.define_metric("*", step_metric="tokens")
        except Exception as error:  # a view must not stop the run
            self._fail(error)

    def log(self, rows: Iterable[StepRecord]) -> None:
        """Log ledger rows; the x-axis is tokens over the whole lineage."""
        if self._run is None:
            return
        try:
            for row in rows:
                values = {key: value for key, value in asdict(row).items() if key not in ("counts", "digest", "step")}
                self._skipped += row.skipped
                # None is what was not finite: W&B shows a gap where a step has no value.
                values = {key: value for key, value in values.items() if value is not None}
                values |= {"skipped": int(row.skipped), "skipped_steps": self._skipped}
                values |= {"tokens": self._before + row.tokens, "stage_tokens": row.tokens}
                values |= {f"tokens_in_step/{source}": n for source, n in row.counts.items()}
                self._run.log(values, step=row.step)
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            try:
                self._run.finish()
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        print(f"warning: W&B is off for this stage ({error}); its ledger is complete", file=sys.stderr)
        self._run = None
