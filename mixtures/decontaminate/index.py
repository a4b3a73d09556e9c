"""The index of benchmark items: their components as word hashes, and the letters of their questions.

It holds what every rule needs and nothing that depends on one; lookup.py derives a rule's tables from it.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.benchmarks.item import Item
from mixtures.decontaminate.components import Component, components, question, shape, shape_needs
from mixtures.decontaminate.normalise import Buffer, join, words_of
from mixtures.decontaminate.rendered import readings
from store.errors import Failure
from store.files import whole

INDEX_VERSION = 2
"""Bump when components, words or seeds change: it is part of the digest."""
SEED_WORDS = 5
_DISTINCT_WORDS, _NUMBERS, _SHARING_ITEMS = 4, 2, 8


@dataclass(frozen=True)
class Entry:
    """One component or question: whose it is, what finding it takes and does (see `components.Component`).

    `needs` words at least have to match.
    """

    item: int
    name: str
    needs: int
    alone: int = 0
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """An entry met in a document: the document's number in its batch, score 0..1 and words, a byte in the buffer."""

    document: int
    entry: Entry
    score: float
    words: int
    place: int


@dataclass(frozen=True, eq=False)
class Index:
    """What is looked for.

    Attributes:
        items: (benchmark, id) of every item.
        components: what `word_W` holds, in its order; without those that are too short.
        questions: of every item, as it is and as it is read (rendered.py); what `letter_L` holds.
        word_W: uint32, hashes of all components' words.
        seed_W: bool, whether the 5-gram that begins at this word is a seed of alignment.
        first_word_C: int64 [components + 1], where each begins in word_W.
        shapes: solutions, what `shape_W` holds (shapes.py), a token each, and `shape_name_W` the hashes of their names.
        first_shape_S: int64 [shapes + 1], where each begins in shape_W.
        letter_L: uint8, UTF-8 of the questions' letters and digits.
        first_letter_Q: int64 [questions + 1], where each begins in letter_L.
        digest: of the items and of INDEX_VERSION; equal digests find equal matches by every rule.
    """

    items: tuple[tuple[str, str], ...]
    components: tuple[Entry, ...]
    questions: tuple[Entry, ...]
    word_W: npt.NDArray[np.uint32]
    seed_W: npt.NDArray[np.bool_]
    first_word_C: npt.NDArray[np.int64]
    shapes: tuple[Entry, ...]
    shape_W: npt.NDArray[np.uint32]
    shape_name_W: npt.NDArray[np.uint32]
    first_shape_S: npt.NDArray[np.int64]
    letter_L: npt.NDArray[np.uint8]
    first_letter_Q: npt.NDArray[np.int64]
    digest: str

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks in it, in order."""
        return tuple(dict.fromkeys(benchmark for benchmark, _ in self.items))

    def save(self, path: Path) -> None:
        """Write it to `path`, atomically.

        Raises:
            Failure: the disk is full or the folder cannot be written.
        """
        head = {
            "version": INDEX_VERSION,
            "digest": self.digest,
            "items": self.items,
            "components": [dataclasses.astuple(entry) for entry in self.components],
            "shapes": [dataclasses.astuple(entry) for entry in self.shapes],
            "questions": [dataclasses.astuple(entry) for entry in self.questions],
        }
        text = np.frombuffer(json.dumps(head).encode(), np.uint8)
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, head=text, **{name: getattr(self, name) for name in _ARRAYS})


_ARRAYS = ("word_W", "seed_W", "first_word_C", "shape_W", "shape_name_W", "first_shape_S", "letter_L", "first_letter_Q")


def load(path: Path) -> Index:
    """Read what `Index.save` wrote.

    Raises:
        Failure: it is missing, damaged or of another version.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            arrays = {name: file[name] for name in _ARRAYS}
        if head["version"] != INDEX_VERSION:
            raise ValueError(f"version {head['version']}, not {INDEX_VERSION}")
        return Index(
            items=tuple((benchmark, identity) for benchmark, identity in head["items"]),
            components=_entries(head["components"]),
            shapes=_entries(head["shapes"]),
            questions=_entries(head["questions"]),
            digest=head["digest"],
            **arrays,
        )
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise Failure(
            f"decontamination index cannot be read ({path}: {error}); delete it and run the command again"
        ) from error


def build(items: Iterable[Item]) -> Index:
    """The index of `items`, in their order."""
    items = tuple(items)
    found = [
        (number, dataclasses.replace(component, text=text))
        for number, item in enumerate(items)
        for component in components(item)
        for text in _readings(component.text)
    ]
    buffer = join(component.text for _, component in found)
    word_C, number_C = _hash_words(buffer)
    need_C = [component.needs(len(words)) for (_, component), words in zip(found, word_C, strict=True)]
    kept = [number for number, need in enumerate(need_C) if need is not None]
    entries = tuple(_entry(*found[number], need) for number, need in enumerate(need_C) if need is not None)
    word_W = np.concatenate([np.zeros(0, np.uint32), *(word_C[number] for number in kept)])
    number_W = np.concatenate([np.zeros(0, np.bool_), *(number_C[number] for number in kept)])
    first_word_C = np.cumsum([0, *(len(word_C[number]) for number in kept)], dtype=np.int64)
    item_W = np.repeat(np.array([entry.item for entry in entries], np.int64), np.diff(first_word_C))
    asked = [
        (number, dataclasses.replace(whole, text=text))
        for number, whole in enumerate(map(question, items))
        for text in _readings(whole.text)
    ]
    shapes, shape_W, name_W, first_shape_S = _shapes(items)
    letters = ["".join(filter(str.isalnum, one.text)).encode() for _, one in asked]
    return Index(
        items=tuple((item.benchmark, item.id) for item in items),
        components=entries,
        questions=tuple(Entry(number, one.name, 0) for number, one in asked),
        word_W=word_W,
        seed_W=_seeds(word_W, number_W, item_W, first_word_C),
        first_word_C=first_word_C,
        shapes=shapes,
        shape_W=shape_W,
        shape_name_W=name_W,
        first_shape_S=first_shape_S,
        letter_L=np.frombuffer(b"".join(letters), np.uint8).copy(),
        first_letter_Q=np.cumsum([0, *map(len, letters)], dtype=np.int64),
        digest=_digest(items, found, asked),
    )


