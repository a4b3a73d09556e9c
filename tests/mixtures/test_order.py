"""The order: a bijection without a lattice, the same for any number of hosts, arms paired, budgets nested."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.allocate import allocate, cumulative
from mixtures.order import ORDER_VERSION, Rows, permute, rows

GOLDEN = Path(__file__).parent.parent / "golden" / "order.json"
TEXT_CODE = allocate({"text": Fraction(3, 4), "code": Fraction(1, 4)})
TEXT = allocate({"text": Fraction(1)})
WINDOWS = {"text": 50, "code": 17}


def _all_rows(allocation, steps: int, batch: int, starts=None, seed: int = 0) -> list[Rows]:
    return [rows(allocation, WINDOWS, starts or {}, seed, batch, step) for step in range(steps)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3_000), st.integers(0, 2**60))
def test_permute_is_a_bijection(size: int, key: int) -> None:
    out = permute(np.arange(size), size, "test", key)
    assert sorted(out.tolist()) == list(range(size))


def test_permute_shows_no_lattice() -> None:
    """A linear shuffle has a handful of distinct gaps; a random one has many, and no correlation with position."""
    size = 20_011
    out = permute(np.arange(size), size, "test", 7)
    gaps = np.diff(out)
    assert len(np.unique(gaps)) > size / 3
    assert abs(np.corrcoef(np.arange(size), out)[0, 1]) < 0.03
    assert abs(np.corrcoef(out[:-1], out[1:])[0, 1]) < 0.03
    # Every tenth of the positions spreads evenly over ten bins: chi-square with 81 degrees of freedom.
    table = np.histogram2d(np.arange(size), out, bins=10)[0]
    assert ((table - size / 100) ** 2 / (size / 100)).sum() < 130
    assert (out == np.arange(size)).sum() < 10


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


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
@pytest.mark.parametrize("batch", [8, 16])
def test_hosts_together_read_the_global_batch(hosts: int, batch: int) -> None:
    whole = rows(TEXT_CODE, WINDOWS, {}, 3, batch, 11)
    count = batch // hosts
    parts = [rows(TEXT_CODE, WINDOWS, {}, 3, batch, 11, h * count, count) for h in range(hosts)]
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


def test_a_far_step_needs_no_history() -> None:
    far = rows(TEXT_CODE, {"text": 10**9, "code": 10**8}, {}, 0, 512, 10**6)
    assert far.window_B.min() >= 0 and len(far.window_B) == 512


def golden() -> dict:
    batches = _all_rows(TEXT_CODE, 12, 8, starts={"text": 5}, seed=42)
    table = [[r.source_B.tolist(), r.epoch_B.tolist(), r.window_B.tolist()] for r in batches]
    return {"order_version": ORDER_VERSION, "rows": table}


def test_the_order_has_not_drifted() -> None:
    """If this fails on purpose, bump ORDER_VERSION and run `python -m tests.golden.write`."""
    assert golden() == json.loads(GOLDEN.read_text())
