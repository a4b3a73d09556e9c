"""Intervals cover what they claim, and tests agree with hand-worked values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import statistics
from analysis.statistics import PairedTask, bootstrap, detectable, estimate, holm, paired_t

numbers = st.floats(-10, 10).map(lambda x: round(x, 6))


def task(
    rng: np.random.Generator, n_seeds: int, n_items: int, effect: float = 0.0, seed_sd: float = 0.05
) -> PairedTask:
    """Items differ in difficulty, seeds move an arm as a whole, and each score has noise of its own."""
    hardness_N = rng.normal(2, 0.5, n_items)
    size_N = rng.integers(1, 30, n_items).astype(float)

    def arm(level: float) -> np.ndarray:
        shift_Sx1 = rng.normal(level, seed_sd, (n_seeds, 1))
        return size_N * (hardness_N + shift_Sx1 + rng.normal(0, 0.1, (n_seeds, n_items)))

    return PairedTask(1.0, arm(effect), arm(0.0), size_N)


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_t_covers_what_it_claims_and_a_percentile_bootstrap_does_not(n_seeds: int) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0.3, 1.0, (4000, n_seeds))
    covered = np.mean([(i := paired_t(row)).low <= 0.3 <= i.high for row in draws])
    assert covered == pytest.approx(0.95, abs=0.012)
    resampled = draws[:, rng.integers(0, n_seeds, (400, n_seeds))].mean(axis=2)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0.3) & (high >= 0.3)) < 0.89


def test_t_agrees_with_a_worked_example() -> None:
    # mean 2, sd 1, n 3: standard error 0.57735, t(0.975, 2) = 4.302653, t = 3.4641 with p = 0.0742
    found = paired_t([1.0, 2.0, 3.0])
    assert (found.centre, found.low, found.high) == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert found.p == pytest.approx(0.074180, abs=1e-5)


def test_t_needs_two_seeds() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        paired_t([0.1])


@given(st.lists(numbers, min_size=2, max_size=6))
def test_t_is_antisymmetric_and_ignores_order(values: list[float]) -> None:
    found, swapped, turned = paired_t(values), paired_t([-v for v in values]), paired_t(values[::-1])
    assert (swapped.low, swapped.high, swapped.p) == pytest.approx((-found.high, -found.low, found.p), abs=1e-9)
    assert (turned.low, turned.high, turned.p) == pytest.approx((found.low, found.high, found.p), abs=1e-9)


def test_seeds_that_differ_by_the_same_count_are_not_certain() -> None:
    # 0.05 - 0.04 and 0.06 - 0.05 differ in the last bit only; Student's t would give a p near 0.
    assert paired_t([0.05 - 0.04, 0.06 - 0.05]).p == 1.0
    base_SxN = np.zeros((2, 20))
    base_SxN[:, :10] = 1
    arm_SxN = base_SxN.copy()
    arm_SxN[:, 10] = 1
    found = estimate([PairedTask(1.0, arm_SxN, base_SxN, np.ones(20))])
    assert found.kind == statistics.ITEMS_ONLY_EQUAL_SEEDS
    assert found.difference.low <= 0 < found.difference.high < 0.2
    assert found.difference.p > 0.05


def test_holm_against_worked_values() -> None:
    # Sorted: .01*4, .013*3 -> .04 (monotone), .03*2, .04*1 -> .06 (monotone).
    assert holm([0.03, 0.01, 0.04, 0.013]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_holm_ignores_order_and_lies_between_p_and_bonferroni(p_values: list[float], random: object) -> None:
    adjusted = holm(p_values)
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert holm([p_values[i] for i in order]) == [adjusted[i] for i in order]
    assert all(p <= a <= min(1, len(p_values) * p) for p, a in zip(p_values, adjusted, strict=True))


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_detectable_difference_is_found_four_times_in_five(n_seeds: int) -> None:
    effect = detectable(2.0, n_seeds)
    assert effect is not None
    draws = np.random.default_rng(1).normal(effect, 2.0, (4000, n_seeds))
    assert np.mean([paired_t(row).p <= 0.05 for row in draws]) == pytest.approx(0.8, abs=0.02)


def test_detectable_difference_shrinks_with_seeds_and_grows_with_the_family() -> None:
    sizes = [detectable(1.0, n) for n in (2, 3, 5, 10)]
    assert all(a is not None and b is not None and a > b for a, b in itertools.pairwise(sizes))
    assert (detectable(1.0, 3, comparisons=5) or 0) > (detectable(1.0, 3) or math.inf)
    assert detectable(1.0, 1) is None


def test_the_number_of_seeds_decides_the_interval() -> None:
    rng = np.random.default_rng(2)
    kinds = [estimate([task(rng, n, 20)]).kind for n in (1, 2, 7, 8)]
    assert kinds == [statistics.ITEMS_ONLY, statistics.SEEDS_T, statistics.SEEDS_T, statistics.HIERARCHICAL]
    assert "item noise only" in statistics.ITEMS_ONLY


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 3, 8]), st.integers(0, 1000))
def test_swapping_the_arms_mirrors_the_estimate(n_seeds: int, seed: int) -> None:
    given_task = task(np.random.default_rng(seed), n_seeds, 15, effect=0.1)
    swapped_task = PairedTask(1.0, given_task.baseline_SxN, given_task.arm_SxN, given_task.size_N)
    found, swapped = estimate([given_task]), estimate([swapped_task])
    assert (swapped.difference.low, swapped.difference.high) == pytest.approx(
        (-found.difference.high, -found.difference.low)
    )
    assert swapped.difference.p == pytest.approx(found.difference.p)
    assert found.relative is not None and swapped.relative is not None
    assert 1 + swapped.relative.centre == pytest.approx(1 / (1 + found.relative.centre))
    assert 1 + swapped.relative.low == pytest.approx(1 / (1 + found.relative.high), rel=1e-3)


def test_a_score_of_zero_has_no_relative_change() -> None:
    rng = np.random.default_rng(3)
    correct_SxN = (rng.random((3, 50)) < 0.2).astype(float)
    found = estimate([PairedTask(1.0, correct_SxN, np.zeros((3, 50)), np.ones(50))])
    assert found.relative is None
    assert found.difference.centre > 0


def test_the_metric_of_several_tasks_is_the_weighted_sum_of_ratios() -> None:
    one = PairedTask(0.5, np.array([[2.0, 4.0]]), np.array([[1.0, 2.0]]), np.array([1.0, 2.0]))
    other = PairedTask(0.5, np.array([[1.0]]), np.array([[3.0]]), np.array([4.0]))
    found = estimate([one, other])
    assert found.value == pytest.approx(0.5 * 6 / 3 + 0.5 * 1 / 4)
    assert found.baseline_value == pytest.approx(0.5 * 3 / 3 + 0.5 * 3 / 4)


def covers(found: statistics.Estimate, truth: float) -> bool:
    return found.difference.low <= truth <= found.difference.high


def test_bootstraps_cover_the_noise_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    rng = np.random.default_rng(4)
    # Without seed noise the item bootstrap is right; with it one seed covers far too little, which is why it says so.
    quiet = np.mean([covers(estimate([task(rng, 1, 60, 0.2, seed_sd=0.0)]), 0.2) for _ in range(400)])
    noisy = np.mean([covers(estimate([task(rng, 1, 60, 0.2, seed_sd=0.2)]), 0.2) for _ in range(100)])
    eight = np.mean([covers(estimate([task(rng, 8, 60, 0.2, seed_sd=0.2)]), 0.2) for _ in range(400)])
    assert 0.91 <= quiet <= 0.98
    assert noisy < 0.5
    assert 0.87 <= eight <= 0.97


def test_bootstrap_does_not_depend_on_how_it_is_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 100)
    given_task = task(np.random.default_rng(5), 2, 50)
    whole_B, _ = bootstrap([given_task], seeds_too=True)
    monkeypatch.setattr(statistics, "DRAWS_AT_ONCE", 350)
    statistics.draws.cache_clear()
    chunked_B, _ = bootstrap([given_task], seeds_too=True)
    assert chunked_B == pytest.approx(whole_B, rel=1e-12)
    assert whole_B.std() > 0
