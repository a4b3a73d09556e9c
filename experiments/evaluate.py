"""Scoring every finished stage: idempotent, keyed by (stage, exact step, task version), one file a task."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from analysis.evals.engine import Encoded, encode, score
from analysis.evals.questions import prompt_hash
from analysis.evals.tasks import Task
from analysis.records import EvalRecord, eval_path, stage_folder, write
from experiments.nodes import evaluated_tasks
from experiments.plan import Plan, PlannedStage
from mixtures import tokenizer as bpe
from models import checkpoint
from models.step import init_state
from models.transformer import Params

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Job:
    stage: PlannedStage
    tasks: tuple[str, ...]


def evaluate(plan: Plan, store: Path, load_task: Callable[[str], Task], progress: Progress) -> None:
    """Score all stages that are done and lack a record, in one process so that every shape compiles once.

    Args:
        plan: the prepared plan.
        store: root of the records.
        load_task: gives a task's questions by its name.
        progress: called with (what, tasks done, tasks to do).

    Raises:
        Failure: a benchmark cannot be had, or the disk is full.
    """
    jobs = [job for job in _jobs(plan, store) if job.tasks]
    total = sum(len(job.tasks) for job in jobs)
    if not total:
        return
    assert plan.manifest is not None
    tokenizer = bpe.load(plan.manifest.tokenizer)
    encoded: dict[str, tuple[Task, Encoded]] = {}
    count = 0
    for job in jobs:
        folder = stage_folder(store, job.stage.folder)
        like = init_state(plan.study.model, plan.study.optimizer, job.stage.seed)
        state = checkpoint.restore(folder / "checkpoints", job.stage.steps, like)
        for name in job.tasks:
            progress(f"{job.stage.id}: {name}", count, total)
            if name not in encoded:
                task = load_task(name)
                encoded[name] = (task, encode(tokenizer, task.questions, plan.study.sequence))
            _score_task(plan, job.stage, folder, encoded[name], state.params, tokenizer)
            count += 1
    progress("scored", total, total)


def _jobs(plan: Plan, store: Path) -> Iterator[_Job]:
    for stage in plan.stages:
        folder = stage_folder(store, stage.folder)
        if (folder / "done.json").exists():
            yield _Job(stage, tuple(n for n, path in evaluated_tasks(plan, stage, store).items() if not path.exists()))


def _score_task(
    plan: Plan,
    stage: PlannedStage,
    folder: Path,
    work: tuple[Task, Encoded],
    params: Params,
    tokenizer: Tokenizer,
) -> None:
    task, encoded = work
    assert stage.fingerprint is not None
    started = time.perf_counter()
    items = score(plan.study.model, params, encoded, tokenizer)
    record = EvalRecord(
        task=task.name,
        version=task.version,
        prompt_hash=prompt_hash(task.questions),
        fingerprint=stage.fingerprint,
        step=stage.steps,
        items=tuple(items),
        seconds=round(time.perf_counter() - started, 3),
    )
    write(eval_path(folder, task.name, task.version, stage.steps), record)
