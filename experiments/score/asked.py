"""What a study asks of a model: the questions of a task, by its name."""

from dataclasses import replace
from pathlib import Path

from analysis.evals import harness_tasks
from analysis.evals.benchmarks import EXECUTED
from analysis.evals.harness_tasks import HarnessTask
from analysis.evals.tasks import (
    HARNESS,
    WINDOW_BYTES,
    Asked,
    Place,
    Task,
    benchmark_task,
    heldout_task,
    parse_task,
    task_name,
)
from experiments.plan.stage import Plan
from experiments.score import coding
from mixtures.documents.parquet import read_documents
from mixtures.tokens.manifest import Manifest


def load_task(plan: Plan, name: str, store: Path) -> Task | HarnessTask | coding.CodeTask:
    """What a task asks: held-out documents of the prepared data, rows of a benchmark, or problems to program."""
    assert plan.manifest is not None
    size = plan.study.evaluation
    if name in EXECUTED:
        return coding.load(name, size.problems, size.samples, store)
    kind = name.removeprefix("heldout/")
    if kind == name:
        items = None if name in map(task_name, size.every_stage) else size.items
        return named(size.asked[name], items, store)
    return heldout(plan.manifest, kind, size.heldout_bytes, size.heldout_window, size.heldout_place)


def named(asked: Asked, items: int | None, store: Path) -> Task | HarnessTask:
    """A task by its name, by a file of rows, or of lm-evaluation-harness."""
    spec = parse_task(asked)
    if spec.name.startswith(HARNESS):
        return harness_tasks.load(spec.name, spec.shots, items)
    return benchmark_task(asked, items, store / "downloads")


def heldout(manifest: Manifest, kind: str, max_bytes: int, length: int = WINDOW_BYTES, place: Place = "hash") -> Task:
    """The task of the held-out documents of a kind, as `heldout_task` has it."""
    sources = [name for name, source in manifest.sources.items() if source.kind == kind]
    documents = {name: [d for path in manifest.heldout(name) for d in read_documents(path)] for name in sources}
    task = heldout_task(kind, documents, max_bytes, length, place)
    why = (
        ""
        if task.questions
        else f"nothing of {', '.join(sources)} is held out: all of it is of one group, or none was asked for"
    )
    return replace(task, gap=why)
