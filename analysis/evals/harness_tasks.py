"""Any task of lm-evaluation-harness by its name there: "lm_eval/arc_challenge", "lm_eval/gsm8k@5shot".

The harness renders, filters and scores, and our engine answers; what it finds of an item becomes an item of a record.
Of a task with several filters the first one counts, and of several metrics the first. Its data sets come from the hub:
without a network the task is a gap that says so. Needs the extra `harness`, which is imported only where such a task
is named.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from analysis.evals.questions import Question
from analysis.evals.scoring import SAID, item
from analysis.evals.tasks import HARNESS
from analysis.records import Item
from store.errors import Failure, UserError

if TYPE_CHECKING:
    from analysis.evals.model import LanguageModel

_SEED = 1234
"""Of the examples that are drawn; the harness's default."""
_RIGHT = ("exact_match", "acc", "em")
"""Metrics that say whether an answer is right."""


@dataclass(frozen=True)
class HarnessTask:
    """A task of the harness, loaded, with its requests made.

    Attributes:
        name: as it was asked for.
        task: the harness's object.
        documents: the numbers of the rows that are asked, rising.
        prompt_hash: of all requests, the harness's version among them.
        characters: of all requests.
    """

    name: str
    task: Any
    documents: tuple[int, ...]
    prompt_hash: str
    characters: int


def check(name: str) -> None:
    """Refuse a name that the harness does not know. Takes it some seconds to list its tasks.

    Raises:
        UserError: there is no such task, or it is a group of them; nothing is refused where no harness is installed.
    """
    if find_spec("lm_eval") is None:
        return
    known = _manager().all_subtasks
    if name in known:
        return
    near = [n for n in known if n.startswith(f"{name}_")] or difflib.get_close_matches(name, known, n=3)
    hint = f"name one of its tasks, such as {', '.join(near[:3])}" if near else "`lm-eval ls tasks` lists them"
    raise UserError(f"unknown task '{HARNESS}{name}' of lm-evaluation-harness; {hint}")


def load(name: str, shots: int, items: int | None) -> HarnessTask:
    """The task with the first `items` of its rows by sha256 of their number; all of them for None.

    Args:
        name: as a study asks for it.
        shots: examples before every question; 0 for as many as the task has by itself.

    Raises:
        Failure: the harness is not installed, or the task or its data cannot be had; the message is a gap's.
    """
    short = name.removeprefix(HARNESS).split("@")[0]
    if find_spec("lm_eval") is None:
        raise Failure(f"'{name}' needs lm-evaluation-harness; pip install 'code-data-ablation[harness]'")
    with _theirs(f"'{name}' cannot be had", "go online, or fill the hub's cache"):
        task = _manager().load(short)["tasks"][short]
    if getattr(task, "UNSAFE_CODE", False):
        raise Failure(f"'{name}' executes what models write outside the sandbox; ask humaneval_exec or mbpp_exec")
    if task.OUTPUT_TYPE not in _READ:
        raise Failure(f"'{name}' asks by {task.OUTPUT_TYPE}, which is unknown here; known are {', '.join(_READ)}")
    if shots or task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=shots)
    task.set_fewshot_seed(seed=_SEED)
    numbers = sorted(range(len(task.eval_docs)), key=lambda n: hashlib.sha256(str(n).encode()).hexdigest())
    documents = tuple(sorted(numbers[:items]))
    with _theirs(f"'{name}' cannot be asked", "ask another task, or with other examples"):
        task.build_all_requests(samples=list(documents), rank=0, world_size=1)
    asked = [[instance.doc_id, instance.idx, instance.args] for instance in task.instances]
    text = json.dumps([version("lm_eval"), short, documents, asked], default=str)
    return HarnessTask(name, task, documents, hashlib.sha256(text.encode()).hexdigest()[:16], len(text))


