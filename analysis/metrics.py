"""From evaluation records to metrics, as functions of per-item scores so that items can be resampled.

Every metric is a weighted sum over its tasks of (sum of scores / sum of sizes):

    bpb, gold_bpb  bits of the text (or of the gold answer or canonical solution) / its UTF-8 bytes; lower is better
    acc            the likeliest choice is the right one; the level of guessing is known
    acc_norm       the same by likelihood per character of the choice (lm-evaluation-harness 0.4.13: characters without
                   the blank before it, and not bytes)
    correct_prob   probability of the right choice per character, exp(-nats / characters): CORRECT PROB of DataDecide
                   (arXiv:2504.11393), which ranks small models where accuracy is still at chance
    margin         nats per byte of the best wrong choice less those of the right one; above 0 the right one is ahead
    lead           the one of acc, acc_norm and exact_match that stands for the task (analysis/tasks.py)
    exact_match    what the model says is an accepted answer
    score          any other score for an item that lm-evaluation-harness gives
    pass@k         at least one of k programs that the model writes passes the problem's tests (pass_at_k.py); problems
                   whose tests do not run here have size 0

Category means are unweighted means over data sets (arXiv:2408.10914, section 2.2 and table 1), taken over those that
were scored, which `coverage` names; "nl" is the mean of reasoning and knowledge, the paper's "NL Avg.". The accuracy of
a category ("reasoning/acc") is the mean of its tasks' leading scores: HellaSwag counts by acc_norm. CB (56 items) and
COPA (100) are so small that they carry 87 % of the sampling variance of its reasoning mean, so that is also given
without them. Variants of a task and tasks with examples have rows of their own and are in no mean.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.evals.scoring import credit
from analysis.evals.tasks import benchmark_of
from analysis.pass_at_k import KS, columns_of
from analysis.records import EvalRecord
from analysis.statistics import Floats
from analysis.tasks import TASKS, of
from store.errors import Failure, UserError

HELDOUT_KINDS = ("text", "code", "markup", "synthetic", "adjacent")

CHANCE = {name: TASKS[name].chance for name in of("reasoning")}
QUESTIONS, CODE, EXECUTED = map(of, ("knowledge", "code", "executed"))
SMALL = tuple(name for name, task in TASKS.items() if task.small)

ALL_TASKS = (*(f"heldout/{kind}" for kind in HELDOUT_KINDS), *CODE, *EXECUTED, *CHANCE, *QUESTIONS)

NAMES = {
    **{name: task.title for name, task in TASKS.items()},
    "reasoning": "Reasoning",
    "reasoning-no-cb-copa": "Reasoning without CB and COPA",
    "knowledge": "Knowledge",
    "nl": "Reasoning and knowledge",
    "nl-no-cb-copa": "Reasoning and knowledge without CB and COPA",
}


@dataclass(frozen=True)
class Score:
    """How a metric is made from an item's columns and shown.

    Attributes:
        column: what is summed over items.
        size: what the sum is divided by; "" for the number of items.
        unit: as people read it.
        higher_is_better: which way it is good.
        share: whether it is a share of items, written in per cent.
    """

    column: str
    size: str
    unit: str
    higher_is_better: bool = True
    share: bool = False


SCORES = {
    "bpb": Score("bits", "bytes", "bits/byte", higher_is_better=False),
    "gold_bpb": Score("bits", "bytes", "bits/byte", higher_is_better=False),
    "acc": Score("correct", "", "accuracy", share=True),
    "lead": Score("lead", "", "accuracy", share=True),
    "acc_norm": Score("correct_norm", "", "accuracy per character", share=True),
    "exact_match": Score("matched", "", "exact match", share=True),
    "score": Score("score", "", "score of the harness"),
    "correct_prob": Score("correct_prob", "", "probability per character"),
    "margin": Score("margin", "", "margin in nats/byte"),
    **{f"pass@{k}": Score(f"pass@{k}", "runs", f"pass@{k}", share=True) for k in KS},
}
CHOICE_SCORES = ("acc", "acc_norm", "gold_bpb", "correct_prob", "margin")


@dataclass(frozen=True)
class TaskScores:
    """One task on one checkpoint, items sorted by id. A score that the task does not have is None."""

    task: str
    version: int
    prompt_hash: str
    where: str
    """The stage's folder, for messages."""
    ids: tuple[str, ...]
    columns: Mapping[str, Floats]
    """Those it has, of shape N: bits, bytes, correct, correct_norm, lead, correct_prob, margin, runs, weak, pass@k."""
    cluster_N: NDArray[np.intp]
    """The number of the item's cluster: items that have a "cluster" (their package, say) in common are not independent;
    an item without is one by itself."""
    flagged: Mapping[str, tuple[str, ...]]
    """Ids of the items with a flag: "cut" (a context lost its beginning), "alike" (choices are the same)."""


