"""What a judge's verdicts say of one arm against another, with its uncertainty: win rates.

Intervals are of 95 %, by prompt: all that was judged on a prompt (several seeds, both orders) goes together. From two
seeds on they are the crossed ones of `analysis.statistics`, for other prompts and other seeds; with one seed they speak
for other prompts alone. So that they do not shrink to nothing where all is won or all is tied, four prompts are added
for them (never for the rate itself): two won and two lost, as Agresti and Coull (1998) have it for one share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.evals.preference.verdicts import Judged
from analysis.statistics import Floats, Interval, Shared, Side, effective, interval, numbered, spread_of
from store.errors import Failure

Runs = Mapping[int, tuple[int, int]]
"""By the seed of a run those of its weights and of its data. Without it, every run is taken to have its own."""

RIDGE = 0.01
"""Penalty on a coefficient, in units of one comparison: keeps a fit finite where one side never loses."""
ITERATIONS = 50
LONGEST_STEP = 2.0
"""Of Newton's method, in logits; far from the solution a full step can overshoot."""
SCORES = {"win": 1.0, "tie": 0.5, "loss": 0.0}
UNASKED = ("identical", "empty")
"""Notes of pairs that were decided without asking the judge."""
ADDED = np.array([1.0, 1.0, 0.0, 0.0])
"""The scores of the prompts that are added for an interval."""
ADDED_LENGTH = np.array([1.0, -1.0, 1.0, -1.0])
"""Their lengths, in units of tanh: each side wins once with the longer answer and once with the shorter one."""


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
        half: win + tie / 2: the paper's 53.3 % (arXiv:2408.10914, findings box of section 3.1).
        difference: win - loss, with the p of "no difference": the paper's 6.6 %, which are points (figure 9).
        sign_p: exact sign test over prompts, those with as many wins as losses left out. It is of these seeds alone.
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


