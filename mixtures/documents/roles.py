"""What every document of a study is for: one byte a document, in files beside those of the documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.documents import parquet
from mixtures.documents.document import Document
from store.errors import Failure

DROPPED, TRAINING, HELDOUT, CONTAMINATED = range(4)
"""A contaminated document is neither trained on nor held out."""
Roles = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Candidate:
    """A source to choose from.

    Attributes:
        name: of the source.
        shards: its files of documents.
        scans: for each of them, what was found of the benchmarks (scanning.py); () without benchmarks.
        max_bytes: that it may have (None: all).
        dedup: see `Source`.
    """

    name: str
    shards: tuple[Path, ...]
    scans: tuple[Path, ...]
    max_bytes: int | None
    dedup: str


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
    for document, role in zip(parquet.read_documents(shard), read_roles(roles), strict=True):
        if role == TRAINING:
            yield document


def all_training(candidate: Candidate, folder: Path) -> None:
    """Begin: every document is to be trained on."""
    for path in candidate.shards:
        target = roles_path(folder, candidate.name, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.full(len(column(path, "bytes")), TRAINING, np.uint8))


def each(candidate: Candidate, folder: Path) -> Iterator[tuple[Path, Roles]]:
    """Every shard with its roles, to be changed in place."""
    for path in candidate.shards:
        yield path, roles_of(candidate, path, folder)


def roles_of(candidate: Candidate, shard: Path, folder: Path) -> Roles:
    """The roles of a shard, to be changed in place."""
    path = roles_path(folder, candidate.name, shard)
    roles: Roles = np.load(path)
    return np.load(path, mmap_mode="r+") if len(roles) else roles


def column(shard: Path, name: str) -> npt.NDArray[Any]:
    """A column of numbers of a shard."""
    parts = [batch.column(name).to_numpy() for batch in parquet.read(shard, (name,))]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
