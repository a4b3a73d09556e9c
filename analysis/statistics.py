"""Intervals and tests for two arms that are paired by seed and by item. Pure functions of arrays.

Which interval is used follows from the number of seeds:

    1        bootstrap over items: says nothing of seed noise, and is labelled so
    2 to 7   Student's t over the per-seed paired differences (a percentile bootstrap over so few seeds
             covers far less than it claims: 2 seeds give 50 %)
    8 on     hierarchical bootstrap: seeds outer, items inner, both paired

A relative change is the ratio of the arms with an interval of its own. With seeds it is Student's t on the per-seed
log ratio: it is symmetric (swapping the arms inverts it) and always bounded, where Fieller's interval at 2 or 3 seeds
is often the whole line or two half-lines. It needs positive scores, and is left out where a score is 0.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
HIERARCHICAL_FROM = 8
RESAMPLES = 4000
"""Enough for a p of 0.0005; the ends of a 95 % interval then move by about 2 % of its width."""
BOOTSTRAP_SEED = 20240820
DRAWS_AT_ONCE = 4_000_000
"""Bounds the memory that a bootstrap works in to some 100 MB, whatever the number of items."""
SMALLEST_SPREAD = 1e-12
"""Per-seed differences closer than this are equal: what is left is rounding. Scores are of the order of 1."""

ITEMS_ONLY = "item bootstrap (one seed: item noise only)"
ITEMS_ONLY_EQUAL_SEEDS = "item bootstrap (the seeds differ by the same amount: item noise only)"
SEEDS_T = "paired t over seeds"
HIERARCHICAL = "hierarchical bootstrap (seeds, items)"


@dataclass(frozen=True)
class Interval:
    """A 95 % interval around `centre` and the two-sided p of "no difference"."""

    centre: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class PairedTask:
    """One task's scores in two arms, for S seeds and N items; items and seeds are in equal order in both.

    A metric is the weighted sum over its tasks of (sum of scores / sum of sizes): bits over bytes, or correct over 1.
    """

    weight: float
    arm_SxN: Floats
    baseline_SxN: Floats
    size_N: Floats


@dataclass(frozen=True)
class Estimate:
    """What two arms differ by in one metric. `relative` is arm / baseline − 1."""

    value: float
    baseline_value: float
    difference: Interval
    relative: Interval | None
    sd: float | None
    """Standard deviation of the per-seed paired differences; None with one seed."""
    kind: str


def paired_t(differences: Sequence[float] | Floats) -> Interval:
    """Student's t interval for the mean of per-seed paired differences.

    Equal differences that are not 0 have no spread to judge by: they get an endless interval and p = 1.

    Raises:
        ValueError: fewer than two differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        raise ValueError("a t interval needs at least two seeds")
    mean, error, freedom = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size), values.size - 1
    if np.ptp(values) <= SMALLEST_SPREAD:
        reach = math.inf if abs(mean) > SMALLEST_SPREAD else 0.0
        return Interval(mean, mean - reach, mean + reach, 1.0)
    reach = error * float(special.stdtrit(freedom, (1 + LEVEL) / 2))
    return Interval(mean, mean - reach, mean + reach, 2 * float(special.stdtr(freedom, -abs(mean) / error)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given. A member that could not be tested enters as p = 1."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, i in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, running)
    return adjusted


def detectable(
    sd: float, n_seeds: int, comparisons: int = 1, alpha: float = 1 - LEVEL, power: float = 0.8
) -> float | None:
    """The smallest true difference that a two-sided paired t test finds with probability `power`.

    Args:
        sd: standard deviation of the per-seed paired differences, in the metric's unit.
        n_seeds: seeds in each arm.
        comparisons: size of the declared family; the test is taken at alpha / comparisons, Holm's hardest step.

    Returns:
        The difference in the metric's unit, or None with one seed, where seed noise cannot be judged at all.
    """
    if n_seeds < 2:
        return None
    freedom = n_seeds - 1
    critical = special.stdtrit(freedom, 1 - alpha / comparisons / 2)
    return float(special.nctdtrinc(freedom, 1 - power, critical)) * sd / math.sqrt(n_seeds)


def seed_values(tasks: Sequence[PairedTask]) -> tuple[Floats, Floats]:
    """The metric per seed in the arm and in the baseline, each of shape S."""
    arm_S = sum((t.weight * t.arm_SxN.sum(axis=1) / t.size_N.sum() for t in tasks), start=np.float64(0))
    baseline_S = sum((t.weight * t.baseline_SxN.sum(axis=1) / t.size_N.sum() for t in tasks), start=np.float64(0))
    return np.asarray(arm_S), np.asarray(baseline_S)


def bootstrap(tasks: Sequence[PairedTask], seeds_too: bool) -> tuple[Floats, Floats]:
    """Resampled values of the metric in the arm and the baseline, each of shape B.

    Items are drawn within their task. One draw serves both arms and all seeds, since all of them answered the
    same items: drawing anew for each seed would average item noise away. Seeds, if drawn, come in pairs.
    """
    n_seeds = tasks[0].arm_SxN.shape[0]
    share_BxS = np.full((RESAMPLES, n_seeds), 1 / n_seeds)
    if seeds_too:
        share_BxS = draws(n_seeds, 0, RESAMPLES) / n_seeds
    arm_B, baseline_B = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for stream, task in enumerate(tasks, start=1):
        draws_BxN = draws(task.size_N.size, stream, RESAMPLES)
        for part in chunks(*draws_BxN.shape):
            draws_CxN = draws_BxN[part].astype(np.float64)
            share_CxS = task.weight * share_BxS[part] / (draws_CxN @ task.size_N)[:, None]
            arm_B[part] += (share_CxS * (draws_CxN @ task.arm_SxN.T)).sum(axis=1)
            baseline_B[part] += (share_CxS * (draws_CxN @ task.baseline_SxN.T)).sum(axis=1)
    return arm_B, baseline_B


def estimate(tasks: Sequence[PairedTask]) -> Estimate:
    """Compare two arms in one metric, by the method that the number of seeds allows (see the module's head)."""
    arm_S, baseline_S = seed_values(tasks)
    differences_S = arm_S - baseline_S
    n_seeds = differences_S.size
    value, baseline_value = float(arm_S.mean()), float(baseline_S.mean())
    sd = float(differences_S.std(ddof=1)) if n_seeds > 1 else None
    if n_seeds == 1 or np.ptp(differences_S) <= SMALLEST_SPREAD:
        # Accuracies are counts, so two seeds often differ by the same count; t would then claim certainty.
        kind = ITEMS_ONLY if n_seeds == 1 else ITEMS_ONLY_EQUAL_SEEDS
        difference, relative = _both_percentiles(*bootstrap(tasks, seeds_too=False), value, baseline_value)
    elif n_seeds < HIERARCHICAL_FROM:
        kind = SEEDS_T
        difference, relative = paired_t(differences_S), _ratio_t(arm_S, baseline_S)
    else:
        kind = HIERARCHICAL
        difference, relative = _both_percentiles(*bootstrap(tasks, seeds_too=True), value, baseline_value)
    return Estimate(value, baseline_value, difference, relative, sd, kind)


def ratios(score_N: Floats, size_N: Floats, stream: int = 1) -> Floats:
    """Resampled values, of shape B, of sum(scores) / sum(sizes) over N items; where no item is drawn, not a number.

    Calls with equal N and `stream` draw the same items, so that their differences are paired.
    """
    draws_BxN = draws(size_N.size, stream, RESAMPLES)
    found_B = np.empty(RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        for part in chunks(*draws_BxN.shape):
            draws_CxN = draws_BxN[part].astype(np.float64)
            found_B[part] = (draws_CxN @ score_N) / (draws_CxN @ size_N)
    return found_B


def percentiles(values_B: Floats, centre: float) -> Interval:
    """The percentile interval of resampled `values_B` around `centre`; p is that of "it is 0"."""
    below, above = int((values_B <= 0).sum()), int((values_B >= 0).sum())
    low, high = (float(x) for x in np.quantile(values_B, TAILS))
    return Interval(centre, low, high, min(1.0, 2 * (min(below, above) + 1) / (values_B.size + 1)))


@lru_cache(maxsize=16)
def draws(n: int, stream: int, rows: int) -> NDArray[np.uint8]:
    """How often each of n things is drawn when n are drawn with replacement; shape rows x n.

    Kept, since drawing is nine tenths of a bootstrap and the arms of a study need the same draws one after the other.
    """
    rng = np.random.default_rng([BOOTSTRAP_SEED, stream])
    counts = np.empty((rows, n), dtype=np.uint8)
    for part in chunks(rows, n):
        height = part.stop - part.start
        picks = rng.integers(0, n, size=(height, n)) + n * np.arange(height)[:, None]
        counts[part] = np.bincount(picks.ravel(), minlength=height * n).reshape(height, n)
    counts.setflags(write=False)
    return counts


def chunks(rows: int, n: int) -> Iterator[slice]:
    """Slices of `rows` resamples of n items that bound the memory a bootstrap works in."""
    height = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def _ratio_t(arm_S: Floats, baseline_S: Floats) -> Interval | None:
    if min(arm_S.min(), baseline_S.min()) <= 0:
        return None
    log = paired_t(np.log(arm_S / baseline_S))
    if not math.isfinite(log.low):
        return None
    return Interval(math.expm1(log.centre), math.expm1(log.low), math.expm1(log.high), log.p)


def _both_percentiles(
    arm_B: Floats, baseline_B: Floats, value: float, baseline_value: float
) -> tuple[Interval, Interval | None]:
    difference = percentiles(arm_B - baseline_B, value - baseline_value)
    if min(arm_B.min(), baseline_B.min(), value, baseline_value) <= 0:
        return difference, None
    low, high = (float(x) for x in np.quantile(arm_B / baseline_B, TAILS) - 1)
    return difference, Interval(value / baseline_value - 1, low, high, difference.p)
