"""What was said to problems: kept as it comes, and taken for a program only where it is one that could be read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store import kept_rows, layout
from store.paths import glob

LONGEST = 10_000
"""Characters of an answer; the longest reference solution of HumanEval and MBPP has 1,300 or so."""

BLANK, TOO_LONG, CONTROL, HALF = "blank", f"over {LONGEST:,} characters", "control characters", "half a character"
REFUSED, NOT_ON = "refused", "does not go on from the prompt"
"""What an endpoint's answers may be besides."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0d-\x1f\x7f-\x9f\ufeff]")
"""All but tab, line end and form feed: cleaning may change others, and what is read is to be what was executed."""
_HALF = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Answer:
    """What one who answers said to a problem.

    Attributes:
        who: 0 for the student, then the teachers in their order.
        sample: number of the draw.
        text: up to the first stop, without white space at its end; it is what is executed and what is read.
        fault: why it is not executed; "" if it is.
    """

    who: int
    sample: int
    text: str
    fault: str = ""


def answer(who: int, sample: int, text: str, fault: str = "") -> Answer:
    """An answer, with what is wrong with its text."""
    text = text.rstrip()
    return Answer(who, sample, text, fault or fault_of(text))


def fault_of(text: str) -> str:
    """What keeps a text from being executed and read; "" if nothing does."""
    if not text.strip():
        return BLANK
    if len(text) > LONGEST:
        return TOO_LONG
    if _HALF.search(text):
        return HALF
    return CONTROL if _CONTROL.search(text) else ""


Said = dict[tuple[str, int], Mapping[str, Any]]
"""By the problem's id and the number of the draw, a row with "text" and, of an endpoint, "fault"."""


def place(folder: Path, who: int, process: int = 0) -> Path:
    """The file of what one who answers said to one process."""
    return folder / layout.ANSWERS / f"{who}-{process}.jsonl"


def said(folder: Path, who: int, key: Mapping[str, Any]) -> Said:
    """All that one who answers has said, to whatever process."""
    files = glob(folder / layout.ANSWERS, f"{who}-*.jsonl")
    return {(row["problem"], row["sample"]): row for file in files for row in kept_rows.read(file, key)}
