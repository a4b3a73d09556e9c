"""Token sequences as trees, and trees in rows of a few lengths, so that no prefix is computed twice and little padded.

A sequence is what stands before and what is scored of it. Sequences that begin alike share a tree as far as they are
alike: the choices of a question their context, and the endings of a sentence the words before they part.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.decode import Trees

_ROW = 192
"""The shortest: several small trees fill it well."""


@dataclass(frozen=True)
class Span:
    """Tokens `ids`, of which those from `start` on (1 or more) are scored, for the request number `owner`."""

    owner: int
    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Tree:
    """The spans' tokens but the last of each, depth first, and for every span the edges it is scored by.

    Attributes:
        tokens, depths, ends: per node its token, its position in the text, and the node after those below it.
        places, targets: per edge its node and the token that follows.
        paths: (owner, edges) of every span.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    paths: list[tuple[int, list[int]]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Columns of a row that it takes."""
        return max(len(self.tokens), len(self.places))


def trees(spans: Sequence[Span], limit: int) -> Iterator[Tree]:
    """Trees of at most `limit` columns, unless one span alone has more.

    A span goes with the one before, in the order of their tokens, if half of it begins alike: choices with their
    context, questions with the examples that all of them show.
    """
    group: list[Span] = []
    size = 0
    before: tuple[int, ...] = ()
    for span in sorted(spans, key=lambda span: span.ids):
        shared = _alike(before, span.ids)
        if group and (2 * shared < len(span.ids) or size + len(span.ids) - shared > limit):
            yield _tree(group)
            group, size, shared = [], 0, 0
        group.append(span)
        size += len(span.ids) - shared
        before = span.ids
    if group:
        yield _tree(group)


def _tree(spans: Sequence[Span]) -> Tree:
    """Of spans in the order of their tokens."""
    tree = Tree()
    before: tuple[int, ...] = ()
    path: list[int] = []  # The nodes of the span before.
    edges: dict[int, int] = {}  # Its edges, by the place of their token in the text.
    for span in spans:
        shared = _alike(before, span.ids)
        keep = min(shared, len(path), len(span.ids) - 1)
        for node in path[keep:]:
            tree.ends[node] = len(tree.tokens)
        path[keep:] = range(len(tree.tokens), len(tree.tokens) + len(span.ids) - 1 - keep)
        tree.tokens.extend(span.ids[keep:-1])
        tree.depths.extend(range(keep, len(span.ids) - 1))
        tree.ends.extend([0] * (len(span.ids) - 1 - keep))
        edges = {at: edge for at, edge in edges.items() if at < shared}
        for at in range(span.start, len(span.ids)):
            if at not in edges:
                edges[at] = len(tree.places)
                tree.places.append(path[at - 1])
                tree.targets.append(span.ids[at])
        tree.paths.append((span.owner, [edges[at] for at in range(span.start, len(span.ids))]))
        before = span.ids
    for node in path:
        tree.ends[node] = len(tree.tokens)
    return tree


def _alike(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    size = min(len(a), len(b))
    return next((i for i in range(size) if a[i] != b[i]), size)


@dataclass(frozen=True)
class Batch:
    """Rows of one length, those of every device after each other, and where each span's edges are."""

    trees: Trees
    owners: list[tuple[int, list[int]]]


def batches(made: Sequence[Tree], tokens: int, devices: int) -> Iterator[Batch]:
    """Every tree once, in rows of a few lengths: each device gets `tokens` of them at once.

    Rows that do not fill a batch are lengthened and go with the next longer ones, so that only the last is not full.
    """
    rows = _rows(made)
    waiting: list[list[Tree]] = []
    lengths = sorted(rows)
    for length in lengths:
        waiting = waiting + rows[length]
        full = max(1, tokens // length) * devices
        while len(waiting) >= full or (waiting and length == lengths[-1]):
            yield _batch(waiting[:full], length, full // devices, devices)
            waiting = waiting[full:]


def _rows(made: Sequence[Tree]) -> dict[int, list[list[Tree]]]:
    """Rows by length: the largest tree that is left, and the largest ones that fit beside it."""
    by_size: dict[int, list[Tree]] = {}
    for tree in reversed(made):
        by_size.setdefault(tree.size, []).append(tree)
    sizes = sorted(by_size)
    rows: dict[int, list[list[Tree]]] = {}
    while sizes:
        length = row_length(sizes[-1])
        row, free = [], length
        while (at := bisect_right(sizes, free)) > 0:
            size = sizes[at - 1]
            row.append(by_size[size].pop())
            free -= size
            if not by_size[size]:
                del sizes[at - 1]
        rows.setdefault(length, []).append(row)
    return rows


def row_length(size: int) -> int:
    """The row for `size` columns: 192, 256, 384, 512, 768 and so on, so that few shapes are compiled."""
    length = _ROW
    while length < size:
        length = length * 4 // 3 if length % 3 == 0 else length * 3 // 2
    return length


def _batch(rows: Sequence[Sequence[Tree]], length: int, height: int, devices: int) -> Batch:
    """Rows are dealt out to devices in turn, so that none idles in a batch that is not full."""
    tokens, depths, ends, places, targets = np.zeros((5, devices, height, length), np.int32)
    counts = np.zeros(devices, np.int32)
    owners: list[tuple[int, list[int]]] = []
    for number, row in enumerate(rows):
        device, line = number % devices, number // devices
        column = 0
        for tree in row:
            here = slice(column, column + len(tree.tokens))
            tokens[device, line, here] = tree.tokens
            depths[device, line, here] = tree.depths
            ends[device, line, here] = np.asarray(tree.ends, np.int32) + column
            edge = int(counts[device])
            counts[device] += len(tree.places)
            flat = slice(edge, edge + len(tree.places))
            places.reshape(devices, -1)[device, flat] = np.asarray(tree.places, np.int32) + line * length + column
            targets.reshape(devices, -1)[device, flat] = tree.targets
            base = device * height * length + edge
            owners.extend((owner, [base + e for e in edges]) for owner, edges in tree.paths)
            column += tree.size
    tokens, depths, ends = (x.reshape(devices * height, length) for x in (tokens, depths, ends))
    return Batch(Trees(tokens, depths, ends, places.reshape(-1), targets.reshape(-1), counts), owners)
