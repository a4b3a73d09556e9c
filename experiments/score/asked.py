"""What is asked of a model: the questions of a task, in the size that a study, or the command line, asks it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.evals import harness_tasks, lengths
from analysis.evals.executed_tasks import is_executed
from analysis.evals.harness_tasks import HarnessTask
from analysis.evals.lengths import LongTask
from analysis.evals.questions import prompt_hash
from analysis.evals.tasks import HARNESS, Asked, Task, benchmark_task, parse_task, text_task
from analysis.metrics import FRESH, HELDOUT
from experiments.plan.status import task_version
from experiments.score import coding
from experiments.score.coding import CodeTask
from experiments.study import Evaluation
from mixtures.documents.document import Document
from mixtures.documents.parquet import read_documents
from mixtures.fresh import pinned
from mixtures.tokens.manifest import Manifest
from store.errors import Failure

AnyTask = Task | CodeTask | HarnessTask | LongTask
TOKEN_COST = 20
"""Characters of a prompt that take as long as one token that is written, roughly: it only paces the progress."""


def load_task(asked: Asked, size: Evaluation, manifest: Manifest | None, store: Path) -> AnyTask:
    """Held-out documents of the prepared data, fresh ones, rows of a benchmark, or problems to program.

    What cannot be had is a task without questions that says why; held-out text is ours and has to be there.

    Raises:
        UserError: there is no such task, or it shows more examples than there are rows.
        Failure: held-out text is damaged.
    """
    if isinstance(asked, str) and asked.startswith(HELDOUT):
        assert manifest is not None, asked
        return heldout(manifest, asked.removeprefix(HELDOUT), size)
    if isinstance(asked, str) and asked.startswith(FRESH):
        return _fresh(asked, size, store)
    if isinstance(asked, str) and lengths.is_long(asked):
        return _long(asked, size, manifest)
    name = asked if isinstance(asked, str) and is_executed(asked) else parse_task(asked).name
    try:
        if is_executed(name):
            return coding.load(name, size.problems, size.samples, store)
        items = None if asked in size.every_stage else size.items
        if name.startswith(HARNESS):
            return harness_tasks.load(name, parse_task(asked).shots, items)
        return benchmark_task(asked, items, store / "downloads")
    except Failure as error:
        return Task(name, task_version(name), (), str(error))


def heldout(manifest: Manifest, kind: str, size: Evaluation) -> Task:
    """The task of the held-out documents of a kind, as `text_task` has it."""
    documents = _documents(manifest, kind)
    why = f"nothing of {', '.join(documents)} is held out: all of it is of one group, or none was asked for"
    task = _text(f"{HELDOUT}{kind}", documents, size)
    return task if task.questions else Task(task.name, task.version, (), why)


def _text(name: str, documents: Mapping[str, Sequence[Document]], size: Evaluation) -> Task:
    return text_task(name, documents, size.heldout_bytes, size.heldout_window, size.heldout_place)


def _fresh(name: str, size: Evaluation, store: Path) -> Task:
    """The task of the fresh documents of a kind, asked as held-out ones are."""
    assert size.fresh is not None, name
    why = "none is asked: heldout_bytes is 0"
    try:
        task = _text(name, pinned.kept(size.fresh, name.removeprefix(FRESH), store), size)
    except Failure as error:
        task, why = Task(name, task_version(name), ()), str(error)
    return task if task.questions else Task(name, task.version, (), why)


def _documents(manifest: Manifest, kind: str) -> dict[str, list[Document]]:
    """All that is held out of a kind, by source."""
    sources = [name for name, source in manifest.sources.items() if source.kind == kind]
    return {name: [d for path in manifest.heldout(name) for d in read_documents(path)] for name in sources}


def _long(name: str, size: Evaluation, manifest: Manifest | None) -> LongTask | Task:
    kind, tokens = lengths.parse(name)
    if not kind:
        return lengths.retrieval(name, size.items)
    if manifest is None:
        return Task(name, task_version(name), (), "the held-out text of the model's study is not here")
    task = lengths.reading(name, _documents(manifest, kind), size.heldout_bytes)
    why = f"the held-out text of kind '{kind}' does not fill a window of {tokens:,} tokens"
    return task if task.passages else Task(name, task_version(name), (), why)


def prompts(task: AnyTask) -> str:
    """The hash of all that is asked; "" of a task that cannot be had."""
    if isinstance(task, Task):
        return prompt_hash(task.questions) if task.questions else ""
    return task.prompt_hash


def cost(task: AnyTask) -> float:
    """What scoring a task takes, about, in characters that the model reads."""
    if isinstance(task, CodeTask):
        return sum(len(problem.prompt) + TOKEN_COST * 256 for problem in task.problems) * task.decoding.samples
    if isinstance(task, HarnessTask | LongTask):
        return task.characters
    read = sum(len(context) + len(text) for question in task.questions for context, text in question.candidates)
    return read + sum(TOKEN_COST * question.max_tokens for question in task.questions)
