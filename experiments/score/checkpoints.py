"""Scoring checkpoints: idempotent, keyed by (checkpoint, exact step, task version), one record a task.

The tasks of a checkpoint go through the model together, in portions of a fixed size and order. A portion's results are
kept on the disk as it ends; after a kill only unfinished portions are asked again, each whole, so that it is batched as
it would have been and the record is the one that an undisturbed run writes.
"""

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analysis.evals import engine, harness_tasks, long_context, scoring, together
from analysis.evals.harness_tasks import HarnessTask
from analysis.evals.lengths import LongTask
from analysis.evals.model import LanguageModel
from analysis.evals.questions import Question
from analysis.evals.tasks import Task
from analysis.records import FLOAT32, EvalRecord, Item, gap_path, stage_folder, write
from analysis.task_scores import DIVERGED
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.plan.status import SPEED, parted, task_version
from experiments.run.trained import open_stage
from experiments.score import coding, speed
from experiments.score.asked import AnyTask, cost, load_task, prompts
from experiments.score.coding import CodeTask
from mixtures.tokens.tokenizer import canonical, loss
from models import decode
from models.devices import hosts
from store import appended, kept_rows
from store.errors import Failure
from store.files import remove

PORTION = 512
"""Items of each device between two writes to the disk; a batch holds some 30 of them on a CPU, twice as many of each of
several accelerators."""


@dataclass(frozen=True)
class Checkpoint:
    """What records are known by."""

    fingerprint: str
    step: int
    inference: str = FLOAT32


@dataclass
class _Asked:
    """A task, and what is found so far: "nats" (a number for every candidate) and "said", by the item's number.

    `cut` are the items of which a context was too long for the window.
    """

    task: Task
    path: Path
    key: Mapping[str, Any]
    found: dict[str, dict[int, Any]] = field(default_factory=lambda: {"nats": {}, "said": {}})
    cut: set[int] = field(default_factory=set)


_Portion = Sequence[tuple[_Asked, int]]


def _candidates(model: LanguageModel, questions: Sequence[Question]) -> list[tuple[list[float], bool]]:
    pairs = [pair for question in questions for pair in question.candidates]
    found = dict(engine.likelihoods(model, pairs))
    likelihoods = (found[number] for number in range(len(pairs)))
    each = [list(itertools.islice(likelihoods, len(question.candidates))) for question in questions]
    return [([one.nats for one in its], any(one.cut for one in its)) for its in each]


def _answers(model: LanguageModel, questions: Sequence[Question]) -> list[tuple[str, bool]]:
    asks = [engine.Ask(each.candidates[0][0], each.stops, each.max_tokens) for each in questions]
    found = dict(engine.generate(model, asks))
    return [(found[number], cut) for number, cut in enumerate(engine.too_long(model, asks))]


_Way = Callable[[LanguageModel, Sequence[Question]], list[tuple[Any, bool]]]
"""A way to ask: what is found and whether a context was cut, in the order of the questions."""
_WAYS: Mapping[str, tuple[Callable[[Question], bool], _Way]] = {
    "nats": (lambda question: True, _candidates),
    "said": (lambda question: bool(question.answers), _answers),
}
"""By what it finds: of which questions, and how."""


def loader(plan: PreparedPlan, store: Path) -> Callable[[str], AnyTask]:
    """A function that reads a task of the study by its name."""
    size = plan.study.evaluation
    return lambda name: load_task(size.asked.get(name, name), size, plan.manifest, store)


def evaluate(stage: PreparedStage, store: Path, missing: Mapping[str, Path], load: Callable[[str], AnyTask]) -> None:
    """Score the end of a finished stage. Of several processes the first asks, and the others only compute what it asks.

    A task that cannot be had gets a record that says why and has no items.

    Args:
        stage: it is done.
        store: root of the records.
        missing: by task, as `experiments.plan.status.records` has it, where its record will be.
        load: reads a task; called for all that are missing.

    Raises:
        Failure: held-out text or the checkpoint is damaged, or the disk is full.
    """
    open_model = functools.partial(open_stage, stage_folder(store, stage.folder), store)
    if not hosts.first():
        together.follow(open_model)
        return
    by_inference: dict[str, dict[str, Path]] = {FLOAT32: {}}  # the others are told in any case that nothing is left
    for name, path in missing.items():
        task, inference = parted(name)
        by_inference.setdefault(inference, {})[task] = path
    speeds = {inference: its.pop(SPEED) for inference, its in by_inference.items() if SPEED in its}
    for inference, its in by_inference.items():
        with together.leading(functools.partial(open_model, inference)) as opened:
            work = {path: load(task) for task, path in its.items()}
            score(Checkpoint(stage.fingerprint, stage.steps, inference), work, opened)
    if speeds:
        models = {path: (inference, open_model(inference)) for inference, path in speeds.items()}
        speed.measure(stage.fingerprint, stage.steps, models)


