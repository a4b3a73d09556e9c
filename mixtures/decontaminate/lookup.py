"""What the rules on words and on letters look up, and what they find of it.

`align`: a seed, a rare 5-gram that a document shares with a component, says where the component would lie; the window
is that place with half the component's length on either side. The score is the share of the component's words that lie
in equal blocks of at least three words, in order, in the best such choice (a longest common subsequence of blocks). It
counts from a floor of words on (components.py): half of a component of 15 words is a common phrase, so a short one has
to be there nearly whole.

`ngram`: any n words of a component in a row.

`gpt4` and `gpt4-exhaustive`: GPT-4 Technical Report (arXiv:2303.08774), App. C and D: of an evaluation item's letters
and digits, three random substrings of 50 characters, or all of them if there are fewer; an example is contaminated when
it holds any. The report leaves open, and here is fixed: case counts, letters are Unicode's, the randomness is a hash of
benchmark and item, and a question of fewer than `SHORTEST_QUESTION` letters is not looked for. When exhaustive, any 50
characters of the question will do.

Tables are derived in every process that scans (a third of a second for all benchmarks), so that one saved index serves
all rules.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mixtures.decontaminate import kernels
from mixtures.decontaminate.index import SEED_WORDS, Entry, Hit, Index, whole_grams
from mixtures.decontaminate.normalise import Buffer
from mixtures.decontaminate.types import Bools, Grams, Keys, Row, Texts

RUN = 50
"""Characters in a row that contaminate, by the GPT-4 report."""
SHORTEST_QUESTION = 24
"""Letters and digits under which a question is not looked for by that rule: it would find words, not leaks."""
PROBES = 3
_FILTER_BITS_PER_KEY = 24
_LARGEST_FILTER_BITS = 27
_COARSE_BITS = 24


class Table(NamedTuple):
    """What one pass over the documents looks for: `texts`, whose they are, and where their grams of n units are.

    `by_letter` says what a unit is, and `align` whether what stands around a gram is weighed or has to be equal.
    """

    texts: Texts
    entries: Sequence[Entry]
    grams: Grams
    n: int
    by_letter: bool
    align: bool


def hits(index: Index, buffer: Buffer, rule: str, n: int, report: float) -> Iterator[Hit]:
    """What is met of the index in each document; `n` is for `ngram`, and from `report` on a score of `align` counts."""
    for table in _tables(index, rule, n, report):
        yield from _hits(table, buffer)


def _hits(table: Table, buffer: Buffer) -> Iterator[Hit]:
    units = kernels.letters if table.by_letter else kernels.hash_words
    unit_W, place_W = units(buffer.text, *kernels.letter_tables())
    first_D = np.searchsorted(place_W, buffer.first_D)
    places = kernels.find_grams(kernels.gram_keys(unit_W, table.n), table.grams)
    for number, t, score, i in kernels.match(unit_W, first_D, table.n, table.align, *places, table.grams, table.texts):
        yield Hit(number, table.entries[t], score / int(np.diff(table.texts.first)[t]), score, int(place_W[i]))


@lru_cache(maxsize=2)
def _tables(index: Index, rule: str, n: int, report: float) -> tuple[Table, ...]:
    if rule in ("align", "ngram"):
        every_C = np.array([bool(entry.answers) for entry in index.components], np.bool_)
        need_C, begins_W = np.full(len(every_C), n), whole_grams(index.first_word_C, n)
        if align := rule == "align":  # the share `report` of the words, and not too few of them (components.py)
            least_C = np.array([entry.needs for entry in index.components], np.int64)
            need_C = np.maximum(least_C, np.ceil(np.diff(index.first_word_C) * report - 1e-9).astype(np.int64))
            n, begins_W = SEED_WORDS, index.seed_W
        texts = Texts(index.word_W, index.first_word_C, need_C, every_C)
        return (Table(texts, index.components, grams_of(texts, n, begins_W), n, False, align),)
    probes = list(_probes(index, rule == "gpt4-exhaustive"))
    long, short = ([probe for probe in probes if (len(probe[1]) >= RUN) == wanted] for wanted in (True, False))
    return tuple(_letters(its, n) for its, n in ((long, RUN), (short, SHORTEST_QUESTION)) if its)


def _probes(index: Index, exhaustive: bool) -> Iterator[tuple[Entry, str]]:
    """The texts of the 50-character rules, and whose they are. A question shorter than that is looked for whole."""
    for entry, (start, stop) in zip(index.questions, itertools.pairwise(index.first_letter_Q.tolist()), strict=True):
        question = index.letter_L[start:stop].tobytes().decode()
        if exhaustive or len(question) <= RUN:
            yield from [(entry, question)] if len(question) >= SHORTEST_QUESTION else []
            continue
        for probe in range(PROBES):
            digest = hashlib.sha256("\0".join([*index.items[entry.item], str(probe)]).encode()).digest()
            begin = int.from_bytes(digest[:8], "big") % (len(question) - RUN + 1)
            yield entry, question[begin : begin + RUN]


def _letters(probes: Sequence[tuple[Entry, str]], n: int) -> Table:
    size_T = np.array([len(text) for _, text in probes])
    need_T = np.minimum(size_T, RUN)
    letters = "".join(text for _, text in probes).encode("utf-32-le")
    unit = np.frombuffer(letters, np.uint32).copy()  # writable, as that of words is: kernels are compiled once
    texts = Texts(unit, np.append(0, np.cumsum(size_T)), need_T, np.zeros(len(probes), np.bool_))
    grams = grams_of(texts, n, whole_grams(texts.first, need_T))
    return Table(texts, [entry for entry, _ in probes], grams, n, True, False)


def grams_of(texts: Texts, n: int, begins_W: Bools) -> Grams:
    """Where the n-grams are that begin at the chosen words or letters."""
    place_P = np.flatnonzero(begins_W)
    text_P = (np.searchsorted(texts.first, place_P, side="right") - 1).astype(np.int32)
    return postings(kernels.gram_keys(texts.unit, n)[place_P], text_P, (place_P - texts.first[text_P]).astype(np.int32))


def postings(key_P: Keys, text_P: Row, offset_P: Row) -> Grams:
    order = np.argsort(key_P, kind="stable")
    key_P = key_P[order]
    new_P = np.concatenate([[True], key_P[1:] != key_P[:-1]])[: len(order)]
    key_K = key_P[new_P]
    fine_bits = min(_LARGEST_FILTER_BITS, max(6, (_FILTER_BITS_PER_KEY * len(key_K)).bit_length()))
    coarse_bits = min(_COARSE_BITS, fine_bits)
    bucket_bits = max(1, len(key_K).bit_length())
    every_bucket = np.arange((1 << bucket_bits) + 1, dtype=np.uint64)
    return Grams(
        coarse=_bit_filter(key_K, coarse_bits),
        coarse_shift=np.uint64(64 - coarse_bits),
        fine=_bit_filter(key_K, fine_bits),
        fine_shift=np.uint64(64 - fine_bits),
        bucket=np.searchsorted(key_K >> np.uint64(64 - bucket_bits), every_bucket).astype(np.int32),
        bucket_shift=np.uint64(64 - bucket_bits),
        key=key_K,
        posting=np.append(np.flatnonzero(new_P), len(order)).astype(np.int32),
        text=text_P[order],
        offset=offset_P[order],
    )


def _bit_filter(key_K: Keys, bits: int) -> Keys:
    """2^bits bits, of which the keys' are set."""
    out, bit_K = np.zeros(1 << (bits - 6), np.uint64), key_K >> np.uint64(64 - bits)
    np.bitwise_or.at(out, bit_K >> np.uint64(6), np.uint64(1) << (bit_K & np.uint64(63)))
    return out
