"""The compiled loops. Everything else in this package is plain Python, and nothing here knows what a benchmark is.

They live in one file because numba's cache watches only the file a function is in. Importing this module imports numba.
Text is UTF-8 in one uint8 buffer; the bytes [0, 128) are decided by `FOLD`, other characters by their code point.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from mixtures.decontaminate.types import EVERY, Bytes, Found, Grams, Ints, Keys, Row, Scratch, Texts, Words

_F = TypeVar("_F", bound=Callable[..., Any])

_FNV_PRIME = np.uint64(0x100000001B3)
_GRAM = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's finaliser
_M0, _M1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # xxHash64's primes
_M2 = np.uint64(0x165667B19E3779F9)
_ONE, _SIX, _32, _33, _63 = np.uint64(1), np.uint64(6), np.uint64(32), np.uint64(33), np.uint64(63)
_LOW = np.uint64(0xFFFFFFFF)
BLOCK = 3
"""Shortest run of equal words that counts as a matching block."""


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
def letters(text: Bytes, start: int, stop: int, fold: Bytes, alnum: Bytes, unit_W: Words, place_W: Ints) -> int:
    """The letters and digits of text[start:stop], each by its code point, while there is room; place_W is where it is.

    Returns as `hash_words`.
    """
    count, i, room = 0, start, unit_W.size - 1
    while i < stop and count < room:
        unit_W[count], place_W[count] = text[i], i
        if text[i] < 128:
            count += int(fold[text[i]] != 0)
            i += 1
        else:
            size, code, letter = _character(text, i, alnum)
            unit_W[count] = code
            count += int(letter)
            i += size
    return count


@compiled
def hash_words(text: Bytes, start: int, stop: int, fold: Bytes, alnum: Bytes, unit_W: Words, place_W: Ints) -> int:
    """Hash the words (runs of letters and digits, ASCII in lower case) of text[start:stop] while there is room.

    place_W[i] is the byte after word i. Returns how many words there are; one fewer than the arrays hold if the text
    went on. ASCII goes without a branch: where words end cannot be predicted, and wrong guesses cost the most.
    """
    count, word, inside, wide, room = 0, np.uint64(0), np.int64(0), np.int64(0), unit_W.size - 1
    i = start
    while i < stop and count < room:
        for_now = min(stop, i + 2 * (room - count) - 1)  # a word and what ends it are two bytes at least
        while i < for_now:
            byte = text[i]
            unit_W[count] = np.uint32((word ^ (word >> _32)) & _LOW)
            place_W[count] = i
            if byte < 128:
                folded = fold[byte]
                letter = np.int64(folded != 0)
                count += int(inside & (1 - letter))
                word = ((word ^ np.uint64(folded)) * _FNV_PRIME) & np.uint64(-letter)
                inside = letter
            else:
                if byte >= 0xC0:  # the first byte of a character decides for those that follow
                    wide = np.int64(_character(text, i, alnum)[2])
                count += int(inside & (1 - wide))
                word = ((word ^ np.uint64(byte)) * _FNV_PRIME) & np.uint64(-wide)
                inside = wide
            i += 1
    if inside and i >= stop and count < room:
        unit_W[count] = np.uint32((word ^ (word >> _32)) & _LOW)
        place_W[count] = stop
        count += 1
    return count


@compiled
def are_numbers(text: Bytes, fold: Bytes, end_W: Ints, number_W: npt.NDArray[np.bool_]) -> None:
    """Which of the words that end at end_W are made of ASCII digits alone."""
    for i in range(end_W.size):
        j = end_W[i] - 1
        while j >= 0 and 48 <= text[j] < 58:
            j -= 1
        number_W[i] = j < 0 or (text[j] < 128 and fold[text[j]] == 0)


@compiled
def _mix(key: np.uint64) -> np.uint64:
    key = (key ^ (key >> _33)) * _MIX_1
    key = (key ^ (key >> _33)) * _MIX_2
    return key ^ (key >> _33)


@compiled
def gram_keys(unit_W: Words, count: int, n: int, key_W: Keys) -> None:
    """The key of every n-gram of the first `count` words or letters: key_W[i] is that of [i, i + n)."""
    leaving, rolling = np.uint64(1), np.uint64(0)
    for _ in range(n):
        leaving *= _GRAM
    for i in range(count):
        rolling = rolling * _GRAM + np.uint64(unit_W[i]) + _ONE
        if i >= n:
            rolling -= (np.uint64(unit_W[i - n]) + _ONE) * leaving
        if i >= n - 1:
            key_W[i - n + 1] = _mix(rolling)


@compiled
def bit_filter(key_K: Keys, bits: int) -> Keys:
    """2^bits bits, of which the keys' are set."""
    out, shift = np.zeros(1 << (bits - 6), np.uint64), np.uint64(64 - bits)
    for key in key_K:
        out[key >> shift >> _SIX] |= _ONE << ((key >> shift) & _63)
    return out


