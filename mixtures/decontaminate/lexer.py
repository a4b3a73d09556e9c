"""The compiled lexer of shapes.py. Importing this module imports numba.

It is our own, for it reads snippets, halves of files and prose. Its loop calls nothing of another file: numba's cache
would not see that change.
"""

import builtins
import keyword
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mixtures.decontaminate.kernels import compiled
from mixtures.decontaminate.types import Bytes, Ints, Keys, Words

_SKIP, _COMMENT, _QUOTE, _OPERATOR, _NAME, _DIGIT = range(6)
_PLAIN, _CALLED, _CONSTANT = 1, 2, 3
_WORD = 0x100
"""Set in the shape of every word that is kept, so that it is none of the numbers above and no operator."""
_KEPT_SLOTS = 1 << 11
_PRIME = 0x100000001B3  # FNV


class Tokens(NamedTuple):
    """A text's tokens [W]: shape, hash of the name or 0, byte where it begins."""

    shape: Words
    name: Words
    begin: Ints


def tokens_of(text: Bytes) -> Tokens:
    """The tokens of a document's bytes."""
    return _lex(text, *_tables())


@lru_cache(maxsize=1)
def _tables() -> tuple[Bytes, Keys]:
    """(What every byte begins, uint8 [256]; hashes of the words that are kept, uint64 [2048], empty slots 0).

    Bit 0 of a hash says whether the word is a keyword, or a builtin that is kept where it is called.
    """
    kind = np.full(256, _OPERATOR, np.uint8)
    for code in range(256):
        character = chr(code)
        if code >= 128 or character.isalpha() or character == "_":
            kind[code] = _NAME
        elif character.isdigit():
            kind[code] = _DIGIT
        elif code <= 32 or character in "(),;\\":
            kind[code] = _SKIP
    kind[ord("#")], kind[ord("'")], kind[ord('"')] = _COMMENT, _QUOTE, _QUOTE
    slots = [0] * _KEPT_SLOTS
    for word in sorted({*keyword.kwlist, *filter(str.islower, dir(builtins))}):
        hashed = 0
        for byte in word.encode():
            hashed = (hashed ^ byte) * _PRIME % 2**64
        at = hashed >> 40
        while slots[at % _KEPT_SLOTS]:
            at += 1
        slots[at % _KEPT_SLOTS] = hashed | 1 if word in keyword.kwlist else hashed & ~1
    return kind, np.array(slots, np.uint64)


@compiled
def _lex(text: Bytes, kind: Bytes, kept: Keys) -> Tokens:  # noqa: C901 - a lexer is one loop over cases
    """A string ends on its line.

    Three quotes in a row are passed over, for in half a file nothing says which of them end a string.
    """
    stop, one = text.size, np.uint64(1)
    shape_W, name_W, begin_W = np.empty(stop, np.uint32), np.empty(stop, np.uint32), np.empty(stop, np.int64)
    count, i, dot, unclosed = 0, 0, False, 0
    while i < stop:
        byte, first = text[i], i
        what = kind[byte]
        if what == _SKIP:
            i += 1
            while byte == 10 and i < stop and (text[i] == 43 or text[i] == 45 or text[i] == 62):
                i += 1  # a diff, a quotation, a prompt
            continue
        if what == _COMMENT:
            while i < stop and text[i] != 10:
                i += 1
            continue
        shape, name = np.uint32(byte), np.uint32(0)
        if what == _NAME:
            hashed = np.uint64(0)
            while i < stop and kind[text[i]] >= _NAME:
                hashed = (hashed ^ np.uint64(text[i])) * np.uint64(_PRIME)
                i += 1
            if i - first <= 2 and i < stop and kind[text[i]] == _QUOTE:  # f"", rb""
                continue
            at = (hashed >> np.uint64(40)) & np.uint64(_KEPT_SLOTS - 1)
            while kept[at] != 0 and kept[at] | one != hashed | one:
                at = (at + one) & np.uint64(_KEPT_SLOTS - 1)
            shape = np.uint32(hashed ^ (hashed >> np.uint64(32))) | np.uint32(_WORD)
            after = i
            while after < stop and text[after] == 32:
                after += 1
            called = after < stop and text[after] == 40
            if not dot and (kept[at] == 0 or not (called or kept[at] & one)):
                name, shape = shape, np.uint32(_CALLED if called else _PLAIN)
        elif what == _DIGIT:
            while i < stop and (kind[text[i]] >= _NAME or text[i] == 46):
                i += 1
            shape = np.uint32(_CONSTANT)
        elif what == _QUOTE:
            if i + 2 < stop and text[i + 1] == byte and text[i + 2] == byte:
                i += 3
                continue
            i += 1
            if first < unclosed:
                continue
            while i < stop and text[i] != byte and text[i] != 10:
                i += 2 if text[i] == 92 else 1
            if i >= stop or text[i] != byte:
                i, unclosed = first + 1, i  # an apostrophe: do not look along this line again
                continue
            i += 1
            shape = np.uint32(_CONSTANT)
        else:
            i += 1
        dot = byte == 46
        if dot or (shape == _CONSTANT and count > 0 and shape_W[count - 1] == _CONSTANT):
            continue
        shape_W[count], name_W[count], begin_W[count] = shape, name, first
        count += 1
    return Tokens(shape_W[:count], name_W[:count], begin_W[:count])