def score(model: "LanguageModel", asked: HarnessTask) -> list[Item]:
    """The record's items of a task.

    Raises:
        Failure: the task does not score item by item, or less is better, or the harness fails at it.
    """
    by_document: dict[int, list[Any]] = {}
    for instance in asked.task.instances:
        instance.resps, instance.filtered_resps = [], {}  # of the checkpoint before
        by_document.setdefault(instance.doc_id, []).append(instance)
    cut = _answered(model, asked.task.instances)
    found = []
    with _theirs(f"'{asked.name}' cannot be scored", "ask another task"):
        asked.task.apply_filters()
        docs = dict(enumerate(asked.task.eval_docs))
        read = _READ[asked.task.OUTPUT_TYPE]
        for place, number in enumerate(asked.documents):
            instances = sorted(by_document[place], key=lambda instance: instance.idx)
            lost = any(id(instance) in cut for instance in instances)
            found.append(read(asked, docs[number], instances, str(number), lost))
    return found


def _answered(model: "LanguageModel", instances: Sequence[Any]) -> set[int]:
    """Put the model's answers to all instances; the ids of those whose context lost its beginning."""
    from analysis.evals.harness import AblateLM

    lm = AblateLM(model)
    asked = [instance for instance in instances for _ in range(instance.repeats or 1)]
    for instance, answer in zip(asked, getattr(lm, asked[0].request_type)(asked, disable_tqdm=True), strict=True):
        instance.resps.append(answer)
    return set(map(id, lm.cut))


def _choice(asked: HarnessTask, doc: Any, instances: Sequence[Any], id_: str, cut: bool) -> Item:
    task = asked.task
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    choices = task.doc_to_choice(doc)
    gold = choices.index(gold) if isinstance(gold, str) and gold in choices else gold
    if not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise Failure(f"'{asked.name}', item {id_}: {gold!r} is not one right choice of {len(choices)}")
    its = instances[: len(choices)]  # after those stand the choices without a context, where they are asked
    pairs = tuple((str(context), str(text)) for context, text in (instance.args for instance in its))
    question = Question(id_, pairs, gold, delimiter=task.config.target_delimiter)
    return item(question, [-instance.resps[0][0] for instance in its], None, cut)


def _continuation(asked: HarnessTask, doc: Any, instances: Sequence[Any], id_: str, cut: bool) -> Item:
    (likelihood, greedy), delimiter = instances[0].resps[0], asked.task.config.target_delimiter
    found = item(Question(id_, (tuple(instances[0].args),), 0, delimiter=delimiter), [-likelihood], None, cut)
    found["correct"] = int(greedy)
    return found


def _text(asked: HarnessTask, doc: Any, instances: Sequence[Any], id_: str, cut: bool) -> Item:
    question = Question(id_, (("", instances[0].args[0]),), 0, delimiter="")
    return item(question, [-instances[0].resps[0]], None, cut)


def _said(asked: HarnessTask, doc: Any, instances: Sequence[Any], id_: str, cut: bool) -> Item:
    first = next(iter(instances[0].filtered_resps))
    metrics = asked.task.process_results(doc, [instance.filtered_resps[first] for instance in instances])
    name, value = next(_numbers(metrics), ("", 0.0))
    if not name or not asked.task.higher_is_better().get(name, True):
        raise Failure(f"'{asked.name}' has no score for every item of which more is better: {', '.join(metrics)}")
    said = str(instances[0].resps[0]).strip()[:SAID]
    found: Item = {"id": id_, "correct": value} if name in _RIGHT else {"id": id_, "score": value}
    found["said"] = said
    if cut:
        found["cut"] = 1
    return found


def _numbers(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, int | float) or (hasattr(value, "item") and getattr(value, "size", 0) == 1):
            yield name, float(value)


_READ = {
    "multiple_choice": _choice,
    "loglikelihood": _continuation,
    "loglikelihood_rolling": _text,
    "generate_until": _said,
}


@cache
def _manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


@contextmanager
def _theirs(what: str, way_out: str) -> Iterator[None]:
    """Raises Failure for whatever the harness raises: its data sets, templates and scorers raise what they like."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        said = re.sub(r"\s+", " ", str(error))[:200]
        raise Failure(f"{what} ({type(error).__name__}: {said}); {way_out}") from error
