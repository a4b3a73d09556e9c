"""Does the rule find leaks in the user's own corpus, and does it leave the rest alone?

Edited items are planted in the user's documents, one in each, and looked for; the documents as they are give the false
positives (or the true ones: look at them).
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixtures.benchmarks.item import Item
from mixtures.benchmarks.load import first
from mixtures.decontaminate.edits import EDITS
from mixtures.decontaminate.index import Index
from mixtures.decontaminate.scan import Match, Rule, scan
from mixtures.documents.document import Document, hash64

PLANTED_ITEMS = 200
CLEAN_DOCUMENTS = 3000
FILLER_CHARACTERS = 6000
CLEAN = "nothing planted"


@dataclass(frozen=True)
class Row:
    """Of `documents` with items of `benchmark` under `edit`, the shares the rule would drop and report.

    The row of clean documents has `CLEAN` for its edit and no benchmark; a document counts when it matches anything.
    """

    benchmark: str
    edit: str
    documents: int
    dropped: float
    reported: float


def selftest(index: Index, items: Iterable[Item], documents: Sequence[Document], rule: Rule) -> list[Row]:
    """Recall per benchmark and edit, then the row of at most `CLEAN_DOCUMENTS` of `documents` as they are.

    Plants at most `PLANTED_ITEMS` of each benchmark's `items`. Same arguments, same rows.
    """
    by_benchmark: dict[str, list[Item]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, []).append(item)
    clean = sorted(documents, key=lambda document: hash64(document.id))[:CLEAN_DOCUMENTS]
    fillers = [document.text for document in clean] or [""]
    rows = [
        row
        for benchmark, members in by_benchmark.items()
        for edit in EDITS
        if (row := _recall(index, rule, benchmark, edit, first(members, PLANTED_ITEMS), fillers)) is not None
    ]
    return [*rows, _row("", CLEAN, len(clean), scan(index, rule, clean))]


def _recall(
    index: Index, rule: Rule, benchmark: str, edit: str, items: Sequence[Item], fillers: Sequence[str]
) -> Row | None:
    planted: list[Document] = []
    for item in items:
        text = EDITS[edit](item, random.Random(f"{benchmark}\0{item.id}\0{edit}"))
        if text is not None:
            planted.append(Document(item.id, "", _plant(text, fillers[len(planted) % len(fillers)])))
    matches = scan(index, rule, planted)
    found = [match for match in matches if (match.benchmark, match.item) == (benchmark, match.document)]
    return _row(benchmark, edit, len(planted), found) if planted else None


def _plant(text: str, filler: str) -> str:
    half = FILLER_CHARACTERS // 2
    return f"{filler[:half]}\n{text}\n{filler[half : 2 * half]}"


def _row(benchmark: str, edit: str, documents: int, matches: Sequence[Match]) -> Row:
    share = max(documents, 1)
    dropped = {match.document for match in matches if match.drop}
    reported = {match.document for match in matches}
    return Row(benchmark, edit, documents, len(dropped) / share, len(reported) / share)
