"""The index of benchmark items: their components as word hashes, and the letters of their questions.

It holds what every rule needs and nothing that depends on one; lookup.py derives a rule's tables from it.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.benchmarks.item import Item
from mixtures.decontaminate.components import Component, components, question, shape, shape_needs
from mixtures.decontaminate.normalise import join, words_of
from mixtures.decontaminate.rendered import readings
from mixtures.decontaminate.types import Bools, Bytes, Ints, Words
from store import paths
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
    """An entry met in a document: the document's number in its batch, score 0..1, words, a byte in the buffer.

    By the rules on letters, `words` counts those.
    """

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
    word_W: Words
    seed_W: Bools
    first_word_C: Ints
    shapes: tuple[Entry, ...]
    shape_W: Words
    shape_name_W: Words
    first_shape_S: Ints
    letter_L: Bytes
    first_letter_Q: Ints
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
        arrays: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        head = {"version": INDEX_VERSION, **{name: value for name, value in vars(self).items() if name not in arrays}}
        text = np.frombuffer(json.dumps(head, default=dataclasses.astuple).encode(), np.uint8)
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, head=text, **arrays)


def load(path: Path) -> Index:
    """Read what `Index.save` wrote.

    Raises:
        Failure: it is missing, damaged or of another version.
    """
    try:
        with np.load(io.BytesIO(paths.read(path)), allow_pickle=False) as file:
            head: dict[str, Any] = json.loads(file["head"].tobytes())
            arrays = {name: file[name] for name in file.files if name != "head"}
        if (version := head.pop("version")) != INDEX_VERSION:
            raise ValueError(f"version {version}, not {INDEX_VERSION}")
        for name in ("components", "shapes", "questions"):
            head[name] = tuple(Entry(*row, tuple(answers)) for *row, answers in head[name])  # type: ignore[call-arg]
        return Index(**{**head, "items": tuple(map(tuple, head["items"]))}, **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise Failure(
            f"decontamination index cannot be read ({path}: {error}); delete it and run the command again"
        ) from error


def build(items: Iterable[Item]) -> Index:
    """The index of `items`, in their order."""
    items = tuple(items)
    found, asked = _texts(items, components), _texts(items, lambda item: (question(item),))
    kept = [
        (_entry(number, component, needs), words, numbers)
        for (number, component), (words, numbers) in zip(found, _hash_words(found), strict=True)
        if (needs := component.needs(len(words))) is not None
    ]
    word_W = _joined([words for _, words, _ in kept])
    number_W = _joined([numbers for _, _, numbers in kept]).astype(np.bool_)
    first_word_C = _first([words for _, words, _ in kept])
    item_W = np.repeat(np.array([entry.item for entry, _, _ in kept], np.int64), np.diff(first_word_C))
    solutions = list(_shapes(items))
    letters = ["".join(filter(str.isalnum, one.text)).encode() for _, one in asked]
    return Index(
        items=tuple((item.benchmark, item.id) for item in items),
        components=tuple(entry for entry, _, _ in kept),
        questions=tuple(Entry(number, one.name, 0) for number, one in asked),
        word_W=word_W,
        seed_W=_seeds(word_W, number_W, item_W, first_word_C),
        first_word_C=first_word_C,
        shapes=tuple(entry for entry, _, _ in solutions),
        shape_W=_joined([shapes for _, shapes, _ in solutions]),
        shape_name_W=_joined([names for _, _, names in solutions]),
        first_shape_S=_first([shapes for _, shapes, _ in solutions]),
        letter_L=np.frombuffer(b"".join(letters), np.uint8).copy(),
        first_letter_Q=_first(letters),
        digest=_digest(items, found, asked),
    )


def _joined(parts: Sequence[Words]) -> Words:
    return np.concatenate([np.zeros(0, np.uint32), *parts])


def _first(parts: Sequence[Sized]) -> Ints:
    """Where each of `parts` begins among all, and where the last ends."""
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def whole_grams(first_T: Ints, n: int | Ints) -> Bools:
    """Which words or letters begin an n-gram that ends in the same text; bool [units]. n may be a number a text."""
    size_T = np.diff(first_T)
    offset_W = np.arange(first_T[-1]) - np.repeat(first_T[:-1], size_T)
    return np.asarray(offset_W <= np.repeat(size_T - n, size_T))


def _texts(items: Sequence[Item], parts: Callable[[Item], Iterable[Component]]) -> list[tuple[int, Component]]:
    """The parts of every item, as they are and as they are read (rendered.py), each with the item's number."""
    return [
        (number, dataclasses.replace(part, text=text))
        for number, item in enumerate(items)
        for part in parts(item)
        for text in (part.text, *readings(part.text))
    ]


def _hash_words(texts: Sequence[tuple[int, Component]]) -> Iterator[tuple[Words, Words]]:
    """Of every text the hashes of its words, and which of them are numbers."""
    from mixtures.decontaminate import kernels

    buffer, (fold, alnum) = join(one.text for _, one in texts), kernels.letter_tables()
    hash_W, end_W = kernels.hash_words(buffer.text, fold, alnum)
    number_W = kernels.are_numbers(buffer.text, fold, end_W)
    for start, stop in itertools.pairwise(np.searchsorted(end_W, buffer.first_D).tolist()):
        yield hash_W[start:stop], number_W[start:stop]


def _shapes(items: Sequence[Item]) -> Iterator[tuple[Entry, Words, Words]]:
    """The solutions that have enough shape, each with its tokens and the hashes of their names."""
    from mixtures.decontaminate import lexer

    for number, item in enumerate(items):
        if code := shape(item):
            tokens = lexer.tokens_of(join([code]).text)
            if (needs := shape_needs(len(tokens.shape))) is not None:
                yield Entry(number, "shape", needs), tokens.shape.copy(), tokens.name.copy()


def _seeds(word_W: Words, number_W: Bools, item_W: Ints, first_word_C: Ints) -> Bools:
    """Which 5-grams can seed an alignment: no counting, no stammer, no common phrase.

    At least 4 distinct words, at most 2 numbers, in at most 8 items (the false positives of plain
    n-grams are digit runs and licence text).
    """
    from mixtures.decontaminate import kernels

    seed_W = whole_grams(first_word_C, SEED_WORDS)
    if not seed_W.size:
        return seed_W
    padded = np.concatenate([word_W, np.zeros(SEED_WORDS - 1, np.uint32)])
    ordered = np.sort(np.lib.stride_tricks.sliding_window_view(padded, SEED_WORDS), axis=1)
    seed_W &= 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) >= _DISTINCT_WORDS
    numbers = np.concatenate([[0], np.cumsum(np.concatenate([number_W, np.zeros(SEED_WORDS - 1, np.bool_)]))])
    seed_W &= numbers[SEED_WORDS:] - numbers[:-SEED_WORDS] <= _NUMBERS
    key_W = kernels.gram_keys(padded, SEED_WORDS)
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
