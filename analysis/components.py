"""What a score owes to the seed of the weights, to that of the data and to the items: variance components.

Where the runs of an arm cross I init seeds with J data seeds, one run a pair (PolyPythias, arXiv:2503.09543, sets the
two apart), a metric's values are read as y_ij = mean + a_i + b_j + e_ij, all at random. The usual estimators equate
mean squares with what they are on average, and may be negative where a component is small:

    M_init = J Σ (y_i. − y)² / (I−1)        M_data = I Σ (y_.j − y)² / (J−1)        M_rest = ΣΣ (...)² / (I−1)(J−1)
    init = (M_init − M_rest) / J            data = (M_data − M_rest) / I            interaction with noise = M_rest
    items = b − c of `analysis.statistics`, runs in place of its seeds: how far other items would move all runs alike

All are variances of one run's value; that of items is shared by all runs, so more runs do not lower it, and what an
answer owes to one run alone is in the interaction. The interval of a difference of two mean squares is the modified
large-sample one (Ting et al. 1990; Burdick and Graybill 1992), that of the interaction the exact one of chi squared,
all cut at 0. They are for normal effects; items with heavier tails have their degrees of freedom cut by
2 / (kurtosis − 1). Simulated (tests/analysis/test_components.py), 95 % of normal components are covered and 99 % of the
items' of right and wrong answers, but of log-normal scores of 100 items 90 % where the sd of their logarithms is 0.5,
and 76 % where it is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from analysis.metrics import Metric, Score, side
from analysis.records import RunRecord, StudyRecord
from analysis.scores import BEFORE, FINAL, Evaluated, Point, points
from analysis.statistics import ALPHA, FEWEST_ITEMS, Floats, effective, spread_of

INIT, DATA, REST, ITEMS = COMPONENTS = ("init", "data", "interaction and noise", "items")
METHOD = "95 % intervals: modified large-sample (Burdick and Graybill 1992), chi squared for the interaction"


@dataclass(frozen=True)
class Component:
    """One variance, in the metric's unit squared."""

    name: str
    variance: float
    """Unbiased, so below 0 where there is little of it."""
    low: float
    high: float
    freedom: float
    """Degrees of freedom of its mean square."""


@dataclass(frozen=True)
class Components:
    """Those of one metric in one arm at one point, over `n_init` x `n_data` runs."""

    arm: str
    metric: Metric
    at: str
    n_init: int
    n_data: int
    value: float
    parts: tuple[Component, ...]
    """Without items where there are too few to tell."""
    buy: str
    """INIT or DATA, whichever lowers the variance of the arm's mean more for each run."""
    advice: str

    @property
    def flat(self) -> dict[str, Any]:
        """As files have it."""
        head = {name: getattr(self, name) for name in ("arm", "at", "n_init", "n_data", "value", "buy", "advice")}
        return {**head, "metric": self.metric.name, "parts": [vars(part) for part in self.parts], "intervals": METHOD}


def components(
    record: StudyRecord,
    evaluated: Evaluated,
    values: Mapping[Point, Mapping[str, float]],
    metrics: Sequence[Metric],
) -> tuple[tuple[Components, ...], list[str]]:
    """Of every arm whose runs cross their seeds, and why there are none, a line each; nothing of other arms."""
    found, gaps = [], []
    for arm in record.arms:
        runs = [run for run in record.runs if run.arm == arm]
        if not crosses(runs):
            continue
        inits, datas = (sorted(set(seeds)) for seeds in zip(*(run.seeds for run in runs), strict=True))
        cells = {run.seeds: run.seed for run in runs}
        if len(runs) != len(inits) * len(datas) or len(cells) != len(runs):
            gaps.append(
                f"{arm}: its {len(runs)} runs are not one for each of {len(inits)} init seeds and {len(datas)} data "
                "seeds, so there are no variance components"
            )
            continue
        seeds_IxJ = [[cells[init, data] for data in datas] for init in inits]
        for at in (at for at in (BEFORE, FINAL) if all(at in points(run) for run in runs)):
            lacking = 0
            for metric in metrics:
                there = [metric.name in values.get((arm, run.seed, at), {}) for run in runs]
                found += [_components(evaluated, metric, arm, at, seeds_IxJ)] if all(there) else []
                lacking += any(there) and not all(there)
            if lacking:
                gaps.append(f"{arm}, {at}: {lacking} metrics lack a run, so there are no variance components of them")
    return tuple(found), gaps


def crosses(runs: Sequence[RunRecord]) -> bool:
    """Whether two of an arm's runs share one seed and differ in the other, and both kinds of seed vary."""
    inits, datas = ({run.seeds[kind] for run in runs} for kind in (0, 1))
    return min(len(inits), len(datas)) > 1 and len(runs) > max(len(inits), len(datas))


def _components(
    evaluated: Evaluated, metric: Metric, arm: str, at: str, seeds_IxJ: Sequence[Sequence[int]]
) -> Components:
    seeds = [seed for row in seeds_IxJ for seed in row]
    value_R, added, freedoms = np.full(len(seeds), metric.offset), [], []
    for task, weight in metric.parts:
        its = side(metric.score, [evaluated.scores[arm, seed, at][task] for seed in seeds])
        value_R += weight * its.linear[0]
        added.append(weight * its.linear[1])
        freedoms.append(effective(its.size_SxN.sum(axis=0)) - 1)
    value_IxJ = value_R.reshape(len(seeds_IxJ), -1)
    parts = (*of_seeds(value_IxJ), *of_items(value_R, added, freedoms))
    n_init, n_data = value_IxJ.shape
    buy, advice = next_seed(parts, n_init, n_data, metric.score)
    return Components(arm, metric, at, n_init, n_data, float(value_R.mean()), parts, buy, advice)


