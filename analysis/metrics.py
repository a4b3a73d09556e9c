"""From evaluation records to metrics, as functions of per-item scores so that items can be resampled.

Every metric is a weighted sum over its tasks of (sum of scores / sum of sizes):

    bpb, gold_bpb  bits of the text (or of the gold answer or canonical solution) / its UTF-8 bytes; lower is better
    acc            the likeliest choice is the right one; the level of guessing is known
    acc_norm       the same by likelihood per character of the choice (lm-evaluation-harness 0.4.13: characters without
                   the blank before it, and not bytes)
    correct_prob   probability of the right choice per character, exp(-nats / characters): CORRECT PROB of DataDecide
                   (arXiv:2504.11393), which ranks small models where accuracy is still at chance
    margin         nats per byte of the best wrong choice less those of the right one; above 0 the right one is ahead
    lead           acc, acc_norm, exact_match or pass@1, whichever stands for the task (analysis/evals/benchmarks.py)
    exact_match    what the model says is an accepted answer, the text that a hole had, or the key that was hidden
    score          any other score for an item that lm-evaluation-harness gives
    pass@k         at least one of k programs that the model writes passes the problem's tests; problems whose tests do
                   not run here have size 0

Category means are unweighted means over data sets (arXiv:2408.10914, section 2.2 and table 1), taken over those that
were scored, which `coverage` names; "nl" is the mean of reasoning and knowledge, the paper's "NL Avg.". The accuracy of
a category ("reasoning/acc") is the mean of its tasks' leading scores: HellaSwag counts by acc_norm. CB (56 items) and
COPA (100) are so small that they carry 87 % of the sampling variance of its reasoning mean, so that is also given
without them. Variants of a task and tasks with examples have rows of their own and are in no mean. What a study may
declare beside these, centred on chance and weighed, is in analysis/composite.py.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.evals import lengths
from analysis.evals.benchmarks import TASKS, benchmark_of, of
from analysis.evals.executed_tasks import executed_task, is_executed
from analysis.statistics import Floats, Interval, Side, clustered

HELDOUT, FRESH = TEXTS = ("heldout/", "fresh/")
"""How the names of tasks begin whose documents are predicted: held out of the sources, or later than all of them."""
HELDOUT_KINDS = ("text", "code", "markup", "synthetic", "adjacent")
CHOICES, QUESTIONS, CODE = map(of, ("reasoning", "knowledge", "code"))
KS = (1, 10, 100)
"""Of pass@k."""
COMPOSITE = "composite/score"
"""The metric that a study may declare (analysis/composite.py)."""

NAMES = {
    **{name: task.title for name, task in TASKS.items()},
    "reasoning": "Reasoning",
    "reasoning-no-cb-copa": "Reasoning without CB and COPA",
    "knowledge": "Knowledge",
    "nl": "Reasoning and knowledge",
    "nl-no-cb-copa": "Reasoning and knowledge without CB and COPA",
    "composite": "Composite",
}


@dataclass(frozen=True)
class Score:
    """How a metric is made from an item's columns and shown.

    Attributes:
        name: the last part of the metric's.
        column: what is summed over items.
        size: what the sum is divided by; the number of items where a task has no such column, or this is "".
        unit: as people read it.
        higher_is_better: which way it is good.
        share: whether it is a share of items, written in per cent.
        below_zero: whether it may be, so that ratios of it say nothing.
    """

    name: str
    column: str
    size: str
    unit: str
    higher_is_better: bool = True
    share: bool = False
    below_zero: bool = False

    def value_text(self, value: float) -> str:
        return (f"{100 * value:z.1f} %" if self.share else f"{value:.3f}").replace("-", "−")

    def difference_text(self, difference: float) -> str:
        """Signed; shares in percentage points."""
        return f"{signed(100 * difference, 1)} pt" if self.share else signed(difference, 3)

    def margin_text(self, margin: float) -> str:
        return f"{100 * margin:.3g} pt" if self.share else f"{margin:.3g} {self.unit}"

    def interval_text(self, interval: Interval) -> str:
        scale, digits = (100, 1) if self.share else (1, 3)
        return f"[{signed(scale * interval.low, digits)}, {signed(scale * interval.high, digits)}]"


SCORES = {
    score.name: score
    for score in (
        Score("bpb", "bits", "bytes", "bits/byte", higher_is_better=False),
        Score("gold_bpb", "bits", "bytes", "bits/byte", higher_is_better=False),
        Score("acc", "correct", "", "accuracy", share=True),
        Score("lead", "lead", "", "accuracy", share=True),
        Score("acc_norm", "correct_norm", "", "accuracy per character", share=True),
        Score("exact_match", "matched", "", "exact match", share=True),
        Score("score", "score", "", "score of the harness"),
        Score("correct_prob", "correct_prob", "", "probability per character"),
        Score("margin", "margin", "", "margin in nats/byte", below_zero=True),
        *(Score(f"pass@{k}", f"pass@{k}", "runs", f"pass@{k}", share=True) for k in KS),
    )
}
RETRIEVED = ("acc", "exact_match", "gold_bpb", "correct_prob", "margin")
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
    """A number that ranks checkpoints. `parts` are (task, weight); weights sum to 1, but where they rescale."""

    name: str
    score: Score
    parts: tuple[tuple[str, float], ...]
    offset: float = 0.0
    """What is added to the weighted sum: nothing, or less what chance gives."""

    @property
    def chance(self) -> float | None:
        """The level of guessing; None where it means nothing (bits per byte, probabilities) or is not known."""
        if not self.score.share or not all(benchmark_of(task) in TASKS for task, _ in self.parts):
            return None
        return sum(weight * guessed(task) for task, weight in self.parts) + self.offset

    @property
    def label(self) -> str:
        """For people: "Held-out code (python), bits/byte", "BoolQ (5shot), accuracy"."""
        return f"{self.subject}, {self.score.unit}"

    @property
    def subject(self) -> str:
        head = self.name.rpartition("/")[0]
        if head.startswith(TEXTS):
            _, kind, *source = head.split("/", 2)
            shown, form = f"{'Held-out' if head.startswith(HELDOUT) else 'Fresh'} {kind}", "".join(source)
        elif lengths.is_long(head):
            kind, tokens, part = lengths.parsed(head)
            shown = f"Held-out {kind} in windows of {tokens:,}" if kind else f"Key retrieval up to {tokens:,} tokens"
            form = f"{'tokens' if kind else 'context of'} {part}" if part else ""
        else:
            benchmark = benchmark_of(head)
            shown, form = NAMES.get(benchmark, benchmark), head[len(benchmark) + 1 :].replace("@", " ")
            form = executed_task(head).form if is_executed(head) else form
        return f"{shown} ({form})" if form else shown


def metrics_for(tasks: Collection[str]) -> tuple[Metric, ...]:
    """The metrics that the scored tasks give, in the order in which to show them.

    A category is taken over those of its tasks that are in `tasks`. A task of the user's own has the scores of a choice
    and of an answer; its records have those that its rows allow.
    """
    texts = sorted((task for task in tasks if task.startswith(TEXTS)), key=_text_order)
    choice, questions = [t for t in CHOICES if t in tasks], [t for t in QUESTIONS if t in tasks]
    large = [task for task in choice if not TASKS[task].small]
    found = [_metric(task, "bpb") for task in texts]
    programs, long = set(filter(is_executed, tasks)), sorted(filter(lengths.is_long, tasks), key=lengths.order)
    found += [_metric(task, "gold_bpb") for task in _forms(set(tasks) - programs, CODE)]
    found += [_metric(task, score) for task in sorted(programs, key=_program_order) for score in _program_scores(task)]
    for task in long:
        found += [_metric(task, score) for score in (("bpb",) if task.startswith(lengths.READ) else RETRIEVED)]
    if choice and questions:
        whole = _even(choice, 0.5) + _even(questions, 0.5)
        found += [_metric("nl", score, whole) for score in ("acc", "gold_bpb")]
    if large and questions:
        found.append(_metric("nl-no-cb-copa", "acc", _even(large, 0.5) + _even(questions, 0.5)))
    for category, members, scores in (
        ("reasoning", choice, CHOICE_SCORES),
        ("reasoning-no-cb-copa", large, CHOICE_SCORES),
        ("knowledge", questions, ("exact_match", "gold_bpb")),
    ):
        found += [_metric(category, score, _even(members)) for score in scores if members]
    for task in _forms(tasks, (*CHOICES, *QUESTIONS)):
        others = CHOICE_SCORES if benchmark_of(task) in CHOICES else ("gold_bpb",)
        found += [_metric(task, score) for score in dict.fromkeys((TASKS[benchmark_of(task)].lead, *others))]
    for task in sorted(task for task in set(tasks) - {*texts, *long} if benchmark_of(task) not in TASKS):
        found += [_metric(task, score) for score in (*CHOICE_SCORES, "exact_match", "score")]
    return tuple(found)


def _metric(of: str, score: str, parts: tuple[tuple[str, float], ...] = ()) -> Metric:
    """Of one task, or of the parts of a category, whose accuracy is the mean of its tasks' leading scores."""
    return Metric(f"{of}/{score}", SCORES["lead" if parts and score == "acc" else score], parts or ((of, 1.0),))


