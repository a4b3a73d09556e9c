"""The unit that every reader yields: one document of one source."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Rows = Iterable[tuple[str, Mapping[str, Any]]]
"""Rows of a data file, each with its place: "path#number"."""
STORED = ("id", "group", "text", "id_hash", "group_hash", "text_hash", "bytes")
"""The columns of a file of documents (parquet.py)."""
OF_EXAMPLES = ("prompt", "set", "score")
"""Those that a file of examples has beside them."""


@dataclass(frozen=True)
class Document:
    """One document as its reader found it.

    Attributes:
        id: unique within the source and stable between machines, e.g. "numpy/core/shape_base.py".
        group: the package or work it belongs to. Held-out documents are chosen by group, and the same
            group is held out of every source, so that a docstring and its code never straddle the split.
        text: the whole text.
        same: what makes another document its duplicate, where that is not the text: programs that differ in their names
            alone have one shape. Readers give it; it is not kept with the text.
        prompt: of an example, the characters at its beginning that are asked; the others are the answer.
        set: what the answers to one prompt have in common, where they are ranked; they share a group and a shard. ""
            for an answer that is ranked with no other.
        score: of an answer among those, higher is better; 32 bits.
    """

    id: str
    group: str
    text: str
    same: str = ""
    prompt: int = 0
    set: str = ""
    score: int = 0


def hash64(text: str) -> int:
    """A number in [0, 2**64) that depends on `text` alone: how subsets are drawn without a seed."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """The documents in lists of at least `size` characters, but for the last."""
    batch: list[Document] = []
    held = 0
    for document in documents:
        batch.append(document)
        held += len(document.text)
        if held >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
