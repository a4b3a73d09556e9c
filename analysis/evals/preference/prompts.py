"""Files of prompts and of labelled pairs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evals.preference.verdicts import Outcome, Pair
from mixtures.readers import tables
from store.errors import UserError

PROMPTS = 200
"""As many as in the paper's Dolly-200, which was picked by hand from databricks-dolly-15k and is in no package."""
LAYOUTS = ("prompt", "inputs", "instruction")
"""The field of a row that holds the prompt: a plain file's, the Aya evaluation suite's, databricks-dolly-15k's."""
LABELS: Mapping[str, Outcome] = {"a": "win", "b": "loss", "tie": "tie"}
_CONTEXT_FIELDS = ("context", "input")


@dataclass(frozen=True)
class PromptSet:
    """What the arms are asked.

    Attributes:
        texts: prompt by id, the start of its sha256.
        label: what they are and how they were chosen, for the report.
    """

    texts: Mapping[str, str]
    label: str


def read_prompts(path: Path, n: int = PROMPTS) -> PromptSet:
    """`n` prompts of a JSON Lines file, or a JSON array; equal prompts are one.

    A row holds "prompt", or "inputs" as in the Aya evaluation suite (which Dolly-200 is part of), or is of
    databricks-dolly-15k's layout: "instruction" with "context" (or "input"). Of these
    the rows with a context are left out: the paper's are open-ended, and small models have no room for a passage. The
    first `n` by id are taken: the same for everyone who has the file, however sorted.

    Raises:
        UserError: the file is missing or not JSON, a row lacks the field, or it has fewer prompts.
    """
    found: dict[str, str] = {}
    layouts, with_context = set(), 0
    for number, row in tables.objects(path):
        where = tables.place(path, number)
        name = next((each for each in LAYOUTS if each in row), "prompt")
        text = _text(row, name, where).strip()
        if not text:
            raise UserError(f"{where}: '{name}' is blank; remove the row")
        layouts.add(name)
        if name == "instruction" and any(_text(row, c, where).strip() for c in _CONTEXT_FIELDS if row.get(c)):
            with_context += 1
            continue
        found[hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]] = text
    if len(found) < n:
        raise UserError(f"{path} has {len(found)} different prompts; {n} are asked for, ask for fewer (--n)")
    chosen = f"{n} of the {len(found):,} different prompts in {path.name}, the first by sha256"
    if with_context:
        chosen += f"; {with_context:,} rows with a context left out"
    return PromptSet(dict(sorted(found.items())[:n]), chosen + _origin(layouts, n))


def _origin(layouts: set[str], n: int) -> str:
    """What is known of where the prompts are from, which is no more than the layout of their rows."""
    if "instruction" in layouts:
        return f": a deterministic {n}, not the paper's Dolly-200, which was picked by hand"
    if "inputs" in layouts:
        return (
            ": rows in the layout of the Aya evaluation suite, whose Dolly-200 the paper has; that they are those rows "
            "is the word of whoever put the file there"
        )
    return ""


def read_labelled(path: Path) -> list[tuple[Pair, Outcome]]:
    """The rows of a JSON Lines file with "prompt", "answer_a", "answer_b" and "preferred" (a, b or tie): the first
    answer as an arm's, and what became of it.

    Raises:
        UserError: the file is missing, empty or not JSON, or a row lacks a field or has another label.
    """
    pairs = []
    for number, row in tables.objects(path):
        where = tables.place(path, number)
        label = _text(row, "preferred", where)
        if label not in LABELS:
            raise UserError(f"{where}: 'preferred' is '{label}'; write a, b or tie")
        prompt, answer_a, answer_b = (_text(row, name, where) for name in ("prompt", "answer_a", "answer_b"))
        pairs.append((Pair(prompt, prompt, answer_a, answer_b), LABELS[label]))
    if not pairs:
        raise UserError(f"{path} has no labelled pairs")
    return pairs


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        has = ", ".join(row) or "nothing"
        raise UserError(f"{where}: field '{name}' is {'not text' if name in row else 'missing'} (it has {has})")
    return value
