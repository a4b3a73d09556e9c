"""Texts that stand twice: which copy goes, and which sources have texts in common.

Texts are compared by the hash that stands beside them, byte for byte after cleaning, a slice of the hashes at a time,
so that memory does not grow with the corpus.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.catalogue.source import ACROSS, NEVER
from mixtures.documents import parquet
from mixtures.documents.parquet import DROPPED, HELDOUT, TRAINING, Roles
from mixtures.steps.candidate import Candidate, each, roles_of

SLICE_DOCUMENTS = 8_000_000
"""Whose hashes are compared at a time."""
Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Place = tuple[int, Path, Numbers]
"""Number of a candidate, one of its shards, rows there."""


def drop_duplicates(candidates: Sequence[Candidate], start: int, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Drop duplicates among the documents of `candidates[start:]`; those before stay as they are.

    To `facts` of each of these sources it adds how many were dropped because another source, by its name, has them, or
    itself ("duplicates"), and how many were kept all the same ("shared").

    Of the sources that say "across", the first in order keeps a text; one that says "within" keeps it once, whatever
    the others have; one that says "never" keeps all. What was dropped for another reason keeps no text from another.
    """
    documents = sum(len(roles) for c in candidates for _, roles in each(c))
    slices = max(1, -(-documents // SLICE_DOCUMENTS))
    scopes = np.array([0 if c.source.dedup == ACROSS else number for number, c in enumerate(candidates, 1)])
    drops = np.array([number >= start and c.source.dedup != NEVER for number, c in enumerate(candidates)])
    for slice_ in range(slices):

        def here(roles: Roles, keys: Keys, slice_: int = slice_) -> Mask:
            return (roles != DROPPED) & (keys[:, 0] % np.uint64(slices) == slice_)

        places, keys, source_D = _gather(candidates, here)
        repeated_D, holder_D, first_D = _repeats(keys, scopes[source_D], source_D)
        repeated_D &= drops[source_D]
        for number, c in enumerate(candidates[start:], start):
            its = source_D == number
            facts[c.source.name]["duplicates"].update(_counted(candidates, holder_D[its & repeated_D]))
            kept = first_D[its & ~repeated_D & (first_D < number)]
            facts[c.source.name]["shared"].update(_counted(candidates, kept))
        _drop(candidates, places, repeated_D)


def drop_heldout_copies(candidates: Sequence[Candidate]) -> list[int]:
    """Drop every other copy of a text that is held out, in any source and group; how many of each source.

    Such copies are left by sources that do not say "across". No held-out text is trained on, or held out twice.
    """
    places, held, source_D = _gather(candidates, lambda roles, keys: roles == HELDOUT)
    repeated_D, *_ = _repeats(held, np.zeros_like(source_D), source_D)
    _drop(candidates, places, repeated_D)
    dropped = np.bincount(source_D[repeated_D], minlength=len(candidates))
    ordered = np.sort(held, axis=0)  # either half of the hash by itself: that both are there by chance does not happen
    for number, c in enumerate(candidates):
        for path, roles in each(c):
            keys = text_keys(path)
            copies = (roles == TRAINING) & _among(keys[:, 0], ordered[:, 0]) & _among(keys[:, 1], ordered[:, 1])
            roles[copies] = DROPPED
            dropped[number] += copies.sum()
    return [int(count) for count in dropped]


def text_keys(path: Path) -> Keys:
    """uint64 [documents, 2]: the hash of every text."""
    batches = parquet.read(path, ("text_hash",))
    parts = [np.frombuffer(batch.column("text_hash").buffers()[1], np.uint64) for batch in batches]
    return np.concatenate([np.zeros(0, np.uint64), *parts]).reshape(-1, 2)


def _gather(
    candidates: Sequence[Candidate], wanted: Callable[[Roles, Keys], Mask]
) -> tuple[list[Place], Keys, Numbers]:
    """Where the wanted documents are; in that order their keys, and the numbers of their candidates."""
    places, gathered = [], [np.zeros((0, 2), np.uint64)]
    for number, c in enumerate(candidates):
        for path, roles in each(c):
            keys = text_keys(path)
            rows = np.flatnonzero(wanted(roles, keys))
            places.append((number, path, rows))
            gathered.append(keys[rows])
    sizes = [len(rows) for *_, rows in places]
    return places, np.concatenate(gathered), np.repeat(np.array([n for n, *_ in places], np.int64), sizes)


def _drop(candidates: Sequence[Candidate], places: Sequence[Place], mask_D: Mask) -> None:
    ends = np.cumsum([len(rows) for *_, rows in places])
    for (number, path, rows), here in zip(places, np.split(mask_D, ends[:-1]), strict=True):
        if here.any():
            roles_of(candidates[number], path)[rows[here]] = DROPPED


def _counted(candidates: Sequence[Candidate], number_D: Numbers) -> dict[str, int]:
    return {candidates[n].source.name: count for n, count in enumerate(np.bincount(number_D).tolist()) if count}


def _among(values: Keys, ordered: Keys) -> Mask:
    """Whether each of `values` is in `ordered`, which is sorted once for all shards."""
    places = np.searchsorted(ordered, values, side="right")
    return np.asarray((places > 0) & (ordered[places - 1] == values)) if len(ordered) else np.zeros(len(values), bool)


def _repeats(keys: Keys, scope_D: Numbers, source_D: Numbers) -> tuple[Mask, Numbers, Numbers]:
    """Whether a row's text stands earlier in its scope, the first source that has it there, and in any scope."""
    order = np.lexsort((scope_D, keys[:, 1], keys[:, 0]))  # stable, so that the first stays first
    scopes, sources = scope_D[order], source_D[order]
    new_text = np.ones(len(keys), bool)
    new_text[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    new = new_text.copy()
    new[1:] |= scopes[1:] != scopes[:-1]
    repeated, holder, first = np.zeros(len(keys), bool), np.zeros_like(source_D), np.zeros_like(source_D)
    repeated[order] = ~new
    for found, begins in ((holder, new), (first, new_text)):
        starts = np.flatnonzero(begins)
        if len(starts):
            found[order] = np.repeat(np.minimum.reduceat(sources, starts), np.diff(starts, append=len(keys)))
    return repeated, holder, first
