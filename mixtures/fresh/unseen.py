"""What a release has that no text before it had: runs of lines of code, or of paragraphs of prose.

A new release is mostly the one before it. A line counts as known when the older text has it anywhere, whatever the
blank space, so that what was only moved or indented is not new. Short lines are anybody's: they stand within a run but
at neither of its ends. A paragraph is known when one of its sentences is, so that one that was only wrapped anew is not
new.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from mixtures.documents.clean import clean
from mixtures.documents.document import Document
from mixtures.readers.prose import docstrings, plain_paragraphs, without_markup

TELLING = 20
"""Characters from which on a line tells where it is from."""
LEAST_BYTES = 128
"""Of a run; a shorter one tells little."""
PIECE_BYTES = 2_000
"""After so many a run is cut, so that a long file is several documents."""
PROSE = "prose"
BETWEEN = {PROSE: "\n\n"}
"""What stands between the units of a form; lines elsewhere."""

Run = tuple[int, int]
"""The first and the last of its units, from 1."""


def units(form: str, path: str, text: str) -> list[str]:
    """The lines of a file of code; of prose its paragraphs, which for Python are those of its docstrings."""
    text = clean(text)
    if form != PROSE:
        return text.split("\n")
    if not path.endswith(".py"):
        return list(plain_paragraphs(without_markup(text)))
    found = list(docstrings([Document(path, "", text)]))
    return found[0].text.split(BETWEEN[PROSE]) if found else []


def keys(form: str, unit: str) -> list[str]:
    """What a unit is known by: a line by itself, a paragraph by its sentences; nothing where that is short."""
    parts = re.split(r"(?<=[.!?])\s+", unit) if form == PROSE else [unit]
    joined = (" ".join(part.split()) for part in parts)
    return [part for part in joined if len(part) >= TELLING]


def known(form: str, files: Iterable[tuple[str, str]]) -> set[str]:
    """The keys of files, each a path and a text."""
    return {key for path, text in files for unit in units(form, path, text) for key in keys(form, unit)}


def runs(form: str, its: Sequence[str], seen: AbstractSet[str]) -> Iterator[Run]:
    """The runs of units of which `seen` has none, of LEAST_BYTES or more."""
    first = last = 0
    for number, unit in enumerate(its, start=1):
        found = keys(form, unit)
        old = not seen.isdisjoint(found)
        if old or (last and _size(form, its, (first, last)) >= PIECE_BYTES):
            yield from _long_enough(form, its, (first, last))
            first = last = 0
        if found and not old:
            first, last = first or number, number
    yield from _long_enough(form, its, (first, last))


def joined(form: str, its: Sequence[str], run: Run) -> str:
    """The text of a run."""
    return BETWEEN.get(form, "\n").join(its[run[0] - 1 : run[1]])


def _size(form: str, its: Sequence[str], run: Run) -> int:
    return len(joined(form, its, run).encode())


def _long_enough(form: str, its: Sequence[str], run: Run) -> Iterator[Run]:
    if run[0] and _size(form, its, run) >= LEAST_BYTES:
        yield run
