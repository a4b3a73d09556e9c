"""Rules on words: `align` and `ngram`.

Alignment: a seed, a rare 5-gram that a document shares with a component, says where the component would lie; the window
is that place with half the component's length on either side. The score is the share of the component's words that lie
in equal blocks of at least three words, in order, in the best such choice (a longest common subsequence of blocks). It
counts from a floor of words on (components.py): half of a component of 15 words is a common phrase, so a short one has
to be there nearly whole.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from mixtures.decontaminate import kernels
from mixtures.decontaminate.index import SEED_WORDS, Hit, Index
from mixtures.decontaminate.lookup import all_grams, seed_grams, word_texts
from mixtures.decontaminate.normalise import Buffer
from mixtures.decontaminate.types import Grams, Texts, new_found, new_scratch

_STRETCH_WORDS = 1 << 16


def hits(index: Index, buffer: Buffer, n: int | None, report: float) -> Iterator[Hit]:
    """Components met in each document, by alignment (n is None) or by any n words in a row."""
    grams, texts = _tables(index, n, report)
    size_C = np.diff(index.first_word_C)
    width = n or SEED_WORDS
    overlap = 3 * (int(size_C.max(initial=0)) + width)
    scratch = new_scratch(max(_STRETCH_WORDS, 4 * overlap), len(size_C), int(size_C.max(initial=0)) + width)
    found = new_found(len(size_C))
    document = 0
    while document < len(buffer.first_D) - 1:
        document, matches = kernels.match_words(
            buffer.text, buffer.first_D, document, *kernels.letter_tables(), width, n is None, overlap,
            grams, texts, scratch, found,
        )  # fmt: skip
        for number, c, score, place in zip(*(column[:matches].tolist() for column in found), strict=True):
            yield Hit(number, index.components[c], score / int(size_C[c]), score, place)


@lru_cache(maxsize=2)
def _tables(index: Index, n: int | None, report: float) -> tuple[Grams, Texts]:
    return (seed_grams(index) if n is None else all_grams(index, n)), word_texts(index, report)
