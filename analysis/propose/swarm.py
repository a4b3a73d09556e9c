"""Mixtures for a next round: drawn around the best one so far, each unlike all others (RegMix, arXiv:2407.01492)."""

from collections.abc import Sequence

import numpy as np

from analysis.propose.search import ALIKE, Shares, rounded

SPREAD, LEAST = 10.0, 0.05
"""Of the Dirichlet distribution: how near it stays, and what a part counts for that the mixture around has not."""
MOST_DRAWS = 200
"""For each mixture of the design."""


def swarm(around: Shares, arms: Sequence[Shares], budget: int, seed: int = 0) -> tuple[list[Shares], int]:
    """Up to `budget` mixtures, and how many that were drawn are merged with one before them or with an arm.

    They are drawn one after the other, so that the first n are the design of n, and a larger budget only adds.
    """
    rng = np.random.default_rng(seed)
    centre_K = SPREAD * np.maximum([float(share) for share in around], LEAST)
    found: list[Shares] = []
    taken = np.array(arms, dtype=float)
    merged = 0
    for _ in range(budget * MOST_DRAWS):
        if len(found) == budget:
            break
        mix = rounded(rng.dirichlet(centre_K))
        its_K = np.array(mix, dtype=float)
        if np.abs(taken - its_K).sum(axis=1).min() / 2 <= ALIKE + 1e-9:
            merged += 1
        else:
            found.append(mix)
            taken = np.vstack([taken, its_K])
    return found, merged
