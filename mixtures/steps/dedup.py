"""Texts that stand twice: which copy goes, and which sources have texts in common.

Texts are compared by the hash that stands beside them, byte for byte after cleaning. One pass over the shards writes
(hash, document) to files by hash in a scratch folder of this machine; then each file is worked on alone, since all
copies of a text are in one. So the shards are read once, whatever there is of them, and memory does not grow with the
corpus: some 100 bytes for each of PARTITION_DOCUMENTS, and a bit of what the roles of all documents take, a byte each,
which the system may put back to disk. Scratch: 25 bytes a document, and a file is open for every PARTITION_DOCUMENTS.
"""

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.catalogue.source import ACROSS, NEVER
from mixtures.documents import parquet
from mixtures.documents.parquet import DROPPED, HELDOUT, NEAR_DUPLICATE, TRAINING, Roles
from mixtures.steps.candidate import Candidate, each

PARTITION_DOCUMENTS = 8_000_000
"""Whose hashes are compared at a time."""
RECORD = np.dtype([("text", np.uint64, 2), ("document", np.int64)])
Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Texts:
    """The documents of all candidates, numbered in their order, in files by the hash of their text.

    Attributes:
        folder: on this machine, with the files.
        files: those of (hash, document), each by ascending document.
        ends: of every candidate, the number of documents up to its end.
    """

    folder: Path
    files: tuple[Path, ...]
    ends: Numbers


