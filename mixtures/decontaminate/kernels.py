"""The compiled loops. Everything else in this package is plain Python, and nothing here knows what a benchmark is.

They live in one file because numba's cache watches only the file a function is in. Importing this module imports numba.
Text is UTF-8 in one uint8 buffer; the bytes [0, 128) are decided by `FOLD`, other characters by their code point.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numba
import numpy as np

from mixtures.decontaminate.types import Bytes, Grams, Ints, Keys, Row, Texts, Words

_F = TypeVar("_F", bound=Callable[..., Any])

_FNV_PRIME = np.uint64(0x100000001B3)
_GRAM = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's finaliser
_ONE, _SIX, _32, _33, _63 = np.uint64(1), np.uint64(6), np.uint64(32), np.uint64(33), np.uint64(63)
_LOW = np.uint64(0xFFFFFFFF)
BLOCK = 3
"""Shortest run of equal words that counts as a matching block."""
EVERY = 1 << 14
"""Most matches in one document of texts of which every match is wanted; those after are not looked at."""
_OWNERS = 1 << 16


def compiled(function: _F) -> _F:
    return cast(_F, numba.njit(cache=True, nogil=True)(function))


@lru_cache(maxsize=1)
def letter_tables() -> tuple[Bytes, Bytes]:
    """What is a letter or digit: (fold uint8 [128], ASCII to lower case or 0; bits of all code points uint8 [139264]).

    Outside ASCII it is what `str.isalnum` says, by this Python's Unicode version.
    """
    fold = np.array([ord(chr(c).lower()) if chr(c).isalnum() else 0 for c in range(128)], np.uint8)
    alnum = np.fromiter((chr(c).isalnum() for c in range(0x110000)), bool, 0x110000)
    return fold, np.packbits(alnum, bitorder="little")


@compiled
def _character(text: Bytes, i: int, alnum: Bytes) -> tuple[int, int, bool]:
    """The character at text[i] (not ASCII): its bytes, its code point, and whether it is a letter or digit."""
    lead = np.int64(text[i])
    if lead < 0xE0:
        size, code = 2, lead & 0x1F
    elif lead < 0xF0:
        size, code = 3, lead & 0x0F
    else:
        size, code = 4, lead & 0x07
    for j in range(i + 1, i + size):
        code = (code << 6) | (np.int64(text[j]) & 0x3F)
    return size, int(code), bool((alnum[code >> 3] >> np.uint8(code & 7)) & 1)


@compiled
def letters(text: Bytes, fold: Bytes, alnum: Bytes) -> tuple[Words, Ints]:
    """The letters and digits of `text`, each by its code point, and at which byte each is."""
    unit_W, place_W = np.empty(text.size + 1, np.uint32), np.empty(text.size + 1, np.int64)
    count, i = 0, 0
    while i < text.size:
        unit_W[count], place_W[count] = text[i], i
        if text[i] < 128:
            count += int(fold[text[i]] != 0)
            i += 1
        else:
            size, code, letter = _character(text, i, alnum)
            unit_W[count] = code
            count += int(letter)
            i += size
    return unit_W[:count], place_W[:count]


@compiled
def hash_words(text: Bytes, fold: Bytes, alnum: Bytes) -> tuple[Words, Ints]:
    """Hash the words (runs of letters and digits, ASCII in lower case) of `text`; and the byte after each.

    What follows the last word is no letter. ASCII goes without a branch: where words end cannot be predicted, and wrong
    guesses cost the most.
    """
    unit_W, place_W = np.empty(text.size // 2 + 1, np.uint32), np.empty(text.size // 2 + 1, np.int64)
    count, word, inside, wide = 0, np.uint64(0), np.int64(0), np.int64(0)
    for i in range(text.size):
        byte = text[i]
        unit_W[count] = np.uint32((word ^ (word >> _32)) & _LOW)
        place_W[count] = i
        if byte < 128:
            folded = fold[byte]
            letter = np.int64(folded != 0)
        else:
            if byte >= 0xC0:  # the first byte of a character decides for those that follow
                wide = np.int64(_character(text, i, alnum)[2])
            folded, letter = byte, wide
        count += int(inside & (1 - letter))
        word = ((word ^ np.uint64(folded)) * _FNV_PRIME) & np.uint64(-letter)
        inside = letter
    return unit_W[:count], place_W[:count]


@compiled
def are_numbers(text: Bytes, fold: Bytes, end_W: Ints) -> Words:
    """1 for each of the words that end at end_W that is made of ASCII digits alone, 0 for others."""
    number_W = np.zeros(end_W.size, np.uint32)
    for i in range(end_W.size):
        j = end_W[i] - 1
        while j >= 0 and 48 <= text[j] < 58:
            j -= 1
        number_W[i] = j < 0 or (text[j] < 128 and fold[text[j]] == 0)
    return number_W


@compiled
def _mix(key: np.uint64) -> np.uint64:
    key = (key ^ (key >> _33)) * _MIX_1
    key = (key ^ (key >> _33)) * _MIX_2
    return key ^ (key >> _33)


@compiled
def gram_keys(unit_W: Words, n: int) -> Keys:
    """The keys of all n-grams: [i] is that of the words or letters [i, i + n)."""
    key_W = np.empty(max(0, unit_W.size - n + 1), np.uint64)
    leaving, rolling = np.uint64(1), np.uint64(0)
    for _ in range(n):
        leaving *= _GRAM
    for i in range(unit_W.size):
        rolling = rolling * _GRAM + np.uint64(unit_W[i]) + _ONE
        if i >= n:
            rolling -= (np.uint64(unit_W[i - n]) + _ONE) * leaving
        if i >= n - 1:
            key_W[i - n + 1] = _mix(rolling)
    return key_W


@compiled
def _bit(key: np.uint64, bits: Keys, shift: np.uint64) -> int:
    bit = key >> shift
    return int((bits[bit >> _SIX] >> (bit & _63)) & _ONE)


@compiled
def _find(key: np.uint64, grams: Grams) -> int:
    """The number of `key` among the index's keys, or -1."""
    if _bit(key, grams.fine, grams.fine_shift) == 0:
        return -1
    bucket = key >> grams.bucket_shift
    for number in range(grams.bucket[bucket], grams.bucket[bucket + _ONE]):
        if grams.key[number] == key:
            return number
    return -1


