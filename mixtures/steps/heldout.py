"""Which groups no arm trains on: the same in all sources, and of each as near to the share as its groups allow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 16
"""Groups that are Python's numbers at a time; the first are nearly always enough."""


@dataclass(frozen=True)
class Groups:
    """Of one source, the hashes of its groups, ascending, and how many documents are in each; `total` are in it."""

    hashes: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int64]
    total: int


def choose(sources: Sequence[Groups], share: float) -> npt.NDArray[np.uint64]:
    """Hashes of the groups that are held out.

    Groups are taken by ascending hash while that brings a source nearer to `share` of its documents and no other above
    twice its share. A source of which nothing was taken, since its groups are too large, gives its smallest, of which
    others have little if there is one. Never all of a source is taken, so that one of a single group has none; and of a
    share of 0 nothing.
    """
    if not share:
        return np.zeros(0, np.uint64)
    wanted = [share * source.total for source in sources]
    smallest = [int(source.counts.min(initial=1)) for source in sources]
    taken = [0] * len(sources)
    held: list[int] = []

    def take(group: int, its: Sequence[tuple[int, int]]) -> bool:
        if any(taken[s] + count >= sources[s].total for s, count in its):
            return False
        held.append(group)
        for s, count in its:
            taken[s] += count
        return True

    for group, its in _by_hash(sources):
        if all(taken[s] + smallest[s] / 2 > wanted[s] for s in range(len(sources))):
            break
        nearer = any(taken[s] + count / 2 <= wanted[s] for s, count in its)
        if nearer and all(taken[s] + count <= max(1, 2 * wanted[s]) for s, count in its):
            take(group, its)
    for s in range(len(sources)):
        room = [np.inf if t == s else max(1, 2 * wanted[t]) - taken[t] for t in range(len(sources))]
        if not taken[s]:
            next((group for group, its in _smallest_first(sources, s, room) if take(group, its)), None)
    return np.array(held, np.uint64)


def _smallest_first(
    sources: Sequence[Groups], s: int, room: Sequence[float]
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The groups of source `s` as `_by_hash` gives them, the smallest first; last those of which others lose much."""
    source = sources[s]
    counts_SxG = np.array([_counts(other, source.hashes) for other in sources])
    much_G = (counts_SxG > np.array(room)[:, None]).any(axis=0)
    for place in np.lexsort((source.hashes, source.counts, much_G)):
        yield int(source.hashes[place]), [(t, int(n)) for t, n in enumerate(counts_SxG[:, place]) if n]


def _counts(source: Groups, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """How many documents the source has of each of the groups."""
    places = np.minimum(np.searchsorted(source.hashes, hashes), max(0, len(source.hashes) - 1))
    if not len(source.hashes):
        return np.zeros(len(hashes), np.int64)
    return np.where(source.hashes[places] == hashes, source.counts[places], 0)


def _by_hash(sources: Sequence[Groups]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Every group by ascending hash, with (source, documents) of the sources that have it."""
    hashes = np.concatenate([source.hashes for source in sources])
    owners = np.concatenate([np.full(len(source.hashes), number) for number, source in enumerate(sources)])
    counts = np.concatenate([source.counts for source in sources])
    order = np.lexsort((owners, hashes))
    parts = (order[start : start + CHUNK] for start in range(0, len(order), CHUNK))
    columns = ([column[part].tolist() for column in (hashes, owners, counts)] for part in parts)
    rows = chain.from_iterable(zip(*its, strict=True) for its in columns)
    for group, its in groupby(rows, key=lambda row: row[0]):
        yield group, [(owner, count) for _, owner, count in its]
