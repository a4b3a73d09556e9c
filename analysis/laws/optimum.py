"""Which law fits a metric best, where its best share is, and whether the runs can tell.

    noise       V, the covariance of the arms' means on the link's scale (`Points`), known from ν degrees of freedom.
    error       of a law: root mean square over arms of what it misses an arm's mean by when it is fitted to the others.
    misfit      Σ residual² / (A − p), against the noise of one mean. A law whose misfit is no more than chance (F at
                5 %) has the noise of both together. One whose is more has V as much larger and A − p degrees of
                freedom. It is refuted where another law's is below it at 5 %, or, if V is of seeds, too, and not of
                items alone, where another's is no more than chance; then it says nothing of the optimum.
    interval    of a law: the shares than which it puts no other share beyond noise higher, by Scheffé's reach
                √(2 F[2, ν] at 5 %), which holds for all pairs of shares at once (Scheffé 1953). The exponential law has
                all of [0, 1] or one end. The interval is over all laws that are not refuted, since runs cannot tell
                which holds, and over the best arm, which no law's form alone shall exclude. Where the misfit of every
                law is more than chance, it reaches from the arm before the best one to the one after, at least.
    p           of "the share does not matter", by analysis of variance: (means)' V⁻ (means) / (A − 1) against F.

No arm and no seed is drawn again. Of six arms a resample often lacks an end, and then the law is another one; of three
seeds there are ten resamples, whose spread is a third too small. What seeds do is in V, and what arms do that no law
has is in its misfit. Nothing is drawn at all, as everywhere in `analysis.statistics`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from analysis.laws.forms import CONSTANT, LAWS, Fitted, Law, Link, left_out
from analysis.statistics import ALPHA, Floats

SHARES = np.linspace(0, 1, 201)
"""At which laws are asked for the best."""
ALL_OF_IT = 0.9
"""An interval as long as this says nothing."""


def contrasted(noise_AxA: Floats) -> float:
    """The variance of one mean, as it counts in a comparison of arms."""
    count = len(noise_AxA)
    return max(0.0, float(np.trace(noise_AxA) - noise_AxA.sum() / count)) / (count - 1)


@dataclass(frozen=True, eq=False)
class Points:
    """A metric of the arms of a sweep.

    Attributes:
        arms: names, by rising share.
        share_A: of each; [A, D] where D shares are free (`analysis.propose`).
        mean_A: of its runs, on the link's scale.
        noise_AxA: covariance of the means; what is common to all arms is of no account.
        freedom: degrees of freedom that it is known from; infinite where it is known.
        link: the scale.
        higher_is_better: which way is good.
        source: of the noise, in words.
    """

    arms: tuple[str, ...]
    share_A: Floats
    mean_A: Floats
    noise_AxA: Floats
    freedom: float
    link: Link
    higher_is_better: bool
    source: str

    @property
    def variance(self) -> float:
        """Of one mean."""
        return contrasted(self.noise_AxA)

    @property
    def noise(self) -> float:
        """Of one mean, as a standard deviation in the metric's unit."""
        slope_A = self.link.slope(self.link.back(self.mean_A))
        return float(np.sqrt(contrasted(self.noise_AxA / np.outer(slope_A, slope_A))))


@dataclass(frozen=True, eq=False)
class OfLaw:
    """A law of one metric: its error is in the metric's unit, `noise_AxA` and `freedom` are what it is judged by."""

    law: Law
    fitted: Fitted
    error: float
    misfit: float
    noise_AxA: Floats
    freedom: float
    fits: bool
    refuted: bool
    interval: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Optimum:
    """What the laws say of one metric.

    Attributes:
        points: what they were fitted to.
        laws: in the order of `LAWS`.
        best: of least error.
        share: where the best law is best, and `low` and `high` the interval; None of a constant.
        p: of "the share does not matter".
        why: what keeps it from being told; "" where it is told, before any correction of p.
    """

    points: Points
    laws: tuple[OfLaw, ...]
    best: OfLaw
    share: float | None
    low: float
    high: float
    p: float
    why: str


SAME, AS_GOOD, ANY = (
    "arms differ by no more than noise",
    "no law foretells a left-out arm better than a constant",
    "the interval is all there is",
)


def find(points: Points) -> Optimum:
    """Fit all laws to a metric and find its best share."""
    laws = tuple(replace(each, interval=_interval(points, each)) for each in weighed(points, LAWS))
    best = min(laws, key=lambda each: each.error)
    null = next(each for each in laws if each.law.name == CONSTANT)
    sets = [each.interval for each in laws if each is best or not (each.refuted or each is null)]
    sets.append(_of_arms(points, 0 if any(each.fits for each in laws) else 1))
    low, high = min(low for low, _ in sets), max(high for _, high in sets)
    share, p = None if best is null else _best(best.fitted, points), p_same(points)
    why = SAME if p > ALPHA else AS_GOOD if best.error >= null.error else ANY if high - low >= ALL_OF_IT else ""
    return Optimum(points, laws, best, share, low, high, p, why)


