"""The loader: the batch of a step is the same bytes on any number of hosts, in any order of reading, in every arm."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.allocate import allocate
from mixtures.loader import Batch, load_batch, token_counts
from mixtures.order import DataPlan
from mixtures.tokens.arrays import TokenStore, windows_in, write_shard
from store.layout import shard_name

S = 32
SHARDS = {"text": (3_000, 5_000), "code": (1_500, 700, 40), "web": (2_222,)}
MIXED = {"text": Fraction(7, 10), "code": Fraction(1, 5), "web": Fraction(1, 10)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Every token says where it stands, so that no two windows are alike."""
    folder: Path = tmp_path_factory.mktemp("tokens")
    position = 0
    for source, sizes in SHARDS.items():
        for number, size in enumerate(sizes):
            offsets = np.unique([*range(0, size, 11), size])
            write_shard(
                folder / source / shard_name(number), np.arange(position, position + size, dtype="uint32"), offsets
            )
            position += size
    return TokenStore(folder, SHARDS)


def _plan(shares: dict[str, Fraction] = MIXED, batch: int = 16, seed: int = 0, mask: bool = False) -> DataPlan:
    windows = {name: windows_in(SHARDS[name], S) for name in shares}
    return DataPlan(allocate(shares), windows, {}, seed, batch, S, mask)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([8, 16, 24]), st.integers(0, 2_000), st.booleans())
def test_the_global_batch_is_the_same_bytes_on_any_number_of_hosts(
    store: TokenStore, hosts: int, batch: int, step: int, mask: bool
) -> None:
    plan = _plan(batch=batch, mask=mask)
    whole = load_batch(plan, store, step)
    parts = [load_batch(plan, store, step, host, hosts) for host in range(hosts)]
    for field in ("tokens_BxS", "source_id_B", *(["segment_ids_BxS"] if mask else [])):
        assert np.concatenate([getattr(part, field) for part in parts]).tobytes() == getattr(whole, field).tobytes()
    assert sum(token_counts(plan, whole).values()) == batch * S


def test_hosts_that_do_not_divide_the_batch_are_refused(store: TokenStore) -> None:
    with pytest.raises(ValueError, match="16 sequences cannot be split over 3 hosts"):
        load_batch(_plan(), store, 0, 0, 3)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=2, max_size=6))
def test_a_batch_does_not_depend_on_what_was_read_before(store: TokenStore, steps: list[int]) -> None:
    """So a run that resumes, or one with a smaller budget, reads what the long run reads."""
    one, other = _plan(), _plan()
    forwards = {step: load_batch(one, store, step).digest for step in sorted(set(steps))}
    assert {step: load_batch(other, store, step).digest for step in steps} == forwards


def _rows_of(plan: DataPlan, store: TokenStore, source: str, steps: int) -> list[bytes]:
    batches = [load_batch(plan, store, step) for step in range(steps)]
    number = plan.allocation.sources.index(source)
    return sorted(row.tobytes() for b in batches for row in b.tokens_BxS[b.source_id_B == number])


def test_arms_are_paired_to_the_token(store: TokenStore) -> None:
    """70 % text for ten steps and text alone for seven read the same rows of text."""
    alone = _rows_of(_plan({"text": Fraction(1)}), store, "text", 7)
    assert _rows_of(_plan(), store, "text", 10) == alone and len(alone) == 112


def test_budgets_nest(store: TokenStore) -> None:
    """The rows of a short run are among those of a longer one, whatever the mixture makes of the batches."""
    short, long = (_rows_of(_plan(), store, "code", steps) for steps in (5, 10))
    assert set(short) < set(long)


def test_an_epoch_reads_every_window_once(store: TokenStore) -> None:
    plan = _plan({"web": Fraction(1)}, batch=23)
    assert plan.windows["web"] == 69
    rows = _rows_of(plan, store, "web", 3)
    assert len(set(rows)) == len(rows) == 69


def test_a_window_count_below_the_stores_cuts_the_source(store: TokenStore) -> None:
    plan = replace(_plan({"web": Fraction(1)}), windows={"web": 10})
    assert len(set(_rows_of(plan, store, "web", 40))) == 10


def test_the_mask_says_which_document_a_position_belongs_to(store: TokenStore) -> None:
    batch = load_batch(_plan({"web": Fraction(1)}, mask=True), store, 3)
    assert batch.segment_ids_BxS is not None
    place_BxS = batch.tokens_BxS[:, :S] - sum(SHARDS["text"]) - sum(SHARDS["code"])
    document_BxS = place_BxS // 11
    assert (batch.segment_ids_BxS == document_BxS - document_BxS[:, :1]).all()


def test_a_digest_covers_all_that_is_fed(store: TokenStore) -> None:
    plain, masked = load_batch(_plan(), store, 3), load_batch(_plan(mask=True), store, 3)
    assert (plain.tokens_BxS == masked.tokens_BxS).all()
    data = plain.tokens_BxS.astype("<i4").tobytes() + plain.source_id_B.astype("<i4").tobytes()
    assert plain.digest == hashlib.blake2b(data, digest_size=16).hexdigest(), "ledgers of earlier runs hold this"
    assert masked.segment_ids_BxS is not None
    one_document = np.zeros_like(masked.segment_ids_BxS)
    relabelled = Batch(plain.tokens_BxS, 1 - plain.source_id_B)
    unmasked = Batch(masked.tokens_BxS, masked.source_id_B, one_document)
    assert len({plain.digest, masked.digest, unmasked.digest, relabelled.digest}) == 4
