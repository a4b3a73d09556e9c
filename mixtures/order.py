"""The stateless order: which window of which source stands in row r of step n.

Nothing is shuffled and nothing is remembered: a keyed permutation says where a position goes, so the data
position *is* the step. Bump ORDER_VERSION whenever the order changes; tests/golden/order.json forces it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtures.allocate import Allocation, block_size, cumulative

ORDER_VERSION = 2

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_SHUFFLED = 4_096
"""Sizes up to which a permutation is drawn whole, all orders alike; beyond it a network computes single places."""
_ROUNDS = 6
_MULTIPLIERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))  # MurmurHash3's 64-bit finaliser
_SHIFT = np.uint64(33)


@dataclass(frozen=True, eq=False)
class DataPlan:
    """Everything that decides what a stage reads.

    Attributes:
        allocation: the mixture as slots.
        windows: sequences in one epoch of every source.
        starts: sequences of every source that the lineage read before this stage.
        data_seed: names the order.
        batch: sequences in the global batch.
        sequence: training tokens in a sequence.
        document_mask: batches say which document every position belongs to.
        loss: what carries loss where sources are examples: "all" that is no padding, the "answers" alone, or answers
            that are "ranked".
        stored: sequences that the store has of every source, when `windows` is only a part of them: the part is then
            drawn from all of them, the same for every arm and seed. A prefix would be the first languages of a source
            whose files are sorted by language.
    """

    allocation: Allocation
    windows: Mapping[str, int]
    starts: Mapping[str, int]
    data_seed: int
    batch: int
    sequence: int
    document_mask: bool = False
    stored: Mapping[str, int] | None = None
    loss: Literal["all", "answers", "ranked"] = "all"


@dataclass(frozen=True)
class Rows:
    """Where every row of a batch comes from; each int64 [rows]."""

    source_B: Ids
    epoch_B: Ids
    window_B: Ids


def permute(positions_B: Ids, which_B: Ids, sizes: list[int], keys: list[tuple[int | str, ...]]) -> Ids:
    """Send each position in [0, size) through the permutation `which_B` of those of [0, size) that `keys` name.

    Up to 4,096 it is a shuffle, every order as likely as any other. A larger one is a Feistel network on the next
    power of four with a real mixing function (weak rounds left lattices that hurt training: Marin's linear shuffle),
    walked along its cycle until it lands inside: a place costs the same whatever the size. On few places such a
    network is visibly not uniform. All at once, since a few rows at a time would cost more in calls than in arithmetic.
    """
    small = np.array([size <= _SHUFFLED for size in sizes])
    out_B = np.empty_like(positions_B)
    if small.any():
        orders = [_shuffled(size, key) if size <= _SHUFFLED else _NONE for size, key in zip(sizes, keys, strict=True)]
        starts = np.cumsum([0, *map(len, orders)])
        here = small[which_B]
        out_B[here] = np.concatenate(orders)[starts[which_B[here]] + positions_B[here]]
    if not small.all():
        here = ~small[which_B]
        out_B[here] = _walked(positions_B[here], which_B[here], sizes, keys)
    return out_B


_NONE = np.zeros(0, np.int64)


@lru_cache(maxsize=512)
def _shuffled(size: int, key: tuple[int | str, ...]) -> Ids:
    """The whole permutation: places sorted by 64 keyed bits each; two that tie, once in 10^12, keep their order."""
    draws = np.frombuffer(hashlib.shake_128(_named(key)).digest(8 * size), "<u8")
    return np.argsort(draws, kind="stable")


def _walked(positions_B: Ids, which_B: Ids, sizes: list[int], keys: list[tuple[int | str, ...]]) -> Ids:
    half_bits = np.array([((size - 1).bit_length() + 1) // 2 for size in sizes], np.uint64)
    masks = (np.uint64(1) << half_bits) - np.uint64(1)
    limits = np.array(sizes, np.uint64)
    words_KxR = [
        np.frombuffer(hashlib.blake2b(_named(key), digest_size=8 * _ROUNDS + 8).digest(), "<u8") for key in keys
    ]
    coin, keys_RxK = np.split(np.stack(words_KxR, axis=1), [1])
    values_B = positions_B.astype(np.uint64)
    # The network on 4^n places is an even permutation. A coin swaps the first two, so that odd ones are as likely.
    values_B ^= np.where(values_B < 2, coin[0, which_B] & np.uint64(1), np.uint64(0))
    outside = np.arange(len(values_B))
    while len(outside):
        which = which_B[outside]
        moved = _feistel(values_B[outside], half_bits[which], masks[which], keys_RxK[:, which])
        values_B[outside] = moved
        outside = outside[moved >= limits[which]]
    return values_B.astype(np.int64)


def _feistel(values_B: Words, half_bits_B: Words, mask_B: Words, keys_RxB: Words) -> Words:
    left, right = values_B >> half_bits_B, values_B & mask_B
    shifted = np.empty_like(right)
    for key_B in keys_RxB:
        mixed = right ^ key_B
        for multiplier in _MULTIPLIERS:
            mixed ^= np.right_shift(mixed, _SHIFT, out=shifted)
            mixed *= multiplier
        mixed ^= np.right_shift(mixed, _SHIFT, out=shifted)
        mixed &= mask_B
        mixed ^= left
        left, right = right, mixed
    return (left << half_bits_B) | right


def _named(key: tuple[int | str, ...]) -> bytes:
    return repr((ORDER_VERSION, *key)).encode()


def rows(plan: DataPlan, step: int, first: int = 0, count: int | None = None, steps: int = 1) -> Rows:
    """Rows [first, first + count) of the global batch of `step` (0-based) and of the steps that follow, in order.

    The mixture does not name the order of a source, so arms read one source in one order.
    """
    rows_B = np.arange(first, plan.batch if count is None else first + count, dtype=np.int64)
    slots_B = ((step + np.arange(steps, dtype=np.int64))[:, None] * plan.batch + rows_B).ravel()
    source_B, ordinal_B = _slots(plan.allocation, plan.data_seed, block_size(plan.batch), slots_B)
    names = plan.allocation.sources
    ordinal_B += np.array([plan.starts.get(name, 0) for name in names], np.int64)[source_B]
    length = np.array([plan.windows[name] for name in names], np.int64)
    epoch_B, within_B = np.divmod(ordinal_B, length[source_B])
    pairs, which_B = np.unique(epoch_B * len(names) + source_B, return_inverse=True)
    read = [(int(pair) % len(names), int(pair) // len(names)) for pair in pairs]
    keys: list[tuple[int | str, ...]] = [("source", plan.data_seed, names[source], epoch) for source, epoch in read]
    window_B = permute(within_B, which_B, [int(length[source]) for source, _ in read], keys)
    if plan.stored is not None:  # spread over all that are stored: a fixed draw, whatever the arm or the seed
        window_B = permute(window_B, source_B, [plan.stored[name] for name in names], [("draw", n) for n in names])
    return Rows(source_B, epoch_B, window_B)


def _slots(allocation: Allocation, data_seed: int, block: int, slots_B: Ids) -> tuple[Ids, Ids]:
    """Source of every slot, and how many slots of the stage that source had before it; each int64 [slots].

    Inside a block the slots stand in a keyed order: place p belongs to the source whose share of the block holds p.
    So counts are within one sequence of their shares at block ends; a batch of under 8 sequences has steps between.
    """
    number_B = slots_B // block
    blocks, which_B = np.unique(number_B, return_inverse=True)
    keys: list[tuple[int | str, ...]] = [("block", data_seed, int(number)) for number in blocks]
    place_B = permute(slots_B - number_B * block, which_B, [block] * len(blocks), keys)
    before_KxS = cumulative(allocation, blocks * block)
    counts_KxS = cumulative(allocation, (blocks + 1) * block) - before_KxS
    ends_KxS = np.cumsum(counts_KxS, axis=1)
    source_B = (place_B[:, None] >= ends_KxS[which_B]).sum(axis=1)
    return source_B, place_B + (before_KxS - ends_KxS + counts_KxS)[which_B, source_B]
