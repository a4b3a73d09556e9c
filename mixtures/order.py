"""The stateless order: which window of which source stands in row r of step n.

Nothing is shuffled and nothing is remembered: a keyed permutation says where a position goes, so the data
position *is* the step. Bump ORDER_VERSION whenever the order changes; tests/golden/order.json forces it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.allocate import Allocation, block_size, cumulative

ORDER_VERSION = 1

Ids = npt.NDArray[np.int64]
_ROUNDS = 6
_MULTIPLIERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))  # MurmurHash3's 64-bit finaliser
_SHIFT = np.uint64(33)


@dataclass(frozen=True)
class Rows:
    """Where every row of a batch comes from; each int64 [rows]."""

    source_B: Ids
    epoch_B: Ids
    window_B: Ids


def permute(positions: Ids, size: int, *key: int | str) -> Ids:
    """Send positions in [0, size) through the permutation of [0, size) that `key` names.

    A Feistel network on the next even power of two with a real mixing function (weak rounds left lattices
    that hurt training: Marin's linear shuffle), walked along its cycle until it lands inside.
    """
    if size <= 1:
        return np.zeros_like(positions)
    half_bits = np.uint64(((size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << int(half_bits)) - 1)
    keys = _round_keys(key)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half_bits, mask, keys)
        outside = values >= np.uint64(size)
    return values.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half_bits: np.uint64, mask: np.uint64, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    left, right = values >> half_bits, values & mask
    for key in keys:
        mixed = right ^ key
        for multiplier in _MULTIPLIERS:
            mixed = (mixed ^ (mixed >> _SHIFT)) * multiplier
        left, right = right, left ^ ((mixed ^ (mixed >> _SHIFT)) & mask)
    return (left << half_bits) | right


def _round_keys(key: tuple[int | str, ...]) -> npt.NDArray[np.uint64]:
    text = repr((ORDER_VERSION, *key)).encode()
    return np.frombuffer(hashlib.blake2b(text, digest_size=8 * _ROUNDS).digest(), "<u8")


def rows(
    allocation: Allocation,
    windows: Mapping[str, int],
    starts: Mapping[str, int],
    data_seed: int,
    batch: int,
    step: int,
    first: int = 0,
    count: int | None = None,
) -> Rows:
    """Rows [first, first + count) of the global batch of `step` (0-based).

    Args:
        allocation: the stage's slots.
        windows: sequences in one epoch of every source.
        starts: sequences of every source that the lineage had read before this stage.
        data_seed: names the order; the mixture does not, so arms read one source in one order.
        batch: sequences in the global batch.
        step: 0-based step of the stage.
        first: first row wanted.
        count: rows wanted; all from `first` by default.
    """
    block = block_size(batch)
    slots_B = step * batch + np.arange(first, batch if count is None else first + count, dtype=np.int64)
    number = int(slots_B[0]) // block  # a block is a multiple of the batch, so a batch never straddles two
    before, after = cumulative(allocation, number * block), cumulative(allocation, (number + 1) * block)
    places_B = permute(slots_B - number * block, block, "block", data_seed, number)
    ends = np.cumsum(after - before)
    source_B = np.searchsorted(ends, places_B, side="right")
    offset_B = places_B - (ends - (after - before))[source_B]
    sources = allocation.sources
    start = np.array([starts.get(name, 0) for name in sources], np.int64)
    length = np.array([windows[name] for name in sources], np.int64)
    ordinal_B = start[source_B] + before[source_B] + offset_B
    epoch_B, within_B = ordinal_B // length[source_B], ordinal_B % length[source_B]
    window_B = np.empty_like(within_B)
    for source, epoch in sorted(set(zip(source_B.tolist(), epoch_B.tolist(), strict=True))):
        here = (source_B == source) & (epoch_B == epoch)
        name = sources[source]
        window_B[here] = permute(within_B[here], int(length[source]), "source", data_seed, name, epoch)
    return Rows(source_B.astype(np.int64), epoch_B, window_B)
