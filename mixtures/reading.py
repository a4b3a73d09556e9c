"""The first step of preparation: one upstream shard becomes one file of clean documents.

It can run anywhere and in any order; running it again gives the same bytes.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixtures import shards
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import Match, Rule, best, scan
from mixtures.documents import Document
from mixtures.filters import dropped_by
from mixtures.preprocess import clean, drop_reason, parts
from mixtures.sources import Source

SCAN_BYTES = 8_000_000
"""Of text that is scanned for benchmark items at a time."""


@dataclass(frozen=True)
class ReadJob:
    """One upstream shard of a source, to be read into `path`.

    `index` is that of the benchmarks to be cleaned against, None for none.
    """

    source: Source
    shard: str
    downloads: Path
    path: Path
    index: Path | None
    rule: Rule


def read_shard(job: ReadJob) -> None:
    """Read, clean, filter and decontaminate one shard.

    The header of the file that it leaves says what was dropped and why, which documents were contaminated, and which
    benchmark items were found: all of them, and those in documents that were kept.

    Raises:
        Failure: the shard cannot be had, or the disk is full.
    """
    facts: dict[str, Any] = {"read_characters": 0, "dropped": Counter(), "contaminated": [], "found": [], "kept": []}
    documents: Iterable[Document] = _cleaned(job, facts)
    if job.index is not None:
        documents = _decontaminated(documents, _load(job.index), job.rule, facts)
    shards.write(job.path, documents, facts)


def _cleaned(job: ReadJob, facts: dict[str, Any]) -> Iterator[Document]:
    for document in job.source.read(job.shard, job.downloads):
        facts["read_characters"] += len(document.text)
        text = clean(document.text)
        reason = drop_reason(text, job.source.kind) or dropped_by(text, job.source.filters)
        if reason:
            facts["dropped"][reason] += 1
            continue
        pieces = list(parts(text))
        for number, piece in enumerate(pieces, 1):
            yield Document(document.id if len(pieces) == 1 else f"{document.id}#{number}", document.group, piece)


@functools.lru_cache(maxsize=1)
def _load(index: Path) -> contamination.Index:
    return contamination.load(index)


def _decontaminated(
    documents: Iterable[Document], index: contamination.Index, rule: Rule, facts: dict[str, Any]
) -> Iterator[Document]:
    found: list[Match] = []
    kept: list[Match] = []
    for batch in _batches(documents):
        matches = scan(index, rule, batch)
        dropped = {match.document for match in matches if match.drop}
        found = best([*found, *matches])
        kept = best([*kept, *(match for match in matches if match.document not in dropped)])
        facts["dropped"].update({"contaminated": len(dropped)} if dropped else {})
        facts["contaminated"] += sorted(dropped)
        yield from (document for document in batch if document.id not in dropped)
    facts["found"], facts["kept"] = ([asdict(match) for match in matches] for matches in (found, kept))


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= SCAN_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
