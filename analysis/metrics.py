"""From evaluation records to metrics, as functions of per-item scores so that items can be resampled.

Every metric is a weighted sum over its tasks of (sum of scores / sum of sizes):

    bits per byte   bits of the gold text / its UTF-8 bytes; lower is better
    accuracy        correct / items; higher is better, and the level of guessing is known
    exact match     correct / items; higher is better

Category means are unweighted means over datasets (arXiv:2408.10914, section 2.2 and table 1); "nl" is the mean of
reasoning and knowledge, the paper's "NL Avg.". COPA is so small (100 items) that it carries most of the sampling
variance, so the reasoning mean is also given without it.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.records import EvalRecord
from analysis.statistics import Floats
from mixtures.errors import Failure

HELDOUT_KINDS = ("text", "code", "markup", "synthetic", "adjacent")

CHANCE = {"hellaswag": 1 / 4, "piqa": 1 / 2, "arc_easy": 1 / 4, "boolq": 0.622, "copa": 1 / 2, "winogrande": 1 / 2}
"""What a model that knows nothing scores: 1 / choices, and for BoolQ, whose answers are the same two words in every
item, the share of the commoner one (2,033 of 3,270 validation items are "yes"), which a constant answer reaches."""

QUESTIONS = ("triviaqa", "nq_open")

ALL_TASKS = (*(f"heldout/{kind}" for kind in HELDOUT_KINDS), "humaneval", *CHANCE, *QUESTIONS)

NAMES = {
    "humaneval": "HumanEval",
    "hellaswag": "HellaSwag",
    "piqa": "PIQA",
    "arc_easy": "ARC-Easy",
    "boolq": "BoolQ",
    "copa": "COPA",
    "winogrande": "WinoGrande",
    "triviaqa": "TriviaQA",
    "nq_open": "NQ-Open",
    "reasoning": "Reasoning",
    "reasoning-no-copa": "Reasoning without COPA",
    "knowledge": "Knowledge",
    "nl": "Reasoning and knowledge",
}


@dataclass(frozen=True)
class TaskScores:
    """One task on one checkpoint, items sorted by id. A score that the task does not have is None."""

    task: str
    version: int
    prompt_hash: str
    where: str
    """The stage's folder, for messages."""
    ids: tuple[str, ...]
    bits_N: Floats | None
    bytes_N: Floats | None
    correct_N: Floats | None


@dataclass(frozen=True)
class Metric:
    """A number that ranks checkpoints. `parts` are (task, weight); weights sum to 1."""

    name: str
    score: str
    """bpb | acc | exact_match | gold_bpb"""
    parts: tuple[tuple[str, float], ...]

    @property
    def higher_is_better(self) -> bool:
        return not self.score.endswith("bpb")

    @property
    def chance(self) -> float | None:
        """The level of guessing, or None where it means nothing (bits per byte)."""
        if self.score == "acc":
            return sum(weight * CHANCE[task] for task, weight in self.parts)
        return 0.0 if self.score == "exact_match" else None


def task_scores(record: EvalRecord, where: str) -> TaskScores:
    """The scores of a record as arrays.

    Raises:
        Failure: an item has no id or shares it, or a score is there for some items only or is not a finite number.
    """
    items = sorted(record.items, key=lambda item: str(item.get("id")))
    ids = tuple(str(item.get("id")) for item in items)
    if len(set(ids)) < len(ids) or any("id" not in item for item in items):
        raise _corrupt(record.task, where, "has items without an id of their own")
    columns: dict[str, Floats | None] = {}
    for field in ("nats", "bytes", "correct"):
        present = [field in item for item in items]
        if any(present) and not all(present):
            raise _corrupt(record.task, where, f"has '{field}' for some items only")
        column_N = np.asarray([float(item[field]) for item in items]) if any(present) else None
        columns[field] = column_N
        if column_N is not None and not np.isfinite(column_N).all():
            raise _corrupt(record.task, where, f"has a '{field}' that is not a finite number")
    nats_N, bytes_N = columns["nats"], columns["bytes"]
    if nats_N is None or bytes_N is None or bytes_N.sum() <= 0:
        nats_N = bytes_N = None
    bits_N = None if nats_N is None else nats_N / math.log(2)
    return TaskScores(record.task, record.version, record.prompt_hash, where, ids, bits_N, bytes_N, columns["correct"])