def coverage(metrics: Collection[Metric]) -> list[str]:
    """For each category, over which of the paper's tasks its mean is taken and which were not scored, a line each."""
    lines = []
    for name, members in (("reasoning/acc", CHOICES), ("knowledge/exact_match", QUESTIONS)):
        scored = {task for metric in metrics if metric.name == name for task, _ in metric.parts}
        missing = [NAMES[task] for task in members if task not in scored]
        by = {task: " (per character)" if TASKS[task].lead == "acc_norm" else "" for task in members}
        over = ", ".join(NAMES[task] + by[task] for task in members if task in scored)
        without = f", without {', '.join(missing)}" if missing else ""
        said = f"mean over {len(scored)} of the paper's {len(members)} tasks, {over}{without}"
        none = f"none of the paper's {len(members)} tasks was scored"
        lines.append(f"{NAMES[name.split('/')[0]]}: {said if scored else none}.")
    return lines


def score_and_size(score: Score, scores: TaskScores) -> tuple[Floats, Floats]:
    """Numerator and denominator per item, each of shape N, of a task that has the score."""
    column_N = scores.columns[score.column]
    return column_N, scores.columns.get(score.size, np.ones_like(column_N))


def side(score: Score, scores: Sequence[TaskScores], kept_N: Floats | None = None) -> Side:
    """One task's scores on checkpoints that have the score, by cluster; `kept_N` is 1 for items that count, else 0."""
    stacked = map(np.stack, zip(*(score_and_size(score, each) for each in scores), strict=True))
    columns = stacked if kept_N is None else (column_SxN * kept_N for column_SxN in stacked)
    return Side(*(clustered(column_SxN, scores[0].cluster_N) for column_SxN in columns))


