"""What others have published of small rungs and large ones, as facts with their source: nothing is computed of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.evals.benchmarks import benchmark_of
from analysis.metrics import COMPOSITE, Metric

RUNGS, TARGET = ("150M", "300M", "750M"), "1B"
SOURCE = "allenai/signal-and-noise"
DECISION_ACCURACY: Mapping[str, tuple[int, int, int]] = {
    "arc_easy": (93, 95, 78),
    "hellaswag": (74, 83, 82),
    "piqa": (74, 71, 57),
    "social_iqa": (55, 76, 66),
    "winogrande": (50, 57, 62),
    "boolq": (48, 56, 70),
    "humaneval": (80, 83, 71),
    "mbpp": (75, 77, 78),
}
"""By task, per cent of the pairs of corpora that a model of each of RUNGS orders as one of TARGET does."""
OVERALL = "ranking at 150M decides about 80 % of the pairs at 1B rightly (arXiv:2504.11393, abstract)"


@dataclass(frozen=True)
class PublishedMultiplier:
    """An effect as a multiplier of compute, predicted at a small width and measured at a large one."""

    source: str
    predicted: float
    width: int
    measured: float
    measured_width: int


MULTIPLIER = PublishedMultiplier("marin-community/marin#9126", 1.70, 512, 1.07, 1_536)


def decision_accuracy(metric: Metric) -> dict[str, int] | None:
    """By rung, in per cent, of the benchmark that a metric is of; None where it is of none or of several, and nobody
    has published it. Theirs are of their own prompts and scores, so they are an order of size and no oracle."""
    if len(metric.parts) != 1 or metric.name == COMPOSITE:
        return None
    found = DECISION_ACCURACY.get(benchmark_of(metric.parts[0][0]))
    return dict(zip(RUNGS, found, strict=True)) if found else None
