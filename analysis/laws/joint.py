"""One law of model size, tokens and share together, from the same sweep at three model sizes or more.

The additive form of arXiv:2507.09404 (Scaling Laws for Optimal Data Mixtures), for the loss of a model of N parameters
that read D tokens, h_i of them of kind i; here two kinds, what is text and what is not:

    L = E + 1 / (C₁ (1 − s)^γ₁ + C₂ s^γ₂) + A / N^α + B / D^β

Nothing in it depends on share and size at once, so its best share is one for all sizes. Three sizes, each with its own
D, cannot tell A / N^α from B / D^β: unless there are five pairs of N and D, and sizes of unequal D, A / N^α is fitted
alone and stands for both. Given α, β, γ and C₂ / C₁ all else is linear; those are searched from the best of a grid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from analysis.laws.forms import LAWS, LOG, Law
from analysis.laws.optimum import ALL_OF_IT, ANY, AS_GOOD, SAME, SHARES, Points, p_same
from analysis.laws.told import finite
from analysis.metrics import Metric
from analysis.statistics import ALPHA, Floats
from store.errors import UserError

JOINT, FEWEST_SIZES, FEWEST_PAIRS = "joint", 3, 5
DRAWS, SEED = 100, 0


@dataclass(frozen=True, eq=False)
class Size:
    """A sweep at one size: parameters of its model, tokens of a run, and the points of one metric."""

    study: str
    model: str
    parameters: int
    tokens: int
    points: Points


@dataclass(frozen=True, eq=False)
class Data:
    """All runs' means in a row, R of them."""

    value_R: Floats
    share_R: Floats
    parameters_R: Floats
    tokens_R: Floats

    def kept(self, rows_R: Floats) -> "Data":
        return Data(*(column_R[rows_R] for column_R in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Fit:
    """The law that was found; of `linear` E, 1 / C₁, A and, where it can be told, B."""

    gammas: tuple[float, float]
    ratio: float
    exponents: tuple[float, ...]
    linear: tuple[float, ...]

    def mixing(self, share_R: Floats) -> Floats:
        return self.linear[1] * _mixing(self.gammas, self.ratio, share_R)

    def predict(self, data: Data) -> Floats:
        sizes = zip(self.linear[2:], self.exponents, (data.parameters_R, data.tokens_R), strict=False)
        return self.linear[0] + self.mixing(data.share_R) + sum(a * of_R**-e for a, e, of_R in sizes)

    @property
    def named(self) -> dict[str, float]:
        first = 1 / self.linear[1] if self.linear[1] else np.inf
        found = {"E": self.linear[0], "C1": first, "C2": first * self.ratio}
        found |= {"gamma1": self.gammas[0], "gamma2": self.gammas[1]}
        for (letter, exponent), a, e in zip(
            (("A", "alpha"), ("B", "beta")), self.linear[2:], self.exponents, strict=False
        ):
            found |= {letter: a, exponent: e}
        return {name: float(number) for name, number in found.items()}


def _mixing(gammas: tuple[float, float], ratio: float, share_R: Floats) -> Floats:
    worth_R: Floats = (1 - share_R) ** gammas[0] + ratio * share_R ** gammas[1]
    return 1 / worth_R


GAMMAS, RATIOS, EXPONENTS = (0.02, 2.0), (0.02, 50.0), (0.05, 1.5)
"""Between which each is searched."""


def fit(data: Data, start: Fit | None = None) -> Fit:
    """Least squares, from the best of a grid or from another fit; linear parts are not negative."""
    pairs = set(zip(data.parameters_R, data.tokens_R, strict=True))
    tokens = len(pairs) >= FEWEST_PAIRS and len(pairs) > len(set(data.parameters_R))
    ends_Kx2 = np.log([GAMMAS, GAMMAS, RATIOS, EXPONENTS, *([EXPONENTS] if tokens else [])])
    if start is None:
        axes = [np.linspace(low, high, GRID) for low, high in ends_Kx2]
        at_GxK = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        first_SxK = at_GxK[np.argsort(_linear(data, np.exp(at_GxK))[0], kind="stable")[:STARTS]]
    else:
        first_SxK = np.log([[*start.gammas, start.ratio, *start.exponents]])

    def missed(at_K: Floats) -> Floats:
        return _fit(data, at_K).predict(data) - data.value_R

    inside = ends_Kx2.T + np.array([[1e-9], [-1e-9]])
    found = [
        least_squares(missed, np.clip(at_K, *inside), bounds=ends_Kx2.T, max_nfev=MOST_STEPS) for at_K in first_SxK
    ]
    return _fit(data, min(found, key=lambda each: each.cost).x)


GRID, STARTS, MOST_STEPS = 6, 3, 40


def _fit(data: Data, at_K: Floats) -> Fit:
    g1, g2, ratio, *exponents = (float(each) for each in np.exp(at_K))
    linear_P = np.maximum(_linear(data, np.exp(at_K)[None])[1][0], [-np.inf, *[0.0] * (1 + len(exponents))])
    return Fit((g1, g2), ratio, tuple(exponents), tuple(float(each) for each in linear_P))


def _linear(data: Data, at_GxK: Floats) -> tuple[Floats, Floats]:
    """What is left of the squares, by exponents, and E, 1 / C₁, A and B; endless where one of these is negative."""
    first_GxR = (1 - data.share_R) ** at_GxK[:, :1] + at_GxK[:, 2:3] * data.share_R ** at_GxK[:, 1:2]
    sizes = [
        of_R ** -at_GxK[:, [3 + number]]
        for number, of_R in enumerate((data.parameters_R, data.tokens_R))
        if 3 + number < at_GxK.shape[1]
    ]
    columns_GxRxP = np.stack([np.ones_like(first_GxR), 1 / first_GxR, *sizes], axis=-1)
    scale_GxP = np.abs(columns_GxRxP).max(axis=1)
    q_GxRxP, r_GxPxP = np.linalg.qr(columns_GxRxP / scale_GxP[:, None])
    along_GxP = np.einsum("grp,r->gp", q_GxRxP, data.value_R)
    linear_GxP = np.linalg.solve(r_GxPxP + 1e-12 * np.eye(scale_GxP.shape[1]), along_GxP[..., None])[..., 0]
    left_G = data.value_R @ data.value_R - (along_GxP**2).sum(axis=1)
    return np.where((linear_GxP[:, 1:] >= 0).all(axis=1), left_G, np.inf), linear_GxP / scale_GxP


def data_of(sizes: Sequence[Size]) -> Data:
    """Raises UserError for fewer than FEWEST_SIZES sizes of model."""
    models = list(dict.fromkeys(size.model for size in sizes))
    if len({size.parameters for size in sizes}) < FEWEST_SIZES:
        raise UserError(
            f"the joint law takes the sweep at {FEWEST_SIZES} model sizes or more, and these have {len(models)} "
            f"({', '.join(models)}); name more scales, or one for its own laws"
        )
    columns = zip(*(vars(_one(size)).values() for size in sizes), strict=True)
    return Data(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, eq=False)
class Joined:
    """The joint law of one metric; errors are of every law, the others fitted to each size by itself."""

    metric: Metric
    sizes: Sequence[Size]
    fitted: Fit
    errors: dict[str, float]
    share: float
    low: float
    high: float
    p: float
    why: str

    @property
    def sentence(self) -> str:
        share, low, high = (f"{100 * each:.3g}" for each in (self.share, self.low, self.high))
        if self.why:
            return f"{self.metric.label}: cannot tell which share is best at all sizes; {self.why}."
        return (
            f"{self.metric.label}: best at {share} % at all sizes (95 % interval {low} to {high} %), by the joint law."
        )


def join(metric: Metric, sizes: Sequence[Size]) -> Joined:
    """Fit the joint law and compare it with the others by what it misses of a share that is left out at all sizes.

    The lowest and the highest share are not left out: beyond all others a power may go anywhere.

    The interval is of DRAWS fits to the law and noise drawn anew, as large as that of the means or as what the law
    misses, whichever is more.
    """
    data = data_of(sizes)
    fitted = fit(data)
    inner = np.unique(data.share_R)[1:-1]
    errors = {JOINT: _error([(fit(data.kept(data.share_R != s), fitted).predict, data, s) for s in inner])}
    for law in LAWS:
        errors[law.name] = _error([(_alone(law, size, s), _one(size), s) for size in sizes for s in inner])
    share, p = _best(fitted), min(1.0, len(sizes) * min(p_same(size.points) for size in sizes))
    why = SAME if p > ALPHA else AS_GOOD if errors[JOINT] >= errors[LAWS[0].name] else ""
    if why:
        return Joined(metric, sizes, fitted, errors, share, 0.0, 1.0, p, why)
    best_D = np.array([_best(each) for each in _drawn(data, fitted, sizes)])
    low, high = (float(end) for end in np.quantile(best_D, [ALPHA / 2, 1 - ALPHA / 2]))
    low, high = min(low, share), max(high, share)
    return Joined(metric, sizes, fitted, errors, share, low, high, p, ANY if high - low >= ALL_OF_IT else "")


def _one(size: Size) -> Data:
    count = size.points.share_A.size
    sizes = (np.full(count, float(of)) for of in (size.parameters, size.tokens))
    return Data(np.exp(size.points.mean_A), size.points.share_A, *sizes)


def _alone(law: Law, size: Size, share: float) -> Callable[[Data], Floats]:
    """A law fitted to one size without a share."""
    kept_A = size.points.share_A != share
    found = law.fit(size.points.share_A[kept_A], size.points.mean_A[kept_A], LOG)
    return lambda data: np.exp(found.predict(data.share_R))


def _error(said: Sequence[tuple[Callable[[Data], Floats], Data, float]]) -> float:
    """Root mean square of what each law misses of a share that it was not fitted to."""
    out = [(predict, data.kept(data.share_R == share)) for predict, data, share in said]
    missed = np.concatenate([predict(data) - data.value_R for predict, data in out])
    return float(np.sqrt(np.mean(missed**2)))


def _best(fitted: Fit) -> float:
    return float(SHARES[np.argmin(fitted.mixing(SHARES))])


def _drawn(data: Data, fitted: Fit, sizes: Sequence[Size]) -> list[Fit]:
    said_R = fitted.predict(data)
    freedom = max(1, said_R.size - 3 - len(fitted.exponents) - len(fitted.linear))
    misfit = float(((said_R - data.value_R) ** 2).sum()) / freedom
    noise_R = np.concatenate([np.full(size.points.share_A.size, size.points.variance) for size in sizes]) * said_R**2
    rng = np.random.default_rng(SEED)
    noise_DxR = rng.normal(0, np.sqrt(np.maximum(noise_R, misfit)), (DRAWS, said_R.size))
    return [fit(Data(said_R + noise_of_R, *list(vars(data).values())[1:]), fitted) for noise_of_R in noise_DxR]


def to_json(of: Sequence[str], joined: Sequence[Joined]) -> dict[str, Any]:
    """Plain values.

    Returns:
        "of", and "metrics", of each of which "metric", "label", "sizes" ("study", "model", "parameters", "tokens"),
        "parameters" of the joint law, "laws" ("law", "error"), "p", "optimum" and "interval" (null where it cannot be
        told), "why" and "finding".
    """
    return {
        "of": ", ".join(of),
        "metrics": [
            {
                **{"metric": each.metric.name, "label": each.metric.label},
                "sizes": [{name: vars(size)[name] for name in SIZE} for size in each.sizes],
                "parameters": {name: finite(number) for name, number in each.fitted.named.items()},
                "laws": [{"law": name, "error": error} for name, error in each.errors.items()],
                "p": each.p,
                "optimum": None if each.why else each.share,
                "interval": None if each.why else [each.low, each.high],
                **{"why": each.why, "finding": each.sentence},
            }
            for each in joined
        ],
    }


SIZE = ("study", "model", "parameters", "tokens")
