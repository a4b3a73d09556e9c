"""The tasks of a study: held-out text of every kind, and the benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.evals.questions import FORMATS, VERSION, Question
from mixtures import benchmarks
from mixtures.documents import Document, hash64

DOCUMENT_BYTES = 1_024
"""Held-out documents are cut here: with few and long ones, most of the difference between two seeds is which of the
documents each happens to suit (benchmarks/quickstart.md)."""


@dataclass(frozen=True)
class Task:
    """A named list of questions."""

    name: str
    version: int
    questions: tuple[Question, ...]


def heldout_task(kind: str, documents_by_source: Sequence[Sequence[Document]], max_bytes: int) -> Task:
    """Held-out documents of one kind, every source with an equal share of `max_bytes`, the first by hash of the id."""
    share = max_bytes // max(1, len(documents_by_source))
    questions = []
    for documents in documents_by_source:
        size = 0
        for document in sorted(documents, key=lambda d: (hash64(d.id), d.id)):
            if size >= share:
                break
            text = document.text.encode()[:DOCUMENT_BYTES].decode(errors="ignore")
            questions.append(Question(document.id, (("", text),), 0))
            size += len(text.encode())
    return Task(f"heldout/{kind}", VERSION, tuple(questions))


def benchmark_task(name: str, items: int | None, downloads: Path) -> Task:
    """The first `items` rows of a benchmark by sha256 of their id; all of them for None.

    Raises:
        Failure: the data file cannot be had.
    """
    rows = benchmarks.load(name, downloads)
    chosen = rows if items is None else benchmarks.first(rows, items)
    return Task(name, VERSION, tuple(FORMATS[name](item) for item in chosen))
