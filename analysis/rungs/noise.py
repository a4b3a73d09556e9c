"""How far runs and checkpoints scatter, and how far arms lie apart beyond that. Pure functions of arrays.

Values are those of one metric: A arms, S seeds, R runs of an arm, K checkpoints of a run. Intervals are for normal
errors. `analysis.rungs.signal` says what each figure is for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.components import of_seeds
from analysis.statistics import ALPHA, SMALLEST_SPREAD, Floats, Shared, of_mean

MOST_F = 1e6
"""Of which an interval is told; beyond, the noncentral F takes long and is no longer a number."""


@dataclass(frozen=True)
class Sd:
    """A standard deviation and its 95 % interval, without where nothing varies or runs share seeds."""

    value: float
    freedom: float
    """Degrees of freedom of its variance; where runs share seeds, fewer."""
    low: float | None = None
    high: float | None = None


def from_squares(total: float, freedom: float, interval: bool = True) -> Sd:
    """Of a sum of squares; the interval is that of chi squared."""
    if total <= SMALLEST_SPREAD**2:
        return Sd(0.0, freedom)
    if not interval:
        return Sd(math.sqrt(total / freedom), freedom)
    low, high = (math.sqrt(total / float(special.chdtri(freedom, tail))) for tail in (ALPHA / 2, 1 - ALPHA / 2))
    return Sd(math.sqrt(total / freedom), freedom, low, high)


@dataclass(frozen=True)
class Within:
    """The noise of one run: how runs of an arm differ, over all arms.

    `init` and `data` are the parts of the seeds of weights and of data, where arms cross them, else None.
    """

    sd: Sd
    init: float | None
    data: float | None


def within(arms: Sequence[tuple[Floats, Shared]]) -> Within | None:
    """Pooled over arms, each with the values of its runs and their seeds; None where no arm has two runs.

    Runs that share seeds are not independent, so there the sd has no interval, and where seeds are crossed the variance
    of one run is the sum of its components (`analysis.components`).
    """
    several = [(value_R, seeds) for value_R, seeds in arms if value_R.size > 1]
    if not several:
        return None
    freedom_A = np.array([value_R.size - 1 for value_R, _ in several], dtype=float)
    parts = [one_run(*each) for each in several]
    total = float(freedom_A @ [part.variance for part in parts])
    sd = from_squares(total, float(freedom_A.sum()), not any(share(seeds) for _, seeds in several))
    crossed = [part for part in parts if part.init is not None and part.data is not None]
    if not crossed:
        return Within(sd, None, None)
    init, data = (math.fsum(getattr(part, kind) for part in crossed) / len(crossed) for kind in ("init", "data"))
    return Within(sd, math.sqrt(max(0.0, init)), math.sqrt(max(0.0, data)))


@dataclass(frozen=True)
class OneRun:
    """The variance of one run's value, and its parts where seeds are crossed, which may be negative."""

    variance: float
    init: float | None = None
    data: float | None = None


def one_run(value_R: Floats, seeds: Shared) -> OneRun:
    """Of the values of an arm's runs, two at least."""
    grid_IxJ = crossing(seeds)
    if grid_IxJ is None:
        return OneRun(float(value_R.var(ddof=1)))
    init, data, rest = of_seeds(value_R[grid_IxJ])
    return OneRun(init.variance + data.variance + rest.variance, init.variance, data.variance)


def share(seeds: Shared) -> bool:
    """Whether two runs have a seed in common that is not that of all."""
    return any(1 < len(set(kind)) < len(seeds) for kind in zip(*seeds, strict=True))


def crossing(seeds: Shared) -> NDArray[np.intp] | None:
    """The places of the runs by I seeds of weights and J of data, where there is one for each pair; else None."""
    inits, datas = (sorted(set(kind)) for kind in zip(*seeds, strict=True))
    place = {pair: number for number, pair in enumerate(seeds)}
    if min(len(inits), len(datas)) < 2 or not len(place) == len(seeds) == len(inits) * len(datas):
        return None
    return np.array([[place[init, data] for data in datas] for init in inits], dtype=np.intp)


@dataclass(frozen=True)
class Between:
    """How arms differ that share their seeds.

    Attributes:
        spread: sd of the arms' means without what noise adds to it, not below 0.
        paired: sd of one run when what its seed does to all arms alike is taken out.
        of_mean: the variance that this leaves in an arm's mean.
        n_seeds: as many as it is known from.
        p: of "the arms are equal", by the F test; None where the runs do not vary.
        ratio: 95 % interval of spread / paired, for these arms; None where runs share seeds or hardly vary.
        ranks: Kendall's tau of the arms' order between seeds, the mean over pairs of seeds.
    """

    spread: float
    paired: Sd
    of_mean: float
    n_seeds: int
    p: float | None
    ratio: tuple[float, float] | None
    ranks: float


