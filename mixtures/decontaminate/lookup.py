"""From the index to what a rule's kernel looks up: filter, buckets, postings.

Derived in every process that scans (a third of a second for all benchmarks), so that one saved index serves all rules.
"""

import hashlib
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mixtures.decontaminate import kernels
from mixtures.decontaminate.index import SEED_WORDS, Index, gram_keys, whole_grams
from mixtures.decontaminate.types import Grams, Texts

RUN = 50
"""Characters in a row that contaminate, by the GPT-4 report."""
SHORTEST_QUESTION = 24
"""Letters and digits under which a question is not looked for by that rule: it would find words, not leaks."""
PROBES = 3
_NARROW, _WIDE = 16, 32
_FILTER_BITS_PER_KEY = 24
_LARGEST_FILTER_BITS = 27
_COARSE_BITS = 24


def seed_grams(index: Index) -> Grams:
    """Where the seeds of alignment are."""
    return _word_grams(index, SEED_WORDS, index.seed_W)


def all_grams(index: Index, n: int) -> Grams:
    """Where all n-grams of words are."""
    return _word_grams(index, n, whole_grams(index.first_word_C, n))


def word_texts(index: Index, report: float) -> Texts:
    """The components; a match takes the share `report` of the words, and not too few of them (components.py)."""
    size_C = np.diff(index.first_word_C)
    need_C = np.array([entry.needs for entry in index.components], np.int64)
    need_C = np.maximum(need_C, np.ceil(size_C * report - 1e-9).astype(np.int64))
    every_C = np.array([bool(entry.answers) for entry in index.components], np.bool_)
    return Texts(index.word_W, index.first_word_C, need_C, every_C)


def probes(index: Index, exhaustive: bool) -> tuple[Texts, npt.NDArray[np.int64]]:
    """The texts of the 50-character rule, and which of the index's questions each is from; int64 [texts].

    Three random 50-character substrings an item, or, when exhaustive, its whole question, of which any 50 characters
    will do. A shorter question is looked for whole.
    """
    texts, needs, numbers = [], [], []
    for number, (start, stop) in enumerate(itertools.pairwise(index.first_letter_Q.tolist())):
        question = index.letter_L[start:stop].tobytes().decode()
        if len(question) < SHORTEST_QUESTION:
            continue
        whole = exhaustive or len(question) <= RUN
        for text in (
            [question] if whole else _random_substrings(question, "\0".join(index.items[index.questions[number].item]))
        ):
            texts.append(text.encode())
            needs.append(min(RUN, len(text)))
            numbers.append(number)
    first = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    letters = np.frombuffer(b"".join(texts), np.uint8).copy()
    every = np.zeros(len(needs), np.bool_)
    return Texts(letters, first, np.array(needs, np.int64), every), np.array(numbers, np.int64)


def letter_grams(texts: Texts) -> tuple[Grams, Grams]:
    """Where the 32-byte grams of texts that need 47 bytes or more are, and the 16-byte grams of the others."""
    wide_T = texts.need >= _WIDE + 15
    return _letter_grams(texts, np.flatnonzero(wide_T), _WIDE), _letter_grams(texts, np.flatnonzero(~wide_T), _NARROW)


def _random_substrings(text: str, seed: str) -> Iterator[str]:
    for probe in range(PROBES):
        digest = hashlib.sha256(f"{seed}\0{probe}".encode()).digest()
        start = int.from_bytes(digest[:8], "big") % (len(text) - RUN + 1)
        yield text[start : start + RUN]


def _word_grams(index: Index, n: int, begins_W: npt.NDArray[np.bool_]) -> Grams:
    place_P = np.flatnonzero(begins_W)
    text_P = (np.searchsorted(index.first_word_C, place_P, side="right") - 1).astype(np.int32)
    offset_P = (place_P - index.first_word_C[text_P]).astype(np.int32)
    return _grams(gram_keys(index.word_W, n)[begins_W], text_P, offset_P)


def _letter_grams(texts: Texts, chosen: npt.NDArray[np.int64], width: int) -> Grams:
    """Grams at every byte that can be the first multiple of width / 2 in a run as long as the text needs."""
    size_T = np.diff(texts.first)[chosen]
    count_T = np.minimum(size_T - width, size_T - texts.need[chosen] + width // 2 - 1) + 1
    before_T = (np.cumsum(count_T) - count_T).astype(np.int32)
    text_P = np.repeat(chosen.astype(np.int32), count_T)
    offset_P = np.arange(len(text_P), dtype=np.int32) - np.repeat(before_T, count_T)
    key_P = np.zeros(len(text_P), np.uint64)
    kernels.letter_keys(texts.unit, texts.first[text_P] + offset_P, width == _WIDE, key_P)
    return _grams(key_P, text_P, offset_P)


def _grams(key_P: npt.NDArray[np.uint64], text_P: npt.NDArray[np.int32], offset_P: npt.NDArray[np.int32]) -> Grams:
    order = np.argsort(key_P, kind="stable")
    key_P = key_P[order]
    new_P = np.concatenate([[True], key_P[1:] != key_P[:-1]])[: len(order)]
    key_K = key_P[new_P]
    fine_bits = min(_LARGEST_FILTER_BITS, max(6, (_FILTER_BITS_PER_KEY * len(key_K)).bit_length()))
    coarse_bits = min(_COARSE_BITS, fine_bits)
    bucket_bits = max(1, len(key_K).bit_length())
    return Grams(
        coarse=kernels.bit_filter(key_K, coarse_bits),
        coarse_shift=np.uint64(64 - coarse_bits),
        fine=kernels.bit_filter(key_K, fine_bits),
        fine_shift=np.uint64(64 - fine_bits),
        bucket=kernels.buckets(key_K, bucket_bits),
        bucket_shift=np.uint64(64 - bucket_bits),
        key=key_K,
        posting=np.append(np.flatnonzero(new_P), len(order)).astype(np.int32),
        text=text_P[order],
        offset=offset_P[order],
    )
