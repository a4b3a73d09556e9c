"""Benchmark items in a shard of clean documents: which documents are contaminated, and what was found.

It is asked of documents that have been read, so that another benchmark reads no source again. It can run anywhere and
in any order; running it again gives the same bytes.
"""

import functools
import itertools
from dataclasses import asdict, dataclass
from pathlib import Path

from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import Match, Rule, best, scanned
from mixtures.documents import parquet
from store.files import write_sealed

_load = functools.lru_cache(maxsize=1)(contamination.load)


@dataclass(frozen=True)
class ScanJob:
    """One shard of documents, the index of the benchmarks that are looked for in it, and the file of what is found."""

    documents: Path
    index: Path
    rule: Rule
    path: Path


def scan_shard(job: ScanJob) -> None:
    """Write the rows of the contaminated documents, and the benchmark items found: in all documents, and in the others.

    Raises:
        Failure: a file is damaged, or the disk is full.
    """
    contaminated: list[int] = []
    found: list[Match] = []
    kept: list[Match] = []
    first = 0
    for batch, matches, dropped in scanned(_load(job.index), job.rule, parquet.read_documents(job.documents)):
        found = best([*found, *matches])
        kept = best([*kept, *(match for match in matches if match.document not in dropped)])
        contaminated += [row for row, document in enumerate(batch, first) if document.id in dropped]
        first += len(batch)
    write_sealed(
        job.path,
        {"contaminated": contaminated, "found": [asdict(m) for m in found], "kept": [asdict(m) for m in kept]},
    )


@dataclass(frozen=True)
class SearchJob:
    """One shard of documents with their roles, the index of what is looked for in it, and the file of what is found."""

    documents: Path
    roles: Path
    index: Path
    rule: Rule
    path: Path


def search_shard(job: SearchJob) -> None:
    """Write how many of the documents are trained on, and the best match of every item in those.

    Raises:
        Failure: a file is damaged, or the disk is full.
    """
    trained = parquet.read_roles(job.roles) == parquet.TRAINING
    documents = itertools.compress(parquet.read_documents(job.documents), trained)
    found: list[Match] = []
    for _, matches, _ in scanned(_load(job.index), job.rule, documents):
        found = best([*found, *matches])
    write_sealed(job.path, {"documents": int(trained.sum()), "found": [asdict(match) for match in found]})