@compiled
def buckets(key_K: Keys, bits: int) -> Row:
    """Where in the sorted keys those with each of the 2^bits beginnings start; int32 [2^bits + 1]."""
    out, shift, number = np.zeros((1 << bits) + 1, np.int32), np.uint64(64 - bits), 0
    for bucket in range((1 << bits) + 1):
        while number < key_K.size and np.int64(key_K[number] >> shift) < bucket:
            number += 1
        out[bucket] = number
    return out


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
def find_grams(key_W: Keys, count: int, grams: Grams, place_H: Ints, number_H: Ints) -> int:
    """Which of the first `count` keys the index has: their places and numbers, as many as returned."""
    passed, hits = 0, 0
    for i in range(count):
        place_H[passed] = i
        passed += _bit(key_W[i], grams.coarse, grams.coarse_shift)
    for i in place_H[:passed]:
        number = _find(key_W[i], grams)
        if number >= 0:
            place_H[hits], number_H[hits] = i, number
            hits += 1
    return hits


@compiled
def _blocks(a: Words, b: Words, row: Row) -> int:
    """Most words that a and b share in blocks of at least `BLOCK` equal words, in the same order in both.

    row is int32 [8, >= len(b) + 1]: the best sum 4 times, run lengths twice, the best sum that ends in a block twice.
    """
    row[0, : b.size + 1] = 0
    row[4:, : b.size + 1] = 0
    for i in range(1, a.size + 1):
        here, above, back = row[i & 3], row[(i - 1) & 3], row[(i - BLOCK) & 3]
        run, run_above, end, end_above = row[4 + (i & 1)], row[5 - (i & 1)], row[6 + (i & 1)], row[7 - (i & 1)]
        here[0] = 0
        for j in range(1, b.size + 1):
            best = max(above[j], here[j - 1])
            run[j] = 0
            if a[i - 1] == b[j - 1]:
                run[j] = run_above[j - 1] + 1
                if run[j] >= BLOCK:
                    end[j] = back[j - BLOCK] + BLOCK
                    if run[j] > BLOCK:
                        end[j] = max(end[j], end_above[j - 1] + 1)
                    best = max(best, end[j])
            here[j] = best
    return row[a.size & 3, b.size]


@compiled
def _slot(words: Words, i: int, scratch: Scratch) -> tuple[np.uint64, np.uint64]:
    """Where in the hash table the 3-gram at word i is or would be, and its key."""
    key = (np.uint64(words[i]) * _M0 + np.uint64(words[i + 1]) * _M1 + np.uint64(words[i + 2]) * _M2) | _ONE
    mask = np.uint64(scratch.slot.size - 1)
    at = (key >> _32) & mask
    while scratch.stamp[at] == scratch.clock[0] and scratch.slot[at] != key:
        at = (at + _ONE) & mask
    return at, key


@compiled
def _remember(t: int, words: Words, scratch: Scratch) -> None:
    """Make the hash table hold the 3-grams of `words`, text t."""
    if scratch.clock[1] == t:
        return
    scratch.clock[0] += 1
    scratch.clock[1] = t
    for i in range(words.size - BLOCK + 1):
        at, key = _slot(words, i, scratch)
        scratch.stamp[at], scratch.slot[at] = scratch.clock[0], key


@compiled
def _bound(words: Words, scratch: Scratch) -> int:
    """How many of `words` lie in 3-grams that were remembered: no alignment can match more."""
    covered, until = 0, 0
    for i in range(words.size - BLOCK + 1):
        if scratch.stamp[_slot(words, i, scratch)[0]] == scratch.clock[0]:
            covered += i + BLOCK - max(until, i)
            until = i + BLOCK
    return covered


