"""A user's own documents: plain files, JSON lines, and the shards that preparation writes."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mixtures import shards
from mixtures.documents import Document
from mixtures.errors import Failure, UserError

TEXT_FIELDS = ("text", "content")
MAX_FILE_BYTES = 200_000_000
"""Of a plain file, which is one document."""


def paths_in(target: Path) -> list[Path]:
    """The file, or all files below the folder in the order of their paths.

    Raises:
        UserError: the target does not exist, or holds no files.
    """
    if not target.exists():
        raise UserError(f"{target} does not exist; name a file or folder of documents")
    paths = [target] if target.is_file() else sorted(path for path in target.rglob("*") if path.is_file())
    if not paths:
        raise UserError(f"{target} holds no files")
    return paths


def read_files(target: Path) -> Iterator[Document]:
    """Every document of a file, or of all files below a folder.

    `.parquet` are document shards of this project; `.jsonl`, also `.gz` and `.zst`, have a row a document with its
    text as "text" or "content"; everything else is one document, with bytes that are not UTF-8 replaced.

    Raises:
        UserError: as `paths_in`.
        Failure: a row is not JSON or has no text.
    """
    for path in paths_in(target):
        name = path.name if path == target else str(path.relative_to(target))
        if path.suffix == ".parquet":
            yield from shards.read_documents(path)
        elif ".jsonl" in path.suffixes[-2:]:
            yield from _rows(path, name)
        elif path.stat().st_size <= MAX_FILE_BYTES:
            yield Document(name, path.parent.name, path.read_bytes().decode(errors="replace"))


def _rows(path: Path, name: str) -> Iterator[Document]:
    number = 0
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield Document(f"{name}#{number}", name, _text(json.loads(line)))
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise Failure(
            f"{path}, line {number + 1}: {error}; rows are JSON objects with a text as 'text' or 'content'"
        ) from error


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    if path.suffix == ".zst":
        import zstandard

        return io.TextIOWrapper(zstandard.open(path, "rb"), encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def _text(row: Any) -> str:
    found = next((row[field] for field in TEXT_FIELDS if isinstance(row.get(field), str)), None)
    if found is None:
        raise KeyError("no text")
    return str(found)