@dataclass(frozen=True)
class Metric:
    """A number that ranks checkpoints. `parts` are (task, weight); weights sum to 1."""

    name: str
    score: str
    """A name in SCORES."""
    parts: tuple[tuple[str, float], ...]

    @property
    def higher_is_better(self) -> bool:
        return SCORES[self.score].higher_is_better

    @property
    def chance(self) -> float | None:
        """The level of guessing; None where it means nothing (bits per byte, probabilities) or is not known."""
        if not SCORES[self.score].share or not all(benchmark_of(task) in TASKS for task, _ in self.parts):
            return None
        return sum(weight * _guessed(task) for task, weight in self.parts)


def task_scores(record: EvalRecord, where: str) -> TaskScores:
    """The scores of a record as arrays.

    Raises:
        Failure: an item has no id or shares it, or a score is there for some items only or is not a finite number.
    """
    items = sorted(record.items, key=lambda item: str(item.get("id")))
    ids = tuple(str(item.get("id")) for item in items)
    if len(set(ids)) < len(ids) or any("id" not in item for item in items):
        raise _corrupt(record.task, where, "has items without an id of their own")
    columns = {
        field: np.asarray([float(item[field]) for item in items])
        for field in ("nats", "bytes", "correct", "score")
        if _in_all(items, field, record.task, where)
    }
    if "nats" in columns and columns.get("bytes", np.zeros(1)).sum() > 0:
        columns["bits"] = columns["nats"] / math.log(2)
    if _in_all(items, "passed", record.task, where):
        try:
            columns |= columns_of(items)
        except (KeyError, ValueError, TypeError, AttributeError, UserError) as error:
            raise _corrupt(record.task, where, f"has counts that are not whole ({error!r})") from error
    if _in_all(items, "choice_nats", record.task, where):
        try:
            rows_NxC = np.asarray([_of_choices(item) for item in items])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise _corrupt(record.task, where, f"has choices that are not whole ({error!r})") from error
        columns |= dict(zip(("correct_norm", "correct_prob", "margin"), rows_NxC.T, strict=True))
    columns |= _shares(columns, record.task)
    for field, column_N in columns.items():
        if not np.isfinite(column_N).all():
            raise _corrupt(record.task, where, f"has a '{field}' that is not a finite number")
    number: dict[tuple[str, str], int] = {}
    names = [("cluster", str(item["cluster"])) if "cluster" in item else ("id", str(item["id"])) for item in items]
    cluster_N = np.asarray([number.setdefault(name, len(number)) for name in names], dtype=np.intp)
    flagged = {flag: tuple(str(item["id"]) for item in items if item.get(flag)) for flag in ("cut", "alike")}
    return TaskScores(record.task, record.version, record.prompt_hash, where, ids, columns, cluster_N, flagged)


def _shares(columns: dict[str, Floats], task: str) -> dict[str, Floats]:
    """The columns that tell a right answer to be said ("matched") from a right choice, and the one that leads."""
    known = TASKS.get(benchmark_of(task))
    found = {}
    if "correct" in columns and "correct_norm" not in columns:
        found["matched"] = columns["correct"] if known else columns.pop("correct")
    if "correct" in columns:
        found["lead"] = (columns | found).get(SCORES[known.lead].column if known else "correct", columns["correct"])
    return found


def scores_of(record: EvalRecord, where: str) -> dict[str, TaskScores]:
    """The scores of a record by task, and those of held-out text by source too: "heldout/code/python".

    Raises:
        Failure: as `task_scores`.
    """
    found = {record.task: task_scores(record, where)}
    by_source: dict[str, list[Mapping[str, Any]]] = {}
    for item in record.items:
        by_source.setdefault(str(item.get("source", "")), []).append(item)
    if len(by_source) > 1:
        parts = (replace(record, task=f"{record.task}/{name}", items=tuple(its)) for name, its in by_source.items())
        found |= {part.task: task_scores(part, where) for part in parts}
    return found


def _in_all(items: Sequence[Mapping[str, Any]], field: str, task: str, where: str) -> bool:
    present = [field in item for item in items]
    if any(present) and not all(present):
        raise _corrupt(task, where, f"has '{field}' for some items only")
    return any(present)


