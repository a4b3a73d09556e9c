"""Strengths of several arms from their comparisons: Bradley and Terry's model, logit P(i beats j) = s_i - s_j."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.evals.judge.verdicts import Judged
from analysis.evals.judge.winrate import ITERATIONS, LONGEST_STEP, RIDGE, SCORES, Share
from analysis.statistics import RESAMPLES, TAILS, Floats, Interval, draws, percentiles
from mixtures.errors import UserError


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
    rows = [(arms.index(a), arms.index(b), j) for (a, b), found in judged.items() for j in found if j.outcome in SCORES]
    ids = sorted({j.id for _, _, j in rows})
    number = {id_: n for n, id_ in enumerate(ids)}
    wins_PxKxK = np.zeros((len(ids), len(arms), len(arms)))
    for i, j, found in rows:
        wins_PxKxK[number[found.id], i, j] += SCORES[found.outcome]
        wins_PxKxK[number[found.id], j, i] += 1 - SCORES[found.outcome]
    _check_connected(wins_PxKxK.sum(axis=0), arms, baseline)
    zero = arms.index(baseline)
    fit_K = fit(wins_PxKxK.sum(axis=0)[None])[0]
    # Sums over prompts as one product; the same draws as for win rates.
    resampled_BxKK = draws(len(ids), 1, RESAMPLES).astype(np.float64) @ wins_PxKxK.reshape(len(ids), -1)
    fit_BxK = fit(resampled_BxKK.reshape(RESAMPLES, len(arms), len(arms)))
    found_K = [
        _strength(arm, float(fit_K[k] - fit_K[zero]), fit_BxK[:, k] - fit_BxK[:, zero], sum(k in r[:2] for r in rows))
        for k, arm in enumerate(arms)
    ]
    return tuple(sorted(found_K, key=lambda strength: (-strength.logit.centre, strength.arm)))


def fit(wins_BxKxK: Floats) -> Floats:
    """Strengths of shape B x K, summing to 0, from B tables of wins of row over column (ties as halves).

    The maximum of the likelihood less RIDGE/2 times the sum of squares, by Newton's method.
    """
    games_BxKxK = wins_BxKxK + wins_BxKxK.transpose(0, 2, 1)
    identity_KxK = np.eye(wins_BxKxK.shape[1])
    fit_BxK = np.zeros(wins_BxKxK.shape[:2])
    for _ in range(ITERATIONS):
        p_BxKxK = special.expit(fit_BxK[:, :, None] - fit_BxK[:, None, :])
        gradient_BxK = (wins_BxKxK - games_BxKxK * p_BxKxK).sum(axis=2) - RIDGE * fit_BxK
        curve_BxKxK = games_BxKxK * p_BxKxK * (1 - p_BxKxK)
        hessian_BxKxK = (curve_BxKxK.sum(axis=2) + RIDGE)[:, :, None] * identity_KxK - curve_BxKxK
        step_BxK = np.linalg.solve(hessian_BxKxK, gradient_BxK[:, :, None])[:, :, 0]
        fit_BxK += step_BxK.clip(-LONGEST_STEP, LONGEST_STEP)
        if np.abs(step_BxK).max() < 1e-9:
            break
    return fit_BxK


def _strength(arm: str, logit: float, logit_B: Floats, n: int) -> Strength:
    low, high = (float(x) for x in np.quantile(special.expit(logit_B), TAILS))
    return Strength(arm, percentiles(logit_B, logit), Share(float(special.expit(logit)), low, high, n))


def _check_connected(wins_KxK: Floats, arms: Sequence[str], baseline: str) -> None:
    reached, met = {baseline}, {(arms[i], arms[j]) for i, j in zip(*np.nonzero(wins_KxK + wins_KxK.T), strict=True)}
    for _ in arms:
        reached |= {b for a, b in met if a in reached}
    lost = [arm for arm in arms if arm not in reached]
    if lost or baseline not in arms:
        raise UserError(
            f"{', '.join(lost)} cannot be ranked against '{baseline}': no verdict links them; judge pairs that do"
        )
