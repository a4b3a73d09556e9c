"""A panel of judges: what the majority of them says of a pair, and how far they agree with one another."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.evals.preference.estimates import SCORES, UNASKED, Runs, Share, share
from analysis.evals.preference.verdicts import Judged, Outcome

FEWEST = 2
"""Verdicts that a majority takes."""

Rows = Mapping[tuple[str, int, str], Judged]
"""What one judge made of every pair; by what tells pairs apart: the arms, the seed and the prompt."""


@dataclass(frozen=True)
class Alike:
    """Two judges over the pairs on which both were asked and gave a verdict.

    `same` is the share of equal outcomes (win, tie or loss), `kappa` that share beyond chance (Cohen 1960): 1 where all
    are equal, 0 where no more are than two judges would give who know nothing of a pair but how often each says what.
    None where both say one thing only.
    """

    judges: tuple[str, str]
    same: Share | None
    kappa: float | None


def by_majority(found: Sequence[Judged]) -> Judged:
    """What a panel makes of one pair of which its judges made `found`.

    The outcome that more than half of those with a verdict give; a tie where there is none. A judge whose verdict is
    missing or unreadable abstains, and fewer than two verdicts are a gap.
    """
    first, outcomes = found[0], [each.outcome for each in found if each.outcome in SCORES]
    if len(outcomes) < FEWEST:
        note = f"{len(outcomes)} of {len(found)} judges gave a verdict"
        return Judged(first.id, "gap", (), first.arm_length, first.baseline_length, note, first.seed)
    ((said, times),) = Counter(outcomes).most_common(1)
    outcome: Outcome = said if 2 * times > len(outcomes) else "tie"
    note = first.note if first.note in UNASKED else ""
    return Judged(first.id, outcome, (), first.arm_length, first.baseline_length, note, first.seed)


def alike(judges: Mapping[str, Rows], runs: Runs | None = None) -> list[Alike]:
    """Every two judges."""
    return [_alike((a, b), judges[a], judges[b], runs) for a, b in itertools.combinations(judges, 2)]


def _alike(names: tuple[str, str], one: Rows, other: Rows, runs: Runs | None) -> Alike:
    keys = [key for key in one if key in other and _asked(one[key]) and _asked(other[key])]
    if not keys:
        return Alike(names, None, None)
    pairs = [(one[key].outcome, other[key].outcome) for key in keys]
    same = share([id_ for *_, id_ in keys], np.array([a == b for a, b in pairs]), [seed for _, seed, _ in keys], runs)
    ones, others = zip(*pairs, strict=True)
    chance = sum(ones.count(outcome) / len(keys) * (others.count(outcome) / len(keys)) for outcome in SCORES)
    return Alike(names, same, _beyond(same.value, chance))


def fleiss(judges: Sequence[Rows]) -> float | None:
    """Fleiss' kappa (1971) of more than two judges, over the pairs on which all were asked and gave a verdict.

    As Cohen's, but for the chance that any two of them say the same, and with one habit for all.
    """
    keys = [key for key in judges[0] if all(key in each and _asked(each[key]) for each in judges)]
    if not keys:
        return None
    count_NxO = np.array([[sum(each[key].outcome == outcome for each in judges) for outcome in SCORES] for key in keys])
    n = len(judges)
    same = float(((count_NxO**2).sum(axis=1) - n).mean()) / (n * (n - 1))
    return _beyond(same, float(((count_NxO.mean(axis=0) / n) ** 2).sum()))


def _asked(judged: Judged) -> bool:
    """Whether it is a verdict that the judge gave: the others are alike whoever judges."""
    return judged.outcome in SCORES and judged.note not in UNASKED


def _beyond(same: float, chance: float) -> float | None:
    return None if chance >= 1 - 1e-12 else (same - chance) / (1 - chance)
