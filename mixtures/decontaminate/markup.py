"""The compiled loop that takes the tags out of markup. Importing this module imports numba.

The loop calls none of another file: numba's cache would not see it change.
"""

from functools import lru_cache

import numpy as np

from mixtures.decontaminate.kernels import compiled
from mixtures.decontaminate.types import Bytes, Keys

_NAME, _ATTRIBUTE, _BLANK, _DIGIT = 1, 2, 4, 8
_SLOTS, _FACTOR, _COMMENT, _BARE = 512, 1_000_003, 200, 3


@lru_cache(maxsize=1)
def tables(inline: frozenset[str], block: frozenset[str]) -> tuple[Bytes, Keys, Bytes]:
    """(What a byte may be part of, uint8 [256]; hashes of the elements' names, uint64 [512]; 1 inline, 2 block)."""
    byte = np.zeros(256, np.uint8)
    for code in range(256):
        character = chr(code) if code < 128 else "é"
        byte[code] = _NAME * (code < 128 and character.isalnum()) | _ATTRIBUTE * (
            character.isalnum() or character in "_:@.-"
        )
        byte[code] |= _BLANK * character.isspace() | _DIGIT * character.isdigit()
    slot, element = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.uint8)
    for name in sorted(inline | block):
        hashed = 0
        for letter in name.encode():
            hashed = (hashed * _FACTOR + letter) % 2**64
        at = hashed % _SLOTS
        while slot[at]:
            at = (at + 1) % _SLOTS
        slot[at], element[at] = hashed, 1 if name in inline else 2
    return byte, slot, element


@compiled
def _past(text: Bytes, i: int, stop: int, byte: Bytes, what: int) -> int:
    while i < stop and byte[text[i]] & what:
        i += 1
    return i


@compiled
def _past_comment(text: Bytes, i: int, stop: int) -> int:
    """The byte after the comment at text[i], or -1. A comment is short and holds no tag: what React puts into text."""
    if i + 3 >= stop or text[i + 1] != 33 or text[i + 2] != 45 or text[i + 3] != 45:
        return -1
    j, stop = i + 4, min(stop, i + _COMMENT)
    while j < stop and text[j] != 60 and text[j] != 62:
        j += 1
    return j + 1 if j < stop and text[j] == 62 and text[j - 1] == 45 and text[j - 2] == 45 else -1


@compiled
def _past_value(text: Bytes, j: int, stop: int, byte: Bytes) -> int:
    """The byte after an attribute's value, in quotes (JSON escapes them) or without; -1 if there is none."""
    if j + 1 < stop and text[j] == 92 and text[j + 1] == 34:
        j += 1
    first = j
    if j < stop and (text[j] == 34 or text[j] == 39):
        j += 1
        while j < stop and text[j] != text[first] and text[j] != 60 and text[j] != 62 and text[j] != 10:
            j += 1
        return j + 1 if j < stop and text[j] == text[first] else -1
    while j < stop and not byte[text[j]] & _BLANK and text[j] not in (34, 39, 60, 62):
        j += 1
    return j if j > first else -1


@compiled
def _past_attributes(text: Bytes, j: int, stop: int, byte: Bytes) -> int:
    """The byte after the ">" that ends a tag whose name ended at text[j], or -1 if it is none.

    More than a few attributes without a value are text: "a <b and c", "<p" at a cut.
    """
    bare = 0
    while bare <= _BARE:
        blank, j = j, _past(text, j, stop, byte, _BLANK)
        name = j
        if j < stop and text[j] == 47:
            j += 1
        if j < stop and text[j] == 62:
            return j + 1
        j = _past(text, name, stop, byte, _ATTRIBUTE)
        if j == name or name == blank:
            return -1
        equals = _past(text, j, stop, byte, _BLANK)
        if equals < stop and text[equals] == 61:
            j = _past_value(text, _past(text, equals + 1, stop, byte, _BLANK), stop, byte)
            if j < 0:
                return -1
        else:
            bare += 1
    return -1


@compiled
def _past_number(text: Bytes, name: int, after: int, end: int, stop: int, byte: Bytes) -> int:
    """The byte after an element that numbers a line, whose opening tag is text[name - 1:end]; `end` if it is another.

    It holds digits alone, and its attributes speak of lines or numbers: "lineno", "ln", "blob-num".
    """
    said = False
    for c in range(after, end - 2):
        said |= text[c] == 108 and (text[c + 1] == 110 or (text[c + 1] == 105 and text[c + 2] == 110))
        said |= text[c] == 110 and text[c + 1] == 117 and text[c + 2] == 109
    first = _past(text, end, stop, byte, _BLANK)
    j = _past(text, first, stop, byte, _DIGIT)
    close = _past(text, j, stop, byte, _BLANK)
    last = close + 2 + after - name
    if not said or j == first or last >= stop or text[close] != 60 or text[close + 1] != 47 or text[last] != 62:
        return end
    for c in range(after - name):
        if text[close + 2 + c] != text[name + c]:
            return end
    return last + 1


@compiled
def strip(text: Bytes, byte: Bytes, slot: Keys, element: Bytes, out: Bytes) -> int:
    """Copy `text` to `out` without comments, tags and line numbers; a tag of a block becomes a line end. The new size.

    A tag is that of a known element with well-formed attributes; another is text.
    """
    size, i, stop = 0, 0, text.size
    while i < stop:
        if text[i] != 60:
            out[size] = text[i]
            size, i = size + 1, i + 1
            continue
        end, kind = _past_comment(text, i, stop), np.int64(1)
        if end < 0:
            name = i + 1 + int(i + 1 < stop and text[i + 1] == 47)
            j, hashed = name, np.uint64(0)
            while j < stop and byte[text[j]] & _NAME:
                letter = text[j] | 32 if text[j] >= 65 else text[j]
                hashed = hashed * np.uint64(_FACTOR) + np.uint64(letter)
                j += 1
            at = np.int64(hashed & np.uint64(_SLOTS - 1))
            while slot[at] != 0 and slot[at] != hashed:
                at = (at + 1) & (_SLOTS - 1)
            kind = np.int64(element[at])
            end = _past_attributes(text, j, stop, byte) if kind > 0 else -1
            if end > 0 and name == i + 1:
                end = _past_number(text, name, j, end, stop, byte)
        if end < 0:
            out[size] = 60
            size, end = size + 1, i + 1
        elif kind == 2:
            out[size] = 10
            size += 1
        i = end
    return size