def weighed(points: Points, laws: Sequence[Law]) -> list[OfLaw]:
    """Each law fitted to the points, with the noise that it is judged by; without an interval."""
    fits = [(law, law.fit(points.share_A, points.mean_A, points.link)) for law in laws]
    misfits = [_misfit(points, law, fitted) for law, fitted in fits]
    least = min((misfit, points.mean_A.size - law.size) for misfit, (law, _) in zip(misfits, fits, strict=True))
    found = [_judged(points, *fit, misfit, least) for fit, misfit in zip(fits, misfits, strict=True)]
    some_fits = math.isfinite(points.freedom) and any(each.fits for each in found)
    return [replace(each, refuted=each.refuted or (some_fits and not each.fits)) for each in found]


def _best(fitted: Fitted, points: Points) -> float:
    value_S = fitted.predict(SHARES)
    return float(SHARES[np.argmax(value_S) if points.higher_is_better else np.argmin(value_S)])


def _of_arms(points: Points, around: int) -> tuple[float, float]:
    """The share of the best arm, or those from so many arms before it to as many after."""
    best = int(np.argmax(points.mean_A) if points.higher_is_better else np.argmin(points.mean_A))
    reached = points.share_A[max(0, best - around) : best + around + 1]
    return float(reached[0]), float(reached[-1])


def p_same(points: Points) -> float:
    """Of "all arms are equal", by analysis of variance."""
    count = points.mean_A.size
    centred = np.eye(count) - 1 / count
    inverse_AxA = np.linalg.pinv(centred @ points.noise_AxA @ centred, rcond=1e-9, hermitian=True)
    return _tail(float(points.mean_A @ inverse_AxA @ points.mean_A) / (count - 1), count - 1, points.freedom)


def scheffe(dimensions: int, freedom: float, alpha: float = ALPHA) -> float:
    """How many standard errors a contrast reaches, all contrasts of so many dimensions at once."""
    if np.isinf(freedom):
        return float(np.sqrt(special.chdtri(dimensions, alpha)))
    return float(np.sqrt(dimensions * special.fdtri(dimensions, freedom, 1 - alpha)))


def _tail(ratio: float, over: float, under: float) -> float:
    """P(F > ratio)."""
    if np.isinf(under):
        return float(special.chdtrc(over, over * ratio))
    return float(special.fdtrc(over, under, ratio))


def _misfit(points: Points, law: Law, fitted: Fitted) -> float:
    left_A = points.mean_A - fitted.predict(points.share_A)
    return float(left_A @ left_A) / (points.mean_A.size - law.size)


def _judged(points: Points, law: Law, fitted: Fitted, misfit: float, least: tuple[float, int]) -> OfLaw:
    """`least` is the smallest misfit of a law and its degrees of freedom."""
    left = points.mean_A.size - law.size
    chance = points.variance > 0 and _tail(misfit / points.variance, left, points.freedom) > ALPHA
    if chance and np.isfinite(points.freedom):
        freedom = points.freedom + left
        scale = (points.freedom * points.variance + left * misfit) / freedom / points.variance
    else:
        freedom, scale = (points.freedom, 1.0) if chance else (left, misfit / max(points.variance, SMALLEST_VARIANCE))
    noise_AxA = points.noise_AxA * scale if points.variance > 0 else np.eye(points.mean_A.size) * misfit
    refuted = (
        not chance and misfit > least[0] and _tail(misfit / max(least[0], SMALLEST_VARIANCE), left, least[1]) <= ALPHA
    )
    said_A = left_out(law, points.share_A, points.mean_A, points.link)
    error = float(np.sqrt(np.mean((points.link.back(said_A) - points.link.back(points.mean_A)) ** 2)))
    return OfLaw(law, fitted, error, misfit, noise_AxA, freedom, chance, refuted)


SMALLEST_VARIANCE = 1e-24


def _interval(points: Points, of_law: OfLaw) -> tuple[float, float]:
    """The shares than which the law puts no other beyond noise higher."""
    if of_law.law.name == CONSTANT:
        return 0.0, 1.0
    gain_SxS, reach_SxS = gains(points, of_law, SHARES, SHARES)
    kept = SHARES[~(gain_SxS > reach_SxS).any(axis=0)]
    return float(kept[0]), float(kept[-1])


def gains(points: Points, of_law: OfLaw, at_M: Floats, over_K: Floats, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """By how much a law that is no constant puts some shares above others, and Scheffé's reach of it, both [M, K].

    They are on the scale on which the law is linear (`Fitted.of_metric`); better is higher, whatever the metric.
    """
    y_A, noise_AxA, basis = points.mean_A, of_law.noise_AxA, of_law.fitted.basis
    if of_law.fitted.of_metric:
        y_A = points.link.back(y_A)
        noise_AxA = noise_AxA / np.outer(points.link.slope(y_A), points.link.slope(y_A))
    slopes_DxA = np.linalg.pinv(np.column_stack([np.ones(y_A.size), basis(points.share_A)]))[1:]
    slope_D, spread_DxD = slopes_DxA @ y_A, slopes_DxA @ noise_AxA @ slopes_DxA.T
    apart_MxKxD = basis(at_M)[:, None] - basis(over_K)[None]
    errors_MxK = np.sqrt(np.einsum("mkd,de,mke->mk", apart_MxKxD, spread_DxD, apart_MxKxD).clip(0))
    gain_MxK = apart_MxKxD @ (slope_D if points.higher_is_better else -slope_D)
    return gain_MxK, scheffe(of_law.law.size - 1, of_law.freedom, alpha) * errors_MxK
