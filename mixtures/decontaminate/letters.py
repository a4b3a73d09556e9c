"""Rules on letters and digits: `gpt4` and `gpt4-exhaustive`.

GPT-4 Technical Report (arXiv:2303.08774), App. C and D: of an evaluation item's letters and digits, three random
substrings of 50 characters, or all of them if there are fewer; an example is contaminated when it holds any. The report
leaves open, and here is fixed: case counts, letters are Unicode's, the randomness is a hash of benchmark and item, and
a question of fewer than `tables.SHORTEST_QUESTION` letters is not looked for.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mixtures.decontaminate import kernels
from mixtures.decontaminate.index import Hit, Index
from mixtures.decontaminate.lookup import RUN, letter_grams, probes
from mixtures.decontaminate.normalise import Buffer
from mixtures.decontaminate.types import Grams, Texts, new_found, new_scratch

_PIECE_BYTES = 1 << 18
_OVERLAP_BYTES = 4 * RUN + 56  # a run of 50 characters has at most 200 bytes


def hits(index: Index, buffer: Buffer, exhaustive: bool) -> Iterator[Hit]:
    """Questions met in each document, by 50 characters of three random places or of anywhere."""
    (wide, narrow), texts, question_T = _tables(index, exhaustive)
    alnum = kernels.letter_tables()
    word64 = np.zeros(_PIECE_BYTES // 8, np.uint64)
    scratch, found = new_scratch(len(word64) + 1, len(question_T), 0), new_found(len(question_T))
    document = 0
    while document < len(buffer.first_D) - 1:
        document, matches = kernels.match_letters(
            buffer.text, buffer.first_D, document, *alnum, word64.view(np.uint8), word64, _OVERLAP_BYTES,
            wide, narrow, texts, scratch, found,
        )  # fmt: skip
        for number, t, _, letter in zip(*(column[:matches].tolist() for column in found), strict=True):
            start, stop = buffer.first_D[number : number + 2].tolist()
            place = kernels.byte_of_letter(buffer.text, start, stop, *alnum, letter)
            yield Hit(number, index.questions[question_T[t]], 1.0, 0, place)


@lru_cache(maxsize=2)
def _tables(index: Index, exhaustive: bool) -> tuple[tuple[Grams, Grams], Texts, npt.NDArray[np.int64]]:
    texts, question_T = probes(index, exhaustive)
    return letter_grams(texts), texts, question_T
