"""What is done, running, waiting or failed: read from the store alone, without jax."""

import os
from pathlib import Path

from analysis.evals.questions import VERSION
from analysis.records import eval_path, stage_folder
from experiments.lock import held
from experiments.plan import Plan, PlannedStage
from mixtures.files import read_json


def checkpoints(store: Path, stage: PlannedStage) -> str | Path:
    """Where the checkpoints of a stage are: in its folder, or under the URL or path in ABLATE_CHECKPOINTS.

    Hosts that share no disk set it to a folder of an object store, such as gs://bucket/checkpoints.
    """
    shared = os.environ.get("ABLATE_CHECKPOINTS")
    return f"{shared.rstrip('/')}/{stage.folder}" if shared else stage_folder(store, stage.folder) / "checkpoints"


def state(plan: Plan, stage: PlannedStage, store: Path) -> str:
    """done | running | failed | interrupted | ready | waiting"""
    if stage.fingerprint is None:
        return "waiting"
    folder = stage_folder(store, stage.folder)
    if (folder / "done.json").exists():
        return "done"
    if held(folder / "lock"):
        return "running"
    if (folder / "failed.json").exists():
        return "failed"
    if (folder / "ledger.jsonl").exists():
        return "interrupted"
    if stage.parent is None or state(plan, plan.stage(stage.parent), store) == "done":
        return "ready"
    return "waiting"


def why_failed(stage: PlannedStage, store: Path) -> str:
    return str(read_json(stage_folder(store, stage.folder) / "failed.json", f"the failure of {stage.id}")["error"])


def task_names(plan: Plan, stage: PlannedStage) -> tuple[str, ...]:
    """What is scored at the end of `stage`."""
    evaluation = plan.study.evaluation
    names = (*(f"heldout/{kind}" for kind in dict.fromkeys(plan.kinds.values())), *evaluation.every_stage)
    return (*names, *evaluation.around_cooldown) if _around_cooldown(plan, stage) else names


def _around_cooldown(plan: Plan, stage: PlannedStage) -> bool:
    children = [other for other in plan.stages if other.parent == stage.id]
    return any(each.stage.kind == "cooldown" for each in (stage, *children))


def evaluated_tasks(plan: Plan, stage: PlannedStage, store: Path) -> dict[str, Path]:
    """Where the record of every task of a finished stage is, or will be."""
    folder = stage_folder(store, stage.folder)
    return {name: eval_path(folder, name, VERSION, stage.steps) for name in task_names(plan, stage)}


def evaluation_state(plan: Plan, stage: PlannedStage, store: Path) -> str:
    """done | ready | waiting"""
    if state(plan, stage, store) != "done":
        return "waiting"
    return "done" if all(path.exists() for path in evaluated_tasks(plan, stage, store).values()) else "ready"
