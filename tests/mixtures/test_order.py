"""The order: a bijection without a lattice, the same for any number of hosts, arms paired, budgets nested."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures import order
from mixtures.allocate import allocate, cumulative
from mixtures.curriculum import stage_steps
from mixtures.order import ORDER_VERSION, DataPlan, Rows, rows

GOLDEN = Path(__file__).parent.parent / "golden" / "order.json"
TEXT_CODE = allocate({"text": Fraction(3, 4), "code": Fraction(1, 4)})
TEXT = allocate({"text": Fraction(1)})
WINDOWS = {"text": 50, "code": 17}


def _all_rows(allocation, steps: int, batch: int, starts=None, seed: int = 0) -> list[Rows]:
    plan = _plan(allocation, batch, starts, seed)
    return [rows(plan, step) for step in range(steps)]


def _plan(allocation=TEXT_CODE, batch: int = 8, starts=None, seed: int = 3, windows=WINDOWS) -> DataPlan:
    return DataPlan(allocation, windows, starts or {}, seed, batch, sequence=1)


def permute(positions: np.ndarray, size: int, *key: int | str) -> np.ndarray:
    return order.permute(positions, np.zeros(len(positions), np.int64), [size], [key])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5_000), st.integers(0, 2**60))
def test_permute_is_a_bijection(size: int, key: int) -> None:
    out = permute(np.arange(size), size, "test", key)
    assert sorted(out.tolist()) == list(range(size))


def _excess(counts: np.ndarray) -> float:
    """How many standard deviations chi-square against equal counts lies above its mean."""
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5


def _faults(out: np.ndarray) -> set[str]:
    """What tells `out` from a random permutation; a random one has no fault in some 10,000 tries."""
    size, place = len(out), np.arange(len(out))
    faults = set()
    if abs(np.corrcoef(place, out)[0, 1]) > 4.5 / size**0.5:
        faults.add("values follow their places")
    if _excess(np.histogram2d(place, out, bins=16)[0]) > 5:
        faults.add("values are uneven over the places")
    if (out == place).sum() > 9:
        faults.add("fixed points")
    for stride in (1, 2, 3, 4, 8, 16, 64, 256):
        if abs(np.corrcoef(out[:-stride], out[stride:])[0, 1]) > 4.5 / size**0.5:
            faults.add("serial correlation")
        gaps = (out[stride:] - out[:-stride]) % size
        if _excess(np.histogram(gaps, bins=64, range=(0, size))[0]) > 5:
            faults.add("uneven gaps")
        if ((gaps[stride:] - gaps[:-stride]) % size == 0).sum() > 9:  # one is expected
            faults.add("arithmetic progressions")
    return faults


@pytest.mark.parametrize("size", [4_096, 5_003, 20_011, 65_536, 70_000])
@pytest.mark.parametrize("key", range(3))
def test_permute_looks_random(size: int, key: int) -> None:
    assert not _faults(permute(np.arange(size), size, "test", key))


def test_a_bad_permutation_would_be_caught() -> None:
    size = 65_536
    place = np.arange(size)
    for multiplier in (5, 1_103_515_245, 40_503):  # the last is the golden ratio: the evenest of them
        assert {"uneven gaps", "arithmetic progressions"} <= _faults((place * multiplier + 12_345) % size)
    rng = np.random.default_rng(0)
    buffered = place.reshape(-1, 1_024).copy()
    rng.permuted(buffered, axis=1, out=buffered)
    assert "values follow their places" in _faults(buffered.ravel())
    half, mask = np.uint64(8), np.uint64(255)
    left, right = place.astype(np.uint64) >> half, place.astype(np.uint64) & mask
    for key in (91, 7, 200, 33, 150, 64):  # a Feistel network whose rounds only add a key
        left, right = right, left ^ ((right + np.uint64(key)) & mask)
    assert _faults(((left << half) | right).astype(np.int64))
    assert not _faults(rng.permutation(size))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_all_orders_of_a_few_are_equally_likely(size: int) -> None:
    """A block has a few rows and a source may have a few windows, where a network has little to mix."""
    drawn = np.stack([permute(np.arange(size), size, "test", key) for key in range(30 * math.factorial(size))])
    orders, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == math.factorial(size) and abs(_excess(counts)) < 4


def _is_odd(order: np.ndarray) -> bool:
    return bool((len(order) - len(_cycles(order))) % 2)


def _cycles(order: np.ndarray) -> list[int]:
    """Lengths of its cycles."""
    lengths, left = [], set(range(len(order)))
    while left:
        first = place = left.pop()
        length = 1
        while (place := int(order[place])) != first:
            left.remove(place)
            length += 1
        lengths.append(length)
    return lengths


@pytest.mark.parametrize("size", [7, 8, 12, 15, 16, 17, 31, 64, 100])
def test_small_permutations_are_uniform(size: int) -> None:
    """By place, by pairs of neighbours, by parity and by cycles: 16 windows had even permutations only."""
    drawn = np.stack([permute(np.arange(size), size, "test", key) for key in range(2_000)])
    assert abs(_excess(np.stack([np.bincount(drawn[:, place], minlength=size) for place in range(size)]))) < 4.5
    gaps = (np.diff(drawn, axis=1) % size).ravel()
    assert abs(_excess(np.bincount(gaps, minlength=size)[1:])) < 4.5
    assert abs(sum(map(_is_odd, drawn)) - 1_000) < 4.5 * 500**0.5
    fixed = (drawn == np.arange(size)).sum()  # one is expected of each
    assert abs(fixed - 2_000) < 4.5 * 2_000**0.5


@pytest.mark.parametrize("size", [4_097, 16_384, 16_383])
def test_large_permutations_are_odd_as_often_as_even(size: int) -> None:
    """A Feistel network on 4^n places is even: the coin that swaps two of them decides."""
    odd = sum(_is_odd(permute(np.arange(size), size, "test", key)) for key in range(40))
    assert abs(odd - 20) <= 14


@pytest.mark.parametrize("sizes", [(3, 5_000), (4_096, 4_097), (1, 16), (20_000, 20_000)])
def test_small_and_large_sources_stand_in_one_mixture(sizes: tuple[int, int]) -> None:
    """Each is permuted as if it were alone, and every epoch reads every window of a small one once."""
    windows = dict(zip(("text", "code"), sizes, strict=True))
    placed = rows(_plan(windows=windows), 0, steps=200)
    for source, (name, size) in enumerate(windows.items()):
        here = placed.source_B == source
        for epoch in np.unique(placed.epoch_B[here]):
            read = placed.window_B[here & (placed.epoch_B == epoch)]
            whole = permute(np.arange(size), size, "source", 3, name, int(epoch))
            assert sorted(read.tolist()) == sorted(whole[: len(read)].tolist())


def test_two_keys_give_unrelated_permutations() -> None:
    a, b = (permute(np.arange(5_003), 5_003, "test", key) for key in (1, 2))
    assert (a == b).sum() < 10


def test_every_epoch_reads_every_window_once_in_a_new_order() -> None:
    read = np.concatenate([r.window_B for r in _all_rows(TEXT, 25, 8)])
    epochs = np.concatenate([r.epoch_B for r in _all_rows(TEXT, 25, 8)])
    first, second = read[epochs == 0], read[epochs == 1]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first.tolist() != second.tolist()


def test_the_realised_composition_is_the_allocation() -> None:
    for step, row in enumerate(_all_rows(TEXT_CODE, 40, 8)):
        expected = cumulative(TEXT_CODE, 8 * (step + 1)) - cumulative(TEXT_CODE, 8 * step)
        assert np.bincount(row.source_B, minlength=2).tolist() == expected.tolist()


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 7, 8, 12])
def test_a_stage_of_any_batch_reads_what_the_plan_declares(batch: int) -> None:
    """A small batch shares its block with others, so a stage that ended inside a block would read other counts."""
    for tokens in range(1, 40):
        steps = stage_steps(tokens, batch, 1)
        read = np.concatenate([row.source_B for row in _all_rows(TEXT_CODE, steps, batch)])
        assert np.bincount(read, minlength=2).tolist() == cumulative(TEXT_CODE, steps * batch).tolist()


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
@pytest.mark.parametrize("batch", [8, 16])
def test_hosts_together_read_the_global_batch(hosts: int, batch: int) -> None:
    whole = rows(_plan(batch=batch), 11)
    count = batch // hosts
    parts = [rows(_plan(batch=batch), 11, h * count, count) for h in range(hosts)]
    for field in ("source_B", "epoch_B", "window_B"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        assert joined.tolist() == getattr(whole, field).tolist()


def _stream(batches: list[Rows], source: int) -> list[tuple[int, int]]:
    pairs = [
        (int(e), int(w))
        for r in batches
        for s, e, w in zip(r.source_B, r.epoch_B, r.window_B, strict=True)
        if s == source
    ]
    return sorted(pairs)


def test_arms_are_paired() -> None:
    """Text alone and 75 % text read the same text: after equal text tokens, the same windows."""
    mixed = _stream(_all_rows(TEXT_CODE, 8, 8), 0)
    alone = _stream(_all_rows(TEXT, 6, 8), 0)
    assert mixed == alone and len(alone) == 48


def test_seeds_give_different_orders() -> None:
    assert _all_rows(TEXT, 1, 8, seed=0)[0].window_B.tolist() != _all_rows(TEXT, 1, 8, seed=1)[0].window_B.tolist()


def test_a_stage_carries_on_where_its_parent_ended() -> None:
    whole = _stream(_all_rows(TEXT_CODE, 10, 8), 0)
    first = _stream(_all_rows(TEXT_CODE, 4, 8), 0)
    read = cumulative(TEXT_CODE, 32)
    rest = _stream(_all_rows(TEXT_CODE, 6, 8, starts={"text": int(read[0]), "code": int(read[1])}), 0)
    assert sorted(first + rest) == whole


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 3, 8, 12]), st.integers(0, 500), st.integers(1, 40))
def test_many_steps_at_once_are_the_steps_one_by_one(batch: int, step: int, steps: int) -> None:
    plan = _plan(batch=batch, starts={"text": 5})
    together = rows(plan, step, steps=steps)
    singly = [rows(plan, step + n) for n in range(steps)]
    for field in ("source_B", "epoch_B", "window_B"):
        assert getattr(together, field).tolist() == np.concatenate([getattr(r, field) for r in singly]).tolist()


def test_a_far_step_needs_no_history() -> None:
    far = rows(_plan(batch=512, seed=0, windows={"text": 10**9, "code": 10**8}), 10**6)
    assert far.window_B.min() >= 0 and len(far.window_B) == 512


def golden() -> dict:
    batches = _all_rows(TEXT_CODE, 12, 8, starts={"text": 5}, seed=42)
    table = [[r.source_B.tolist(), r.epoch_B.tolist(), r.window_B.tolist()] for r in batches]
    return {"order_version": ORDER_VERSION, "rows": table}


def test_the_order_has_not_drifted() -> None:
    """If this fails on purpose, bump ORDER_VERSION and run `python -m tests.golden.write`."""
    assert golden() == json.loads(GOLDEN.read_text())
