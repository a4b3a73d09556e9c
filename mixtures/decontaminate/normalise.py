"""Text as the kernels read it: documents joined in one UTF-8 buffer.

A letter is what `str.isalnum` says, a digit among them; all else separates. A word is a run of letters, compared in
ASCII lower case, so that `has_close_elements` is three words and `naïve` one. Scripts without spaces make one word of a
sentence: alignment and n-grams see benchmarks in spaced scripts only, the 50-character rules see all.
"""

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[^\W_]+")
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}


@dataclass(frozen=True)
class Buffer:
    """Documents, one after the other.

    Attributes:
        text: uint8, UTF-8 of all. A lone surrogate becomes its three bytes, which are no letter.
        first_D: int64 [documents + 1], where each begins; a byte 0 ends it, so that no word or letter is of two.
    """

    text: npt.NDArray[np.uint8]
    first_D: npt.NDArray[np.int64]


def join(texts: Iterable[str]) -> Buffer:
    """All of `texts` in one buffer."""
    encoded = [text.encode("utf-8", "surrogatepass") + b"\0" for text in texts]
    return Buffer(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64))


def words_of(text: str) -> list[str]:
    """The words of a short text, as the kernels tell them apart."""
    return [word.translate(_LOWER) for word in _WORD.findall(text)]