def between(value_AxS: Floats, group_A: Sequence[str], seeds: Shared) -> Between | None:
    """None with one seed, or where no group has two arms.

    Args:
        value_AxS: by arm and seed.
        group_A: the group of every arm; only arms of a group are held against one another.
        seeds: of the weights and the data, of the S runs of an arm.
    """
    groups = np.array(group_A)
    freedom, n_seeds = len(groups) - len(set(group_A)), value_AxS.shape[1]
    if freedom < 1 or n_seeds < 2:
        return None
    of_group_AxS = np.stack([value_AxS[groups == group].mean(axis=0) for group in groups])
    apart_AxS = value_AxS - of_group_AxS
    apart_A = apart_AxS.mean(axis=1)
    rest_AxS = apart_AxS - apart_A[:, None]
    left, known = zip(*(of_mean(rest_S, seeds) for rest_S in rest_AxS), strict=True)
    noise, signal = math.fsum(left) / freedom, float(apart_A @ apart_A) / freedom
    below, alone = freedom * (min(known) - 1), not share(seeds)
    paired = math.fsum(one_run(rest_S, seeds).variance for rest_S in rest_AxS) / freedom
    f = signal / noise if noise > SMALLEST_SPREAD**2 else None
    return Between(
        spread=math.sqrt(max(0.0, signal - noise)),
        paired=from_squares(paired * below, below, alone),
        of_mean=noise,
        n_seeds=min(known),
        p=None if f is None else float(special.fdtrc(freedom, below, f)),
        ratio=_ratio(f, freedom, below, n_seeds) if f is not None and alone and f < MOST_F else None,
        ranks=rank_stability(value_AxS, groups),
    )


def _ratio(f: float, freedom: int, below: int, n_seeds: int) -> tuple[float, float]:
    """The ends of spread / sd of a run for which F is at the edge of what is likely (noncentral F)."""

    def end(level: float) -> float:
        def beyond(size: float) -> bool:
            return float(special.ncfdtr(freedom, below, size, f)) < level

        if beyond(0.0):
            return 0.0
        high = max(1.0, freedom * f)
        while not beyond(high):
            high *= 2
        return math.sqrt(_bisected(beyond, high) / (n_seeds * freedom))

    return end(1 - ALPHA / 2), end(ALPHA / 2)


def _bisected(beyond: Callable[[float], bool], high: float) -> float:
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def rank_stability(value_AxS: Floats, group_A: NDArray[np.str_]) -> float:
    """Kendall's tau-b of the order of a group's arms in two seeds, the mean over pairs of seeds; 0 of equal arms."""
    one_P, other_P = np.triu_indices(len(group_A), 1)
    kept_P = group_A[one_P] == group_A[other_P]
    apart_PxS = value_AxS[one_P[kept_P]] - value_AxS[other_P[kept_P]]
    order_PxS = np.where(np.abs(apart_PxS) <= SMALLEST_SPREAD, 0.0, np.sign(apart_PxS))
    pairs = combinations(range(order_PxS.shape[1]), 2)
    return float(np.mean([tau_b(order_PxS[:, s], order_PxS[:, t]) or 0.0 for s, t in pairs]))


def tau_b(one_P: Floats, other_P: Floats) -> float | None:
    """Kendall's tau-b of the orders of P pairs, each -1, 0 or 1; None where one has no order at all.

    Source: Kendall 1945, "The treatment of ties in ranking problems".
    """
    return _cosine(one_P, other_P) if one_P.any() and other_P.any() else None


def spearman(token_K: Floats, score_K: Floats) -> float:
    """Of a score that does not move 0."""
    return _cosine(*(rank_K - rank_K.mean() for rank_K in (_ranks(token_K), _ranks(score_K))))


def _cosine(x_N: Floats, y_N: Floats) -> float:
    size = math.sqrt(float(x_N @ x_N) * float(y_N @ y_N))
    return float(x_N @ y_N) / size if size > 0 else 0.0


def _ranks(value_N: Floats) -> Floats:
    """From 0 on; equal values share the mean of theirs."""
    apart_NxN = value_N[:, None] - value_N
    equal_NxN = np.abs(apart_NxN) <= SMALLEST_SPREAD
    ranks_N: Floats = ((apart_NxN > 0) & ~equal_NxN).sum(axis=1) + (equal_NxN.sum(axis=1) - 1) / 2
    return ranks_N


def around_line(token_K: Floats, score_K: Floats) -> float:
    """The sum of squares that a straight line through the points leaves, with K − 2 degrees of freedom."""
    x_K, y_K = token_K - token_K.mean(), score_K - score_K.mean()
    left_K = y_K - x_K * (float(x_K @ y_K) / float(x_K @ x_K))
    return float(left_K @ left_K)


@dataclass(frozen=True)
class Worth:
    """What the mean of a run's last checkpoints is worth.

    Attributes:
        noise: of one run, in that mean.
        seeds: as many runs, taken at their ends, have so little noise as one has in the mean; None without noise.
        low, high: its 95 % interval; None where runs share seeds or there are too few.
    """

    noise: Sd
    seeds: float | None = None
    low: float | None = None
    high: float | None = None


def worth(arms: Sequence[tuple[Floats, Floats, Shared]]) -> Worth | None:
    """None where no arm has two runs; the interval is that of two variances of the same runs (Pitman, Morgan 1939).

    Args:
        arms: of an arm's runs the values at their ends, those means, and their seeds.
    """
    end, mean = within([(x_R, seeds) for x_R, _, seeds in arms]), within([(y_R, seeds) for _, y_R, seeds in arms])
    if end is None or mean is None:
        return None
    if min(end.sd.value, mean.sd.value) <= 0:
        return Worth(mean.sd)
    seeds, freedom = (end.sd.value / mean.sd.value) ** 2, end.sd.freedom
    if end.sd.low is None or freedom < 2:
        return Worth(mean.sd, seeds)
    x_R, y_R = (np.concatenate([of_R - of_R.mean() for of_R in of]) for of in list(zip(*arms, strict=True))[:2])
    t2 = float(special.stdtrit(freedom - 1, ALPHA / 2)) ** 2
    k = 1 + 2 * (1 - _cosine(x_R, y_R) ** 2) * t2 / (freedom - 1)
    reach = math.sqrt(max(0.0, k**2 - 1))
    return Worth(mean.sd, seeds, seeds * (k - reach), seeds * (k + reach))
