"""Which documents are trained on, which are held out, and which are neither: decided over all sources of a study.

Three questions need more than one document: the size a source may have, exact duplicates within and across sources,
and the groups that are held out. They are answered from the keys that stand beside the texts, a shard or a slice of
the hashes at a time, so that memory does not grow with the corpus.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures import shards
from mixtures.documents import Document
from mixtures.errors import Failure

DROPPED, TRAINING, HELDOUT = 0, 1, 2
Roles = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint64]

SLICE_DOCUMENTS = 8_000_000
"""Whose hashes are compared at a time."""
BINS = 1 << 16


@dataclass(frozen=True)
class Candidate:
    """A source to choose from: its shards of documents, and the bytes it may have (None: all)."""

    name: str
    max_bytes: int | None
    shards: tuple[Path, ...]


def select(candidates: Sequence[Candidate], heldout: float, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the role of every document under `folder` and say what came of it.

    A source's bytes are taken in the order of the documents' hashes; of duplicates the first in catalogue order stays.
    A group is held out of every source when its hash is below `heldout`; a small source might then have none, so the
    group with the smallest hash of every source is held out as well.

    Returns:
        For every source {"dropped": {reason: documents}, "training_bytes": bytes}.

    Raises:
        Failure: a source has no document to train on, or a shard is damaged.
    """
    for candidate in candidates:
        for path in candidate.shards:
            target = roles_path(folder, candidate.name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, np.full(len(_column(path, "bytes")), TRAINING, np.uint8))
    capped = {c.name: _cap(c, folder) for c in candidates}
    duplicates = _drop_duplicates(candidates, folder)
    _hold_out(candidates, heldout, folder)
    facts = {}
    for c in candidates:
        size = sum(int(_column(path, "bytes")[roles == TRAINING].sum()) for path, roles in _each(c, folder))
        if not size:
            raise Failure(f"source '{c.name}' has no document to train on; widen its filters or leave it out")
        counts = {"over the source's size": capped[c.name], "exact duplicate": duplicates[c.name]}
        facts[c.name] = {"dropped": {why: count for why, count in counts.items() if count}, "training_bytes": size}
    return facts


def roles_path(folder: Path, source: str, shard: Path) -> Path:
    return folder / source / f"{shard.stem}.npy"


def read_roles(path: Path) -> Roles:
    """The role of every document of a shard, in its order there.

    Raises:
        Failure: the file is missing or damaged.
    """
    try:
        roles: Roles = np.load(path)
        return roles
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read ({error}); delete {path.parents[2]} and prepare again") from error


def training_documents(shard: Path, roles: Path) -> Iterator[Document]:
    """The documents of a shard that are trained on, in their order there.

    Raises:
        Failure: a file is missing or damaged.
    """
    for document, role in zip(shards.read_documents(shard), read_roles(roles), strict=True):
        if role == TRAINING:
            yield document


def _each(candidate: Candidate, folder: Path) -> Iterator[tuple[Path, Roles]]:
    """Every shard with its roles, to be changed in place."""
    for path in candidate.shards:
        yield path, _roles(folder, candidate.name, path)


def _roles(folder: Path, source: str, shard: Path) -> Roles:
    path = roles_path(folder, source, shard)
    roles: Roles = np.load(path)
    return np.load(path, mmap_mode="r+") if len(roles) else roles


def _column(path: Path, name: str) -> npt.NDArray[Any]:
    parts = [batch.column(name).to_numpy() for batch in shards.read(path, (name,))]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _cap(candidate: Candidate, folder: Path) -> int:
    """Drop what is over the source's size; the number of documents dropped."""
    if candidate.max_bytes is None:
        return 0
    bytes_by_bin = np.zeros(BINS, np.int64)
    for path in candidate.shards:
        np.add.at(bytes_by_bin, _bins(_column(path, "id_hash")), _column(path, "bytes").astype(np.int64))
    reached = np.cumsum(bytes_by_bin)
    edge = int(np.searchsorted(reached, candidate.max_bytes))
    if edge == BINS:
        return 0
    # Within the bin where the size is reached, documents count one by one.
    hashes, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for path in candidate.shards:
        keys = _column(path, "id_hash")
        here = _bins(keys) == edge
        hashes.append(keys[here])
        sizes.append(_column(path, "bytes")[here].astype(np.int64))
    order = np.argsort(np.concatenate(hashes), kind="stable")
    before = int(reached[edge]) - int(bytes_by_bin[edge]) + np.cumsum(np.concatenate(sizes)[order])
    last = np.concatenate(hashes)[order][np.searchsorted(before, candidate.max_bytes)]
    dropped = 0
    for path, roles in _each(candidate, folder):
        over = _column(path, "id_hash") > last
        roles[over] = DROPPED
        dropped += int(over.sum())
    return dropped


def _bins(keys: Keys) -> npt.NDArray[np.int64]:
    return (keys >> np.uint64(48)).astype(np.int64)


def _drop_duplicates(candidates: Sequence[Candidate], folder: Path) -> dict[str, int]:
    documents = sum(len(roles) for c in candidates for _, roles in _each(c, folder))
    slices = max(1, -(-documents // SLICE_DOCUMENTS))
    dropped = {c.name: 0 for c in candidates}
    for number in range(slices):
        gathered = []
        for c in candidates:
            for path, roles in _each(c, folder):
                keys = _text_keys(path)
                rows = np.flatnonzero((roles == TRAINING) & (keys[:, 0] % np.uint64(slices) == number))
                gathered.append((c, path, rows, keys[rows]))
        repeated = _repeats(np.concatenate([keys for *_, keys in gathered]))
        ends = np.cumsum([len(rows) for _, _, rows, _ in gathered])
        for (c, path, rows, _), here in zip(gathered, np.split(repeated, ends[:-1]), strict=True):
            if here.any():
                _roles(folder, c.name, path)[rows[here]] = DROPPED
                dropped[c.name] += int(here.sum())
    return dropped


def _text_keys(path: Path) -> Keys:
    """uint64 [documents, 2]: the hash of every text."""
    batches = shards.read(path, ("text_hash",))
    parts = [np.frombuffer(batch.column("text_hash").buffers()[1], np.uint64) for batch in batches]
    return np.concatenate([np.zeros(0, np.uint64), *parts]).reshape(-1, 2)


def _repeats(keys: Keys) -> npt.NDArray[np.bool_]:
    """bool [n]: whether the same row of `keys` stands earlier."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable, so that the first stays first
    same = np.zeros(len(keys), bool)
    same[order[1:]] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    return same


def _hold_out(candidates: Sequence[Candidate], share: float, folder: Path) -> None:
    smallest = []
    for c in candidates:
        groups = (_column(path, "group_hash")[roles == TRAINING] for path, roles in _each(c, folder))
        smallest.append(min((int(its.min()) for its in groups if len(its)), default=0))
    below = np.uint64(min(int(share * 2**64), 2**64 - 1))
    for c in candidates:
        for path, roles in _each(c, folder):
            its = _column(path, "group_hash")
            held = (its < below) | np.isin(its, np.array(smallest, np.uint64))
            roles[held & (roles == TRAINING)] = HELDOUT