@compiled
def find_grams(key_W: Keys, grams: Grams) -> tuple[Ints, Ints]:
    """Which of the keys the index has: their places and numbers."""
    place_H, passed, hits = np.empty(key_W.size + 1, np.int64), 0, 0
    for i in range(key_W.size):
        place_H[passed] = i
        passed += _bit(key_W[i], grams.coarse, grams.coarse_shift)
    number_H = np.empty(passed, np.int64)
    for i in place_H[:passed]:
        number = _find(key_W[i], grams)
        if number >= 0:
            place_H[hits], number_H[hits] = i, number
            hits += 1
    return place_H[:hits], number_H[:hits]


@compiled
def _blocks(a: Words, b: Words) -> int:
    """Most words that a and b share in blocks of at least `BLOCK` equal words, in the same order in both."""
    most = np.zeros(
        (4, b.size + 1), np.int32
    )  # of the last rows, where a row ends at a word of a, a column at one of b
    run = np.zeros((2, b.size + 1), np.int32)
    most_ended = np.zeros((2, b.size + 1), np.int32)  # in choices that end in a block
    for i in range(1, a.size + 1):
        here, above, back = most[i & 3], most[(i - 1) & 3], most[(i - BLOCK) & 3]
        end, end_above = most_ended[i & 1], most_ended[1 - (i & 1)]
        for j in range(1, b.size + 1):
            best = max(above[j], here[j - 1])
            run[i & 1, j] = 0
            if a[i - 1] == b[j - 1]:
                length = run[1 - (i & 1), j - 1] + 1
                run[i & 1, j] = length
                if length >= BLOCK:
                    end[j] = back[j - BLOCK] + BLOCK
                    if length > BLOCK:
                        end[j] = max(end[j], end_above[j - 1] + 1)
                    best = max(best, end[j])
            here[j] = best
    return most[a.size & 3, b.size]


@compiled
def _bound(t: int, text: Words, window: Words, owner: Row) -> int:
    """How many words of `window` lie in 3-grams that text t has, too, or more: no alignment can match more.

    `owner` says of a 3-gram's key, cut short, which text had it last.
    """
    mask = np.uint64(owner.size - 1)
    for key in gram_keys(text, BLOCK):
        owner[key & mask] = t
    covered, until = 0, 0
    for i, key in enumerate(gram_keys(window, BLOCK)):
        if owner[key & mask] == t:
            covered += i + BLOCK - max(until, i)
            until = i + BLOCK
    return covered


@compiled
def _same(a: Words, at: int, b: Words, bt: int, n: int) -> bool:
    for i in range(n):  # noqa: SIM110 - numba has no `all`
        if a[at + i] != b[bt + i]:
            return False
    return True


@compiled
def _weigh(t: int, text: Words, document: Words, begin: int, least: int, owner: Row) -> int:
    """Align text t with the words around [begin, begin + its length), half of it more on either side; or 0 < least."""
    half = text.size // 2
    window = document[max(0, begin - half) : max(0, begin + text.size + half)]
    return _blocks(text, window) if _bound(t, text, window, owner) >= least else 0


@compiled
def match(
    unit_W: Words, first_D: Ints, n: int, align: bool, place_H: Ints, number_H: Ints, grams: Grams, texts: Texts
) -> list[tuple[int, int, int, int]]:
    """Look at the places of documents that share n-grams with texts: [(document, text, score, place of the n-gram)].

    Aligned, the words around are weighed; else as many words or letters as the text needs have to be equal there. In a
    document, scores of a text only rise, but for texts of which every match is wanted.

    Args:
        unit_W: words or letters of all documents.
        first_D: where in it each document begins, and where the last one ends.
        place_H, number_H: as `find_grams` gives them.
    """
    found, document, begun = [(0, 0, 0, 0)][:0], 0, 0
    owner = np.full(_OWNERS if align else 1, -1, np.int32)
    document_T, best_T, begin_T = np.full((3, texts.need.size), -1)
    for h in range(place_H.size):
        i = place_H[h]
        while i >= first_D[document + 1]:
            document, begun = document + 1, len(found)
        start, stop = first_D[document], first_D[document + 1]
        for p in range(grams.posting[number_H[h]], grams.posting[number_H[h] + 1]):
            t, offset = int(grams.text[p]), grams.offset[p]
            text, equal = texts.unit[texts.first[t] : texts.first[t + 1]], n if align else texts.need[t]
            if document_T[t] != document:
                document_T[t], best_T[t], begin_T[t] = document, 0, unit_W.size
            least, begin = max(best_T[t] + 1, texts.need[t]), i - offset
            if least > text.size or i + equal > stop or not _same(unit_W, i, text, offset, equal):
                continue
            score = text.size
            if align:  # most hits of an edited copy say the same of where it begins
                score = _weigh(t, text, unit_W[start:stop], begin - start, least, owner) if begin != begin_T[t] else 0
                begin_T[t] = begin
            if score < least or (texts.every[t] and len(found) - begun >= EVERY):
                continue
            found.append((document, t, score, i))
            best_T[t] = 0 if texts.every[t] else score
    return found
