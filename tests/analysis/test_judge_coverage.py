"""Every interval of a win rate holds the truth as often as it says, where seeds differ in their true chances: a quick
look by default, more with `-m soak`."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import special

from analysis.evals.preference.estimates import logistic, win_rate
from analysis.evals.preference.strengths import fit_strengths
from analysis.evals.preference.verdicts import Judged
from tests.analysis.simulated import floor

ARMS = {"text-only": 0.0, "balanced": 0.25, "code": -0.15}
"""How good they are; of a seed of an arm it is this and its luck."""
LUCK, FIT, REST, TIE = 0.3, 0.3, 1.0, 0.3
"""Standard deviations of a seed's luck, of how a prompt suits an arm, and of one answer; and how close a tie is."""
NAMES = ("win", "tie", "loss", "half", "difference", "length_controlled")


def games(rng: np.random.Generator, seeds: int, prompts: int) -> dict[tuple[str, str], list[Judged]]:
    """A round robin: every seed's chance of winning is its own."""
    shape = (len(ARMS), seeds, prompts)
    good = np.array(list(ARMS.values()))[:, None, None] + rng.normal(0, LUCK, shape[:2])[:, :, None]
    good = good + rng.normal(0, FIT, (len(ARMS), 1, prompts)) + rng.normal(0, REST, shape)
    length = rng.integers(50, 400, shape)
    names = list(ARMS)
    return {
        (names[b], names[a]): [
            Judged(
                str(prompt),
                "tie" if abs(gap) < TIE else "win" if gap > 0 else "loss",
                ("arm",),
                *(int(length[side, seed, prompt]) for side in (b, a)),
                seed=seed,
            )
            for (seed, prompt), gap in np.ndenumerate(good[b] - good[a])
        ]
        for a, b in itertools.combinations(range(len(ARMS)), 2)
    }


def truth(arm: str, baseline: str) -> dict[str, float]:
    """Over all seeds and prompts. Length decides nothing, so at equal length the rate is the same."""
    sd, gap = np.sqrt(2 * (LUCK**2 + FIT**2 + REST**2)), ARMS[arm] - ARMS[baseline]
    win, loss = float(special.ndtr((gap - TIE) / sd)), float(special.ndtr((-gap - TIE) / sd))
    half = win + (1 - win - loss) / 2
    return dict(zip(NAMES, (win, 1 - win - loss, loss, half, win - loss, half), strict=True))


def true_strengths() -> dict[str, float]:
    """Those that fit the true rates best, which is what a fit over ever more seeds and prompts comes to."""
    arms = [arm for arm in ARMS if arm != "text-only"]
    pairs = [(b, a) for a, b in itertools.combinations(ARMS, 2)]
    sides = np.array([[(arm == b) - (arm == a) for arm in arms] for b, a in pairs], float).T
    fit, _ = logistic(sides, np.array([truth(*pair)["half"] for pair in pairs]), np.full(len(pairs), 1e6))
    return dict(zip(arms, fit.tolist(), strict=True))


def coverage(seeds: int, prompts: int, replications: int, seed: int) -> Mapping[str, float]:
    rng, true = np.random.default_rng(seed), true_strengths()
    hits: dict[str, list[bool]] = {name: [] for name in (*NAMES, "strength")}
    for _ in range(replications):
        played = games(rng, seeds, prompts)
        found = win_rate(played["balanced", "text-only"])
        for name, value in truth("balanced", "text-only").items():
            hits[name].append(getattr(found, name).low <= value <= getattr(found, name).high)
        fit = fit_strengths(played, "text-only")
        assert fit is not None
        its = {strength.arm: strength.logit for strength in fit.strengths}
        hits["strength"].append(its["balanced"].low <= true["balanced"] <= its["balanced"].high)
    return {name: float(np.mean(held)) for name, held in hits.items()}


def test_with_three_seeds_of_different_chances_the_truth_is_held() -> None:
    """By prompt alone they would hold it too seldom (the next test)."""
    for name, held in coverage(3, 60, 100, 1).items():
        assert held >= floor(100), name


def test_the_luck_of_seeds_is_not_small_here() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(100):
        judged = games(rng, 3, 200)["balanced", "text-only"]
        value = np.mean([each.outcome == "win" for each in judged])
        by_prompt = np.sqrt(value * (1 - value) / len(judged))
        held += abs(value - truth("balanced", "text-only")["win"]) <= 1.96 * by_prompt
    assert held < 75


@pytest.mark.soak
@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
@pytest.mark.parametrize("prompts", [60, 200])
def test_every_interval_holds_the_truth(seeds: int, prompts: int) -> None:
    for name, held in coverage(seeds, prompts, 500, seeds).items():
        assert held >= floor(500), name