@compiled
def _same(a: Any, at: int, b: Any, bt: int, n: int) -> bool:
    for i in range(n):  # noqa: SIM110 - numba has no `all`
        if a[at + i] != b[bt + i]:
            return False
    return True


@compiled
def _weigh(begin: int, t: int, count: int, best: int, texts: Texts, scratch: Scratch) -> int:
    """Align text t with the words around [begin, begin + its length), half of it more on either side.

    0 if that cannot gain, or was done already for the last hit of this text, as for most hits of an edited copy.
    """
    text = texts.unit[texts.first[t] : texts.first[t + 1]]
    seen = (scratch.clock[2] << 32) + begin + text.size
    if scratch.seen_T[t] == seen:
        return 0
    scratch.seen_T[t] = seen
    half = text.size // 2
    window = scratch.unit_W[max(0, begin - half) : min(count, begin + text.size + half)]
    _remember(t, text, scratch)
    if _bound(window, scratch) < max(best + 1, texts.need[t]):
        return 0
    return _blocks(text, window, scratch.row)


@compiled
def _note(matches: int, document: int, t: int, score: int, place: int, found: Found) -> int:
    found.document[matches], found.text[matches] = document, t
    found.score[matches], found.place[matches] = score, place
    return matches + 1


@compiled
def _stretch(
    document: int, count: int, touched: int, matches: int, most: int, n: int, align: bool,
    grams: Grams, texts: Texts, scratch: Scratch, found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Look the n-grams of a stretch of `count` words or letters up and note what their texts score.

    Returns how many texts are touched, and how many matches there are, of which no more than `most` are noted here.
    """
    scratch.clock[2] += 1
    gram_keys(scratch.unit_W, count, n, scratch.key_W)
    hits = find_grams(scratch.key_W, count - n + 1, grams, scratch.place_H, scratch.number_H)
    for h in range(hits):
        i, number = scratch.place_H[h], scratch.number_H[h]
        for p in range(grams.posting[number], grams.posting[number + 1]):
            t = grams.text[p]
            first, every, size = texts.first[t], texts.every[t], texts.first[t + 1] - texts.first[t]
            best, equal = 0 if every else scratch.best_T[t], n if align else texts.need[t]
            if best >= size or i + equal > count:
                continue
            if not _same(scratch.unit_W, i, texts.unit, first + grams.offset[p], equal):
                continue
            score = _weigh(i - grams.offset[p], t, count, best, texts, scratch) if align else size
            if score <= best or score < texts.need[t]:
                continue
            if every:
                if matches < most:
                    matches = _note(matches, document, t, score, scratch.place_W[i], found)
                continue
            if best == 0:
                scratch.touched[touched] = t
                touched += 1
            scratch.best_T[t], scratch.place_T[t] = score, scratch.place_W[i]
    return touched, matches


@compiled
def match(
    text: Bytes, first_D: Ints, document: int, fold: Bytes, alnum: Bytes, by_letter: bool, n: int, align: bool,
    overlap: int, grams: Grams, texts: Texts, scratch: Scratch, found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Match documents from number `document` on against `texts`, by words or letters: n-grams that stand in them.

    Aligned, a gram says where the words around it are weighed; else as many as the text needs have to be equal there.
    A long document is taken in stretches that overlap by `overlap`, so that every hit has what is looked at around it
    in one. Stops when the documents or the room in `found` end: (next document, matches).
    """
    matches = 0
    while document < first_D.size - 1 and matches + scratch.best_T.size + EVERY <= found.text.size:
        begin, stop, touched, most = first_D[document], first_D[document + 1], 0, matches + EVERY
        while True:
            if by_letter:
                count = letters(text, begin, stop, fold, alnum, scratch.unit_W, scratch.place_W)
            else:
                count = hash_words(text, begin, stop, fold, alnum, scratch.unit_W, scratch.place_W)
            touched, matches = _stretch(document, count, touched, matches, most, n, align, grams, texts, scratch, found)
            if count < scratch.unit_W.size - 1:
                break
            begin = scratch.place_W[count - overlap]
        for t in scratch.touched[:touched]:
            matches = _note(matches, document, t, scratch.best_T[t], scratch.place_T[t], found)
            scratch.best_T[t] = 0
        document += 1
    return document, matches
