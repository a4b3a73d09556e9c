"""A metric along the last scored points of runs, and what the points of a run say by themselves.

What each figure is for, and why it is taken so, is in `analysis.rungs.signal`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.metrics import Metric, value
from analysis.records import RunRecord
from analysis.rungs import noise
from analysis.rungs.noise import Sd
from analysis.scores import Evaluated
from analysis.statistics import SMALLEST_SPREAD, Floats

FEWEST = 3
"""Points of which an order, or what a straight line leaves, says something."""


@dataclass(frozen=True)
class Curve:
    """Tokens of the lineage and scores at the last points of one run, its end last."""

    run: RunRecord
    token_K: Floats
    score_K: Floats


def along(
    found: Evaluated, metric: Metric, runs: Sequence[RunRecord], points: Mapping[tuple[str, int], Sequence[str]]
) -> list[Curve]:
    """Of the runs that have the metric at their end, as far back as they have it without a gap.

    Args:
        points: by arm and seed those to look at, the end last (`analysis.last_points.alike`).
    """
    made = []
    for run in runs:
        places = [(run.arm, run.seed, at) for at in points[run.arm, run.seed]]
        scores = [value(metric, found.scores[place]) for place in places]
        there = next((number for number, score in enumerate(reversed(scores)) if score is None), len(scores))
        if there:
            stages = [found.stages[place] for place in places[-there:]]
            tokens = np.array([stage.tokens_read for stage in stages], dtype=float)
            made.append(Curve(run, tokens, np.array(scores[-there:], dtype=float)))
    return made


def ends(curves: Sequence[Curve]) -> Floats:
    return np.array([curve.score_K[-1] for curve in curves])


def means(curves: Sequence[Curve], last: int) -> Floats:
    """Of the last points of each."""
    return np.array([curve.score_K[-last:].mean() for curve in curves])


def seeds(curves: Sequence[Curve]) -> list[tuple[int, int]]:
    """Of the weights and the data."""
    return [curve.run.seeds for curve in curves]


def checkpoints(curves: Sequence[Curve], last: int) -> Sd | None:
    """Around straight lines through the last points, pooled; None without runs that have them."""
    if not curves:
        return None
    left = math.fsum(noise.around_line(curve.token_K[-last:], curve.score_K[-last:]) for curve in curves)
    return noise.from_squares(left, len(curves) * (last - 2))


def monotonicity(metric: Metric, curves: Sequence[Curve]) -> float | None:
    """The mean over runs with three points or more; 1 where the metric gets better all along."""
    sign = 1 if metric.score.higher_is_better else -1
    rho = [noise.spearman(each.token_K, sign * each.score_K) for each in curves if each.score_K.size >= FEWEST]
    return float(np.mean(rho)) if rho else None


@dataclass(frozen=True)
class Published:
    """Signal and noise of Heineman et al. 2025, relative to the mean; no ratio where the points do not vary."""

    signal: float
    noise: float
    snr: float | None


def published(
    metric: Metric, arms: Mapping[str, Sequence[Curve]], groups: Mapping[str, str], last: int
) -> Published | None:
    """Of the arms that have the last points; None unless two of a group do, and of what may be around 0."""
    by_group: dict[str, list[float]] = {}
    for arm, its in arms.items():
        by_group.setdefault(groups[arm], []).append(float(means(its, last).mean()))
    if metric.score.below_zero or not any(len(of) > 1 for of in by_group.values()):
        return None
    scores_RxK = np.stack([curve.score_K[-last:] for its in arms.values() for curve in its])
    mean, scatter = float(scores_RxK.mean()), float(scores_RxK.std(axis=1).mean())
    if mean <= 0:
        return None
    signal = max(max(of) - min(of) for of in by_group.values())
    return Published(signal / mean, scatter / mean, signal / scatter if scatter > SMALLEST_SPREAD else None)
