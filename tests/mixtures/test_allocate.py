"""Exact fractions: counts sum, never fall and stay within one sequence of their share, at any length."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixtures.allocate import allocate, block_size, check_supply, cumulative, steps_for
from mixtures.mixture import mixture, shares
from store.errors import UserError

weights = st.lists(st.fractions(Fraction(1, 6), 10, max_denominator=6), min_size=2, max_size=6)
PAPER = [Fraction(part) for part in (70, 20, 4, 3, 3)]  # floors of prefix sums fail for it


def _shares(parts: list[Fraction]) -> dict[str, Fraction]:
    return {f"s{i}": part / sum(parts) for i, part in enumerate(parts)}


@settings(max_examples=150, deadline=None)
@example(PAPER, 10**12 + 7)
@given(weights, st.integers(0, 10**13))
def test_counts_are_exact_at_any_length(parts: list[Fraction], length: int) -> None:
    fractions = _shares(parts)
    counts = cumulative(allocate(fractions), length)
    assert counts.sum() == length
    for count, share in zip(counts, fractions.values(), strict=True):
        assert abs(int(count) - length * share) < 1


@settings(max_examples=100, deadline=None)
@example(PAPER, 8)
@given(weights, st.integers(1, 64))
def test_counts_hold_after_every_block(parts: list[Fraction], batch: int) -> None:
    """They never fall, sum exactly, stay within a sequence of the share, and a block has no more than it holds."""
    allocation = allocate(_shares(parts))
    lengths = np.arange(200) * block_size(batch)
    blocks = cumulative(allocation, lengths)
    assert (np.diff(blocks, axis=0) >= 0).all()
    assert (blocks.sum(axis=1) == lengths).all()
    shares = np.array(allocation.parts)
    assert (abs(blocks * shares.sum() - lengths[:, None] * shares) < shares.sum()).all()
    assert blocks[7].tolist() == cumulative(allocation, int(lengths[7])).tolist()


@settings(max_examples=40, deadline=None)
@given(weights)
def test_a_slot_goes_to_the_entitled_source_with_the_earliest_deadline(parts: list[Fraction]) -> None:
    fractions = list(_shares(parts).values())
    counts = [0] * len(fractions)
    allocation = allocate(_shares(parts))
    table = cumulative(allocation, np.arange(sum(allocation.parts) + 1))
    for slot, row in enumerate(table[1:]):
        entitled = [s for s, share in enumerate(fractions) if counts[s] < (slot + 1) * share]
        counts[min(entitled, key=lambda s: (math.ceil((counts[s] + 1) / fractions[s]), s))] += 1
        assert row.tolist() == counts


def test_the_mixture_that_breaks_floors_of_prefix_sums() -> None:
    """70/20/4/3/3 at 8 sequences a block: differences of floors let a source's count fall."""
    fractions = _shares(PAPER)
    prefix = np.cumsum([0, *fractions.values()])
    floors = np.array([[int(8 * n * p) for p in prefix] for n in range(100)])
    assert (np.diff(np.diff(floors, axis=1), axis=0) < 0).any(), "the example no longer shows the fault"
    allocation = allocate(fractions)
    ours = np.stack([cumulative(allocation, 8 * n) for n in range(100)])
    assert (np.diff(ours, axis=0) >= 0).all()
    for n, counts in enumerate(ours):
        assert all(abs(int(c) - 8 * n * f) < 1 for c, f in zip(counts, fractions.values(), strict=True))


def test_a_budget_rounds_up_to_whole_steps() -> None:
    assert steps_for(200_000_000_000, 512, 8_192) == 47_684
    assert steps_for(1, 8, 256) == 1
    with pytest.raises(UserError, match="0 tokens"):
        steps_for(0, 8, 256)


def test_a_block_is_a_multiple_of_the_batch_with_at_least_eight_sequences() -> None:
    assert [block_size(batch) for batch in (1, 3, 4, 8, 12, 512)] == [8, 9, 8, 8, 12, 512]


def test_a_source_that_cannot_meet_the_budget_is_named_with_what_is_missing() -> None:
    with pytest.raises(UserError, match=r"'synthetic' has 3,200 tokens; the plan needs 20,000 \(6\.25 epochs\)"):
        check_supply("synthetic", used=200, windows=32, sequence=100, max_epochs=4)
    check_supply("enough", used=128, windows=32, sequence=100, max_epochs=4)


def test_nested_mixtures_flatten_exactly() -> None:
    code = mixture("code", {"python": 2, "c": 1})
    balanced = mixture("balanced", {"prose": "1/2", code: "0.5"})
    assert shares(balanced) == {"prose": Fraction(1, 2), "python": Fraction(1, 3), "c": Fraction(1, 6)}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1, "b": 2}, "negative"),
        ({"a": 0}, "sum to zero"),
        ({}, "sum to zero"),
        ({"a": 0.1}, "not an exact fraction"),
        ({"a": "x"}, "not a rational"),
        ({"a": "1/0"}, "not a rational"),
    ],
)
def test_bad_weights_are_refused_by_name(weights: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mixture("bad", weights)


def test_a_mixture_finer_than_a_million_sequences_is_refused() -> None:
    with pytest.raises(UserError, match="round the weights"):
        shares(mixture("fine", {"a": 1, "b": 1_000_003}))
