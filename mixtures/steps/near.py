"""Documents that are nearly another, by the lists that datatrove's MinHash writes of our files of documents.

Its ParquetReader(folder, text_key="text", id_key="id", glob_pattern="*.parquet") reads them with as many tasks as there
are shards, so that its rank is the number of a shard in the order of their names; MinhashDedupCluster then writes for
every rank that has any a file `000000.remove`, of the numbers of its documents as unsigned little-endian integers of
32 bits (datatrove 0.10.1, `pipeline/dedup/minhash.py`).
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.documents.parquet import NEAR_DUPLICATE
from mixtures.readers import files
from mixtures.steps.candidate import Candidate, each
from store import layout
from store.digests import digests
from store.errors import UserError, about

LIST = re.compile(r"(\d{5,})\.remove")


def lists(folder: Path) -> dict[int, Path]:
    """The lists in `folder` by the number of the shard that they are of.

    Raises:
        UserError: there are none.
    """
    found = {int(name[1]): path for path in sorted(folder.glob("*")) if (name := LIST.fullmatch(path.name))}
    if not found:
        raise UserError(
            f"{folder} has no list of near-duplicates (000000.remove, ...); name the output folder of datatrove's "
            "MinhashDedupCluster"
        )
    return found


def identity(near_duplicates: Mapping[str, Path], store: Path) -> dict[str, dict[str, str]]:
    """The sha256 of every list by its number, of every source that has lists.

    Raises:
        UserError: a source has none.
        Failure: one cannot be read.
    """
    found = {}
    for name, folder in sorted(near_duplicates.items()):
        with about(f"source '{name}'"):
            paths = lists(folder)
            known = digests(paths.values(), files.memory([str(folder.absolute())], store / layout.DOWNLOADS))
        found[name] = {str(number): known[path] for number, path in paths.items()}
    return found


def drop_near_duplicates(candidate: Candidate) -> int:
    """Take out what the lists of the source name; the number of documents. Roles are changed in place.

    Raises:
        UserError: the lists are of other documents.
    """
    if candidate.near is None:
        return 0
    count = 0
    with about(f"source '{candidate.source.name}'"):
        found = lists(candidate.near)
        if max(found) >= len(candidate.shards):
            raise _of_others(found[max(found)], f"the source has {len(candidate.shards):,} shards")
        rank = {path: number for number, path in enumerate(sorted(candidate.shards))}
        for shard, roles in each(candidate, "r+"):
            if path := found.get(rank[shard]):
                rows = _rows(path, len(roles))
                roles[rows] = NEAR_DUPLICATE
                count += len(rows)
    return count


def _rows(path: Path, documents: int) -> npt.NDArray[np.int64]:
    content = path.read_bytes()
    if len(content) % 4:
        raise _of_others(path, "it is no list of numbers of 4 bytes")
    rows = np.unique(np.frombuffer(content, "<u4")).astype(np.int64)
    if len(rows) and rows[-1] >= documents:
        raise _of_others(path, f"it names document {rows[-1]:,}, and the shard has {documents:,}")
    return rows


def _of_others(path: Path, problem: str) -> UserError:
    return UserError(f"{path} is of other documents: {problem}; run MinHash over the source as it was last read")
