"""Tasks of long contexts: how well text is predicted by its place in one, and whether a key in one is found.

    longcontext/code:1024   held-out code in windows of 1,024 tokens
    key_retrieval:1024      keys hidden in contexts of 128, 256, ... up to 1,024 tokens

The tokens are those of the task and not of the model, so that arms of any trained length are asked the same. Both begin
below what a small model is trained on, and end some times above.

`longcontext` takes documents long enough to fill a window first, and one window from the beginning of each, so that a
place in the window is one in the text. Where a source has too few, others are joined with `<eod>` between them, those
of a group next to each other, and their windows tell less of what a long context is worth. An item is a window's tokens
at the places "0-63", "64-127", "128-255" and so on, its source: "longcontext/code:1024/512-1023/bpb" is a metric.

`key_retrieval` hides five digits in prose of ours, at five depths, and asks for them: for their likelihood among eight
keys (accuracy), and in the model's own words (exact match). An item's source is its length, "depth" its depth.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from mixtures.documents.document import Document, hash64
from store.errors import UserError

LENGTHS_VERSION = 1
"""Of both tasks: change one and bump it."""
READ, KEYS = "longcontext/", "key_retrieval"
FIRST, SHORTEST = 64, 128
"""Tokens of the first places, and of the shortest context of a key."""
LONGEST = 1 << 20
BYTES = 6
"""A token has fewer by far: so many times the window's tokens are text enough to fill it."""
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
EACH = 4
"""Keys of a length and a depth, at most."""

_NAME = re.compile(r"(?P<what>longcontext/[\w+-]+|key_retrieval):(?P<tokens>[1-9][0-9]*)")