def whole_grams(first_T: npt.NDArray[np.int64], n: int | npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which words or letters begin an n-gram that ends in the same text; bool [units]. n may be a number a text."""
    size_T = np.diff(first_T)
    offset_W = np.arange(first_T[-1]) - np.repeat(first_T[:-1], size_T)
    return np.asarray(offset_W <= np.repeat(size_T - n, size_T))


def gram_keys(unit_W: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.uint64]:
    """The key of the n-gram at every word or letter; uint64 [units], meaningless where it would pass the last one."""
    from mixtures.decontaminate import kernels

    key_W = np.zeros(len(unit_W), np.uint64)
    kernels.gram_keys(unit_W, len(unit_W), n, key_W)
    return key_W


def _readings(text: str) -> tuple[str, ...]:
    return (text, *readings(text))


def _hash_words(buffer: Buffer) -> tuple[list[npt.NDArray[np.uint32]], list[npt.NDArray[np.bool_]]]:
    """Per text: hashes of its words, and which of them are numbers."""
    from mixtures.decontaminate import kernels

    fold, alnum = kernels.letter_tables()
    longest = int(np.diff(buffer.first_D).max(initial=0)) // 2 + 3
    hash_W, end_W = np.zeros(longest, np.uint32), np.zeros(longest, np.int64)
    words, numbers = [], []
    for start, stop in itertools.pairwise(buffer.first_D.tolist()):
        count = kernels.hash_words(buffer.text, start, stop, fold, alnum, hash_W, end_W)
        number_W = np.zeros(count, np.bool_)
        kernels.are_numbers(buffer.text[start:stop], fold, end_W[:count] - start, number_W)
        words.append(hash_W[:count].copy())
        numbers.append(number_W)
    return words, numbers


def _shapes(
    items: Sequence[Item],
) -> tuple[tuple[Entry, ...], npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Entries of the solutions that have enough shape; tokens and hashes of names; where each solution begins."""
    from mixtures.decontaminate import lexer

    entries, token_S, name_S = [], [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
    for number, item in enumerate(items):
        if code := shape(item):
            tokens = lexer.shape_of(code)
            if (needs := shape_needs(len(tokens.shape))) is not None:
                entries.append(Entry(number, "shape", needs))
                token_S.append(tokens.shape.copy())
                name_S.append(tokens.name.copy())
    first_S = np.cumsum(list(map(len, token_S)), dtype=np.int64)
    return tuple(entries), np.concatenate(token_S), np.concatenate(name_S), first_S


def _seeds(
    word_W: npt.NDArray[np.uint32],
    number_W: npt.NDArray[np.bool_],
    item_W: npt.NDArray[np.int64],
    first_word_C: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which 5-grams can seed an alignment: no counting, no stammer, no common phrase.

    At least 4 distinct words, at most 2 numbers, in at most 8 items (the false positives of plain
    n-grams are digit runs and licence text).
    """
    seed_W = whole_grams(first_word_C, SEED_WORDS)
    if not seed_W.size:
        return seed_W
    padded = np.concatenate([word_W, np.zeros(SEED_WORDS - 1, np.uint32)])
    ordered = np.sort(np.lib.stride_tricks.sliding_window_view(padded, SEED_WORDS), axis=1)
    seed_W &= 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) >= _DISTINCT_WORDS
    numbers = np.concatenate([[0], np.cumsum(np.concatenate([number_W, np.zeros(SEED_WORDS - 1, np.bool_)]))])
    seed_W &= numbers[SEED_WORDS:] - numbers[:-SEED_WORDS] <= _NUMBERS
    key_W = gram_keys(word_W, SEED_WORDS)
    order = np.lexsort((item_W, key_W))
    key_O, item_O = key_W[order], item_W[order]
    new_key = np.concatenate([[True], key_O[1:] != key_O[:-1]])
    new_item = new_key | np.concatenate([[True], item_O[1:] != item_O[:-1]])
    sharing_K = np.add.reduceat(new_item.astype(np.int64), np.flatnonzero(new_key))
    seed_W[order] &= sharing_K[np.cumsum(new_key) - 1] <= _SHARING_ITEMS
    return seed_W


def _entry(item: int, component: Component, needs: int) -> Entry:
    spelt = (answer if answer.endswith("(") else " ".join(words_of(answer)) for answer in component.answers)
    return Entry(item, component.name, needs, component.alone, tuple(dict.fromkeys(filter(None, spelt))))


def _entries(rows: Iterable[list[Any]]) -> tuple[Entry, ...]:
    return tuple(Entry(item, name, needs, alone, tuple(answers)) for item, name, needs, alone, answers in rows)


def _digest(
    items: Sequence[Item], found: Sequence[tuple[int, Component]], asked: Sequence[tuple[int, Component]]
) -> str:
    content = [
        INDEX_VERSION,
        [[item.benchmark, item.id, shape(item)] for item in items],
        [[number, one.name, one.text] for number, one in asked],
        [[number, part.name, part.text, part.floor, part.alone, part.answers] for number, part in found],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
