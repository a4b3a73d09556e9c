"""Strengths of arms that met one another, by Bradley and Terry's model: logit P(i beats j) = s_i - s_j, a tie is half.

It earns its place where arms met in a circle (a beat b, b beat c, c met a), as in a round robin: there it draws on all
pairs at once, and can be wrong. Where arms met a baseline alone, every strength is the logit of one win rate and says
nothing new, so there is no fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.evals.preference.estimates import ADDED, SCORES, Runs, Share, logistic, moving, rows_of, scored, share
from analysis.evals.preference.verdicts import Judged
from analysis.statistics import Interval

Games = Mapping[tuple[str, str], Sequence[Judged]]
"""Of two arms what a judge made of the first one's answers against the second one's; any two arms once."""


@dataclass(frozen=True)
class Strength:
    """An arm's strength over the baseline's, in logits, and the chance of beating the baseline that follows from it.

    The n of `rate` is the number of comparisons that the arm was in.
    """

    arm: str
    logit: Interval
    rate: Share


@dataclass(frozen=True)
class Met:
    """Two arms that met: the win rate (win + tie/2) that was found, and the one that the fit predicts.

    `apart` where the prediction is outside the 95 % interval of what was found: true strengths leave one pair in
    twenty there by chance.
    """

    arm: str
    baseline: str
    observed: Share
    predicted: float
    apart: bool


@dataclass(frozen=True)
class Fit:
    """All strengths, the baseline's at 0, strongest first; and how the pairs that they rest on agree with them."""

    strengths: tuple[Strength, ...]
    pairs: tuple[Met, ...]
    comparisons: int


def fit_strengths(games: Games, baseline: str, runs: Runs | None = None) -> Fit | None:
    """The strengths of all arms that `baseline` is linked with by who met whom; None where none met in a circle.

    Intervals are as for win rates: all of a prompt and all of a seed go together, over all pairs of arms.
    """
    met = linked({pair: valid for pair, judged in games.items() if (valid := scored(judged))}, baseline)
    arms = list(dict.fromkeys(arm for pair in met for arm in pair if arm != baseline))
    if len(met) <= len(arms):
        return None
    side_ExK = np.array([[(arm == a) - (arm == b) for arm in arms] for a, b in met], np.float64)
    judged = [each for its in met.values() for each in its]
    pair_R, n = np.repeat(np.arange(len(met)), [len(its) for its in met.values()]), len(judged)
    rows = rows_of([each.id for each in judged], [each.seed for each in judged], runs, pair_R, len(met))
    # What is added: every pair under every seed on four prompts, on two of which all first ones win.
    added_R = np.repeat(np.arange(len(met)), (rows.seed_R.size - n) // len(met))
    score_R = np.array([SCORES[each.outcome] for each in judged])
    fit_K, _ = logistic(side_ExK[pair_R].T, score_R, np.ones(n))
    y_R = np.concatenate([score_R, np.resize(ADDED, added_R.size)])
    centre_K, moved_KxR = moving(side_ExK[np.concatenate([pair_R, added_R])].T, y_R, rows.weight_R)
    value_KxR = centre_K[:, None] + rows.weight_R.sum() * moved_KxR
    logits = {
        arm: rows.around(float(fit), value_R, (-np.inf, np.inf))
        for arm, fit, value_R in zip(arms, fit_K, value_KxR, strict=True)
    }
    logits[baseline] = Interval(0.0, 0.0, 0.0, 1.0)
    found = [_strength(arm, logit, met) for arm, logit in logits.items()]
    return Fit(
        strengths=tuple(sorted(found, key=lambda strength: (-strength.logit.centre, strength.arm))),
        pairs=tuple(
            _met(pair, judged, special.expit(side_K @ fit_K), runs)
            for (pair, judged), side_K in zip(met.items(), side_ExK, strict=True)
        ),
        comparisons=n,
    )


def linked(games: Games, baseline: str) -> dict[tuple[str, str], Sequence[Judged]]:
    """The games of the arms that can be reached from `baseline`."""
    reached, before = {baseline}, 0
    while len(reached) > before:
        before = len(reached)
        reached |= {arm for pair in games if reached & set(pair) for arm in pair}
    return {pair: judged for pair, judged in games.items() if reached & set(pair)}


def _strength(arm: str, logit: Interval, games: Games) -> Strength:
    value, low, high = (float(special.expit(x)) for x in (logit.centre, logit.low, logit.high))
    comparisons = sum(len(its) for pair, its in games.items() if arm in pair)
    return Strength(arm, logit, Share(value, low, high, comparisons))


def _met(pair: tuple[str, str], judged: Sequence[Judged], predicted: float, runs: Runs | None) -> Met:
    scores_R = np.array([SCORES[each.outcome] for each in judged])
    observed = share([each.id for each in judged], scores_R, [each.seed for each in judged], runs)
    return Met(*pair, observed, float(predicted), not observed.low <= predicted <= observed.high)
