"""The law of size, tokens and share together: found again from what it made, and refused below three sizes."""

import numpy as np
import pytest

from analysis.laws.forms import LOG
from analysis.laws.joint import Size, data_of, fit, join, to_json
from analysis.laws.optimum import Points
from analysis.metrics import metrics_for
from store.errors import UserError

S = np.array([0, 0.25, 0.5, 0.75, 0.9, 1.0])
(TEXT,) = metrics_for({"heldout/text"})
SIZES = {"1m": (1e6, 2e5), "2m": (2e6, 1e6), "60m": (6e7, 1.2e9), "120m": (1.2e8, 1.2e9), "240m": (2.4e8, 1.2e9)}
E, C1, C2, G1, G2, A, ALPHA, B, BETA = 0.8, 2.0, 1.5, 0.4, 0.7, 30.0, 0.3, 40.0, 0.4


def sizes(names: str, sd: float = 0.0, b: float = 0.0, mixing: float = 1.0) -> list[Size]:
    rng, found = np.random.default_rng(4), []
    for name in names.split():
        n, d = SIZES[name]
        value_A = E + mixing / (C1 * (1 - S) ** G1 + C2 * S**G2) + A / n**ALPHA + b / d**BETA
        mean_A = np.log(value_A) + rng.normal(0, sd, S.size)
        points = Points(tuple(map(str, S)), S, mean_A, np.eye(S.size) * sd**2, 10, LOG, False, "")
        found.append(Size(f"sweep-{name}", name, int(n), int(d), points))
    return found


def test_the_joint_law_is_found_again_from_three_sizes() -> None:
    found = fit(data_of(sizes("1m 2m 60m"))).named
    assert found == pytest.approx(
        {"E": E, "C1": C1, "C2": C2, "gamma1": G1, "gamma2": G2, "A": A, "alpha": ALPHA}, rel=1e-2
    )


def test_tokens_have_a_term_of_their_own_where_sizes_can_tell_it() -> None:
    every = [*sizes("1m 2m 60m 120m 240m", b=B)]
    assert "B" not in fit(data_of(every)).named  # each size has one budget: A / N^alpha may stand for both
    longer = [Size(s.study, s.model, s.parameters, 10 * s.tokens, _less(s)) for s in every[:2]]
    data = data_of([*every, *longer])
    found = fit(data)
    assert "B" in found.named and np.abs(found.predict(data) - data.value_R).max() < 1e-3


def _less(size: Size) -> Points:
    points, d = size.points, size.tokens
    mean_A = np.log(np.exp(points.mean_A) - B / d**BETA + B / (10 * d) ** BETA)
    return Points(points.arms, S, mean_A, points.noise_AxA, 10, LOG, False, "")


def test_its_best_share_is_told_with_an_interval_and_by_less_error_than_a_constant() -> None:
    grid = np.linspace(0, 1, 2001)
    best = grid[np.argmin(1 / (C1 * (1 - grid) ** G1 + C2 * grid**G2))]
    found = join(TEXT, sizes("1m 2m 60m", sd=0.003))
    assert not found.why and found.low <= best <= found.high and found.errors["joint"] < found.errors["constant"] / 3
    document = to_json(["a", "b", "c"], [found])["metrics"][0]
    assert document["optimum"] == found.share and len(document["sizes"]) == 3


def test_on_noise_it_cannot_tell() -> None:
    found = join(TEXT, sizes("1m 2m 60m", sd=0.01, mixing=0.0))
    assert found.why and "cannot tell" in found.sentence and to_json(["a"], [found])["metrics"][0]["optimum"] is None


def test_two_sizes_are_refused_in_a_line() -> None:
    with pytest.raises(UserError, match=r"3 model sizes or more, and these have 2 \(1m, 2m\)"):
        data_of(sizes("1m 2m"))
