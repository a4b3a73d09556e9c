"""Mixtures: a tree of exact fractions, a fingerprint of what decides the data, and code added on top of fixed text."""

import re
from collections import defaultdict
from fractions import Fraction

import pytest

from mixtures.allocate import allocate, block_size, cumulative
from mixtures.curriculum import additive, sequences_by_source, stage_steps
from mixtures.mixture import Mixture, fingerprint, mixture, shares, tree
from mixtures.order import DataPlan, rows
from store.errors import UserError

TEXT = mixture("text", {"literature": 18, "prose": 6, "notes": 1})
CODE = mixture("code", {"python": 2, "c": 1})
BATCH, SEQUENCE = 4, 16


def test_the_tree_shows_nested_parts_with_their_fraction_of_the_whole() -> None:
    half = mixture("half", {TEXT: 3, CODE: 1, "unused": 0})
    lines = [(b.depth, b.name, str(b.within), str(b.share)) for b in tree(half)]
    assert lines == [
        (0, "half", "1", "1"),
        (1, "text", "3/4", "3/4"),
        (2, "literature", "18/25", "27/50"),
        (2, "prose", "6/25", "9/50"),
        (2, "notes", "1/25", "3/100"),
        (1, "code", "1/4", "1/4"),
        (2, "python", "2/3", "1/6"),
        (2, "c", "1/3", "1/12"),
    ]


def test_the_leaves_of_the_tree_add_up_to_the_shares_when_a_source_comes_twice() -> None:
    twice = mixture("twice", {CODE: 1, mixture("more", {"python": 1, TEXT: 1}): 1})
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for branch in tree(twice):
        if branch.source:
            totals[branch.name] += branch.share
    assert totals == shares(twice)


def test_a_fingerprint_moves_with_shares_and_their_order_and_not_with_names_or_nesting() -> None:
    flat = mixture("flat", {"a": 1, "b": 1, "c": 2})
    nested = mixture("other name", {mixture("inner", {"a": 5, "b": 5}): "1/2", "c": "0.5"})
    assert fingerprint(flat) == fingerprint(nested)
    assert fingerprint(flat) != fingerprint(mixture("flat", {"a": 1, "b": 1, "c": 3}))
    swapped = mixture("flat", {"b": 1, "a": 1, "c": 2})
    assert fingerprint(flat) != fingerprint(swapped)
    slots = [cumulative(allocate(shares(m)), 2).tolist() for m in (flat, swapped)]
    assert slots == [[1, 0, 1], [1, 0, 1]], "the second slot goes to the first in order: a, then b"


def _reads(mix: Mixture, tokens: int, windows: dict[str, int]) -> dict[str, dict[tuple[int, int], int]]:
    """Per source: the block in which the arm reads each (epoch, window); inside a block the order is the block's."""
    allocation = allocate(shares(mix))
    seen: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)
    for step in range(tokens // (BATCH * SEQUENCE)):
        placed = rows(DataPlan(allocation, windows, {}, 7, BATCH, 1), step)
        for source, epoch, window in zip(placed.source_B, placed.epoch_B, placed.window_B, strict=True):
            seen[allocation.sources[source]][int(epoch), int(window)] = step * BATCH // block_size(BATCH)
    return seen


def test_an_additive_arm_reads_the_base_arms_text_and_more_code() -> None:
    """The same windows in the same order, equal to the sequence for every text source; only the total grows."""
    base_tokens = 150 * BATCH * SEQUENCE
    more, tokens = additive("text+code", TEXT, base_tokens, {CODE: 1_000, "synthetic": 640}, BATCH, SEQUENCE)
    assert tokens == base_tokens + 1_024 + 640, "each addition in whole blocks of 8 x 16"
    windows = {"literature": 60, "prose": 41, "notes": 30, "python": 20, "c": 9, "synthetic": 7}
    alone, together = _reads(TEXT, base_tokens, windows), _reads(more, tokens, windows)
    for source in shares(TEXT):
        assert alone[source].keys() == together[source].keys()
        blocks = sorted((alone[source][key], together[source][key]) for key in alone[source])
        assert [block for _, block in blocks] == sorted(block for _, block in blocks), "read in another order"
    counts = sequences_by_source(more, tokens, BATCH, SEQUENCE)
    assert {s: counts[s] for s in shares(TEXT)} == sequences_by_source(TEXT, base_tokens, BATCH, SEQUENCE)
    assert counts["synthetic"] == 40 and counts["python"] + counts["c"] == 64
    assert sum(counts.values()) * SEQUENCE == tokens


@pytest.mark.parametrize("batch", [1, 3, 4, 8])
def test_a_stage_of_any_length_reads_what_is_planned(batch: int) -> None:
    """A batch under 8 sequences is part of a block, and only whole blocks have their planned composition."""
    allocation, windows = allocate(shares(TEXT)), {"literature": 60, "prose": 41, "notes": 30}
    for tokens in range(16, 3_000, 350):
        planned = sequences_by_source(TEXT, tokens, batch, SEQUENCE)
        steps = stage_steps(tokens, batch, SEQUENCE)
        read = [
            s
            for step in range(steps)
            for s in rows(DataPlan(allocation, windows, {}, 7, batch, 1), step).source_B.tolist()
        ]
        assert {s: read.count(i) for i, s in enumerate(allocation.sources)} == planned
        assert tokens <= steps * batch * SEQUENCE < tokens + max(16, 3 * batch) * SEQUENCE


def test_a_competitive_arm_of_the_same_total_reads_less_text() -> None:
    tokens = 100 * BATCH * SEQUENCE
    half = sequences_by_source(mixture("half", {TEXT: 1, CODE: 1}), tokens, BATCH, SEQUENCE)
    assert 2 * half["literature"] == sequences_by_source(TEXT, tokens, BATCH, SEQUENCE)["literature"]


def test_an_addition_to_a_source_of_the_base_adds_up() -> None:
    more, tokens = additive("more notes", TEXT, 3_200, {"notes": 128}, BATCH, SEQUENCE)
    assert sequences_by_source(more, tokens, BATCH, SEQUENCE) == {"literature": 144, "prose": 48, "notes": 16}


def test_a_base_that_cannot_be_equal_to_the_sequence_is_refused_with_one_that_can() -> None:
    with pytest.raises(UserError, match=r"1,000 tokens of 'text' .*; give both arms 3,200") as refused:
        additive("more", TEXT, 1_000, {CODE: 640}, BATCH, SEQUENCE)
    fits = int(str(refused.value).rsplit(" ", 1)[-1].replace(",", ""))
    assert additive("more", TEXT, fits, {CODE: 640}, BATCH, SEQUENCE)[1] == fits + 640


def test_budgets_with_nothing_in_common_are_refused_with_a_unit_that_works() -> None:
    step, fine = 512 * 8_192, mixture("fine", {"python": 24, "c": 1})
    with pytest.raises(UserError, match="too little in common") as refused:
        additive("more", TEXT, 47_700 * step, {fine: 11_921 * step}, 512, 8_192)
    found = re.search(r"multiples of ([\d,]+) tokens", str(refused.value))
    assert found is not None
    unit = int(found[1].replace(",", ""))
    base, added = (-(-steps * step // unit) * unit for steps in (47_700, 11_921))
    more, tokens = additive("more", TEXT, base, {fine: added}, 512, 8_192)
    assert tokens == base + added and sum(shares(more).values()) == 1
