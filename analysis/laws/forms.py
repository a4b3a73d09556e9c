"""The laws that say how a metric follows the share of a mixture, fitted in closed form. Pure functions of arrays.

They are fitted to arms' means on a scale on which noise is as large everywhere and no prediction is impossible (`Link`:
logarithms of bits, log-odds of accuracies):

    constant       link(y) = c. The null: the share does not matter.
    exponential    y = c + k exp(t s), the exponential mixing law with one free share (Ye et al., arXiv:2403.16952, eq.
                   1); of an accuracy its log-odds are. It is monotone: its best share is 0 or 1.
    quadratic      link(y) = a + b s + c s². With a best share in between, where arms fall off evenly.
    quadratic in log-odds
                   link(y) = a + b z + c z², z the log-odds of 0.05 + 0.9 s. The same where they fall off steeply at an
                   end, as reasoning in the paper where the last text goes; log-odds of s itself are endless there.

The last two differ in shape alone. With one of them a steep end would refute the only law that can have its optimum
inside, and leave one that cannot: the form, and no run, would then say that the best share is at an end.

Only t is not linear; it is searched on a grid that closes in on the best, so that equal data give equal laws.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis.metrics import Score
from analysis.statistics import Floats

CONSTANT, EXPONENTIAL, QUADRATIC, STEEP = "constant", "exponential", "quadratic", "quadratic in log-odds"


@dataclass(frozen=True)
class Link:
    """A scale on which a metric is fitted: there, back, and by how much a small step is longer there."""

    name: str
    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


LOG = Link("log", np.log, np.exp, lambda y: 1 / y)
LOG_ODDS = Link("log-odds", lambda y: np.log(y / (1 - y)), lambda z: 1 / (1 + np.exp(-z)), lambda y: 1 / (y * (1 - y)))
PLAIN = Link("plain", lambda y: y, lambda z: z, np.ones_like)


def link_of(score: Score) -> Link:
    if score.share and not score.below_zero:
        return LOG_ODDS
    return LOG if score.name in ("bpb", "gold_bpb") else PLAIN


@dataclass(frozen=True)
class Fitted:
    """A law and its parameters.

    Attributes:
        predict: from shares to what they give on the link's scale.
        parameters: by name.
        basis: what a share's prediction is linear in, the constant left out, [shares, dimensions]; of the exponential
            law at the t that was found.
        of_metric: whether that prediction is the metric's own, and not the link's.
    """

    predict: Callable[[Floats], Floats]
    parameters: Mapping[str, float]
    basis: Callable[[Floats], Floats]
    of_metric: bool = False


@dataclass(frozen=True)
class Law:
    name: str
    size: int
    """Parameters."""
    fit: Callable[[Floats, Floats, Link], Fitted]
    """Of shares, arms' means on the link's scale, and the link."""


def _constant(share_A: Floats, mean_A: Floats, link: Link) -> Fitted:
    level = float(mean_A.mean())
    return Fitted(lambda s: np.full(len(s), level), {"c": level}, lambda s: np.empty((len(s), 0)))


MARGIN = 0.05
"""That shares are moved inwards before their log-odds are taken."""


def _of_powers(moved: Callable[[Floats], Floats], share_A: Floats, mean_A: Floats, link: Link) -> Fitted:
    def powers(s: Floats) -> Floats:
        return np.stack([moved(s), moved(s) ** 2], axis=-1)

    a, b, c = solved(powers(share_A), mean_A)
    return Fitted(lambda s: a + powers(s) @ np.array([b, c]), {"a": a, "b": b, "c": c}, powers)


def _exponential(share_A: Floats, mean_A: Floats, link: Link) -> Fitted:
    own = link is LOG
    y_A = link.back(mean_A) if own else mean_A
    rates = np.concatenate([-np.geomspace(STEEPEST, FLATTEST, 120), np.geomspace(FLATTEST, STEEPEST, 120)])
    for _ in range(REFINED):
        best = int(np.argmin(_misfit(rates, share_A, y_A)))
        rates = np.linspace(rates[max(0, best - 1)], rates[min(rates.size - 1, best + 1)], 40)  # even: none is 0
    t = float(rates[np.argmin(_misfit(rates, share_A, y_A))])
    start, rise = solved(_risen(np.array([t]), share_A).T, y_A)
    k = rise / abs(float(np.expm1(t)))
    c = start - k

    def predict(s: Floats) -> Floats:
        value = c + k * np.exp(t * s)
        return link.to(np.maximum(value, SMALLEST)) if own else value

    return Fitted(predict, {"c": c, "k": k, "t": t}, lambda s: _risen(np.array([t]), s).T, own)


STEEPEST, FLATTEST = 20.0, 0.05
"""Of t. At 20 nearly all of a law's change is in 15 points of share; at 0.05 it is a straight line."""
REFINED = 5
SMALLEST = 1e-9
"""Bits per byte of a law that has left what there can be."""


def _risen(rate_T: Floats, share_A: Floats) -> Floats:
    """exp(t s), moved and scaled so that it is 0 at the share 0 and 1 in size at 1, [T, A]."""
    risen: Floats = np.expm1(rate_T[:, None] * share_A) / np.abs(np.expm1(rate_T))[:, None]
    return risen


def _misfit(rate_T: Floats, share_A: Floats, y_A: Floats) -> Floats:
    """What is left of the squares, by t, with the best c and k."""
    risen_TxA = _risen(rate_T, share_A)
    risen_TxA = risen_TxA - risen_TxA.mean(axis=1, keepdims=True)
    y_A = y_A - y_A.mean()
    left: Floats = y_A @ y_A - (risen_TxA @ y_A) ** 2 / (risen_TxA**2).sum(axis=1)
    return left


def solved(basis_AxD: Floats, y_A: Floats) -> list[float]:
    """Least squares of a constant and the basis; the constant comes first."""
    found = np.linalg.lstsq(np.column_stack([np.ones(y_A.size), basis_AxD]), y_A, rcond=None)[0]
    return [float(each) for each in found]


LAWS = (
    Law(CONSTANT, 1, _constant),
    Law(EXPONENTIAL, 3, _exponential),
    Law(QUADRATIC, 3, partial(_of_powers, lambda s: s)),
    Law(STEEP, 3, partial(_of_powers, lambda s: LOG_ODDS.to(MARGIN + (1 - 2 * MARGIN) * s))),
)


def left_out(law: Law, share_A: Floats, mean_A: Floats, link: Link) -> Floats:
    """What the law says of each arm when it is fitted to the others, on the link's scale."""
    keep = ~np.eye(mean_A.size, dtype=bool)
    return np.array([law.fit(share_A[kept], mean_A[kept], link).predict(share_A[~kept])[0] for kept in keep])
