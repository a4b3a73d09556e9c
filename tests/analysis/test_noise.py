"""Noise, spread, order and what averaging is worth, of arrays: by hand, and by scipy."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from analysis.rungs import noise

ALONE = ((1, 1), (2, 2), (3, 3))


def test_the_noise_of_a_run_is_pooled_over_arms() -> None:
    """By hand: sums of squares 2 and 2 with 2 and 1 degrees of freedom; an arm with one run says nothing."""
    found = noise.within([(np.array(of), ALONE[: len(of)]) for of in ([1.0, 2, 3], [4.0, 6], [9.0])])
    assert found is not None and found.init is None
    assert (found.sd.value, found.sd.freedom) == (pytest.approx(math.sqrt(4 / 3)), 3)
    assert (found.sd.low, found.sd.high) == pytest.approx((math.sqrt(4 / 9.348404), math.sqrt(4 / 0.2157953)))
    assert noise.within([(np.array([1.0]), ALONE[:1])]) is None
    alike = noise.within([(np.array([1.0, 1.0]), ALONE[:2])])
    assert alike is not None and (alike.sd.value, alike.sd.high) == (0.0, None), "nothing varies, so nobody knows"


def test_where_seeds_are_crossed_weights_and_data_are_told_apart() -> None:
    """The table of test_components: 0.5 of the rest, (13.5 - 0.5) / 3 of weights and (4.5 - 0.5) / 2 of data."""
    value_R, seeds = np.array([1.0, 1.5, 3.5, 3.0, 5.5, 6.5]), list(product((1, 2), (7, 8, 9)))
    found = noise.within([(value_R, seeds)])
    assert found is not None and found.sd.low is None
    assert (found.init, found.data) == pytest.approx((math.sqrt(13 / 3), math.sqrt(2)))
    assert found.sd.value == pytest.approx(math.sqrt(13 / 3 + 2 + 0.5))
    part = noise.within([(value_R[:5], seeds[:5])])
    assert part is not None and part.init is None and part.sd.low is None, "they share seeds and are no grid"


def test_the_spread_of_arms_is_what_noise_leaves_of_their_means() -> None:
    """By hand: means 2, 3, 6 have a variance of 13/3; what is left of the cells has 4/3 in 2 degrees of freedom."""
    found = noise.between(np.array([[1.0, 3], [2, 4], [6, 6]]), ["a"] * 3, ALONE[:2])
    assert found is not None
    assert (found.spread, found.of_mean) == (pytest.approx(2), pytest.approx(1 / 3))
    assert (found.paired.value, found.paired.freedom) == (pytest.approx(math.sqrt(2 / 3)), 2)
    assert found.p == pytest.approx(1 / 14), "F is 13 with 2 and 2 degrees of freedom"
    moved = noise.between(np.array([[1.0, 9], [2, 10], [6, 12]]), ["a"] * 3, ALONE[:2])
    assert moved is not None and moved.spread == pytest.approx(2), "what a seed does to all arms is no noise of theirs"
    nothing = noise.between(np.array([[1.0, 2], [2, 1], [1, 2]]), ["a"] * 3, ALONE[:2])
    assert nothing is not None and nothing.spread == 0.0


def test_arms_of_other_groups_are_not_held_against_one_another() -> None:
    small_2xS, rng = np.array([[1.0, 1.2, 1.1], [2.0, 2.3, 2.2]]), np.random.default_rng(0)
    one = noise.between(small_2xS, ["a", "a"], ALONE)
    far = noise.between(np.concatenate([small_2xS, small_2xS + 50]), ["a", "a", "b", "b"], ALONE)
    lone = noise.between(np.concatenate([small_2xS, 90 + rng.normal(size=(1, 3))]), ["a", "a", "b"], ALONE)
    assert one is not None and far is not None and lone is not None
    assert far.spread == pytest.approx(one.spread) and lone.spread == pytest.approx(one.spread)
    assert lone.ranks == one.ranks == 1.0
    assert (
        noise.between(small_2xS, ["a", "b"], ALONE) is None
        and noise.between(small_2xS[:, :1], ["a", "a"], ALONE[:1]) is None
    )


def test_the_interval_of_the_ratio_ends_where_f_is_unlikely() -> None:
    value_AxS = np.array([[1.0, 3, 2.2], [2, 4.5, 3.3], [6, 6.5, 7]])
    found = noise.between(value_AxS, ["a"] * 3, ALONE)
    assert found is not None and found.ratio is not None
    f = value_AxS.mean(axis=1).var(ddof=1) / found.of_mean
    low, high = (3 * 2 * end**2 for end in found.ratio)  # S (A − 1) ratio²
    assert stats.ncf.cdf(f, 2, 4, low) == pytest.approx(0.975, abs=1e-6)
    assert stats.ncf.cdf(f, 2, 4, high) == pytest.approx(0.025, abs=1e-6)
    assert found.ratio[0] < found.spread / found.paired.value < found.ratio[1]


def test_order_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    tokens, scores = np.arange(9.0), rng.integers(0, 4, 9).astype(float)  # with ties
    assert noise.spearman(tokens, scores) == pytest.approx(stats.spearmanr(tokens, scores).statistic)
    assert noise.spearman(tokens, np.ones(9)) == 0.0
    value_AxS = rng.integers(0, 5, (6, 3)).astype(float)
    taus = [stats.kendalltau(value_AxS[:, s], value_AxS[:, t]).statistic for s, t in combinations(range(3), 2)]
    assert noise.rank_stability(value_AxS, np.array(["a"] * 6)) == pytest.approx(np.mean(taus))


def test_a_line_takes_out_what_a_run_still_learns() -> None:
    """Of three points even in tokens the line leaves a sixth of their squared second difference."""
    assert noise.around_line(np.array([1.0, 2, 3]), np.array([5.0, 6, 6])) == pytest.approx(1 / 6)
    assert noise.around_line(np.array([1.0, 2, 7]), np.array([5.0, 4, -1])) == pytest.approx(0, abs=1e-25)


def test_what_averaging_is_worth_has_the_interval_of_pitman_and_morgan() -> None:
    """At its ends the sum and the difference of the two, brought to one variance, are just as correlated as luck is."""
    rng = np.random.default_rng(2)
    end_R = rng.normal(0, 2, 8)
    mean_R = 0.4 * end_R + rng.normal(0, 0.5, 8)
    found = noise.worth([(end_R, mean_R, [(n, n) for n in range(8)])])
    assert found is not None and found.low is not None and found.high is not None and found.seeds is not None
    assert found.seeds == pytest.approx(end_R.var(ddof=1) / mean_R.var(ddof=1))
    assert found.noise.value == pytest.approx(mean_R.std(ddof=1))
    for end in (found.low, found.high):
        scaled_R = math.sqrt(end) * mean_R
        p = stats.pearsonr(end_R + scaled_R, end_R - scaled_R).pvalue
        assert p == pytest.approx(0.05)
    two = noise.worth([(np.array([1.0, 2]), np.array([1.0, 1.5]), ALONE[:2])])
    assert two is not None and (two.seeds, two.low) == (pytest.approx(4), None)


@pytest.mark.soak
@pytest.mark.parametrize("ratio", [0.0, 0.5, 3.0])
def test_the_intervals_of_normal_runs_cover(ratio: float) -> None:
    """Noise of runs and spread over noise of six arms with three seeds that a seed moves all alike; 95 % within 1.5."""
    rng, held = np.random.default_rng([3, round(10 * ratio)]), np.zeros(2)
    apart_A = np.array([-2.0, -1, 0, 0, 1, 2])
    apart_A *= ratio / apart_A.std(ddof=1)
    for _ in range(2_000):
        found = noise.between(apart_A[:, None] + rng.normal(0, 3, 3) + rng.normal(0, 1, (6, 3)), ["a"] * 6, ALONE)
        assert found is not None and found.ratio is not None and found.paired.low and found.paired.high
        held += found.paired.low <= 1 <= found.paired.high, found.ratio[0] <= ratio <= found.ratio[1]
    assert (held / 2_000 >= 0.935).all() and held[0] / 2_000 <= 0.965
