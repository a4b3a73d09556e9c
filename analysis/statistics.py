"""Intervals and tests for two arms that are paired by seed and by item. Pure functions of arrays, nothing is drawn.

The target is one: other seeds and other items like these. Seeds and items are crossed (every seed answers every item),
so the mean difference D has a part of its variance from each, and the interval adds them up as the method of variance
estimates recovery does (MOVER, Zou and Donner 2008). For scores x and sizes w of the arm, y and v of the baseline, S
seeds and N items, or clusters of items:

    r_s  = Σx/Σw − Σy/Σv                                           the difference of seed s
    d_si = (x − w Σx/Σw) / mean(w) − (y − v Σy/Σv) / mean(v)       what item i adds to it; d_i its mean over seeds
    a = var(r_s) / S          b = Σ d_i² / N(N−1)          c = ΣΣ (d_si − d_i)² / (S−1)(N−1)SN
    reach(α)² = max( t²[S−1] a + t²[N′−1] max(0, b − c),  t²[N′−1] b )          t at 1 − α/2, N′ = (Σw)² / Σw²

a holds the noise of seeds and that of a seed's answer to an item, b that of items and again the latter, c the latter
alone. p is the α whose reach is |D|. A metric of several tasks weighs r_s and adds up b and c; its N′ − 1 is
Satterthwaite's. With one seed a and c are nothing and b is left: item noise only. Where seeds differ by the same amount
(accuracies are counts) a is nothing too. Fewer than 20 items or clusters tell too little of others: there Student's t
over seeds speaks for these items alone, and says so. Runs that share a seed of their weights or data are not as many
seeds as runs (`of_mean`). How far each covers what it claims: benchmarks/statistics.md.

A relative change is the ratio of the arms less 1, by the same interval on its logarithm (swapping the arms inverts it).
It needs positive scores, and is left out where a score is 0.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Shared = Sequence[tuple[int, int]]
"""The seeds of the weights and of the data of S runs."""

LEVEL = 0.95
ALPHA = 1 - LEVEL
FEWEST_ITEMS = 20
"""With fewer, or fewer clusters, their spread says too little of what others would do."""
FEWEST_DIFFERING = 15
"""Where arms differ on fewer (one item in thirty is answered, say), an interval that lies too near 0 is too short as
well: of differences that there are, as few as 89 % are covered (16 seeds); where there is none, 98 %, so p holds."""
SMALLEST_SPREAD = 1e-12
"""Values closer than this are equal: what is left is rounding. Scores are of the order of 1."""

ROUNDING = 1e-13
"""Relative; a reach that is as near is the one that was looked for."""
SMALLEST_P = 1e-100
"""Of a p that is told; beyond, the quantiles of t are no longer numbers."""

CROSSED = "seeds and items, crossed"
FEW_DIFFER = f"seeds and items, crossed (arms differ on fewer than {FEWEST_DIFFERING} items: may fall short)"
ONE_SEED = "items (one seed: item noise only)"
EQUAL_SEEDS = "items (the seeds differ by the same amount: item noise only)"
THESE_ITEMS = f"t over seeds (fewer than {FEWEST_ITEMS} items or documents: these documents only)"


@dataclass(frozen=True)
class Interval:
    """A 95 % interval around `centre` and the two-sided p of "no difference"."""

    centre: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class Side:
    """One task's scores in one arm, for S seeds and N items (or clusters: sums over their items)."""

    score_SxN: Floats
    size_SxN: Floats

    @cached_property
    def linear(self) -> tuple[Floats, Floats]:
        """Sum of scores / sum of sizes by seed, and how far each item moves it (its mean over items is 0)."""
        ratio_S = self.score_SxN.sum(axis=1) / self.size_SxN.sum(axis=1)
        added_SxN = (self.score_SxN - ratio_S[:, None] * self.size_SxN) / self.size_SxN.mean(axis=1, keepdims=True)
        return ratio_S, added_SxN


@dataclass(frozen=True, eq=False)
class Pair:
    """One task in two arms, seeds and items in equal order. What several metrics ask of it is made once."""

    arm: Side
    baseline: Side

    @cached_property
    def items(self) -> tuple[float, float]:
        """b and c."""
        return _of_items(self.arm.linear[1] - self.baseline.linear[1])

    @cached_property
    def freedom(self) -> float:
        return effective(self.arm.size_SxN.sum(axis=0) + self.baseline.size_SxN.sum(axis=0)) - 1

    @cached_property
    def differing(self) -> int:
        """Items on which the arms differ."""
        return int((self.arm.score_SxN != self.baseline.score_SxN).any(axis=0).sum())