def of_seeds(value_IxJ: Floats) -> tuple[Component, Component, Component]:
    """Init, data and the rest, of the values of I init seeds by J data seeds (two of each at least)."""
    n_init, n_data = value_IxJ.shape
    init_I, data_J = (value_IxJ.mean(axis=axis) - value_IxJ.mean() for axis in (1, 0))
    rest_IxJ = value_IxJ - value_IxJ.mean() - init_I[:, None] - data_J
    f_init, f_data = n_init - 1, n_data - 1
    m_init, m_data = n_data * float((init_I**2).sum()) / f_init, n_init * float((data_J**2).sum()) / f_data
    f_rest = f_init * f_data
    m_rest = float((rest_IxJ**2).sum()) / f_rest
    high, low = (f_rest * m_rest / special.chdtri(f_rest, tail) for tail in (1 - ALPHA / 2, ALPHA / 2))
    return (
        _difference(INIT, (m_init, f_init), (m_rest, f_rest), n_data),
        _difference(DATA, (m_data, f_data), (m_rest, f_rest), n_init),
        Component(REST, m_rest, float(low), float(high), f_rest),
    )


def of_items(value_R: Floats, added: Sequence[Floats], freedoms: Sequence[float]) -> tuple[Component, ...]:
    """The shared part of item noise; nothing of too few items or clusters. The arguments are those of `spread_of`."""
    spread = spread_of(value_R, added, freedoms)
    if round(spread.freedom, 6) < FEWEST_ITEMS - 1:
        return ()
    answers = (spread.both, (spread.n_seeds - 1) * spread.freedom)
    fewer = [freedom * _tails(added_RxN.mean(axis=0)) for added_RxN, freedom in zip(added, freedoms, strict=True)]
    freedom = spread_of(value_R, added, fewer).freedom
    return (_difference(ITEMS, (spread.items, freedom), answers, 1),)


def _tails(added_N: Floats) -> float:
    """By how much heavy tails lower the degrees of freedom of a variance (1 for none): 2 / (kurtosis − 1)."""
    square = float((added_N**2).mean())
    return min(1.0, 2 * square**2 / (float((added_N**4).mean()) - square**2)) if square > 0 else 1.0


def _difference(name: str, first: tuple[float, float], second: tuple[float, float], share: int) -> Component:
    """The component (M1 − M2) / share of two mean squares with their degrees of freedom."""
    (m1, f1), (m2, f2) = first, second
    # Names as in Burdick and Graybill: F at its upper tails, with f2 or endlessly many degrees of freedom below.
    (g1, h1), (g2, h2) = (
        (1 - f / special.chdtri(f, ALPHA / 2), f / special.chdtri(f, 1 - ALPHA / 2) - 1) for f in (f1, f2)
    )
    upper, lower = special.fdtri(f1, f2, 1 - ALPHA / 2), special.fdtri(f1, f2, ALPHA / 2)
    g12 = ((upper - 1) ** 2 - g1**2 * upper**2 - h2**2) / upper
    h12 = ((1 - lower) ** 2 - h1**2 * lower**2 - g2**2) / lower
    below = g1**2 * m1**2 + h2**2 * m2**2 + g12 * m1 * m2
    above = h1**2 * m1**2 + g2**2 * m2**2 + h12 * m1 * m2
    low, high = (m1 - m2 - max(0.0, below) ** 0.5) / share, (m1 - m2 + max(0.0, above) ** 0.5) / share
    return Component(name, (m1 - m2) / share, max(0.0, float(low)), max(0.0, float(high)), f1)


def sd_text(score: Score, variance: float) -> str:
    """The square root of a variance, shares in percentage points; one that is below 0 tells of nothing."""
    sd = max(0.0, variance) ** 0.5
    return f"{100 * sd:.2g} pt" if score.share else f"{sd:.2g}"


def next_seed(parts: Sequence[Component], n_init: int, n_data: int, score: Score) -> tuple[str, str]:
    """Which kind of seed to buy next, and a sentence that says why; another of one kind is a run for each of the other.

    Args:
        parts: of one metric.
        n_init, n_data: seeds that there are.
        score: how the metric is shown.
    """
    variance = {part.name: max(0.0, part.variance) for part in parts}

    def of_mean(n_init: int, n_data: int) -> float:
        return variance[INIT] / n_init + variance[DATA] / n_data + variance[REST] / (n_init * n_data)

    now = of_mean(n_init, n_data)
    then: Mapping[str, tuple[float, int]] = {
        INIT: (of_mean(n_init + 1, n_data), n_data),
        DATA: (of_mean(n_init, n_data + 1), n_init),
    }
    buy = max(then, key=lambda kind: (now - then[kind][0]) / then[kind][1])
    other = DATA if buy == INIT else INIT
    (after, runs), (otherwise, other_runs) = then[buy], then[other]
    advice = (
        f"another {buy} seed: its {runs} runs take the standard error of the mean from {sd_text(score, now)} to "
        f"{sd_text(score, after)}, those of another {other} seed ({other_runs}) to {sd_text(score, otherwise)}"
    )
    if variance.get(ITEMS, 0.0) > now:
        advice += f"; other items would move it by more, {sd_text(score, variance[ITEMS])}"
    return buy, advice
