"""What is done, running, waiting or failed: read from the store alone, without jax."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.evals.benchmarks import benchmark_of
from analysis.evals.executed_tasks import executed_task, is_executed
from analysis.evals.lengths import LENGTHS_VERSION, is_long
from analysis.evals.questions import VERSION
from analysis.evals.tasks import HARNESS, Asked, parse_task, task_name
from analysis.ledger_rows import last_step
from analysis.metrics import FRESH, HELDOUT
from analysis.records import FLOAT32, eval_path, gap_path, speed_path, stage_folder
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage, StageStart
from experiments.study import INFERENCE
from mixtures.benchmarks.load import pin
from store import layout
from store.digests import short
from store.files import read_json
from store.lock import held
from store.paths import missing, names, remote, together


def checkpoints(store: Path, stage: str) -> str | Path:
    """Where the checkpoints of a stage's folder are: in it, or under the URL or path in ABLATE_CHECKPOINTS.

    Hosts that share no disk set it to a folder of an object store, such as gs://bucket/checkpoints; for Orbax to reach
    it the package gcsfs (s3fs for s3://) has to be installed.
    """
    shared = os.environ.get("ABLATE_CHECKPOINTS")
    own = stage_folder(store, stage) / layout.CHECKPOINTS
    return f"{shared.rstrip('/')}/{stage}" if shared else str(own) if remote(own) else own


def trained(stage: PreparedStage, store: Path) -> bool:
    """Whether it has reached its end, and says what it is."""
    return _trained(store, stage.folder)


def _trained(store: Path, stage: str) -> bool:
    return all((stage_folder(store, stage) / name).exists() for name in (layout.DONE, layout.STAGE))


def start_trained(stage: PlannedStage, store: Path) -> bool:
    """Whether what a first stage starts from is there, as far as another study trains it."""
    if not isinstance(stage.start, StageStart):
        return True
    return stage.start.folder is not None and _trained(store, stage.start.folder)


def states(plan: Plan, store: Path) -> dict[str, str]:
    """Of every stage, by its id: done | running | failed | interrupted | ready | waiting"""
    there = _listed(plan, store)
    found: dict[str, str] = {}
    for stage in plan.stages:  # children come after their parents
        its = there.get(stage.id)
        if its is None:
            found[stage.id] = "waiting"
        elif its.issuperset((layout.DONE, layout.STAGE)):
            found[stage.id] = "done"
        elif layout.LOCK in its and held(_folder(stage, store) / layout.LOCK):
            found[stage.id] = "running"
        elif layout.FAILED in its:
            found[stage.id] = "failed"
        elif layout.LEDGER in its:
            found[stage.id] = "interrupted"
        else:
            is_ready = found[stage.parent] == "done" if stage.parent else start_trained(stage, store)
            found[stage.id] = "ready" if is_ready else "waiting"
    return found


def _listed(plan: Plan, store: Path) -> dict[str, set[str]]:
    """What is in the folders of the stages whose data are prepared: a listing each, not a question a file."""
    prepared = [stage for stage in plan.stages if isinstance(stage, PreparedStage)]
    found = together(store, names, [_folder(stage, store) for stage in prepared])
    return {stage.id: set(its) for stage, its in zip(prepared, found, strict=True)}


def _folder(stage: PlannedStage, store: Path) -> Path:
    assert isinstance(stage, PreparedStage)
    return stage_folder(store, stage.folder)


def holder(stage: PlannedStage, store: Path) -> str:
    """Who trains or scores a stage."""
    return held(_folder(stage, store) / layout.LOCK)


def steps_done(stage: PreparedStage, store: Path) -> int:
    """As the end of its ledger tells."""
    last = last_step(stage_folder(store, stage.folder))
    return last.step if last else 0


def why_failed(stage: PlannedStage, store: Path) -> str:
    return str(read_json(_folder(stage, store) / layout.FAILED, f"the failure of {stage.id}")["error"])


def task_names(plan: Plan, stage: PlannedStage) -> tuple[str, ...]:
    """What is scored at the end of `stage`."""
    always, later = plan.task_names
    return (*always, *later) if stage.stage.scored or stage.id in plan.compared else always


SPEED = "decoding_speed"
"""What is measured, besides the tasks, of a checkpoint that is scored in several inferences."""


def inferences(plan: Plan) -> dict[str, tuple[str, ...]]:
    """By stage, what its end is scored in: what the arms that end there ask for, and where others go on, float32."""
    found: dict[str, list[str]] = {stage.id: [] for stage in plan.stages}
    for (arm, _), chain in plan.runs.items():
        for id in chain[:-1]:
            found[id].append(FLOAT32)
        found[chain[-1]].append(plan.study.arm(arm).inference)
    return {id: tuple(inference for inference in INFERENCE if inference in its) for id, its in found.items()}


def records(plan: PreparedPlan, store: Path) -> dict[str, dict[str, Path]]:
    """By stage and task, where the record of its score is, or will be, once the stage is finished.

    A task is called by its name where it is scored in float32, else as "name+int8"; `parted` parts them.
    """
    digests, all_inferences = asked(plan, store), inferences(plan)

    def of(stage: PreparedStage) -> dict[str, Path]:
        folder, its = _folder(stage, store), all_inferences[stage.id]
        found = {
            name if inference == FLOAT32 else f"{name}+{inference}": eval_path(
                folder, name, task_version(name), stage.steps, digests[name], inference
            )
            for inference in its
            for name in task_names(plan, stage)
        }
        speeds = its if len(its) > 1 else ()
        return found | {f"{SPEED}+{inference}": speed_path(folder, stage.steps, inference) for inference in speeds}

    return {stage.id: of(stage) for stage in plan.stages}


def parted(name: str) -> tuple[str, str]:
    """The task and the inference of a key of `records`."""
    task, _, inference = name.rpartition("+")
    return (task, inference) if inference in INFERENCE else (name, FLOAT32)


def unscored(of: Mapping[str, Path], gaps: bool = True) -> dict[str, Path]:
    """Tasks of a checkpoint, by where their records will be, that have no record; with `gaps`, nor one of why not."""
    paths = {task: (path, gap_path(path)) if gaps else (path,) for task, path in of.items()}
    absent = missing(path for its in paths.values() for path in its)
    return {task: of[task] for task, its in paths.items() if absent.issuperset(its)}


def asked(plan: Plan, store: Path) -> dict[str, str]:
    """By task, a digest of what decides its items besides its version: how many, which windows, the rows' file.

    Raises:
        UserError: a file of rows is not there.
    """
    size = plan.study.evaluation
    whole = set(map(task_name, size.every_stage))

    def rows(task: Asked) -> list[Any]:
        benchmark = parse_task(task).benchmark
        if is_long(benchmark):
            return [benchmark, size.heldout_bytes]
        named = isinstance(benchmark, str) and benchmark.startswith(HARNESS)
        return [benchmark] if named else pin(benchmark, store / layout.DOWNLOADS)

    heldout = [size.heldout_bytes, size.heldout_window, size.heldout_place]
    found: dict[str, list[Any]] = {f"{HELDOUT}{kind}": heldout for kind in plan.kinds.values()}
    if size.fresh:
        found |= {f"{FRESH}{kind}": [*heldout, size.fresh.digest] for kind in size.fresh.kinds}
    found |= {name: [None if name in whole else size.items, rows(each)] for name, each in size.asked.items()}
    found |= {name: [size.problems, size.samples, rows(benchmark_of(name))] for name in size.executed}
    return {name: short(what, 8) for name, what in found.items()}


def task_version(name: str) -> int:
    if is_executed(name):
        return executed_task(name).version
    return LENGTHS_VERSION if is_long(name) else VERSION


def scoring(plan: Plan, store: Path, of: Mapping[str, str]) -> dict[str, str]:
    """By the stages' ids: done | gaps (of which the reason is on record) | ready | waiting; `of` are `states`."""
    found = dict.fromkeys(of, "waiting")
    if not isinstance(plan, PreparedPlan):
        return found
    wanted = records(plan, store)
    finished = [id for id, state in of.items() if state == "done"]
    for id, left in zip(finished, together(store, lambda id: unscored(wanted[id], False), finished), strict=True):
        found[id] = ("ready" if unscored(left) else "gaps") if left else "done"
    return found
