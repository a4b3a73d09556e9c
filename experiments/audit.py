"""What a study's numbers rest on: records as they were written, data as their manifest says, tokens as declared.

The tokens that were read are summed from the ledger, which counted them in the batches fed, and sampled batches are
read again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis import ledger_rows, records
from analysis.ledger_rows import StepRecord, read_ledger
from analysis.ledgers import realised as sums
from analysis.records import stage_folder
from experiments.plan.prepared import data_plan
from experiments.plan.stage import Plan, PreparedPlan, PreparedStage
from experiments.progress import Display
from mixtures.loader import load_batch
from mixtures.tokens import intact
from mixtures.tokens.arrays import open_tokens
from store.errors import Failure, UserError
from store.layout import DONE
from store.paths import glob

REPLAYED_STEPS = 8
"""Steps of every stage whose batch is read again: the first, the last, and others spread evenly."""


def audit(plan: Plan, store: Path, full: bool = False) -> dict[str, Any]:
    """Look at all that a study's report rests on, over its finished stages.

    Args:
        plan: of the study.
        store: root of the records.
        full: also read all tokens and held-out texts and compare them with the digests of the manifest.

    Returns:
        {"equal", "full", "problems" of data and study, "stages": [{"id", "declared", "realised", "steps_replayed",
        "problems"}]}; equal when there is no problem.

    Raises:
        UserError: no stage has been trained.
        Failure: the manifest of the prepared data is damaged.
    """
    prepared = [stage for stage in plan.stages if isinstance(stage, PreparedStage)]
    finished = [stage for stage in prepared if (stage_folder(store, stage.folder) / DONE).exists()]
    if not isinstance(plan, PreparedPlan) or not finished:
        name = plan.study.typed
        raise UserError(f"study '{name}' has no finished stage in store {store}; run `ablate run {name}` first")
    study = store / "studies" / plan.study.key / "study.json"
    with Display("audit") as display:
        problems = [
            *(_damage(lambda: records.read_study(store, plan.study.key)) if study.exists() else ()),
            *_damage(lambda: records.read_judged(store, plan.study.key)),
            *intact.problems(plan.manifest, full, lambda source: display.update(source, 0, 1)),
        ]
    stages = [_audit_stage(plan, stage, store) for stage in finished]
    equal = not problems and not any(stage["problems"] for stage in stages)
    return {"equal": equal, "full": full, "problems": problems, "stages": stages}


def _damage(read: Callable[[], Any]) -> list[str]:
    """The problem of what cannot be read, or none."""
    try:
        read()
    except Failure as error:
        return [str(error)]
    return []


def _audit_stage(plan: PreparedPlan, stage: PreparedStage, store: Path) -> dict[str, Any]:
    folder = stage_folder(store, stage.folder)
    rows: list[StepRecord] = []
    problems = _of_records(stage, folder)
    damage = _damage(lambda: rows.extend(read_ledger(folder)))
    declared = stage.tokens_by_source
    realised = dict.fromkeys(declared, 0) | sums(rows)
    replayed = sorted({round(i * (stage.steps - 1) / (REPLAYED_STEPS - 1)) for i in range(REPLAYED_STEPS)})
    replayed = [step for step in replayed if step < len(rows)]
    if not damage:
        if len(rows) != stage.steps:
            damage.append(f"{len(rows)} steps in the ledger, {stage.steps} declared; {ledger_rows.train_again(folder)}")
        if realised != declared:
            damage.append("realised tokens differ from the declared ones")
        damage += _damage(lambda: damage.extend(_replay(plan, stage, rows, replayed)))
    return {
        "id": stage.id,
        "declared": declared,
        "realised": realised,
        "steps_replayed": [step + 1 for step in replayed],
        "problems": problems + damage,
    }


def _of_records(stage: PreparedStage, folder: Path) -> list[str]:
    """What is wrong with the records of a finished stage, its ledger apart."""
    found = [*_damage(lambda: records.read_stage(folder)), *_damage(lambda: records.read_end(folder))]
    for name, read in (("evals", records.read_eval), ("answers", records.read_answers)):
        for path in glob(folder / name, "*.json"):
            found += _damage(lambda read=read, path=path: read(path, stage.fingerprint))  # type: ignore[misc]
    return found


def _replay(plan: PreparedPlan, stage: PreparedStage, rows: list[StepRecord], steps: list[int]) -> list[str]:
    data = data_plan(plan, stage)
    tokens = open_tokens(plan.manifest, stage.sequence, stage.stage.infilling)
    return [
        f"step {step + 1}: the batch's digest differs from the ledger's"
        for step in steps
        if load_batch(data, tokens, stage.first_read + step).digest != rows[step].digest
    ]
