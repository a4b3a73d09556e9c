"""The compiled lexer of shapes.py. Importing this module imports numba.

It is our own, for it reads snippets, halves of files and prose. Its loop calls nothing of another file: numba's cache
would not see that change.
"""

import builtins
import keyword
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mixtures.decontaminate.components import SHAPE_FLOOR
from mixtures.decontaminate.kernels import compiled
from mixtures.decontaminate.normalise import join
from mixtures.decontaminate.types import Bytes, Ints, Keys, Words

GRAM = SHAPE_FLOOR
"""Tokens of the grams that solutions are looked up by."""
_SKIP, _COMMENT, _QUOTE, _OPERATOR, _NAME, _DIGIT = range(6)
_PLAIN, _CALLED, _CONSTANT = 1, 2, 3
_WORD = 0x100
"""Set in the shape of every word that is kept, so that it is none of the numbers above and no operator."""
_KEPT_SLOTS = 1 << 11
_PRIME = 0x100000001B3  # FNV
_ROLL, _SPREAD = 0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD
_LEAVING = pow(_ROLL, GRAM, 2**64)


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text's tokens [W]: shape, hash of the name or 0, byte where it begins; the last tokens of grams found [H]."""

    shape: Words
    name: Words
    begin: Ints
    last: Ints


def shape_of(code: str) -> Tokens:
    """The tokens of a solution."""
    text = join([code]).text
    return next(stretches(text, 0, len(text) - 1, seeds([]), len(text) + 1, 0))


def stretches(text: Bytes, start: int, stop: int, seed: Keys, size: int, overlap: int) -> Iterator[Tokens]:
    """The tokens of text[start:stop], `size` at a time; the arrays are used again for the next."""
    shape_W, name_W, begin_W, last_H = _room(size)
    while True:
        count, found = lex(text, start, stop, *tables(), seed, shape_W, name_W, begin_W, last_H)
        yield Tokens(shape_W[:count], name_W[:count], begin_W[:count], last_H[:found])
        if count < size - 1:
            return
        start = int(begin_W[count - overlap])


@lru_cache(maxsize=1)
def _room(size: int) -> tuple[Words, Words, Ints, Ints]:
    return np.zeros(size, np.uint32), np.zeros(size, np.uint32), np.zeros(size, np.int64), np.zeros(size, np.int64)


@lru_cache(maxsize=1)
def tables() -> tuple[Bytes, Keys]:
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
        _put(slots, hashed | 1 if word in keyword.kwlist else hashed & ~1, hashed >> 40)
    return kind, np.array(slots, np.uint64)


def seeds(grams: Iterable[Words]) -> Keys:
    """The hash table in which `lex` looks every gram up: uint64, a power of two, at most an eighth of it full."""
    keys = []
    for gram in grams:
        key = 0
        for token in gram.tolist():
            key = (key * _ROLL + token + 1) % 2**64
        keys.append(key)
    slots = [0] * (1 << (8 * len(keys) + 8).bit_length())
    for key in dict.fromkeys(keys):
        _put(slots, key, (key * _SPREAD % 2**64) >> 40)
    return np.array(slots, np.uint64)


def _put(slots: list[int], key: int, at: int) -> None:
    while slots[at % len(slots)]:
        at += 1
    slots[at % len(slots)] = key


@compiled
def lex(  # noqa: C901 - a lexer is one loop over cases
    text: Bytes, start: int, stop: int, kind: Bytes, kept: Keys, seed: Keys,
    shape_W: Words, name_W: Words, begin_W: Ints, last_H: Ints,
) -> tuple[int, int]:  # fmt: skip
    """The tokens of text[start:stop] while there is room: their shapes, the hashes of names (else 0), where they begin.

    A string ends on its line. Three quotes in a row are passed over, for in half a file nothing says which of them end
    a string. Returns how many tokens there are, one fewer than the arrays hold if the text went on, and how many grams
    are in `seed`; last_H holds the last tokens of those.
    """
    count, hits, room, i, dot, unclosed = 0, 0, shape_W.size - 1, start, False, start
    one, rolling = np.uint64(1), np.uint64(0)
    while i < stop and count < room:
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
        rolling = rolling * np.uint64(_ROLL) + np.uint64(shape) + one
        if count >= GRAM:
            rolling -= (np.uint64(shape_W[count - GRAM]) + one) * np.uint64(_LEAVING)
        slot = ((rolling * np.uint64(_SPREAD)) >> np.uint64(40)) & np.uint64(seed.size - 1)
        while seed[slot] != 0 and seed[slot] != rolling:
            slot = (slot + one) & np.uint64(seed.size - 1)
        last_H[hits] = count
        hits += int(seed[slot] != 0 and count >= GRAM - 1)
        count += 1
    return count, hits