@contextmanager
def by_text(candidates: Sequence[Candidate]) -> Iterator[Texts]:
    """Sort the documents into files, which are there while the block runs; whoever asks has set their roles.

    Raises:
        Failure: a shard is damaged.
        OSError: the scratch folder, beside the roles of the first candidate, has no room.
    """
    sizes = [sum(len(roles) for _, roles in each(c)) for c in candidates]
    count = max(1, -(-sum(sizes) // PARTITION_DOCUMENTS))
    with tempfile.TemporaryDirectory(dir=candidates[0].at.folder) as name:
        texts = Texts(Path(name), tuple(Path(name) / f"{n}" for n in range(count)), np.cumsum(sizes))
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in texts.files]
            first = 0
            for shard in (shard for c in candidates for shard in c.shards):
                keys = text_keys(shard)
                records = np.empty(len(keys), RECORD)
                records["text"], records["document"] = keys, np.arange(first, first + len(keys))
                first += len(keys)
                number_D = keys[:, 0] % np.uint64(count)
                order = np.argsort(number_D, kind="stable")
                edges = np.searchsorted(number_D[order], np.arange(1, count, dtype=np.uint64))
                for file, part in zip(files, np.split(records[order], edges), strict=True):
                    file.write(part.tobytes())
        yield texts


def drop_duplicates(
    texts: Texts, candidates: Sequence[Candidate], start: int, facts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Drop duplicates among the documents of `candidates[start:]`; those before stay as they are.

    To `facts` of each of these sources it adds how many were dropped because another source, by its name, has them, or
    itself ("duplicates"), and how many were kept all the same ("shared").

    Of the sources that say "across", the first in order keeps a text; one that says "within" keeps it once, whatever
    the others have; one that says "never" keeps all. What was dropped for another reason keeps no text from another.

    Args:
        texts: of these candidates, or of more that begin with them.
    """
    scopes = np.array([0 if c.source.dedup == ACROSS else number for number, c in enumerate(candidates, 1)])
    drops = np.array([number >= start and c.source.dedup != NEVER for number, c in enumerate(candidates)])
    with _all_roles(texts, candidates) as roles_D:
        for keys, document_T in _partitions(texts, len(roles_D)):
            here = ~np.isin(roles_D[document_T], (DROPPED, NEAR_DUPLICATE))
            keys, document_T = keys[here], document_T[here]
            source_T = np.searchsorted(texts.ends, document_T, side="right")
            repeated_T, holder_T, first_T = _repeats(keys, scopes[source_T], source_T)
            repeated_T &= drops[source_T]
            for number, c in enumerate(candidates[start:], start):
                its = source_T == number
                facts[c.source.name]["duplicates"].update(_counted(candidates, holder_T[its & repeated_T]))
                kept = first_T[its & ~repeated_T & (first_T < number)]
                facts[c.source.name]["shared"].update(_counted(candidates, kept))
            roles_D[document_T[repeated_T]] = DROPPED


def drop_heldout_copies(texts: Texts, candidates: Sequence[Candidate]) -> list[int]:
    """Drop every other copy of a text that is held out, in any source and group; how many of each source.

    Such copies are left by sources that do not say "across". No held-out text is trained on, or held out twice.
    """
    dropped = np.zeros(len(candidates), np.int64)
    with _all_roles(texts, candidates) as roles_D:
        for keys, document_T in _partitions(texts, len(roles_D)):
            here = np.isin(roles_D[document_T], (HELDOUT, TRAINING))
            keys, document_T = keys[here], document_T[here]
            held_T = roles_D[document_T] == HELDOUT
            order = np.lexsort((~held_T, keys[:, 1], keys[:, 0]))  # of every text what is held out comes first
            new = _new(keys[order])
            starts = np.flatnonzero(new)
            of_held = np.repeat(held_T[order[starts]], np.diff(starts, append=len(new)))
            copies = document_T[order[~new & of_held]]
            roles_D[copies] = DROPPED
            dropped += np.bincount(np.searchsorted(texts.ends, copies, side="right"), minlength=len(candidates))
    return [int(count) for count in dropped]


def text_keys(path: Path) -> Keys:
    """uint64 [documents, 2]: the hash of every text."""
    batches = parquet.read(path, ("text_hash",))
    parts = [np.frombuffer(batch.column("text_hash").buffers()[1], np.uint64) for batch in batches]
    return np.concatenate([np.zeros(0, np.uint64), *parts]).reshape(-1, 2)


@contextmanager
def _all_roles(texts: Texts, candidates: Sequence[Candidate]) -> Iterator[Roles]:
    """uint8 [documents]: the roles of all documents of `candidates`, to be changed; in the end their shards' are."""
    documents = int(texts.ends[len(candidates) - 1])
    # A file, so that memory which is wanted for something else can have its place. None of no bytes can be mapped.
    roles_D = np.memmap(texts.folder / "roles", np.uint8, "w+", shape=(max(1, documents),))[:documents]
    for place, roles in _placed(candidates):
        roles_D[place] = roles
    yield roles_D
    for place, roles in _placed(candidates):
        if (roles != roles_D[place]).any():
            roles[:] = roles_D[place]


def _placed(candidates: Sequence[Candidate]) -> Iterator[tuple[slice, Roles]]:
    """The roles of every shard, and which of all documents its are."""
    first = 0
    for _, roles in itertools.chain.from_iterable(each(c, "r+") for c in candidates):
        yield slice(first, first + len(roles)), roles
        first += len(roles)


def _partitions(texts: Texts, documents: int) -> Iterator[tuple[Keys, Numbers]]:
    """File by file, the hashes and numbers of those below `documents` whose text another one has; maybe of more.

    To sort half of a hash takes a tenth of the time that comparing texts does, and most texts stand once.
    """
    for path in texts.files:
        records = np.fromfile(path, RECORD)
        records = records[: int(np.searchsorted(records["document"], documents))]
        half = np.ascontiguousarray(records["text"][:, 0])
        order = np.argsort(half)
        equal = np.flatnonzero(half[order[1:]] == half[order[:-1]])
        there = np.zeros(len(half), bool)
        there[order[equal]] = there[order[equal + 1]] = True
        yield np.ascontiguousarray(records["text"][there]), np.ascontiguousarray(records["document"][there])


def _counted(candidates: Sequence[Candidate], number_T: Numbers) -> dict[str, int]:
    return {candidates[n].source.name: count for n, count in enumerate(np.bincount(number_T).tolist()) if count}


def _new(ordered: Keys) -> Mask:
    """Whether each text is another than the one before it."""
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return new


def _repeats(keys: Keys, scope_T: Numbers, source_T: Numbers) -> tuple[Mask, Numbers, Numbers]:
    """Whether a row's text stands earlier in its scope, the first source that has it there, and in any scope."""
    order = np.lexsort((scope_T, keys[:, 1], keys[:, 0]))  # stable, so that the first stays first
    scopes, sources = scope_T[order], source_T[order]
    new_text = _new(keys[order])
    new = new_text.copy()
    new[1:] |= scopes[1:] != scopes[:-1]
    repeated, holder, first = np.zeros(len(keys), bool), np.zeros_like(source_T), np.zeros_like(source_T)
    repeated[order] = ~new
    for found, begins in ((holder, new), (first, new_text)):
        starts = np.flatnonzero(begins)
        if len(starts):
            found[order] = np.repeat(np.minimum.reduceat(sources, starts), np.diff(starts, append=len(keys)))
    return repeated, holder, first
