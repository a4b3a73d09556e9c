"""The share that is held out, whatever the groups."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.steps.heldout import Groups, choose


def groups(sizes: dict[int, int]) -> Groups:
    hashes = np.array(sorted(sizes), np.uint64)
    counts = np.array([sizes[int(hash)] for hash in hashes], np.int64)
    return Groups(hashes, counts, int(counts.sum()))


def taken(source: Groups, held: np.ndarray) -> int:
    return int(source.counts[np.isin(source.hashes, held)].sum())


SIZES = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(1, 30), min_size=2, max_size=60)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.floats(0.005, 0.4))
def test_a_source_misses_its_share_by_less_than_its_largest_group(sizes: dict[int, int], share: float) -> None:
    source = groups(sizes)
    held = taken(source, choose([source], share))
    assert 0 < held < source.total
    assert abs(held - share * source.total) <= max(sizes.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(SIZES, min_size=2, max_size=4), st.floats(0.005, 0.4))
def test_no_source_is_held_out_whole_or_not_at_all(all_sizes: list[dict[int, int]], share: float) -> None:
    sources = [groups({hash % 97: size for hash, size in sizes.items()}) for sizes in all_sizes]  # many in common
    held = choose(sources, share)
    for source in sources:
        assert taken(source, held) < source.total
    assert len(set(held.tolist())) == len(held)


def test_documents_that_are_their_own_group_meet_the_share_exactly() -> None:
    hashes = np.sort(np.random.default_rng(0).integers(0, 2**64, 3_556, np.uint64))
    source = Groups(hashes, np.ones(3_556, np.int64), 3_556)
    assert abs(taken(source, choose([source], 0.05)) - 178) <= 1
    # Those that are held out of a part of them are nearly those that are held out of the whole.
    part = Groups(hashes[::2], np.ones(1_778, np.int64), 1_778)
    both = choose([source, part], 0.05)
    assert abs(taken(source, both) - 178) <= 10 and abs(taken(part, both) - 89) <= 10


def test_a_share_of_nothing_takes_nothing() -> None:
    assert not len(choose([groups({1: 5, 2: 1})], 0.0))


def test_one_group_gives_nothing_and_two_large_ones_the_smaller() -> None:
    assert len(choose([groups({5: 100})], 0.05)) == 0
    assert choose([groups({5: 2_131, 9: 1_425})], 0.05).tolist() == [9]


def test_a_small_source_does_not_take_a_large_group_from_another() -> None:
    large = groups({1: 900, **{hash: 5 for hash in range(100, 200)}})
    small = groups({1: 1, 150: 1, 160: 1})
    held = choose([large, small], 0.05)
    assert 1 not in held and taken(small, held) == 1
