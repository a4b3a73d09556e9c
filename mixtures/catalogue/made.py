"""A source that checkpoints write: examples that lie in the store, or are still to be made.

It is known by the name of its folder there, which holds all that decides them, and not by where the store is.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import WITHIN, Source, naming, one_shard
from mixtures.documents.document import Document
from store import layout, paths
from store.errors import Failure, UserError
from store.files import AGAIN


def promised(name: str, kind: str = "instruct", **options: Any) -> Source:
    """What stands in a study's data until it is made; only plans can be made of it.

    Duplicates go within it alone: a set that lost an answer to another source would rank what is left, and sources made
    of fewer problems are parts of those made of more.

    Args:
        name, kind: as of any source.
        options: of a `Source`: `max_bytes`, `expected_tokens`, `filters` and `dedup`.
    """
    how = {"dedup": WITHIN} | options
    return Source(name, kind, "made", naming(name, _not_made), one_shard, examples=True, **how)


def written(promise: Source, folder: str, sha256: str) -> Source:
    """`promise`, kept.

    Args:
        promise: of `promised`.
        folder: name under made/ in the store.
        sha256: of the file of examples in it.
    """
    return replace(promise, read=naming(promise.name, partial(_read, folder, sha256)), shards=one_shard, examples=True)


def _not_made(shard: str, downloads: Path) -> Iterator[Document]:
    raise UserError("it is not made yet; first `ablate make` its study")


def _read(folder: str, sha256: str, shard: str, downloads: Path) -> Iterator[Document]:
    path = downloads.parent / layout.MADE / folder / layout.EXAMPLES
    try:
        data = paths.read(path)
    except paths.Unreachable:
        raise
    except OSError as error:
        raise Failure(f"its examples cannot be read ({path}: {error}); `ablate make` its study again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Failure(f"its examples are not those that were made ({path}); {AGAIN}: delete {path.parent}")
    for row in map(json.loads, data.splitlines()):
        text = row["prompt"] + row["answer"]
        yield Document(row["id"], row["group"], text, prompt=len(row["prompt"]), set=row["set"], score=row["score"])
