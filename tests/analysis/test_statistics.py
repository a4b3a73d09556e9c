"""Intervals agree with hand-worked values, mirror, and give nothing a certainty that it has not."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from analysis import statistics
from analysis.statistics import Pair, Side, Spread, benjamini_hochberg, detectable, estimate, holm, interval, reach

Part = tuple[float, Pair]


def paired(weight: float, arm_SxN: np.ndarray, baseline_SxN: np.ndarray, size_N: np.ndarray) -> Part:
    size_SxN = np.broadcast_to(size_N, arm_SxN.shape).astype(float)
    return weight, Pair(*(Side(score_SxN.astype(float), size_SxN) for score_SxN in (arm_SxN, baseline_SxN)))


def task(rng: np.random.Generator, n_seeds: int, n_items: int, effect: float = 0.0, seed_sd: float = 0.05) -> Part:
    """Items differ in difficulty, seeds move an arm as a whole, and each score has noise of its own."""
    hardness_N = rng.normal(2, 0.5, n_items)
    size_N = rng.integers(1, 30, n_items).astype(float)

    def arm(level: float) -> np.ndarray:
        shift_Sx1 = rng.normal(level, seed_sd, (n_seeds, 1))
        return size_N * (hardness_N + shift_Sx1 + rng.normal(0, 0.1, (n_seeds, n_items)))

    return paired(1.0, arm(effect), arm(0.0), size_N)


def test_the_crossed_interval_agrees_with_a_worked_example() -> None:
    # Differences by seed and item: [1, 2, 3] and [3, 2, 7], twenty times over so that there are items enough.
    found = estimate([paired(1.0, np.tile([[1, 2, 3], [3, 2, 7]], 20), np.zeros((2, 60)), np.ones(60))])
    # r = 2 and 4, D = 3, a = 2 / 2. d = [-1, 0, 1] and [-1, -2, 3], d_i = [-1, -1, 2]: b = 20 * 6 / (60 * 59).
    # d - d_i = ±[0, 1, 1]: c = 20 * 4 / (1 * 59 * 2 * 60).
    assert found.spread == Spread(1.0, pytest.approx(120 / 3540), pytest.approx(80 / 7080), 2, 59.0)
    t2 = special.stdtrit(1, 0.975) ** 2, special.stdtrit(59, 0.975) ** 2
    half = math.sqrt(t2[0] + t2[1] * (120 / 3540 - 80 / 7080))
    assert (found.difference.low, found.difference.high) == pytest.approx((3 - half, 3 + half))
    assert found.these_items is not None
    assert found.these_items.high == pytest.approx(3 + math.sqrt(t2[0]))
    assert found.these_items.p == pytest.approx(2 * special.stdtr(1, -3))
    assert found.kind == statistics.CROSSED


def test_p_is_the_level_whose_interval_ends_at_zero() -> None:
    spread = Spread(0.01, 0.004, 0.001, 3, 80.0)
    for mean in (0.05, 0.3, -2.0, 50.0):
        found = interval(mean, spread)
        assert reach(spread, found.p) == pytest.approx(abs(mean), rel=1e-9)
        assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)
    assert interval(0.0, spread).p == 1
    items = Spread(0.0, 0.04, 0.0, 1, 99.0)
    assert interval(0.5, items).p == pytest.approx(2 * special.stdtr(99, -2.5))


def test_seeds_that_differ_by_the_same_count_are_not_certain() -> None:
    base_SxN = np.zeros((2, 20))
    base_SxN[:, :10] = 1
    arm_SxN = base_SxN.copy()
    arm_SxN[:, 10] = 1
    found = estimate([paired(1.0, arm_SxN, base_SxN, np.ones(20))])
    assert found.kind == statistics.EQUAL_SEEDS
    assert "item noise only" in found.kind
    assert found.difference.low < 0 < found.difference.high < 0.2
    assert found.difference.p > 0.05
    # 0.05 - 0.04 and 0.06 - 0.05 differ in the last bit only.
    nearly = estimate([paired(1.0, np.array([[0.05], [0.06]]), np.array([[0.04], [0.05]]), np.ones(1))])
    assert (nearly.difference.p, nearly.difference.high) == (1.0, math.inf)


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_where_nothing_varies_nothing_can_be_told(n_seeds: int) -> None:
    always, never = np.ones((n_seeds, 50)), np.zeros((n_seeds, 50))
    apart = estimate([paired(1.0, always, never, np.ones(50))])
    assert (apart.difference.low, apart.difference.high, apart.difference.p) == (-math.inf, math.inf, 1.0)
    same = estimate([paired(1.0, never, never, np.ones(50))])
    assert (same.difference.low, same.difference.high, same.difference.p) == (0.0, 0.0, 1.0)


def test_seeds_and_items_decide_the_interval() -> None:
    rng = np.random.default_rng(2)
    kinds = [estimate([task(rng, seeds, items)]).kind for seeds, items in ((1, 60), (2, 60), (8, 60), (8, 10))]
    assert kinds == [statistics.ONE_SEED, statistics.CROSSED, statistics.CROSSED, statistics.THESE_ITEMS]
    rare_SxN = np.zeros((3, 100))
    rare_SxN[[0, 0, 1, 2, 2], [0, 1, 2, 1, 3]] = 1
    assert estimate([paired(1.0, rare_SxN, np.zeros((3, 100)), np.ones(100))]).kind == statistics.FEW_DIFFER
    assert "item noise only" in statistics.ONE_SEED and "these documents" in statistics.THESE_ITEMS


def test_few_documents_get_students_t_over_seeds() -> None:
    # mean 2, sd 1, n 3: standard error 0.57735, t(0.975, 2) = 4.302653, t = 3.4641 with p = 0.0742
    found = estimate([paired(1.0, np.array([[1.0], [2.0], [3.0]]), np.zeros((3, 1)), np.ones(1))])
    assert found.difference.low == pytest.approx(2 - 2.484138, abs=1e-5)
    assert found.difference.p == pytest.approx(0.074180, abs=1e-5)


def test_items_of_a_cluster_are_one() -> None:
    """Ten documents a package that say the same are not ten times as much."""
    rng = np.random.default_rng(6)
    score_SxN = np.repeat(rng.normal(0, 1, 60), 10) + rng.normal(0, 0.1, (3, 600))
    cluster_N = np.repeat(np.arange(60), 10)
    zero = np.zeros_like(score_SxN)
    apart = estimate([paired(1.0, score_SxN, zero, np.ones(600))])
    sums = [statistics.clustered(x, cluster_N) for x in (score_SxN, zero, np.ones_like(zero), np.ones_like(zero))]
    together = estimate([(1.0, Pair(Side(sums[0], sums[2]), Side(sums[1], sums[3])))])
    assert together.difference.centre == pytest.approx(apart.difference.centre)
    assert together.spread.items > 8 * apart.spread.items
    assert together.spread.freedom == pytest.approx(59)


def test_sizes_of_an_arm_and_seed_are_its_own() -> None:
    """An arm with 20 problems in one seed and 10 in the other is measured by its own numbers, never above 100 %."""
    size_SxN = np.ones((2, 20))
    size_SxN[0, 10:] = 0
    found = estimate([(1.0, Pair(Side(size_SxN, size_SxN), Side(np.zeros((2, 20)), np.ones((2, 20)))))])
    assert (found.value, found.baseline_value) == (1.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 3, 8]), st.integers(0, 1000))
def test_swapping_the_arms_mirrors_the_estimate(n_seeds: int, seed: int) -> None:
    given_task = task(np.random.default_rng(seed), n_seeds, 40, effect=0.1)
    pair = given_task[1]
    found, swapped = estimate([given_task]), estimate([(1.0, Pair(pair.baseline, pair.arm))])
    assert (swapped.difference.low, swapped.difference.high) == pytest.approx(
        (-found.difference.high, -found.difference.low)
    )
    assert swapped.difference.p == pytest.approx(found.difference.p)
    assert found.relative is not None and swapped.relative is not None
    assert 1 + swapped.relative.centre == pytest.approx(1 / (1 + found.relative.centre))
    assert 1 + swapped.relative.low == pytest.approx(1 / (1 + found.relative.high))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.1, 10))
def test_order_and_unit_do_not_matter(n_seeds: int, seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    one = task(rng, n_seeds, 30)
    seeds, items = rng.permutation(n_seeds), rng.permutation(30)
    turned = Pair(
        *(
            Side(unit * side.score_SxN[seeds][:, items], side.size_SxN[seeds][:, items])
            for side in (one[1].arm, one[1].baseline)
        )
    )
    found, again = estimate([one]).difference, estimate([(1.0, turned)]).difference
    assert (again.low / unit, again.high / unit, again.p) == pytest.approx((found.low, found.high, found.p))


def test_a_score_of_zero_has_no_relative_change() -> None:
    rng = np.random.default_rng(3)
    correct_SxN = (rng.random((3, 50)) < 0.2).astype(float)
    found = estimate([paired(1.0, correct_SxN, np.zeros((3, 50)), np.ones(50))])
    assert found.relative is None
    assert found.difference.centre > 0


def test_the_metric_of_several_tasks_is_the_weighted_sum_of_ratios() -> None:
    one = paired(0.5, np.array([[2.0, 4.0]]), np.array([[1.0, 2.0]]), np.array([1.0, 2.0]))
    other = paired(0.5, np.array([[1.0]]), np.array([[3.0]]), np.array([4.0]))
    found = estimate([one, other])
    assert found.value == pytest.approx(0.5 * 6 / 3 + 0.5 * 1 / 4)
    assert found.baseline_value == pytest.approx(0.5 * 3 / 3 + 0.5 * 3 / 4)


def test_the_tasks_of_a_mean_add_up_their_item_noise() -> None:
    rng = np.random.default_rng(7)
    large, small = task(rng, 3, 400), task(rng, 3, 30)
    alone = [estimate([each]).spread for each in (large, small)]
    mean = estimate([(0.5, pair) for _, pair in (large, small)]).spread
    assert mean.items == pytest.approx(sum(spread.items for spread in alone) / 4)
    assert mean.both == pytest.approx(sum(spread.both for spread in alone) / 4)
    assert alone[1].freedom < mean.freedom < sum(spread.freedom for spread in alone)


def test_holm_against_worked_values() -> None:
    # Sorted: .01*4, .013*3 -> .04 (monotone), .03*2, .04*1 -> .06 (monotone).
    assert holm([0.03, 0.01, 0.04, 0.013]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_hochberg_against_worked_values() -> None:
    # Sorted: .005*4/1, .009*4/2 -> .018, .05*4/3 -> .0667 and, being no less, .05*4/4 -> .05.
    assert benjamini_hochberg([0.05, 0.005, 0.05, 0.009]) == pytest.approx([0.05, 0.018, 0.05, 0.018])
    assert benjamini_hochberg([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_corrections_ignore_order_and_lie_between_p_and_bonferroni(p_values: list[float], random: object) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(p_values)
        assert correct([p_values[i] for i in order]) == [adjusted[i] for i in order]
        assert all(p <= a <= min(1, len(p_values) * p) for p, a in zip(p_values, adjusted, strict=True))
    assert all(bh <= h for bh, h in zip(benjamini_hochberg(p_values), holm(p_values), strict=True))


def test_the_detectable_difference_grows_with_noise_of_either_kind_and_with_the_family() -> None:
    sizes = [detectable(Spread(1 / n, 0.0, 0.0, n, 99.0)) for n in (2, 3, 5, 10)]
    assert all(a is not None and b is not None and a > b for a, b in itertools.pairwise(sizes))
    seeds, items = detectable(Spread(0.04, 0.0, 0.0, 3, 99.0)), detectable(Spread(0.0, 0.04, 0.0, 3, 99.0))
    both = detectable(Spread(0.04, 0.04, 0.0, 3, 99.0))
    assert seeds is not None and items is not None and both == pytest.approx(math.hypot(seeds, items))
    assert items == pytest.approx((1.984 + 0.842) * 0.2, rel=0.01)
    assert (detectable(Spread(0.04, 0.04, 0.0, 3, 99.0), comparisons=5) or 0) > (both or math.inf)
    assert detectable(Spread(0.0, 1.0, 0.0, 1, 99.0)) is None


def test_one_seed_covers_item_noise_alone() -> None:
    rng = np.random.default_rng(5)

    def covered(seed_sd: float, times: int) -> float:
        found = [estimate([task(rng, 1, 60, 0.2, seed_sd)]).difference for _ in range(times)]
        return float(np.mean([each.low <= 0.2 <= each.high for each in found]))

    assert covered(0.0, 300) >= 0.9
    assert covered(0.2, 100) < 0.5