def score(
    of: Checkpoint,
    work: Mapping[Path, AnyTask],
    open_model: Callable[[], LanguageModel],
    progress: Callable[[float], None] = lambda done: None,
) -> dict[Path, EvalRecord]:
    """Write the record of every task to its path, or a gap beside it, and return them.

    Args:
        of: the checkpoint.
        work: the tasks by the path of their record; all of them are asked, whatever is there.
        open_model: called once, if there is anything to ask.
        progress: told the work done, in the unit of `cost`.

    Raises:
        Failure: the checkpoint is damaged, or the disk is full.
    """
    found = {
        path: _record(of, task, gap=task.gap) for path, task in work.items() if isinstance(task, Task) and task.gap
    }
    asked = {path: task for path, task in work.items() if path not in found}
    if asked:
        model = open_model()
        questions = {path: task for path, task in asked.items() if isinstance(task, Task)}
        found |= _answered(of, questions, model, progress)
        found |= {
            path: _asked_whole(of, task, path, model) for path, task in asked.items() if not isinstance(task, Task)
        }
    for path, record in found.items():
        write(gap_path(path) if record.gap else path, record)
        if not record.gap:
            remove(gap_path(path))
            appended.drop(_partial(path))
    return {path: found[path] for path in work}


def _record(of: Checkpoint, task: AnyTask, items: Iterable[Item] = (), gap: str = "", seconds: float = 0) -> EvalRecord:
    version = task.version if isinstance(task, Task) else task_version(task.name)
    key = (task.name, version, prompts(task), of.fingerprint, of.step)
    decoding = asdict(task.decoding) if isinstance(task, CodeTask) else {}
    return EvalRecord(*key, tuple(items), gap, round(seconds, 3), decoding, of.inference)


def _asked_whole(
    of: Checkpoint, task: CodeTask | HarnessTask | LongTask, path: Path, model: LanguageModel
) -> EvalRecord:
    """Programs to be executed, a task of the harness, or long contexts."""
    started = time.perf_counter()
    try:
        if isinstance(task, HarnessTask):
            items = harness_tasks.score(model, task)
        elif isinstance(task, LongTask):
            items = long_context.score(model, task)
        else:
            items = coding.score(model, task, _partial(path))
    except Failure as error:  # the machine gives no box any more, or the harness scores in another way
        return _record(of, task, gap=str(error))
    return _record(of, task, items, seconds=time.perf_counter() - started)


def _answered(
    of: Checkpoint, work: Mapping[Path, Task], model: LanguageModel, progress: Callable[[float], None]
) -> dict[Path, EvalRecord]:
    """Ask the questions of all tasks that the disk holds no answers to."""
    asked = [_begun(of, task, path) for path, task in work.items()]
    total, done = sum(cost(task) for task in work.values()), 0.0
    started = time.perf_counter()
    portions = list(_portions(asked, PORTION * decode.devices(model.mesh)))
    for what, portion in portions:
        progress(done)
        if not all(number in each.found[what] for each, number in portion):
            _, ask = _WAYS[what]
            _keep(what, portion, ask(model, [each.task.questions[number] for each, number in portion]))
        done += total / len(portions)
    seconds = time.perf_counter() - started
    keeps = not loss(model.tokenizer, form=canonical)
    return {each.path: _of_items(of, each, seconds * cost(each.task) / max(total, 1.0), keeps) for each in asked}


def _begun(of: Checkpoint, task: Task, path: Path) -> _Asked:
    key = {"fingerprint": of.fingerprint, "step": of.step, "version": task.version, "prompts": prompts(task)}
    asked = _Asked(task, path, key)
    for row in kept_rows.read(_partial(path), key):
        asked.found[row["what"]][row["item"]] = row["value"]
        asked.cut |= {row["item"]} if row.get("cut") else set()
    return asked


def _partial(path: Path) -> Path:
    return path.with_suffix(".partial.jsonl")


def _portions(asked: Sequence[_Asked], size: int) -> Iterator[tuple[str, _Portion]]:
    for what, (wanted, _) in _WAYS.items():
        items = [(each, n) for each in asked for n, question in enumerate(each.task.questions) if wanted(question)]
        for first in range(0, len(items), size):
            yield what, items[first : first + size]


def _keep(what: str, portion: _Portion, answers: Sequence[tuple[Any, bool]]) -> None:
    """Note the answers, on the disk too."""
    for path, its in itertools.groupby(zip(portion, answers, strict=True), key=lambda one: one[0][0].path):
        rows = []
        for (asked, number), (answer, cut) in its:
            asked.found[what][number] = answer
            asked.cut |= {number} if cut else set()
            rows.append({"item": number, "what": what, "value": answer, "cut": cut})
        kept_rows.keep(_partial(path), asked.key, rows)


def _of_items(of: Checkpoint, asked: _Asked, seconds: float, keeps_texts: bool) -> EvalRecord:
    task, nats, said = asked.task, asked.found["nats"], asked.found["said"]
    if infinite := sum(not all(map(math.isfinite, its)) for its in nats.values()):
        return _record(of, task, gap=f"{infinite} of {len(nats)} items have no finite likelihood{DIVERGED}")
    items = [
        scoring.item(question, nats[number], said.get(number), number in asked.cut)
        for number, question in enumerate(task.questions)
    ]
    if not keeps_texts:  # there are no bits per byte of a text that was not predicted
        for item in items:
            item.pop("bytes", None)
    return _record(of, task, items, seconds=seconds)
