"""Win rates with their uncertainty.

Intervals are of 95 %, from a bootstrap over prompts: all that was judged on a prompt (several seeds, both orders) is
drawn together, since drawing its parts one by one would make the intervals too narrow. They speak for other prompts,
not for other training seeds: with one seed an arm, that noise is not in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.evals.judge.verdicts import Judged
from analysis.statistics import DRAWS_AT_ONCE, RESAMPLES, TAILS, Floats, Interval, draws, percentiles
from mixtures.errors import Failure, UserError

RIDGE = 0.01
"""Penalty on a coefficient, in units of one comparison: keeps a fit finite where one side never loses."""
ITERATIONS = 50
LONGEST_STEP = 2.0
"""Of Newton's method, in logits; far from the solution a full step can overshoot."""
SCORES = {"win": 1.0, "tie": 0.5, "loss": 0.0}


@dataclass(frozen=True)
class Share:
    """A fraction of `n` things."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class WinRate:
    """One arm against a baseline.

    Attributes:
        n: pairs with a verdict; all fractions are of these.
        half: win + tie / 2, the paper's second definition.
        difference: win - loss, with the p of "no difference".
        sign_p: exact sign test over prompts, those with as many wins as losses left out.
        length_controlled: `half` as it would be if both answers were equally long.
        length_effect: logits per unit of tanh(difference of lengths / its standard deviation).
        agreement: how often the two orders gave the same verdict; None from a judge that sees no order.
        first: how often the answer shown first was preferred; 1/2 without position bias. None likewise.
        invalid, gaps: pairs left out, for an unreadable verdict or for none.
        identical, empty: pairs decided without asking, counted in n: equal answers tie, a blank one loses.
        arm_length, baseline_length: mean length of the answers in characters.
    """

    n: int
    prompts: int
    win: Share
    tie: Share
    loss: Share
    half: Share
    difference: Interval
    sign_p: float
    length_controlled: Share
    length_effect: Interval
    agreement: Share | None
    first: Share | None
    invalid: int
    gaps: int
    identical: int
    empty: int
    arm_length: float
    baseline_length: float


def win_rate(judged: Sequence[Judged]) -> WinRate:
    """Sum up what a judge made of the pairs of two arms.

    Raises:
        Failure: no pair has a verdict.
    """
    valid = _valid(judged)
    won, tied, lost = (np.array([j.outcome == o for j in valid], np.float64) for o in ("win", "tie", "loss"))
    ids = [j.id for j in valid]
    net_P = np.bincount(_numbered(ids), won - lost)
    ordered = [j for j in valid if len(j.verdicts) == 2]
    ordered_ids = [j.id for j in ordered]
    controlled, effect = length_controlled(valid)
    return WinRate(
        n=len(valid),
        prompts=net_P.size,
        win=share(ids, won),
        tie=share(ids, tied),
        loss=share(ids, lost),
        half=share(ids, won + tied / 2),
        difference=_mean(_numbered(ids), won - lost),
        sign_p=sign_test(int((net_P > 0).sum()), int((net_P < 0).sum())),
        length_controlled=controlled,
        length_effect=effect,
        agreement=share(ordered_ids, np.array([j.verdicts[0] == j.verdicts[1] for j in ordered])) if ordered else None,
        first=share(ordered_ids, np.array([_firsts(j) for j in ordered])) if ordered else None,
        invalid=_count(judged, "invalid"),
        gaps=_count(judged, "gap"),
        identical=sum(j.note == "identical" for j in valid),
        empty=sum(j.note == "empty" for j in valid),
        arm_length=float(np.mean([j.arm_length for j in valid])),
        baseline_length=float(np.mean([j.baseline_length for j in valid])),
    )


def sign_test(wins: int, losses: int) -> float:
    """The exact two-sided p of "wins and losses are equally likely"."""
    return min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))


def share(ids: Sequence[str], hits_R: np.ndarray) -> Share:
    """The mean of R values in [0, 1] with its interval; `ids` are those of their prompts.

    Where all values are 0 or all are 1, no draw differs, and the end is the exact binomial one over the prompts.
    """
    prompt_R = _numbered(ids)
    found = _mean(prompt_R, hits_R.astype(np.float64))
    low, high = found.low, found.high
    unseen = 1 - TAILS[0] ** (1 / (int(prompt_R.max()) + 1))
    if found.centre == 0:
        high = unseen
    if found.centre == 1:
        low = 1 - unseen
    return Share(found.centre, low, high, len(hits_R))


def difference(arm: Sequence[Judged], other: Sequence[Judged]) -> Interval:
    """How much better one arm does than another against the same baseline: win + tie/2, paired by prompt.

    Raises:
        Failure: an arm has no verdict.
        UserError: the two were judged on different prompts.
    """
    means = []
    for judged in (_valid(arm), _valid(other)):
        ids = sorted({j.id for j in judged})
        prompt_R = _numbered([j.id for j in judged])
        sums_P = np.bincount(prompt_R, [SCORES[j.outcome] for j in judged])
        means.append(dict(zip(ids, sums_P / np.bincount(prompt_R), strict=True)))
    shared = sorted(means[0].keys() & means[1].keys())
    if not shared:
        raise UserError("the two arms share no prompt with a verdict; judge both on the same prompts")
    return _mean(np.arange(len(shared)), np.array([means[0][id_] - means[1][id_] for id_ in shared]))


def length_controlled(judged: Sequence[Judged]) -> tuple[Share, Interval]:
    """The rate of win + tie/2 at equal lengths, and the effect of length.

    AlpacaEval's length-controlled rate (arXiv:2404.04475) without its terms for the instruction, which need the
    verdicts of many models: a logistic regression of the score on a constant and tanh of the difference in length
    over its standard deviation, read off at difference 0.

    Raises:
        Failure: no pair has a verdict.
    """
    valid = _valid(judged)
    score_R = np.array([SCORES[j.outcome] for j in valid])
    longer_R = np.array([j.arm_length - j.baseline_length for j in valid], np.float64)
    # One length in all pairs tells nothing of length; tanh of 0 leaves the constant alone.
    length_R = np.tanh(longer_R / longer_R.std()) if longer_R.std() > 0 else np.zeros(len(valid))
    prompt_R = _numbered([j.id for j in valid])
    constant, effect = _logistic(length_R, score_R, np.ones((1, len(valid))))[0]
    resampled_Bx2 = np.concatenate(
        [_logistic(length_R, score_R, draws_CxP[:, prompt_R]) for draws_CxP in _parts(int(prompt_R.max()) + 1)]
    )
    low, high = np.quantile(special.expit(resampled_Bx2[:, 0]), TAILS)
    rate = Share(float(special.expit(constant)), float(low), float(high), len(valid))
    return rate, percentiles(resampled_Bx2[:, 1], float(effect))


def _logistic(x_R: Floats, y_R: Floats, weight_BxR: Floats) -> Floats:
    """Constant and slope of B ridge-penalised logistic regressions of y in [0, 1] on x, of shape B x 2."""
    fit_Bx2 = np.zeros((len(weight_BxR), 2))
    for _ in range(ITERATIONS):
        p_BxR = special.expit(fit_Bx2[:, :1] + fit_Bx2[:, 1:] * x_R)
        missing_BxR = weight_BxR * (y_R - p_BxR)
        curve_BxR = weight_BxR * p_BxR * (1 - p_BxR)
        gradient_Bx2 = np.stack([missing_BxR.sum(1), missing_BxR @ x_R], axis=1) - RIDGE * fit_Bx2
        a, b, c = curve_BxR.sum(1) + RIDGE, curve_BxR @ x_R, curve_BxR @ x_R**2 + RIDGE
        inverse_Bx2x2 = np.array([[c, -b], [-b, a]]).transpose(2, 0, 1) / (a * c - b * b)[:, None, None]
        step_Bx2 = np.einsum("bij,bj->bi", inverse_Bx2x2, gradient_Bx2).clip(-LONGEST_STEP, LONGEST_STEP)
        fit_Bx2 += step_Bx2
        if np.abs(step_Bx2).max() < 1e-9:
            break
    return fit_Bx2


def _valid(judged: Sequence[Judged]) -> list[Judged]:
    valid = [j for j in judged if j.outcome in SCORES]
    if not valid:
        raise Failure(
            f"no pair has a verdict ({_count(judged, 'invalid')} invalid, {_count(judged, 'gap')} gaps); "
            "look at the replies in the judge's cache"
        )
    return valid


def _count(judged: Sequence[Judged], outcome: str) -> int:
    return sum(j.outcome == outcome for j in judged)


def _firsts(judged: Judged) -> float:
    return ((judged.verdicts[0] == "arm") + (judged.verdicts[1] == "baseline")) / 2


def _numbered(ids: Sequence[str]) -> np.ndarray:
    """The number of each id among the sorted ones."""
    return np.unique(np.array(ids, dtype=object), return_inverse=True)[1]


def _mean(prompt_R: np.ndarray, value_R: Floats) -> Interval:
    """The mean of R values and its interval by prompt."""
    totals_Px2 = np.stack([np.bincount(prompt_R, value_R), np.bincount(prompt_R)], axis=1)
    resampled_Bx2 = np.concatenate([draws_CxP @ totals_Px2 for draws_CxP in _parts(len(totals_Px2))])
    return percentiles(resampled_Bx2[:, 0] / resampled_Bx2[:, 1], float(value_R.mean()))


def _parts(prompts: int) -> Iterator[Floats]:
    """How often each prompt is drawn, `RESAMPLES` rows in parts that bound the memory."""
    for part in np.array_split(draws(prompts, 1, RESAMPLES), 1 + RESAMPLES * prompts // DRAWS_AT_ONCE):
        yield part.astype(np.float64)
