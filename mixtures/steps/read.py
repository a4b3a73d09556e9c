"""The first step of preparation: upstream files become a file of clean documents, for every source that reads them.

It can run anywhere and in any order; running it again gives the same bytes.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import Source
from mixtures.documents import parquet
from mixtures.documents.clean import clean, clean_example, drop_reason, example_drop_reason, parts
from mixtures.documents.document import Document
from mixtures.documents.filters import dropped_by
from mixtures.readers import hub
from store.errors import Failure, UserError, said


@dataclass(frozen=True)
class ReadJob:
    """What is to be read for some sources in one pass.

    Attributes:
        files: upstream, as `Source.read` is asked for them, in their order.
        outputs: the sources that read them all, and the file of documents of each.
        downloads: folder for what they download.
        mirror: where copies of hub data are.
    """

    files: tuple[str, ...]
    outputs: tuple[tuple[Source, Path], ...]
    downloads: Path
    mirror: Mapping[str, str]


def read_shard(job: ReadJob) -> None:
    """Read, clean and filter. The header of every file that it leaves says what was dropped and why.

    Raises:
        Failure: a file cannot be had, or the disk is full.
    """
    facts: list[dict[str, Any]] = [{"read_characters": 0, "dropped": Counter()} for _ in job.outputs]
    with hub.reading_from(job.mirror), ExitStack() as stack:
        adds = [
            stack.enter_context(parquet.writing(path, its, source.examples))
            for (source, path), its in zip(job.outputs, facts, strict=True)
        ]
        for file in job.files:
            _read_file(file, job, adds, facts)


def _read_file(
    file: str, job: ReadJob, adds: Sequence[Callable[[Document], None]], facts: Sequence[dict[str, Any]]
) -> None:
    """Whichever source has read least of the file goes on, so that little of it is held for the others."""
    readers = {
        number: _cleaned(source, file, job.downloads, facts[number]) for number, (source, _) in enumerate(job.outputs)
    }
    with hub.one_pass(len(readers)) as taken:
        while readers:
            number = min(readers, key=taken.__getitem__)
            if (document := next(readers[number], None)) is None:
                del readers[number]
            else:
                adds[number](document)


def _read(source: Source, file: str, downloads: Path) -> Iterator[Document]:
    """What the source's function gives, which may be anyone's and raise or give anything."""
    try:
        for document in source.read(file, downloads):
            if not (isinstance(document, Document) and isinstance(document.text, str)):
                raise TypeError(f"{repr(document)[:60]} is no Document with a text")
            (document.id + document.group).encode()  # both texts
            if source.examples:
                _check_example(document)
            yield document
    except (UserError, Failure):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {said(error)}; {place.filename}, line {place.lineno}"
        raise Failure(f"source '{source.name}', shard '{file}' cannot be read ({why})") from error


def _check_example(document: Document) -> None:
    document.set.encode()
    if not 0 <= document.prompt <= len(document.text):
        raise ValueError(f"{document.id} has a prompt of {document.prompt:,} of its {len(document.text):,} characters")
    if type(document.score) is not int or not -(2**31) <= document.score < 2**31:
        raise ValueError(
            f"{document.id} has the score {repr(document.score)[:60]}; scores are whole numbers of 32 bits"
        )


def _cleaned(source: Source, file: str, downloads: Path, facts: dict[str, Any]) -> Iterator[Document]:
    for document in _read(source, file, downloads):
        facts["read_characters"] += len(document.text)
        if source.examples:
            text, prompt = clean_example(document.text, document.prompt)
            reason = example_drop_reason(text, prompt, source.kind) or dropped_by(text, source.filters)
            if reason:
                facts["dropped"][reason] += 1
            else:
                yield replace(document, text=text, prompt=prompt)
            continue
        text = clean(document.text)
        reason = drop_reason(text, source.kind) or dropped_by(text, source.filters)
        if reason:
            facts["dropped"][reason] += 1
            continue
        pieces = list(parts(text))
        if len(pieces) == 1:
            yield replace(document, text=pieces[0])
        else:
            yield from (Document(f"{document.id}#{n}", document.group, piece) for n, piece in enumerate(pieces, 1))
