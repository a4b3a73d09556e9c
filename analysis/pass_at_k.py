"""pass@k of records of executed programs: pure functions of how many samples of each problem passed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from analysis.statistics import LEVEL, Floats
from store.errors import UserError

KS = (1, 10, 100)


def estimate(n: int, c: int, k: int) -> float:
    """The unbiased estimate of pass@k when c of n samples pass: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021, 2.1).

    Raises:
        UserError: fewer samples than k.
    """
    if not 0 < k <= n:
        raise UserError(f"pass@{k} needs at least {k} samples a problem and k of 1 or more; there are {n}")
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1)) if n - c >= k else 1.0


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Of rows of `analysis.evals.code.executed.items`, each of shape N: "runs", "weak" (1 or 0), and "pass@k".

    Every k of KS is there that all problems have samples for. A problem whose tests do not run here says nothing of the
    model: it has 0 in "runs" and in all others. Whether they do is the problem's and the machine's, never a sample's.
    """
    runs_N = np.asarray([float(row.get("runs", True)) for row in rows])
    weak_N = runs_N * [float(row["weak"]) for row in rows]
    most = min(row["samples"] for row in rows)
    passes = {k: [estimate(row["samples"], row["passed"], k) for row in rows] for k in KS if k <= most and runs_N.any()}
    return {
        "runs": runs_N,
        "weak": weak_N,
        **{f"pass@{k}": runs_N * np.asarray(values) for k, values in passes.items()},
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval for the mean of one value in [0, 1] per problem.

    Problems are the clusters: samples of one problem are far from independent, so only the spread between problems
    counts. It is Wilson's interval at the number of problems that the spread is worth (Korn and Graubard 1998), which,
    unlike a bootstrap, does not shrink to nothing where a small model passes no problem at all.
    """
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    worth = n * max(1.0, mean * (1 - mean) / spread) if spread > 0 else n
    z2 = float(special.ndtri((1 + LEVEL) / 2)) ** 2
    centre = (mean + z2 / (2 * worth)) / (1 + z2 / worth)
    reach = math.sqrt(z2 * (mean * (1 - mean) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return max(0.0, centre - reach), min(1.0, centre + reach)