@dataclass(frozen=True)
class Passage:
    """Texts to be read in one window.

    Attributes:
        id, cluster: of the first document, and its group.
        texts: in order; the first fills the window alone if it can.
    """

    id: str
    cluster: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A key to be found.

    Attributes:
        id: of the item.
        length: tokens of the context with the answer.
        depth: share of the text before the key.
        keys: five digits each.
        gold: the number of the one that is hidden.
    """

    id: str
    length: int
    depth: float
    keys: tuple[str, ...]
    gold: int


@dataclass(frozen=True)
class LongTask:
    """Passages to read, or keys to find.

    Attributes:
        name: of the task.
        tokens: of the window.
        passages, keys: one of them is empty.
    """

    name: str
    tokens: int
    passages: tuple[Passage, ...] = ()
    keys: tuple[Key, ...] = ()

    @property
    def prompt_hash(self) -> str:
        asked = [LENGTHS_VERSION, self.name, *map(asdict, self.passages), *map(asdict, self.keys)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    @property
    def characters(self) -> int:
        """That are read, about."""
        return 4 * (len(self.passages) * self.tokens + sum(key.length for key in self.keys))


def is_long(name: object) -> bool:
    return isinstance(name, str) and (name.startswith(READ) or name.partition(":")[0] == KEYS)


def parse(name: str) -> tuple[str, int]:
    """The kind of data ("" for keys) and the tokens of a task.

    Raises:
        UserError: it is written in another way, or its window is too short or too long.
    """
    found = _NAME.fullmatch(name)
    if found is None or not SHORTEST <= int(found["tokens"]) <= LONGEST:
        raise UserError(
            f"task '{name}' is not known; write the tokens of the window ({SHORTEST} to {LONGEST:,}), as in "
            f"'{READ}code:1024' or '{KEYS}:1024'"
        )
    return found["what"].removeprefix(READ).removesuffix(KEYS), int(found["tokens"])


def order(task: str) -> tuple[str, int, int]:
    """Tasks and their parts, shorter ones first."""
    kind, tokens, part = parsed(task)
    return kind, tokens, int(part.partition("-")[0]) if part else -1


def parsed(task: str) -> tuple[str, int, str]:
    """Of a task or one of its parts: kind, tokens and part."""
    kind, _, rest = task.removeprefix(READ).removeprefix(KEYS).partition(":")
    tokens, _, part = rest.partition("/")
    return kind, int(tokens), part


def parts(name: str) -> list[str]:
    """The tasks of its parts: by place, or by length."""
    kind, tokens = parse(name)
    return [f"{name}/{part}" for part in (map(place, places(tokens)) if kind else map(str, lengths(tokens)))]


def places(tokens: int) -> list[tuple[int, int]]:
    """(first, end) of the places of a window: 64, and each time as many as are before them."""
    ends = [0, FIRST]
    while ends[-1] < tokens:
        ends.append(2 * ends[-1])
    return [*pairwise([*ends[:-1], tokens])]


def place(ends: tuple[int, int]) -> str:
    return f"{ends[0]}-{ends[1] - 1}"


def lengths(tokens: int) -> list[int]:
    """Of contexts: 128, 256, ... and the window."""
    found = [SHORTEST]
    while 2 * found[-1] < tokens:
        found.append(2 * found[-1])
    return [*found, tokens] if tokens > found[-1] else found


def reading(name: str, documents_by_source: Mapping[str, Sequence[Document]], most_bytes: int) -> LongTask:
    """The windows of a kind's held-out documents: about `most_bytes` of text, every source with an equal share, and one
    window of each at the least where it has the text."""
    tokens = parse(name)[1]
    each = max(1, most_bytes // (4 * tokens * max(1, len(documents_by_source))))
    found: list[Passage] = []
    for source, documents in documents_by_source.items():
        whole = [d for d in documents if len(d.text.encode()) >= BYTES * tokens]
        alone = sorted(whole, key=lambda d: (hash64(d.id), d.id))[:each]
        passages = [Passage(f"{source}/{d.id}", d.group, (d.text[: 2 * BYTES * tokens],)) for d in alone]
        if len(passages) < each:
            short = [d for d in documents if len(d.text.encode()) < BYTES * tokens]
            passages += _joined(source, short, BYTES * tokens)[: each - len(passages)]
        found += passages
    return LongTask(name, tokens, tuple(found))


def _joined(source: str, documents: Sequence[Document], least_bytes: int) -> list[Passage]:
    found: list[Passage] = []
    waiting: list[Document] = []
    size = 0
    for document in sorted(documents, key=lambda d: (hash64(d.group), d.group, hash64(d.id), d.id)):
        waiting.append(document)
        size += len(document.text.encode())
        if size >= least_bytes:
            texts = tuple(each.text for each in waiting)
            found.append(Passage(f"{source}/{waiting[0].id}", waiting[0].group, texts))
            waiting, size = [], 0
    return found


def retrieval(name: str, items: int) -> LongTask:
    """Keys at every length and depth: one at the least, and as many of EACH as make `items` of them in all."""
    tokens = parse(name)[1]
    each = max(1, min(EACH, items // (len(DEPTHS) * len(lengths(tokens)))))
    keys = [_key(length, depth, n) for length in lengths(tokens) for depth in DEPTHS for n in range(each)]
    return LongTask(name, tokens, keys=tuple(keys))


def _key(length: int, depth: float, number: int) -> Key:
    id_ = f"{length} tokens, {depth:.0%} deep, {number}"
    keys: list[str] = []
    draw = 0
    while len(keys) < 8:
        key = str(10_000 + hash64(f"key {draw} {id_}") % 90_000)
        draw += 1
        if key not in keys:
            keys.append(key)
    return Key(id_, length, depth, tuple(keys), hash64(f"gold {id_}") % 8)


FILLER = (
    *("The river was low that year.", "Nobody had painted the fence since spring.", "A train passes here at noon."),
    *("The bakery opens before it is light.", "Rain had been promised and did not come."),
    *("Her brother keeps bees behind the house.", "The road to the coast is long and straight."),
    *("There were apples on the table.", "Most of the letters were never answered."),
    *("The clock in the hall is a little slow.", "Two boats lay upside down on the sand."),
    *("He read the paper from back to front.", "In winter the lake can be crossed on foot."),
    *("The old map shows a bridge that is gone.", "Someone was singing on the floor above."),
    *("The garden ends at a low stone wall.", "They had moved the piano to the other room."),
    *("Every market day the square is full.", "The dog slept through all of it."),
    *("A light stayed on in the school.", "The paint on the door was still wet."),
    *("Wind had taken the leaves overnight.", "The ferry does not run on Sundays."),
)
"""Of a context, in an order of its own."""
QUESTION = " What is the key? The key is"


def sentence(key: str) -> str:
    return f"The key is {key}. Remember it."


def filler(key: Key, number: int) -> str:
    """The sentence at that place of a context."""
    return FILLER[hash64(f"{number} {key.id}") % len(FILLER)]