def win_rate(judged: Sequence[Judged], runs: Runs | None = None) -> WinRate:
    """Sum up what a judge made of the pairs of two arms.

    Args:
        judged: every pair under every seed.
        runs: what their seeds are made of, where runs share some.

    Raises:
        Failure: no pair has a verdict.
    """
    valid = _valid(judged)
    won, tied, lost = (np.array([j.outcome == o for j in valid], np.float64) for o in ("win", "tie", "loss"))
    ids, seeds = [j.id for j in valid], [j.seed for j in valid]
    net_P = np.bincount(numbered(ids), won - lost)
    ordered = [j for j in valid if len(j.verdicts) == 2]
    ordered_ids, ordered_seeds = [j.id for j in ordered], [j.seed for j in ordered]
    agreed = np.array([j.verdicts[0] == j.verdicts[1] for j in ordered])
    firsts = np.array([_firsts(j) for j in ordered])
    controlled, effect = length_controlled(valid, runs)
    return WinRate(
        n=len(valid),
        prompts=net_P.size,
        win=share(ids, won, seeds, runs),
        tie=share(ids, tied, seeds, runs),
        loss=share(ids, lost, seeds, runs),
        half=share(ids, won + tied / 2, seeds, runs),
        difference=mean(ids, won - lost, seeds, (-1.0, 1.0), runs),
        sign_p=sign_test(int((net_P > 0).sum()), int((net_P < 0).sum())),
        length_controlled=controlled,
        length_effect=effect,
        agreement=share(ordered_ids, agreed, ordered_seeds, runs) if ordered else None,
        first=share(ordered_ids, firsts, ordered_seeds, runs) if ordered else None,
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


@dataclass(frozen=True)
class Rows:
    """R judged pairs by seed and prompt, and after them what is added: four prompts in every seed.

    `weight_R` is 1 for a pair, and for what is added the mean number of pairs that a prompt has in that seed. `shared`
    are the seeds of weights and data of every seed's run, where those are known.
    """

    seed_R: np.ndarray
    prompt_R: np.ndarray
    weight_R: Floats
    shared: Shared = ()

    def around(self, centre: float, value_R: Floats, ends: tuple[float, float]) -> Interval:
        """The interval of the mean of `value_R`, within `ends`, told around `centre`; p is that of "it is 0"."""
        shape = (int(self.seed_R.max()) + 1, int(self.prompt_R.max()) + 1)
        at_R = self.seed_R * shape[1] + self.prompt_R
        score_SxP, size_SxP = (
            np.bincount(at_R, weights, shape[0] * shape[1]).astype(np.float64).reshape(shape)
            for weights in (self.weight_R * value_R, self.weight_R)
        )
        value_S, added_SxP = Side(score_SxP, size_SxP).linear
        spread = spread_of(value_S, [added_SxP], [effective(size_SxP.sum(axis=0)) - 1], self.shared)
        found = interval(float(value_S.mean()), spread)
        low, high = (float(np.clip(end, *ends)) for end in (found.low, found.high))
        return Interval(centre, min(low, centre), max(high, centre), found.p)


def rows_of(
    ids: Sequence[str], seeds: Sequence[int], runs: Runs | None = None, met_R: np.ndarray | int = 0, n_met: int = 1
) -> Rows:
    """Of pairs that were judged, by their prompts' ids and seeds.

    Of several games, `met_R` is which one a pair is of; on the added prompts all meet under every seed.
    """
    prompt_R, (seed_S, seed_R) = numbered(ids), np.unique(np.array(seeds), return_inverse=True)
    count_ExS = np.zeros((n_met, seed_S.size))
    np.add.at(count_ExS, (np.broadcast_to(met_R, seed_R.shape), seed_R), 1)
    n_prompts, met_ExS = int(prompt_R.max()) + 1, np.indices(count_ExS.shape)
    return Rows(
        seed_R=np.concatenate([seed_R, np.repeat(met_ExS[1], ADDED.size)]),
        prompt_R=np.concatenate([prompt_R, n_prompts + np.tile(np.arange(ADDED.size), count_ExS.size)]),
        weight_R=np.concatenate([np.ones(len(ids)), np.repeat(count_ExS / n_prompts, ADDED.size)]),
        shared=[runs[int(seed)] for seed in seed_S] if runs else (),
    )


def share(
    ids: Sequence[str], hits_R: np.ndarray, seeds: Sequence[int] | None = None, runs: Runs | None = None
) -> Share:
    """The mean of R values in [0, 1] with its interval; `ids` are those of their prompts."""
    found = mean(ids, hits_R, seeds or [0] * len(ids), (0.0, 1.0), runs)
    return Share(found.centre, found.low, found.high, len(hits_R))


def mean(
    ids: Sequence[str],
    value_R: np.ndarray,
    seeds: Sequence[int],
    ends: tuple[float, float],
    runs: Runs | None = None,
) -> Interval:
    """The mean of R values between two ends with its interval."""
    rows, (least, most) = rows_of(ids, seeds, runs), ends
    added = np.tile(least + (most - least) * ADDED, int(rows.seed_R.max()) + 1)
    return rows.around(float(value_R.mean()), np.concatenate([value_R, added]), ends)


def length_controlled(judged: Sequence[Judged], runs: Runs | None = None) -> tuple[Share, Interval]:
    """The rate of win + tie/2 at equal lengths, and the effect of length.

    AlpacaEval's length-controlled rate (arXiv:2404.04475) without its terms for the instruction, which need the
    verdicts of many models: a logistic regression of the score on a constant and tanh of the difference in length
    over its standard deviation, read off at difference 0. It is fitted on what the judge was asked; what was decided
    without asking has no length to control for and counts as it is. Intervals are from the fit's sandwich variance.

    Raises:
        Failure: no pair has a verdict.
    """
    valid = _valid(judged)
    score_R = np.array([SCORES[j.outcome] for j in valid])
    asked_R = np.array([j.note not in UNASKED for j in valid])
    longer_R = np.array([j.arm_length - j.baseline_length for j in valid], np.float64)
    sd = float(longer_R[asked_R].std()) if asked_R.any() else 0.0
    # One length in all pairs tells nothing of length; tanh of 0 leaves the constant alone.
    length_R = np.tanh(longer_R / sd) if sd > 0 else np.zeros(len(valid))
    design_2xR = np.stack([np.ones(len(valid)), length_R])
    (constant, slope), _ = logistic(design_2xR[:, asked_R], score_R[asked_R], np.ones(int(asked_R.sum())))
    rate = float(np.where(asked_R, special.expit(constant), score_R).mean())

    rows = rows_of([j.id for j in valid], [j.seed for j in valid], runs)
    times = int(rows.seed_R.max()) + 1
    x_R, y_R = (np.concatenate([of, np.tile(more, times)]) for of, more in ((length_R, ADDED_LENGTH), (score_R, ADDED)))
    weight_R = rows.weight_R * np.concatenate([asked_R, np.ones(x_R.size - len(valid))])
    fit, moved_2xR = moving(np.stack([np.ones(x_R.size), x_R]), y_R, weight_R)
    level = float(special.expit(fit[0]))
    value_R = np.where(weight_R > 0, level, y_R) + weight_R.sum() * level * (1 - level) * moved_2xR[0]
    found = rows.around(rate, value_R, (0.0, 1.0))
    effect = rows.around(float(slope), fit[1] + rows.weight_R.sum() * moved_2xR[1], (-np.inf, np.inf))
    return Share(found.centre, found.low, found.high, len(valid)), effect


def logistic(design_KxR: Floats, y_R: Floats, weight_R: Floats) -> tuple[Floats, Floats]:
    """The K coefficients of a ridge-penalised logistic regression of y in [0, 1], and the inverse of its curve.

    The maximum of the likelihood less RIDGE/2 times the sum of squares, by Newton's method.
    """
    fit_K = np.zeros(len(design_KxR))
    for _ in range(ITERATIONS):
        p_R = special.expit(fit_K @ design_KxR)
        curve_KxK = (design_KxR * weight_R * p_R * (1 - p_R)) @ design_KxR.T
        inverse_KxK = np.linalg.inv(curve_KxK + RIDGE * np.eye(len(fit_K)))
        step_K = inverse_KxK @ (design_KxR @ (weight_R * (y_R - p_R)) - RIDGE * fit_K)
        fit_K = fit_K + step_K.clip(-LONGEST_STEP, LONGEST_STEP)
        if np.abs(step_K).max() < 1e-9:
            break
    return fit_K, inverse_KxK


def moving(design_KxR: Floats, y_R: Floats, weight_R: Floats) -> tuple[Floats, Floats]:
    """The coefficients, and by how much each row that counts moves them per unit of its weight."""
    fit_K, inverse_KxK = logistic(design_KxR, y_R, weight_R)
    missing_R = np.where(weight_R > 0, y_R - special.expit(fit_K @ design_KxR), 0.0)
    return fit_K, inverse_KxK @ (design_KxR * missing_R)


def _valid(judged: Sequence[Judged]) -> list[Judged]:
    valid = scored(judged)
    if not valid:
        raise Failure(
            f"no pair has a verdict ({_count(judged, 'invalid')} invalid, {_count(judged, 'gap')} gaps); "
            "look at the replies in the judge's cache"
        )
    return valid


def scored(judged: Sequence[Judged]) -> list[Judged]:
    """Those with a verdict."""
    return [each for each in judged if each.outcome in SCORES]


def _count(judged: Sequence[Judged], outcome: str) -> int:
    return sum(j.outcome == outcome for j in judged)


def _firsts(judged: Judged) -> float:
    return ((judged.verdicts[0] == "arm") + (judged.verdicts[1] == "baseline")) / 2
