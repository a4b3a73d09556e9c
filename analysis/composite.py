"""The one number that a study may declare: a weighted mean of how far its tasks' right answers are above chance.

    composite = Σ w (score − chance) / (1 − chance)        over the tasks that were scored; w sums to 1

A task counts by its leading score, an executed one by pass@1. 0 is chance and 1 every item right, so that a task of
two choices does not weigh less than one of free answers only because guessing gets half of it. It may be below 0, most
of all by BoolQ, whose chance is the share of its commoner answer. Without `rescaled` nothing is divided; without
`centred` it is the plain weighted mean. The Eval Gauntlet of llm-foundry centres and rescales in the same way; the
paper (arXiv:2408.10914) does neither, and its mean stands beside this one.

Its parts are tasks or categories, a category's tasks sharing its weight alike. What was not scored is left out by name
(`coverage`): a category's weight is then shared by the rest of its tasks, and parts keep their proportions. As a sum
over tasks it has the interval of every other metric: chance falls out of a difference, and rescaling weighs tasks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any

from annotated_types import Gt

from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.metrics import CHOICES, COMPOSITE, QUESTIONS, SCORES, Metric, Score, guessed, metrics_for
from analysis.records import StudyRecord

CATEGORIES: Mapping[str, Sequence[str]] = {
    "reasoning": CHOICES,
    "knowledge": QUESTIONS,
    "code": ("humaneval_exec", "mbpp_exec"),
}
"""Their tasks, those of the paper."""
FIRST_MEANS = ("nl/", "reasoning/", "knowledge/")
"""What a composite stands before."""


@dataclass(frozen=True)
class Composite:
    """What a composite is made of.

    Attributes:
        parts: the weight of every task or category.
        centred: whether each task's chance is subtracted; of exact match and pass@1 it is 0.
        rescaled: whether what is left is divided by 1 − chance.
    """

    parts: Mapping[str, Annotated[int, Gt(0)] | Annotated[Fraction, Gt(0)]]
    centred: bool
    rescaled: bool

    @property
    def flat(self) -> dict[str, Any]:
        """As a study's record has it."""
        parts = {name: str(weight) for name, weight in self.parts.items()}
        return {"parts": parts, "centred": self.centred, "rescaled": self.rescaled}


def declared(record: StudyRecord) -> Composite | None:
    """The composite of a study's record."""
    flat = record.composite
    if not flat:
        return None
    parts = {name: Fraction(weight) for name, weight in flat["parts"].items()}
    return Composite(parts, flat["centred"], flat["rescaled"])


def metrics_of(composite: Composite | None, tasks: Collection[str]) -> tuple[Metric, ...]:
    """The metrics that the scored tasks give, and before the means of categories the composite of those that it has."""
    found = metrics_for(tasks)
    counted = _counted(composite, tasks) if composite else {}
    if composite is None or not counted:
        return found
    place = next((number for number, metric in enumerate(found) if metric.name.startswith(FIRST_MEANS)), len(found))
    return (*found[:place], _metric(composite, counted), *found[place:])


def coverage(composite: Composite | None, metrics: Collection[Metric]) -> str:
    """What the composite of `metrics` counts: by part its weight, and its tasks with their chance; and what it lacks.

    Returns:
        One line, or "" where no composite is declared.
    """
    if composite is None:
        return ""
    scored = {task for metric in metrics if metric.name == COMPOSITE for task, _ in metric.parts}
    lacking = [_title(task) for name in composite.parts for task in _members(name) if task not in scored]
    without = f" Declared and not scored: {', '.join(lacking)}." if lacking else ""
    if not scored:
        return f"Composite: nothing of it was scored.{without}"
    counted = _counted(composite, scored)
    parts = []
    for name in composite.parts:
        its = [task for task in _members(name) if task in counted]
        weight = f"{float(100 * sum(counted[task] for task in its)):.3g} %"
        tasks = ", ".join(f"{_title(task)} ({_chance(task)})" for task in its)
        parts += [f"{name} {weight}, alike over {tasks}" if name in CATEGORIES else f"{tasks} {weight}"] if its else []
    return f"Composite: {_unit(composite)}, by weight (chance): {'; '.join(parts)}.{without}"


def _metric(composite: Composite, counted: Mapping[str, Fraction]) -> Metric:
    left = {task: 1 - guessed(task) if composite.rescaled else 1.0 for task in counted}
    score = Score("composite", "lead", "runs", _unit(composite), share=True, below_zero=composite.centred)
    made = Metric(COMPOSITE, score, tuple((task, float(weight) / left[task]) for task, weight in counted.items()))
    return replace(made, offset=-(made.chance or 0.0)) if composite.centred else made


def _counted(composite: Composite, tasks: Collection[str]) -> dict[str, Fraction]:
    """The weight of every task that is scored; all weights sum to 1."""
    there = {name: [task for task in _members(name) if task in tasks] for name in composite.parts}
    there = {name: its for name, its in there.items() if its}
    whole = sum((Fraction(composite.parts[name]) for name in there), Fraction(0))
    return {task: Fraction(composite.parts[name]) / whole / len(its) for name, its in there.items() for task in its}


def _members(name: str) -> Sequence[str]:
    return CATEGORIES.get(name, (name,))


def _unit(composite: Composite) -> str:
    if not composite.centred:
        return "accuracy"
    return "accuracy above chance / (1 − chance)" if composite.rescaled else "accuracy above chance"


def _title(task: str) -> str:
    return Metric(f"{task}/lead", SCORES["lead"], ()).subject


def _chance(task: str) -> str:
    return f"{100 * guessed(task):.3g} %" if benchmark_of(task) in TASKS else "unknown"
