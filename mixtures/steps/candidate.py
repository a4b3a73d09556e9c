"""A source that documents are chosen from, and what each of them is for: roles, changed in place on the disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixtures.catalogue.source import Source
from mixtures.documents import parquet
from mixtures.documents.parquet import TRAINING, Roles
from store.layout import Prepared


@dataclass(frozen=True)
class Candidate:
    """A source to choose from.

    Attributes:
        source: how large it may be and what its duplicates are is said there.
        shards: its files of documents.
        scans: for each of them, what was found of the benchmarks (scan.py); () without benchmarks.
        at: whose files of roles are changed.
        near: folder with lists of its near-duplicates (near.py).
    """

    source: Source
    shards: tuple[Path, ...]
    scans: tuple[Path, ...]
    at: Prepared
    near: Path | None = None


def all_training(candidate: Candidate) -> None:
    """Begin: every document is to be trained on."""
    for shard in candidate.shards:
        target = candidate.at.roles(candidate.source.name, shard.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.full(len(column(shard, "bytes")), TRAINING, np.uint8))


def each(candidate: Candidate, mode: Literal["r+"] | None = None) -> Iterator[tuple[Path, Roles]]:
    """Every shard with its roles; in mode "r+" to be changed in place, in the scratch folder where they are chosen."""
    for shard in candidate.shards:
        yield shard, parquet.read_roles(candidate.at.roles(candidate.source.name, shard.stem), mode)


def column(shard: Path, name: str) -> npt.NDArray[Any]:
    """A column of numbers of a shard."""
    parts = [batch.column(name).to_numpy() for batch in parquet.read(shard, (name,))]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
