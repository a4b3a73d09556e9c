"""What is done, running, waiting or failed: read from the store alone, without jax."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from analysis.evals.benchmarks import EXECUTED, benchmark_of
from analysis.evals.code import executed
from analysis.evals.questions import VERSION
from analysis.evals.tasks import HARNESS, Asked, parse_task, task_name
from analysis.records import eval_path, gap_path, last_step, stage_folder
from experiments.plan.stage import Plan, PlannedStage, PreparedStage
from mixtures.benchmarks.load import pin
from store import layout
from store.files import read_json
from store.lock import held


def checkpoints(store: Path, stage: str) -> str | Path:
    """Where the checkpoints of a stage's folder are: in it, or under the URL or path in ABLATE_CHECKPOINTS.

    Hosts that share no disk set it to a folder of an object store, such as gs://bucket/checkpoints; for Orbax to reach
    it the package gcsfs (s3fs for s3://) has to be installed.
    """
    shared = os.environ.get("ABLATE_CHECKPOINTS")
    return f"{shared.rstrip('/')}/{stage}" if shared else stage_folder(store, stage) / layout.CHECKPOINTS


def trained(stage: PreparedStage, store: Path) -> bool:
    """Whether it has reached its end, and says what it is."""
    folder = stage_folder(store, stage.folder)
    return (folder / layout.DONE).exists() and (folder / layout.STAGE).exists()


def state(plan: Plan, stage: PlannedStage, store: Path) -> str:
    """done | running | failed | interrupted | ready | waiting"""
    if not isinstance(stage, PreparedStage):
        return "waiting"
    folder = stage_folder(store, stage.folder)
    if trained(stage, store):
        return "done"
    if held(folder / layout.LOCK):
        return "running"
    if (folder / layout.FAILED).exists():
        return "failed"
    if (folder / layout.LEDGER).exists():
        return "interrupted"
    if stage.parent is None or state(plan, plan.stage(stage.parent), store) == "done":
        return "ready"
    return "waiting"


def steps_done(stage: PreparedStage, store: Path) -> int:
    """As the end of its ledger tells."""
    last = last_step(stage_folder(store, stage.folder))
    return last.step if last else 0


def why_failed(stage: PlannedStage, store: Path) -> str:
    assert isinstance(stage, PreparedStage), "a stage that is not prepared has not failed"
    return str(read_json(stage_folder(store, stage.folder) / layout.FAILED, f"the failure of {stage.id}")["error"])


def task_names(plan: Plan, stage: PlannedStage) -> tuple[str, ...]:
    """What is scored at the end of `stage`."""
    always, later = plan.task_names
    return (*always, *later) if stage.stage.scored or stage.id in plan.compared else always


def evaluated_tasks(plan: Plan, stage: PreparedStage, store: Path) -> dict[str, Path]:
    """Where the record of every task of a finished stage is, or will be."""
    folder, digests = stage_folder(store, stage.folder), asked(plan, store)
    return {
        name: eval_path(folder, name, task_version(name), stage.steps, digests[name])
        for name in task_names(plan, stage)
    }


def asked(plan: Plan, store: Path) -> dict[str, str]:
    """By task, a digest of what decides its items besides its version: how many, which windows, the rows' file.

    Raises:
        UserError: a file of rows is not there.
    """
    size = plan.study.evaluation
    whole = set(map(task_name, size.every_stage))

    def rows(task: Asked) -> list[Any]:
        benchmark = parse_task(task).benchmark
        named = isinstance(benchmark, str) and benchmark.startswith(HARNESS)
        return [benchmark] if named else pin(benchmark, store / layout.DOWNLOADS)

    heldout = [size.heldout_bytes, size.heldout_window, size.heldout_place]
    found: dict[str, list[Any]] = {f"heldout/{kind}": heldout for kind in plan.kinds.values()}
    found |= {name: [None if name in whole else size.items, rows(each)] for name, each in size.asked.items()}
    found |= {name: [size.problems, size.samples, rows(benchmark_of(name))] for name in size.executed}
    return {name: hashlib.sha256(json.dumps(what).encode()).hexdigest()[:8] for name, what in found.items()}


def task_version(name: str) -> int:
    return executed.VERSION if name in EXECUTED else VERSION


def evaluation_state(plan: Plan, stage: PlannedStage, store: Path) -> str:
    """done | gaps (of which the reason is on record, and which the next run tries again) | ready | waiting"""
    if not isinstance(stage, PreparedStage) or state(plan, stage, store) != "done":
        return "waiting"
    missing = [path for path in evaluated_tasks(plan, stage, store).values() if not path.exists()]
    if not missing:
        return "done"
    return "gaps" if all(gap_path(path).exists() for path in missing) else "ready"
