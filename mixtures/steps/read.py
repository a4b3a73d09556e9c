"""The first step of preparation: one upstream shard becomes one file of clean documents.

It can run anywhere and in any order; running it again gives the same bytes.
"""

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import Source
from mixtures.documents import parquet
from mixtures.documents.clean import clean, drop_reason, parts
from mixtures.documents.document import Document
from mixtures.documents.filters import dropped_by
from mixtures.readers import hub
from store.errors import Failure, UserError, said


@dataclass(frozen=True)
class ReadJob:
    """One upstream shard of a source, to be read into `path`; `mirror` is where copies of hub data are."""

    source: Source
    shard: str
    downloads: Path
    path: Path
    mirror: Mapping[str, str]


def read_shard(job: ReadJob) -> None:
    """Read, clean and filter one shard. The header of the file that it leaves says what was dropped and why.

    Raises:
        Failure: the shard cannot be had, or the disk is full.
    """
    facts: dict[str, Any] = {"read_characters": 0, "dropped": Counter()}
    with hub.reading_from(job.mirror):
        parquet.write(job.path, _cleaned(job, facts), facts)


def _read(job: ReadJob) -> Iterator[Document]:
    """What the source's function gives, which may be anyone's and raise or give anything."""
    try:
        for document in job.source.read(job.shard, job.downloads):
            if not (isinstance(document, Document) and isinstance(document.text, str)):
                raise TypeError(f"{repr(document)[:60]} is no Document with a text")
            (document.id + document.group).encode()  # both texts
            yield document
    except (UserError, Failure):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {said(error)}; {place.filename}, line {place.lineno}"
        raise Failure(f"source '{job.source.name}', shard '{job.shard}' cannot be read ({why})") from error


def _cleaned(job: ReadJob, facts: dict[str, Any]) -> Iterator[Document]:
    for document in _read(job):
        facts["read_characters"] += len(document.text)
        text = clean(document.text)
        reason = drop_reason(text, job.source.kind) or dropped_by(text, job.source.filters)
        if reason:
            facts["dropped"][reason] += 1
            continue
        pieces = list(parts(text))
        if len(pieces) == 1:
            yield replace(document, text=pieces[0])
        else:
            yield from (Document(f"{document.id}#{n}", document.group, piece) for n, piece in enumerate(pieces, 1))
