"""The arrays that kernels and their callers hand each other."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]
Row = npt.NDArray[np.int32]


class Grams(NamedTuple):
    """Where a key occurs in the index: two bit filters, a bucket by the key's top bits, the key's postings.

    Attributes:
        coarse, fine: uint64 [2^k / 64], bit `key >> (64 - k)`; coarse fits the L2 cache and turns most keys away.
        coarse_shift, fine_shift, bucket_shift: 64 - k of each.
        bucket: int32 [2^j + 1], first key of every bucket.
        key: uint64 [K], sorted.
        posting: int32 [K + 1], first posting of every key.
        text, offset: int32 [P], which text the key is in, and at which of its words or letters.
    """

    coarse: Keys
    coarse_shift: np.uint64
    fine: Keys
    fine_shift: np.uint64
    bucket_shift: np.uint64
    bucket: Row
    key: Keys
    posting: Row
    text: Row
    offset: Row


class Texts(NamedTuple):
    """The texts to find, one after the other.

    Attributes:
        unit: uint32 [U], hashes of words or code points of letters.
        first: int64 [T + 1], where every text begins.
        need: int64 [T], how many words (in matching blocks) or words or letters (in a row) make a match.
        every: bool [T], whether all its matches in a document are wanted, not the best alone.
    """

    unit: Words
    first: Ints
    need: Ints
    every: Bools