@dataclass(frozen=True)
class Spread:
    """The variance of a mean difference, in its parts: a, b and c of the module's head.

    `n_seeds` are as many as a is known from: fewer than there are runs where these share seeds.
    """

    seeds: float
    items: float
    both: float
    n_seeds: int
    freedom: float
    """N′ − 1"""


@dataclass(frozen=True)
class Estimate:
    """What two arms differ by in one metric. `relative` is arm / baseline − 1."""

    value: float
    baseline_value: float
    difference: Interval
    these_items: Interval | None
    """The same over the seeds alone, for the items as they are; None with one seed."""
    relative: Interval | None
    sd: float | None
    """Standard deviation of the per-seed paired differences; None with one seed."""
    spread: Spread
    kind: str


def estimate(parts: Sequence[tuple[float, Pair]], shared: Shared = ()) -> Estimate:
    """Compare two arms in one metric, by what seeds and items there are (see the module's head).

    A metric is the weighted sum over its tasks of (sum of scores / sum of sizes): bits over bytes, or correct over 1.

    Args:
        parts: the weight of every task, and its scores.
        shared: the seeds of every run, where runs share some.
    """
    weights, pairs = zip(*parts, strict=True)
    arm_S = _value(weights, [pair.arm for pair in pairs])
    baseline_S = _value(weights, [pair.baseline for pair in pairs])
    freedoms, differences_S = [pair.freedom for pair in pairs], arm_S - baseline_S
    items = [(w**2 * b, w**2 * c) for w, (b, c) in ((w, pair.items) for w, pair in parts)]
    spread = _spread(differences_S, items, freedoms, shared)
    kind = _kind(spread, sum(pair.differing for pair in pairs))
    limit = seeds_alone if kind == THESE_ITEMS else replace
    relative = None
    if min(arm_S.min(), baseline_S.min()) > 0:
        shares = (
            pair.arm.linear[1] * (w / arm_S)[:, None] - pair.baseline.linear[1] * (w / baseline_S)[:, None]
            for w, pair in parts
        )
        logs_S = np.log(arm_S / baseline_S)
        log = interval(float(logs_S.mean()), limit(spread_of(logs_S, shares, freedoms, shared)))
        if math.isfinite(log.low):
            with np.errstate(over="ignore"):
                centre, low, high = (float(np.expm1(end)) for end in (log.centre, log.low, log.high))
            relative = Interval(centre, low, high, log.p)
    mean, several = float(differences_S.mean()), differences_S.size > 1
    return Estimate(
        value=float(arm_S.mean()),
        baseline_value=float(baseline_S.mean()),
        difference=interval(mean, limit(spread)),
        these_items=interval(mean, seeds_alone(spread)) if several else None,
        relative=relative,
        sd=float(differences_S.std(ddof=1)) if several else None,
        spread=limit(spread),
        kind=kind,
    )


def _value(weights: Sequence[float], sides: Sequence[Side]) -> Floats:
    """The metric of one arm by seed."""
    value_S: Floats = np.sum([w * side.linear[0] for w, side in zip(weights, sides, strict=True)], axis=0)
    return value_S


