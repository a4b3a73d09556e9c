"""What an arm's gain is worth in tokens: how many the baseline would need to end where the arm ends, by its own curve.

The multiplier is (tokens at which the baseline's curve is where the arm ends) / (tokens of the arm); at one size of
model it is one of FLOPs, too. It needs a baseline that was scored along its runs (`experiments.pieces.cut`), and a
metric in bits, which falls with tokens.

Within the scored points the curve is a straight line over log tokens from each to the next: no form is believed that
the data do not have. Beyond the last one it is what bits = E + B / tokens^beta falls from there (Hoffmann et al. 2022,
arXiv:2203.15556, equation 2, at one size), fitted by least squares with E >= 0 to the points of that seed; an arm that
ends as the baseline does is worth 1 by either. That is an extrapolation, so it goes no farther than FARTHEST times the
tokens of the last point.

The interval is of the mean logarithm over paired seeds. Every seed has the curve of its own baseline, so that the
noise of the curve and that of the end, which is a point of it, are in the spread of the seeds as they come together;
the noise of items is that of the difference of the ends, carried through the mean slope of the curves. Both go into the
crossed interval (analysis/statistics.py): a t over seeds alone would speak for these documents only, and the interval
of the difference carried through one curve would take that curve for known. An end of it that lies where the curve may
not be read is open.

The points are of one run under its one schedule. A run that had been meant to end at one of them would have lowered its
rate by then and be better there, so that a multiplier below 1 is nearer to 1 than with runs of their own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import optimize

from analysis.catching_up import FEWEST_POINTS
from analysis.compare import Comparison, Row
from analysis.metrics import Metric, value
from analysis.records import StageRecord, StudyRecord
from analysis.scores import FINAL, Evaluated, evaluated, points
from analysis.statistics import Floats, Interval, Shared, Spread, interval, spread_of

FARTHEST = 2.0
"""How many times the tokens of the last scored point a curve is followed."""
EXPONENTS = (0.02, 2.0)
"""Between which beta is looked for."""
IN_BITS = ("bpb", "gold_bpb")
TOO_FEW = (
    f"the runs of {{}} are scored at fewer than {FEWEST_POINTS} points; cut its stage (experiments.pieces.cut, or "
    "cut_every, which has the benchmarks asked there, too) and run the study again"
)
BEYOND = f"more than the {FARTHEST:g}x of its tokens up to which the curve of {{}} is followed"
BEFORE = "it ends where {} was before its first scored point"
NO_FALL = "the curve of {} does not fall to its end"
SMALLER, LARGER, CANNOT_TELL = "smaller", "larger", "cannot tell"


@dataclass(frozen=True)
class Needed:
    """The tokens at which a curve has a level, by how much their logarithm falls with a bit more, or why neither."""

    tokens: float = math.nan
    slope: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Multiplier:
    """What an arm's end is worth against its baseline in one metric, over their paired seeds.

    Attributes:
        arm, baseline, metric: whose, and in what.
        n_seeds, n_declared: pairs of runs that were compared, and those that were to be.
        points: at which the baseline was scored, in the seed that has the fewest.
        log: of the multiplier's logarithm; an open end is infinite. None where it cannot be told.
        extrapolated: whether a seed's lies beyond the last scored point.
        flops: whether both have one size of model, so that it is a multiplier of FLOPs, too.
        kind: of the interval, in words; "" where there is none.
        why: it cannot be told.
    """

    arm: str
    baseline: str
    metric: Metric
    n_seeds: int
    n_declared: int
    points: int
    log: Interval | None
    extrapolated: bool
    flops: bool
    kind: str = ""
    why: str = ""

    @property
    def times(self) -> Interval | None:
        """The multiplier itself."""
        return _exp(self.log) if self.log else None


def scored_along(store: Path, study: StudyRecord) -> Evaluated:
    """The scores at all points of the runs."""
    every = dict.fromkeys(at for run in study.runs for at in points(run) if at == FINAL or at.startswith("stage-"))
    return evaluated(store, study, list(every))[0]


def multipliers(comparison: Comparison, along: Evaluated, metrics: Sequence[Metric]) -> list[Multiplier]:
    """Of every arm that is compared and every one of `metrics` that is in bits.

    Args:
        comparison: has the ends of the runs.
        along: the scores at all points of the runs.
        metrics: others than those in bits are left out.
    """
    wanted = [metric for metric in metrics if metric.score.name in IN_BITS]
    rows = {(row.arm, row.metric): row for row in comparison.at(FINAL) if not row.judged.same}
    asked = [rows[arm, metric] for metric in wanted for arm in comparison.study.compared if (arm, metric) in rows]
    by_baseline = {key: curves(along, *key) for key in dict.fromkeys((row.baseline, row.metric) for row in asked)}
    return [_multiplier(comparison, row, by_baseline[row.baseline, row.metric]) for row in asked]


def curves(along: Evaluated, arm: str, metric: Metric) -> dict[int, dict[int, float]]:
    """By seed, the metric by tokens of the lineage, at the end and at all points of which the stage is of the same kind
    and mixture: what a run read before is no part of the curve that it ends on."""
    found: dict[int, dict[int, float]] = {}
    for (name, seed, at), scores in along.scores.items():
        number = value(metric, scores) if name == arm and (name, seed, FINAL) in along.stages else None
        if number is not None:
            stage, last = (along.stages[name, seed, place] for place in (at, FINAL))
            if _same_stage(stage) == _same_stage(last):
                found.setdefault(seed, {})[stage.tokens_read] = number
    return found


def _same_stage(stage: StageRecord) -> tuple[object, ...]:
    return stage.kind, stage.model, stage.identity.get("mixture")


def _multiplier(comparison: Comparison, row: Row, by_seed: Mapping[int, Mapping[int, float]]) -> Multiplier:
    stages = comparison.evaluated.stages
    theirs = comparison.by_seed(row.baseline, row.metric.name, FINAL)
    level = {s: of for s, of in comparison.by_seed(row.arm, row.metric.name, FINAL).items() if s in theirs}
    fewest = min(len(by_seed.get(seed, {})) for seed in level)
    flops = all(stages[row.arm, seed, FINAL].model == stages[row.baseline, seed, FINAL].model for seed in level)
    nothing = Multiplier(row.arm, row.baseline, row.metric, row.n_seeds, row.n_declared, fewest, None, False, flops)
    if fewest < FEWEST_POINTS:
        return replace(nothing, why=TOO_FEW.format(row.baseline))
    at = {seed: needed(by_seed[seed], of) for seed, of in level.items()}
    if lost := [each.why for each in at.values() if each.why]:
        some = f" (in {len(lost)} of {len(at)} seeds)" if len(lost) < len(at) else ""
        return replace(nothing, why=lost[0].format(row.baseline) + some)
    read = [stages[row.arm, seed, FINAL].tokens_read for seed in level]
    runs = {run.seed: run for run in comparison.study.runs if run.arm == row.arm}
    log = over_seeds(list(at.values()), read, row.estimate.spread, [runs[seed].seeds for seed in level])
    first, last = (math.log(pick(by_seed[min(level)]) / read[0]) for pick in (min, max))
    low = log.low if log.low >= first else -math.inf
    high = log.high if log.high <= last + math.log(FARTHEST) else math.inf
    beyond = any(each.tokens > max(by_seed[seed]) for seed, each in at.items())
    return replace(nothing, log=replace(log, low=low, high=high), extrapolated=beyond, kind=row.estimate.kind)


def over_seeds(at: Sequence[Needed], read: Sequence[int], ends: Spread, shared: Shared = ()) -> Interval:
    """Of the mean logarithm of the multiplier.

    Args:
        at: where the baseline's curve is where the arm ends, by seed.
        read: tokens of the arm, by seed.
        ends: of the difference of the ends, in bits.
        shared: the seeds of every run, where runs share some.
    """
    logs_S = np.log([each.tokens for each in at]) - np.log(read)
    of_seeds = spread_of(logs_S, [np.zeros((len(at), 2))], [1.0], shared)
    slope = math.fsum(each.slope for each in at) / len(at)
    both = replace(ends, seeds=of_seeds.seeds, items=ends.items * slope**2, both=ends.both * slope**2)
    return interval(float(logs_S.mean()), both)


def needed(curve: Mapping[int, float], level: float) -> Needed:
    """Where a curve of bits by tokens, three points or more, is at `level`."""
    tokens_P = np.array(sorted(curve), dtype=float)
    bits_P = np.array([curve[tokens] for tokens in sorted(curve)])
    # The first time that it is as good: points that are no better than one before say nothing of when.
    falling = [p for p in range(len(bits_P)) if p == 0 or bits_P[p] < bits_P[:p].min()]
    if falling[-1] != len(bits_P) - 1:
        return Needed(why=NO_FALL)
    if level > bits_P[0]:
        return Needed(why=BEFORE)
    if level < bits_P[-1]:
        return _beyond(tokens_P, bits_P, bits_P[-1] - level)
    logs_F, bits_F = np.log(tokens_P[falling]), bits_P[falling]
    place = max(1, int(np.searchsorted(-bits_F, -level)))
    slope = (logs_F[place] - logs_F[place - 1]) / (bits_F[place - 1] - bits_F[place])
    return Needed(math.exp(logs_F[place] + slope * (bits_F[place] - level)), slope)


def _beyond(tokens_P: Floats, bits_P: Floats, fall: float) -> Needed:
    """Where the fitted curve has fallen by `fall` from its last point, if it does so before it is followed too far."""
    share_P = tokens_P / tokens_P[-1]
    height, exponent = power_law(share_P, bits_P)
    if not fall < height * (1 - FARTHEST**-exponent):
        return Needed(why=BEYOND)
    share = (1 - fall / height) ** (-1 / exponent)
    return Needed(tokens_P[-1] * share, 1 / (exponent * (height - fall)))


def power_law(x_P: Floats, bits_P: Floats) -> tuple[float, float]:
    """B and beta of bits = E + B / x^beta by least squares, with E and B >= 0."""

    def fitted(log_exponent: float) -> tuple[Floats, float]:
        return optimize.nnls(np.stack([np.ones_like(x_P), x_P ** -math.exp(log_exponent)], axis=1), bits_P)

    grid = np.linspace(math.log(EXPONENTS[0]), math.log(EXPONENTS[1]), 40)
    best = int(np.argmin([fitted(each)[1] for each in grid]))
    around = (float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)]))
    found = float(optimize.minimize_scalar(lambda each: fitted(each)[1], bounds=around, method="bounded").x)
    return float(fitted(found)[0][1]), math.exp(found)


@dataclass(frozen=True)
class Held:
    """One arm's multiplier at a large rung over that at a small one; None where either cannot be told."""

    ratio: Interval | None
    found: str
    """SMALLER or LARGER at the large rung, or CANNOT_TELL."""


def held(small: Multiplier, large: Multiplier) -> Held:
    """Whether a multiplier is from rung to rung what it was; the interval by MOVER (Zou and Donner 2008), of two
    independent ones."""
    a, b = small.log, large.log
    if a is None or b is None:
        return Held(None, CANNOT_TELL)
    centre = b.centre - a.centre
    low = centre - math.hypot(b.centre - b.low, a.high - a.centre)
    high = centre + math.hypot(b.high - b.centre, a.centre - a.low)
    found = LARGER if low > 0 else SMALLER if high < 0 else CANNOT_TELL
    return Held(_exp(Interval(centre, low, high, math.nan)), found)


def _exp(log: Interval) -> Interval:
    centre, low, high = (math.exp(end) for end in (log.centre, log.low, log.high))
    return Interval(centre, low, high, log.p)
