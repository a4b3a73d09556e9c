"""Declared against realised tokens: sums what was counted in the batches fed, and replays sampled batches."""

from pathlib import Path
from typing import Any

from analysis.records import StepRecord, read_ledger, stage_folder
from experiments.plan import Plan, PlannedStage, data_plan
from mixtures.errors import UserError
from mixtures.loader import load_batch
from mixtures.store import open_tokens

REPLAYED_STEPS = 8
"""Steps of every stage whose batch is read again: the first, the last, and others spread evenly."""


def audit(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"equal", "stages": [{"id", "declared", "realised", "steps_replayed", "problems"}]}` over the finished stages.

    Raises:
        UserError: no stage has been trained.
        Failure: a ledger or a token chunk is corrupt.
    """
    stages = []
    for stage in plan.stages:
        if stage.fingerprint is None or not (stage_folder(store, stage.folder) / "done.json").exists():
            continue
        stages.append(_audit_stage(plan, stage, store))
    if not stages:
        name = plan.study.name
        raise UserError(f"study '{name}' has no finished stage in store {store}; run `ablate run {name}` first")
    return {"equal": not any(stage["problems"] for stage in stages), "stages": stages}


def _audit_stage(plan: Plan, stage: PlannedStage, store: Path) -> dict[str, Any]:
    rows = read_ledger(stage_folder(store, stage.folder))
    declared = stage.tokens_by_source
    realised = dict.fromkeys(declared, 0)
    for row in rows:
        for source, tokens in row.counts.items():
            realised[source] = realised.get(source, 0) + tokens
    problems = []
    if len(rows) != stage.steps:
        problems.append(f"{len(rows)} steps in the ledger, {stage.steps} declared")
    if realised != declared:
        problems.append("realised tokens differ from the declared ones")
    replayed = sorted({round(i * (stage.steps - 1) / (REPLAYED_STEPS - 1)) for i in range(REPLAYED_STEPS)})
    problems += _replay(plan, stage, rows, replayed)
    return {
        "id": stage.id,
        "declared": declared,
        "realised": realised,
        "steps_replayed": [step + 1 for step in replayed],
        "problems": problems,
    }


def _replay(plan: Plan, stage: PlannedStage, rows: list[StepRecord], steps: list[int]) -> list[str]:
    assert plan.manifest is not None
    data = data_plan(plan, stage)
    tokens = open_tokens(plan.manifest, stage.stage.infilling)
    return [
        f"step {step + 1}: the batch's digest differs from the ledger's"
        for step in steps
        if step < len(rows) and load_batch(data, tokens, stage.first_step + step).digest != rows[step].digest
    ]