def value(metric: Metric, scores: Mapping[str, TaskScores]) -> float | None:
    """The metric on one checkpoint, or None where one of its tasks or scores is missing."""
    total = metric.offset
    for task, weight in metric.parts:
        if task not in scores or metric.score.column not in scores[task].columns:
            return None
        score_N, size_N = score_and_size(metric.score, scores[task])
        total += weight * float(score_N.sum() / size_N.sum())
    return total


def above_chance(metric: Metric, mean: float, items: Mapping[str, int]) -> bool:
    """Whether a value is above guessing by more than 95 % of the item noise of guessing.

    For one task this asks whether Wilson's interval lies above chance; for a category the variances of its tasks add
    up. Seeds answer the same items, so they do not count as more items. Metrics without a chance level are above it.
    """
    if metric.chance is None:
        return True
    variance = sum(w**2 * guessed(task) * (1 - guessed(task)) / items[task] for task, w in metric.parts)
    return mean > metric.chance + 1.96 * math.sqrt(variance)


def percent_text(share: Interval | float | None) -> str:
    """Of an interval its centre."""
    centre = share.centre if isinstance(share, Interval) else share
    return "–" if centre is None else f"{signed(100 * centre, 1)} %"


def signed(number: float, digits: int) -> str:
    """+1.2, −1.2 (a true minus), or 0.0 without a sign where that is what rounding leaves."""
    text = f"{number:+.{digits}f}".replace("inf", "∞")
    if text[1:] == "∞":
        return text.replace("-", "−")
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _even(tasks: Collection[str], total: float = 1.0) -> tuple[tuple[str, float], ...]:
    return tuple((task, total / len(tasks)) for task in tasks)


def guessed(task: str) -> float:
    """The chance of a task that the suite knows."""
    return TASKS[benchmark_of(task)].chance


def _forms(tasks: Collection[str], benchmarks: Sequence[str]) -> list[str]:
    """The tasks of `benchmarks`, their variants and those with examples included, in the benchmarks' order."""
    return [task for benchmark in benchmarks for task in sorted(tasks) if benchmark_of(task) == benchmark]


def _program_order(task: str) -> tuple[int, bool, str]:
    """Tasks without a preset or holes first."""
    return list(TASKS).index(executed_task(task).task), task not in TASKS, task


def _program_scores(task: str) -> tuple[str, ...]:
    its = executed_task(task)
    if its.holes:
        return ("pass@1", "exact_match", "gold_bpb")
    return tuple(f"pass@{k}" for k in (its.preset.ks if its.preset else KS))


def _text_order(task: str) -> tuple[bool, int, str]:
    """Held-out text first."""
    kind = task.split("/")[1]
    number = HELDOUT_KINDS.index(kind) if kind in HELDOUT_KINDS else len(HELDOUT_KINDS)
    return not task.startswith(HELDOUT), number, task