def numbered(keys: Sequence[Hashable]) -> NDArray[np.intp]:
    """The number of each key in the order in which they first come."""
    number: dict[Hashable, int] = {}
    return np.asarray([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)


def clustered(values_SxN: Floats, cluster_N: NDArray[np.intp]) -> Floats:
    """Sums over the items of each cluster: S x (number of clusters)."""
    if np.array_equal(cluster_N, np.arange(cluster_N.size)):
        return values_SxN
    return np.stack([np.bincount(cluster_N, values_N) for values_N in values_SxN])


def effective(size_N: Floats) -> float:
    """How many things of equal size the sizes are worth: (Σw)² / Σw²."""
    return float(size_N.sum() ** 2 / (size_N**2).sum())


def _kind(spread: Spread, differing: int) -> str:
    """Which interval the seeds and items allow, and the number of items on which the arms differ."""
    if spread.n_seeds == 1:
        return ONE_SEED
    if round(spread.freedom, 6) < FEWEST_ITEMS - 1:
        return THESE_ITEMS
    if spread.seeds <= 0:
        return EQUAL_SEEDS
    return CROSSED if differing >= FEWEST_DIFFERING else FEW_DIFFER


def spread_of(differences_S: Floats, added: Iterable[Floats], freedoms: Sequence[float], shared: Shared = ()) -> Spread:
    """The parts of the variance of the mean of `differences_S`.

    Args:
        differences_S: what is compared, by seed.
        added: of every task what its items add to it, of shape S x N with mean 0 over N.
        freedoms: N′ − 1 of every task.
        shared: the seeds of every run, where runs share some.
    """
    return _spread(differences_S, [_of_items(added_SxN) for added_SxN in added], freedoms, shared)


def _spread(
    differences_S: Floats, items: Sequence[tuple[float, float]], freedoms: Sequence[float], shared: Shared
) -> Spread:
    """`items` are b and c of every task."""
    a, n_seeds = of_mean(differences_S, shared)
    b, c = (math.fsum(parts) for parts in zip(*items, strict=True))
    if b > 0:
        freedom = b**2 / math.fsum(part**2 / of for (part, _), of in zip(items, freedoms, strict=True) if part > 0)
    else:
        freedom = math.fsum(freedoms)
    return Spread(a, b, c, n_seeds, freedom)


def of_mean(differences_S: Floats, shared: Shared) -> tuple[float, int]:
    """a, and the number of seeds that it is known from.

    Runs that share a seed are not independent: there each kind of seed is taken by the means over its runs, and both
    add up, which counts twice what is of neither alone and so is too much rather than too little.
    """
    if np.ptp(differences_S) <= SMALLEST_SPREAD:
        return 0.0, differences_S.size
    kinds = [kind for kind in zip(*shared, strict=True) if len(set(kind)) > 1]
    if not any(len(set(kind)) < differences_S.size for kind in kinds):
        return float(differences_S.var(ddof=1)) / differences_S.size, differences_S.size
    numbers = [np.unique(kind, return_inverse=True)[1] for kind in kinds]
    means = [np.bincount(number_S, differences_S) / np.bincount(number_S) for number_S in numbers]
    return sum(float(mean_K.var(ddof=1)) / mean_K.size for mean_K in means), min(mean_K.size for mean_K in means)


def _of_items(added_SxN: Floats) -> tuple[float, float]:
    """b and c of one task."""
    n_seeds, n_items = added_SxN.shape
    mean_N = added_SxN.mean(axis=0)
    if n_items < 2 or np.abs(added_SxN).max() <= SMALLEST_SPREAD:
        return 0.0, 0.0
    b = float((mean_N**2).sum()) / (n_items * (n_items - 1))
    if n_seeds == 1:
        return b, 0.0
    return b, float(((added_SxN - mean_N) ** 2).sum()) / ((n_seeds - 1) * (n_items - 1) * n_seeds * n_items)


def over_items(value: float, parts: Sequence[tuple[Floats, Floats]]) -> Interval:
    """The interval of one value under item noise alone; `parts` are what the N items of a task add, and their sizes."""
    freedoms = [effective(size_N) - 1 for _, size_N in parts]
    return interval(value, spread_of(np.array([value]), [added_N[None] for added_N, _ in parts], freedoms))


def share_interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval for the mean of one value in [0, 1] per problem.

    Problems are the clusters: samples of one problem are far from independent, so only the spread between problems
    counts. It is Wilson's interval at the number of problems that the spread is worth (Korn and Graubard 1998), which,
    unlike a bootstrap, does not shrink to nothing where a small model passes no problem at all.
    """
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    worth = n * max(1.0, mean * (1 - mean) / spread) if spread > 0 else n
    z2 = float(special.ndtri((1 + LEVEL) / 2)) ** 2
    centre = (mean + z2 / (2 * worth)) / (1 + z2 / worth)
    half = math.sqrt(z2 * (mean * (1 - mean) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return max(0.0, centre - half), min(1.0, centre + half)


def seeds_alone(spread: Spread) -> Spread:
    """What is left for the items as they are."""
    return replace(spread, items=0.0, both=0.0)


def reach(spread: Spread, alpha: float) -> float:
    """Half the width of the two-sided interval at level 1 - alpha."""
    seeds = float(special.stdtrit(spread.n_seeds - 1, alpha / 2)) ** 2 * spread.seeds if spread.seeds > 0 else 0.0
    if spread.items <= 0:
        return math.sqrt(seeds)
    t2 = float(special.stdtrit(spread.freedom, alpha / 2)) ** 2
    return math.sqrt(max(seeds + t2 * max(0.0, spread.items - spread.both), t2 * spread.items))


def interval(mean: float, spread: Spread) -> Interval:
    """The 95 % interval and p of a mean difference; endless where nothing varies, for want of anything to go by."""
    if spread.seeds <= 0 and spread.items <= 0:
        wide = 0.0 if abs(mean) <= SMALLEST_SPREAD else math.inf
        return Interval(mean, mean - wide, mean + wide, 1.0)
    half = reach(spread, ALPHA)
    return Interval(mean, mean - half, mean + half, _p(abs(mean), spread))


def _p(size: float, spread: Spread) -> float:
    """The alpha whose reach is `size`: by secants on its logarithm (Illinois), from what seeds or items alone give."""
    if size <= SMALLEST_SPREAD:
        return 1.0
    alone = ((spread.seeds, spread.n_seeds - 1), (spread.items, spread.freedom))
    least = max(2 * float(special.stdtr(freedom, -size / math.sqrt(v))) for v, freedom in alone if v > 0)
    if min(spread.seeds, spread.items - spread.both) <= 0:
        return least
    low, high = math.log(max(least, SMALLEST_P)), 0.0
    # Beyond the size at the low end and short of it at the high one, where the reach is 0.
    beyond, short = reach(spread, math.exp(low)) - size, -size
    if beyond <= ROUNDING * size:  # that is it; or p is less than any that is told
        return math.exp(low)
    while high - low > 1e-12:
        middle = high - short * (high - low) / (short - beyond)
        if not low < middle < high:
            middle = (low + high) / 2
        off = reach(spread, math.exp(middle)) - size
        if abs(off) <= ROUNDING * size:
            return math.exp(middle)
        if off < 0:
            high, short, beyond = middle, off, beyond / 2
        else:
            low, beyond, short = middle, off, short / 2
    return math.exp(high)


def p_equivalent(found: Interval, spread: Spread, margin: float) -> float:
    """The p of "the true difference is `margin` or more": the larger of two one-sided tests (Schuirmann 1987).

    At or below 5 % it is just where the 90 % interval lies within the margin; 1 where nothing varies to go by.

    Args:
        found: of the difference.
        spread: that it was made of.
        margin: above 0, in the metric's unit.
    """
    if spread.seeds <= 0 and spread.items <= 0:
        return 1.0
    inside = margin - abs(found.centre)
    half = _p(abs(inside), spread) / 2
    return half if inside > 0 else 1.0 - half


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given. A member that could not be tested enters as p = 1."""
    p_N, order = np.array(p_values), np.argsort(p_values, kind="stable")
    p_N[order] = np.maximum.accumulate(np.arange(len(order), 0, -1) * p_N[order])
    return np.minimum(1.0, p_N).tolist()


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values (1995), in the order given: those at or below q have a false discovery
    rate of q, and where no difference is real they are silent in all but a share q of tables."""
    p_N, order = np.array(p_values), np.argsort(p_values, kind="stable")[::-1]
    p_N[order] = np.minimum.accumulate(len(order) / np.arange(len(order), 0, -1) * p_N[order])
    return np.minimum(1.0, p_N).tolist()


def detectable(spread: Spread, comparisons: int = 1, alpha: float = ALPHA, power: float = 0.8) -> float | None:
    """The smallest true difference that the crossed interval tells from 0 with probability `power`.

    That of seeds and that of items, each from the noncentral t, add up as their variances do; benchmarks/statistics.md
    has how near it comes.

    Args:
        spread: of the mean difference, from runs like those planned.
        comparisons: size of the declared family; the test is taken at alpha / comparisons, Holm's hardest step.

    Returns:
        The difference in the metric's unit, or None with one seed, where seed noise cannot be judged at all.
    """
    if spread.n_seeds < 2:
        return None

    def alone(variance: float, freedom: float) -> float:
        if variance <= 0:
            return 0.0
        critical = -special.stdtrit(freedom, alpha / comparisons / 2)
        return float(special.nctdtrinc(freedom, 1 - power, critical)) * math.sqrt(variance)

    seeds, items = alone(spread.seeds, spread.n_seeds - 1), alone(spread.items, spread.freedom)
    return max(math.hypot(seeds, alone(spread.items - spread.both, spread.freedom)), items)
