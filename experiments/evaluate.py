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
from experiments.nodes import checkpoints, evaluated_tasks
from experiments.plan import Plan, PlannedStage
from mixtures import tokenizer as bpe
from models import checkpoint
from models.step import init_state

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
        progress: called with (what, tokens done, tokens to do).

    Raises:
        Failure: a benchmark cannot be had, or the disk is full.
    """
    jobs = [job for job in _jobs(plan, store) if job.tasks]
    if not jobs:
        return
    assert plan.manifest is not None
    tokenizer = bpe.load(plan.manifest.tokenizer)
    tasks = {name: load_task(name) for name in dict.fromkeys(name for job in jobs for name in job.tasks)}
    encoded = {name: encode(tokenizer, task.questions, plan.study.sequence) for name, task in tasks.items()}
    cost = [sum(encoded[name].tokens for name in job.tasks) for job in jobs]
    for number, job in enumerate(jobs):
        progress(job.stage.id, sum(cost[:number]), sum(cost))
        _score(plan, job.stage, store, [(tasks[name], encoded[name]) for name in job.tasks], tokenizer)
    progress("all checkpoints", sum(cost), sum(cost))


def _jobs(plan: Plan, store: Path) -> Iterator[_Job]:
    for stage in plan.stages:
        folder = stage_folder(store, stage.folder)
        if (folder / "done.json").exists():
            yield _Job(stage, tuple(n for n, path in evaluated_tasks(plan, stage, store).items() if not path.exists()))


def _score(
    plan: Plan, stage: PlannedStage, store: Path, work: list[tuple[Task, Encoded]], tokenizer: Tokenizer
) -> None:
    """Score one checkpoint and write a record for every task."""
    folder = stage_folder(store, stage.folder)
    like = init_state(plan.study.model, plan.study.optimizer, stage.seed)
    params = checkpoint.restore(checkpoints(store, stage), stage.steps, like).params
    started = time.perf_counter()
    scored = score(plan.study.model, params, [encoded for _, encoded in work], tokenizer)
    seconds = time.perf_counter() - started
    tokens = sum(encoded.tokens for _, encoded in work)
    assert stage.fingerprint is not None
    for (task, encoded), items in zip(work, scored, strict=True):
        record = EvalRecord(
            task=task.name,
            version=task.version,
            prompt_hash=prompt_hash(task.questions),
            fingerprint=stage.fingerprint,
            step=stage.steps,
            items=tuple(items),
            seconds=round(seconds * encoded.tokens / tokens, 3),
        )
        write(eval_path(folder, task.name, task.version, stage.steps), record)
