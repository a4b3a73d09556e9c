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


EVERY = 1 << 14
"""Most matches in one document of texts of which every match is wanted; those after are not looked at."""


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


class Scratch(NamedTuple):
    """Work space of the loop over documents, so that nothing is allocated in it.

    unit_W, place_W, key_W, place_H, number_H hold a stretch of a document, of words or letters; best_T and place_T what
    the texts scored in this document, touched which of them did, seen_T where each was aligned last; row is for
    alignment; slot and stamp are a hash table of 3-grams, emptied by moving the clock. clock is [time, the text in the
    table, stretches so far].
    """

    unit_W: Words
    place_W: Ints
    key_W: Keys
    place_H: Ints
    number_H: Ints
    row: Row
    slot: Keys
    stamp: Ints
    best_T: Ints
    place_T: Ints
    touched: Ints
    seen_T: Ints
    clock: Ints


class Found(NamedTuple):
    """Matches of one call: document, text, score in words or letters, and the byte of the document where it was met."""

    document: Ints
    text: Ints
    score: Ints
    place: Ints


def new_scratch(stretch: int, texts: int, longest: int) -> Scratch:
    """Work space for stretches of `stretch` words or letters, `texts` texts and texts of `longest` words."""
    window = 2 * longest + 64
    slots = 1 << (4 * longest + 64).bit_length()
    return Scratch(
        unit_W=np.zeros(stretch, np.uint32),
        place_W=np.zeros(stretch, np.int64),
        key_W=np.zeros(stretch, np.uint64),
        place_H=np.zeros(stretch, np.int64),
        number_H=np.zeros(stretch, np.int64),
        row=np.zeros((8, window), np.int32),
        slot=np.zeros(slots, np.uint64),
        stamp=np.zeros(slots, np.int64),
        best_T=np.zeros(texts, np.int64),
        place_T=np.zeros(texts, np.int64),
        touched=np.zeros(texts, np.int64),
        seen_T=np.zeros(texts, np.int64),
        clock=np.array([0, -1, 0], np.int64),
    )


def new_found(texts: int) -> Found:
    """Room for the matches of one call: those of one document at the least."""
    return Found(*(np.zeros(texts + EVERY + 4096, np.int64) for _ in Found._fields))