def _of_choices(item: Mapping[str, Any]) -> tuple[float, float, float]:
    """What acc_norm, correct_prob and margin sum of one item."""
    gold = item["gold"]
    of_choices = list(zip(item["choice_nats"], item["choice_bytes"], item["choice_chars"], strict=True))
    per_character = [nats / max(1, characters) for nats, _, characters in of_choices]
    per_byte = [nats / max(1, size) for nats, size, _ in of_choices]
    best_wrong = min(per_byte[:gold] + per_byte[gold + 1 :])
    return credit(per_character, gold), math.exp(-per_character[gold]), best_wrong - per_byte[gold]


def require_same_items(a: TaskScores, b: TaskScores) -> None:
    """Refuse to compare unlike with like.

    Raises:
        Failure: the version, the prompts, the items or the gold texts of the two records differ.
    """
    ways = {
        "version": (a.version, b.version),
        "prompts": (a.prompt_hash, b.prompt_hash),
        "items": (a.ids, b.ids),
        "bytes of the gold texts": (_listed(a.columns.get("bytes")), _listed(b.columns.get("bytes"))),
    }
    unlike = [way for way, (one, other) in ways.items() if one != other]
    if unlike:
        raise Failure(
            f"task '{a.task}' differs in its {' and '.join(unlike)} between {_described(a)} and {_described(b)}; "
            f"delete {_files(a.task)} of both and run the study again"
        )


def metrics_for(tasks: Collection[str]) -> tuple[Metric, ...]:
    """The metrics that the scored tasks give, in the order in which to show them.

    A category is taken over those of its tasks that are in `tasks`. A task of the user's own has the scores of a choice
    and of an answer; its records have those that its rows allow.
    """
    heldout = sorted((task for task in tasks if task.startswith("heldout/")), key=_heldout_order)
    found = [Metric(f"{task}/bpb", "bpb", ((task, 1.0),)) for task in heldout]
    choice, questions = [t for t in CHANCE if t in tasks], [t for t in QUESTIONS if t in tasks]
    large = [task for task in choice if task not in SMALL]
    found += [Metric(f"{task}/gold_bpb", "gold_bpb", ((task, 1.0),)) for task in _forms(set(tasks) - {*EXECUTED}, CODE)]
    executed = [task for task in EXECUTED if task in tasks]
    found += [Metric(f"{task}/pass@{k}", f"pass@{k}", ((task, 1.0),)) for task in executed for k in KS]
    if choice and questions:
        whole = _even(choice, 0.5) + _even(questions, 0.5)
        found += [Metric("nl/acc", "lead", whole), Metric("nl/gold_bpb", "gold_bpb", whole)]
    if large and questions:
        found.append(Metric("nl-no-cb-copa/acc", "lead", _even(large, 0.5) + _even(questions, 0.5)))
    for category, members, scores in (
        ("reasoning", choice, CHOICE_SCORES),
        ("reasoning-no-cb-copa", large, CHOICE_SCORES),
        ("knowledge", questions, ("exact_match", "gold_bpb")),
    ):
        ways = [(score, "lead" if score == "acc" else score) for score in scores if members]
        found += [Metric(f"{category}/{score}", way, _even(members)) for score, way in ways]
    for task in _forms(tasks, (*CHANCE, *QUESTIONS)):
        others = CHOICE_SCORES if benchmark_of(task) in CHANCE else ("gold_bpb",)
        its = dict.fromkeys((TASKS[benchmark_of(task)].lead, *others))
        found += [Metric(f"{task}/{score}", score, ((task, 1.0),)) for score in its]
    for task in sorted(task for task in set(tasks) - set(heldout) if benchmark_of(task) not in TASKS):
        found += [
            Metric(f"{task}/{score}", score, ((task, 1.0),)) for score in (*CHOICE_SCORES, "exact_match", "score")
        ]
    return tuple(found)


def coverage(metrics: Collection[Metric]) -> list[str]:
    """For each category, over which of the paper's tasks its mean is taken and which were not scored, a line each."""
    lines = []
    for name, members in (("reasoning/acc", tuple(CHANCE)), ("knowledge/exact_match", QUESTIONS)):
        scored = {task for metric in metrics if metric.name == name for task, _ in metric.parts}
        missing = [NAMES[task] for task in members if task not in scored]
        by = {task: " (per character)" if TASKS[task].lead == "acc_norm" else "" for task in members}
        over = ", ".join(NAMES[task] + by[task] for task in members if task in scored) or "nothing"
        without = f", without {', '.join(missing)}" if missing else ""
        category = NAMES[name.split("/")[0]]
        lines.append(f"{category}: mean over {len(scored)} of the paper's {len(members)} tasks, {over}{without}.")
    return lines


