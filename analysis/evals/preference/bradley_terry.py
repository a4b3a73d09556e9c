"""Strengths of several arms from their comparisons: Bradley and Terry's model, logit P(i beats j) = s_i - s_j."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from analysis.evals.preference.verdicts import Judged
from analysis.evals.preference.winrate import ADDED, ITERATIONS, LONGEST_STEP, RIDGE, SCORES, Share
from analysis.statistics import Floats, Interval, over_items
from store.errors import UserError

Row = tuple[int, int, str, float, float]
"""The numbers of two arms, the prompt's id, what the first one scored, and how many such games the row stands for."""


@dataclass(frozen=True)
class Strength:
    """An arm's strength over the baseline's, in logits, and the chance of beating the baseline that follows from it."""

    arm: str
    logit: Interval
    rate: Share


def strengths(judged: Mapping[tuple[str, str], Sequence[Judged]], baseline: str) -> tuple[Strength, ...]:
    """Fit all arms at once, strongest first; a tie is half a win for both.

    Args:
        judged: for (arm, other) what the judge made of arm's answers against other's.
        baseline: the arm with strength 0.

    Raises:
        UserError: an arm cannot be traced to the baseline by comparisons that have a verdict.
    """
    arms = sorted({arm for pair in judged for arm in pair})
    pairs = {
        (arms.index(a), arms.index(b)): [j for j in found if j.outcome in SCORES] for (a, b), found in judged.items()
    }
    rows = [(i, j, one.id, SCORES[one.outcome], 1.0) for (i, j), found in pairs.items() for one in found]
    zero, n_rows = _check_connected(rows, arms, baseline), len(rows)
    fit_K, _ = fit(_wins(rows, len(arms)))
    # For the intervals alone, as with win rates: two games won and two lost of every pair that met.
    for (i, j), found in pairs.items():
        share = len(found) / max(1, len({one.id for one in found}))
        rows += [(i, j, f"added {n}", score, share) for n, score in enumerate(ADDED.tolist())]
    number_R = np.unique(np.array([id_ for _, _, id_, _, _ in rows], dtype=object), return_inverse=True)[1]
    added_K, inverse_KxK = fit(_wins(rows, len(arms)))
    moved_KxP = np.zeros((len(arms), int(number_R.max()) + 1))
    for number, (i, j, _, score, weight) in zip(number_R, rows, strict=True):
        missing = weight * (score - special.expit(added_K[i] - added_K[j]))
        moved_KxP[:, number] += (inverse_KxK[:, i] - inverse_KxK[:, j]) * missing
    found_K = []
    for k, arm in enumerate(arms):
        moved_P = moved_KxP[k] - moved_KxP[zero]
        at = over_items(float(added_K[k] - added_K[zero]), [(moved_P * moved_P.size, np.ones(moved_P.size))])
        games = sum(k in (i, j) for i, j, *_ in rows[:n_rows])
        found_K.append(_strength(arm, float(fit_K[k] - fit_K[zero]), at, games))
    return tuple(sorted(found_K, key=lambda strength: (-strength.logit.centre, strength.arm)))


def _wins(rows: Sequence[Row], n_arms: int) -> Floats:
    """How often the arm of a row beat that of a column, of shape K x K, ties as halves."""
    wins_KxK = np.zeros((n_arms, n_arms))
    for i, j, _, score, weight in rows:
        wins_KxK[i, j] += weight * score
        wins_KxK[j, i] += weight * (1 - score)
    return wins_KxK


def fit(wins_KxK: Floats) -> tuple[Floats, Floats]:
    """Strengths of shape K, summing to 0, from a table of wins of row over column; and the inverse of their curve.

    The maximum of the likelihood less RIDGE/2 times the sum of squares, by Newton's method.
    """
    games_KxK, fit_K = wins_KxK + wins_KxK.T, np.zeros(len(wins_KxK))
    for _ in range(ITERATIONS):
        p_KxK = special.expit(fit_K[:, None] - fit_K[None, :])
        curve_KxK = games_KxK * p_KxK * (1 - p_KxK)
        inverse_KxK = np.linalg.inv(np.diag(curve_KxK.sum(axis=1) + RIDGE) - curve_KxK)
        step_K = inverse_KxK @ ((wins_KxK - games_KxK * p_KxK).sum(axis=1) - RIDGE * fit_K)
        fit_K = fit_K + step_K.clip(-LONGEST_STEP, LONGEST_STEP)
        if np.abs(step_K).max() < 1e-9:
            break
    return fit_K, inverse_KxK


def _strength(arm: str, logit: float, at: Interval, n: int) -> Strength:
    around = replace(at, centre=logit, low=min(at.low, logit), high=max(at.high, logit))
    value, low, high = (float(special.expit(x)) for x in (logit, around.low, around.high))
    return Strength(arm, around, Share(value, low, high, n))


def _check_connected(rows: Sequence[Row], arms: Sequence[str], baseline: str) -> int:
    """The baseline's number, if verdicts link every arm to it."""
    reached, met = {baseline}, {pair for i, j, *_ in rows for pair in ((arms[i], arms[j]), (arms[j], arms[i]))}
    for _ in arms:
        reached |= {b for a, b in met if a in reached}
    lost = [arm for arm in arms if arm not in reached]
    if lost or baseline not in arms:
        raise UserError(
            f"{', '.join(lost)} cannot be ranked against '{baseline}': no verdict links them; judge pairs that do"
        )
    return arms.index(baseline)
