"""When an arm reaches what its baseline ends with: how many tokens earlier, or that it never does.

Code Llama asks this of continuation against training from scratch on the same mixture (arXiv:2308.12950, section 3.4.1,
Fig. 5a): the model that continues is where the other ends some 240B of 500B tokens before its own end. It needs arms
that were scored along their runs (`experiments.pieces.cut_every`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.metrics import Metric, value
from analysis.records import StudyRecord
from analysis.scores import FINAL, Evaluated
from analysis.statistics import Interval, Spread, interval

FEWEST_POINTS = 3
"""At which a run was scored, for its curve."""


@dataclass(frozen=True)
class Reached:
    """An arm against its baseline in one metric, over the seeds that both were scored with.

    Attributes:
        arm, baseline, metric: whose, and of what.
        level: what the baseline ends with, the mean over seeds.
        of: seeds.
        when: of the seeds that reach their baseline's level: tokens of the lineage at which they first do.
        earlier: tokens before the arm's own end, with the interval over seeds; None unless every seed reaches it. One
            seed has no interval.
        end: tokens of the arm's whole run.
    """

    arm: str
    baseline: str
    metric: Metric
    level: float
    of: int
    when: tuple[float, ...]
    earlier: Interval | None
    end: int


def reached(study: StudyRecord, found: Evaluated, metrics: Sequence[Metric]) -> list[Reached]:
    """Of every arm that was scored along its runs; `found` has all points of the runs, not the ends alone.

    An arm that goes on from where its baseline ends is there at once, which says nothing: it is left out.
    """
    curves = {(arm, metric.name): _curves(found, arm, metric) for arm in study.arms for metric in metrics}
    rows = []
    for arm in study.compared:
        baseline = study.baseline_of(arm)
        for metric in metrics if not _goes_on(found, arm, baseline) else ():
            its, theirs = curves[arm, metric.name], _ends(found, baseline, metric)
            seeds = [seed for seed in its if seed in theirs and len(its[seed]) >= FEWEST_POINTS]
            if seeds:
                rows.append(_row(arm, baseline, metric, {s: its[s] for s in seeds}, {s: theirs[s] for s in seeds}))
    return rows


def _goes_on(found: Evaluated, arm: str, baseline: str) -> bool:
    """Whether the checkpoint that a run of the baseline ends with lies on a run of the arm."""
    ends = {stage.fingerprint for (name, _, at), stage in found.stages.items() if (name, at) == (baseline, FINAL)}
    along = (stage.fingerprint for (name, _, at), stage in found.stages.items() if name == arm and at != FINAL)
    return not ends.isdisjoint(along)


def crossing(curve: Mapping[int, float], level: float, higher_is_better: bool) -> float | None:
    """The tokens at which a curve is first as good as `level`, between two points on a straight line; None if never."""
    sign = 1 if higher_is_better else -1
    before: tuple[int, float] | None = None
    for tokens, number in sorted(curve.items()):
        if sign * number >= sign * level:
            if before is None:
                return float(tokens)
            share = (level - before[1]) / (number - before[1])
            return before[0] + share * (tokens - before[0])
        before = (tokens, number)
    return None


def _row(
    arm: str, baseline: str, metric: Metric, curves: Mapping[int, Mapping[int, float]], levels: Mapping[int, float]
) -> Reached:
    """By seed the curve of the arm, and the end of its baseline."""
    ends = [max(curve) for curve in curves.values()]
    found = [crossing(curve, levels[seed], metric.score.higher_is_better) for seed, curve in curves.items()]
    when = tuple(tokens for tokens in found if tokens is not None)
    earlier = None
    if len(when) == len(curves):
        before_S = np.array(ends) - np.array(when)
        earlier = _over_seeds(before_S)
    level = math.fsum(levels.values()) / len(levels)
    return Reached(arm, baseline, metric, level, len(curves), when, earlier, max(ends))


def _over_seeds(values_S: np.ndarray) -> Interval:
    count = len(values_S)
    mean = float(values_S.mean())
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1.0)
    return interval(mean, Spread(float(values_S.var(ddof=1)) / count, 0.0, 0.0, count, math.inf))


def _curves(found: Evaluated, arm: str, metric: Metric) -> dict[int, dict[int, float]]:
    """By seed, the metric by tokens of the lineage."""
    curves: dict[int, dict[int, float]] = {}
    for (name, seed, at), scores in found.scores.items():
        number = value(metric, scores) if name == arm else None
        if number is not None:
            curves.setdefault(seed, {})[found.stages[name, seed, at].tokens_read] = number
    return curves


def _ends(found: Evaluated, arm: str, metric: Metric) -> dict[int, float]:
    ends = {
        seed: value(metric, scores) for (name, seed, at), scores in found.scores.items() if (name, at) == (arm, FINAL)
    }
    return {seed: number for seed, number in ends.items() if number is not None}