def score_and_size(metric: Metric, scores: TaskScores) -> tuple[Floats, Floats] | None:
    """Numerator and denominator per item, each of shape N, or None where the task lacks the score."""
    score = SCORES[metric.score]
    column_N = scores.columns.get(score.column)
    if column_N is None:
        return None
    return column_N, scores.columns[score.size] if score.size else np.ones_like(column_N)


def value(metric: Metric, scores: Mapping[str, TaskScores]) -> float | None:
    """The metric on one checkpoint, or None where one of its tasks or scores is missing."""
    total = 0.0
    for task, weight in metric.parts:
        pair = score_and_size(metric, scores[task]) if task in scores else None
        if pair is None:
            return None
        total += weight * float(pair[0].sum() / pair[1].sum())
    return total


def above_chance(metric: Metric, mean: float, items: Mapping[str, int]) -> bool:
    """Whether a value is above guessing by more than 95 % of the item noise of guessing.

    For one task this asks whether Wilson's interval lies above chance; for a category the variances of its tasks add
    up. Seeds answer the same items, so they do not count as more items. Metrics without a chance level are above it.
    """
    if metric.chance is None:
        return True
    if metric.chance == 0:
        return mean > 0
    variance = sum(w**2 * _guessed(task) * (1 - _guessed(task)) / items[task] for task, w in metric.parts)
    return mean > metric.chance + 1.96 * math.sqrt(variance)


def label(name: str) -> str:
    """A metric's name for people: "Held-out code (python), bits/byte", "BoolQ (5shot), accuracy"."""
    head, _, score = name.rpartition("/")
    if head.startswith("heldout/"):
        _, kind, *source = head.split("/", 2)
        shown, form = f"Held-out {kind}", "".join(source)
    else:
        benchmark = benchmark_of(head)
        shown, form = NAMES.get(benchmark, benchmark), head[len(benchmark) + 1 :].replace("@", " ")
    return f"{shown} ({form}), {SCORES[score].unit}" if form else f"{shown}, {SCORES[score].unit}"


def is_share(metric: str) -> bool:
    """Whether a metric is a share of items, written in per cent."""
    return SCORES[metric.rpartition("/")[2]].share


def higher_is_better(metric: str) -> bool:
    return SCORES[metric.rpartition("/")[2]].higher_is_better


def value_text(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}".replace("-", "−")


def difference_text(metric: str, difference: float) -> str:
    """Signed; shares in percentage points."""
    return f"{signed(100 * difference, 1)} pt" if is_share(metric) else signed(difference, 3)


def interval_text(metric: str, interval: tuple[float, float]) -> str:
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    low, high = (signed(scale * end, digits) for end in interval)
    return f"[{low}, {high}]"


def percent_text(share: float | None) -> str:
    return "–" if share is None else f"{signed(100 * share, 1)} %"


def signed(number: float, digits: int) -> str:
    """+1.2, −1.2 (a true minus), or 0.0 without a sign where that is what rounding leaves."""
    text = f"{number:+.{digits}f}".replace("inf", "∞")
    if text[1:] == "∞":
        return text.replace("-", "−")
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _even(tasks: Collection[str], total: float = 1.0) -> tuple[tuple[str, float], ...]:
    return tuple((task, total / len(tasks)) for task in tasks)


def _guessed(task: str) -> float:
    return CHANCE.get(benchmark_of(task), 0.0)


def _forms(tasks: Collection[str], benchmarks: Sequence[str]) -> list[str]:
    """The tasks of `benchmarks`, their variants and those with examples included, in the benchmarks' order."""
    return [task for benchmark in benchmarks for task in sorted(tasks) if benchmark_of(task) == benchmark]


def _heldout_order(task: str) -> tuple[int, str]:
    kind = task.split("/")[1]
    return (HELDOUT_KINDS.index(kind) if kind in HELDOUT_KINDS else len(HELDOUT_KINDS), task)


def _listed(column_N: Floats | None) -> list[float] | None:
    return None if column_N is None else column_N.tolist()


def _described(scores: TaskScores) -> str:
    return f"{scores.where} (version {scores.version}, prompts {scores.prompt_hash[:12]}, {len(scores.ids)} items)"


def _corrupt(task: str, where: str, problem: str) -> Failure:
    return Failure(f"evaluation of '{task}' in {where} {problem}; delete {_files(task)} there and score it again")


def _files(task: str) -> str:
    """The record of a task, of whatever version and prompts, as it is called on disk."""
    return f"{task.replace('/', '.')}@*.json"