def require_same_items(a: TaskScores, b: TaskScores) -> None:
    """Refuse to compare unlike with like.

    Raises:
        Failure: the version, the prompts, the items or the gold texts of the two records differ.
    """
    ways = {
        "version": (a.version, b.version),
        "prompts": (a.prompt_hash, b.prompt_hash),
        "items": (a.ids, b.ids),
        "bytes of the gold texts": (_listed(a.bytes_N), _listed(b.bytes_N)),
    }
    unlike = [way for way, (one, other) in ways.items() if one != other]
    if unlike:
        raise Failure(
            f"task '{a.task}' differs in its {' and '.join(unlike)} between {_described(a)} and {_described(b)}; "
            f"delete the older record and evaluate that stage again"
        )


def metrics_for(tasks: Collection[str]) -> tuple[Metric, ...]:
    """The metrics that the scored tasks give, in the order in which to show them.

    A category is taken over those of its tasks that are in `tasks`. Unknown tasks give no metric.
    """
    kinds = [task.removeprefix("heldout/") for task in tasks if task.startswith("heldout/")]
    rank = {kind: i for i, kind in enumerate(HELDOUT_KINDS)}
    kinds.sort(key=lambda kind: (rank.get(kind, len(rank)), kind))
    choice, questions = [t for t in CHANCE if t in tasks], [t for t in QUESTIONS if t in tasks]
    found = [Metric(f"heldout/{kind}/bpb", "bpb", ((f"heldout/{kind}", 1.0),)) for kind in kinds]
    if "humaneval" in tasks:
        found.append(Metric("humaneval/gold_bpb", "gold_bpb", (("humaneval", 1.0),)))
    if choice and questions:
        found.append(Metric("nl/gold_bpb", "gold_bpb", _even(choice, 0.5) + _even(questions, 0.5)))
    for category, members, score in (
        ("reasoning", choice, "acc"),
        ("reasoning-no-copa", [t for t in choice if t != "copa"], "acc"),
        ("knowledge", questions, "exact_match"),
    ):
        if members:
            found += [Metric(f"{category}/{s}", s, _even(members)) for s in (score, "gold_bpb")]
    for task in (*choice, *questions):
        found += [
            Metric(f"{task}/{s}", s, ((task, 1.0),)) for s in ("acc" if task in CHANCE else "exact_match", "gold_bpb")
        ]
    return tuple(found)


def known_task(task: str) -> bool:
    return task.startswith("heldout/") or task == "humaneval" or task in CHANCE or task in QUESTIONS


def score_and_size(metric: Metric, scores: TaskScores) -> tuple[Floats, Floats] | None:
    """Numerator and denominator per item, each of shape N, or None where the task lacks the score."""
    if metric.score.endswith("bpb"):
        return None if scores.bits_N is None or scores.bytes_N is None else (scores.bits_N, scores.bytes_N)
    return None if scores.correct_N is None else (scores.correct_N, np.ones_like(scores.correct_N))


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
    if metric.score == "exact_match":
        return mean > 0
    variance = sum(w**2 * CHANCE[task] * (1 - CHANCE[task]) / items[task] for task, w in metric.parts)
    return mean > metric.chance + 1.96 * math.sqrt(variance)


def label(name: str) -> str:
    """A metric's name for people: "held-out code, bits/byte"."""
    head, _, score = name.rpartition("/")
    unit = {"acc": "accuracy", "exact_match": "exact match"}.get(score, "bits/byte")
    if head.startswith("heldout/"):
        return f"Held-out {head.removeprefix('heldout/')}, {unit}"
    return f"{NAMES.get(head, head)}, {unit}"


def is_share(metric: str) -> bool:
    """Whether a metric is a share of items, written in per cent, and not bits per byte."""
    return not metric.endswith("bpb")


def value_text(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}"


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
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _even(tasks: Collection[str], total: float = 1.0) -> tuple[tuple[str, float], ...]:
    return tuple((task, total / len(tasks)) for task in tasks)


def _listed(column_N: Floats | None) -> list[float] | None:
    return None if column_N is None else column_N.tolist()


def _described(scores: TaskScores) -> str:
    return f"{scores.where} (version {scores.version}, prompts {scores.prompt_hash[:12]}, {len(scores.ids)} items)"


def _corrupt(task: str, where: str, problem: str) -> Failure:
    return Failure(f"evaluation of '{task}' in {where} {problem}; delete it and evaluate the stage again")
