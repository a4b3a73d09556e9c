"""Results of an unfinished evaluation: JSON lines beside the record, of which any may be torn or damaged.

Every line carries a checksum of itself and of the key that it belongs to, so what another checkpoint, version or set of
prompts left is not taken for a result of this one, and what is not a whole line of this one is done again.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from store import appended

Row = Mapping[str, Any]


def read(path: Path, key: Row) -> list[dict[str, Any]]:
    """The rows that are whole and were kept under `key`, oldest first."""
    lines = appended.read(path).split(b"\n")
    seed = _seed(key)
    return [json.loads(line[9:]) for line in lines if len(line) > 9 and line[:8] == _checksum(line[9:], seed)]


def keep(path: Path, key: Row, rows: Iterable[Row]) -> None:
    """Append rows and wait until they are on the disk. They begin a new line, behind a torn one too.

    Raises:
        Failure: the disk is full or the folder cannot be written.
    """
    seed = _seed(key)
    lines = [json.dumps(row).encode() for row in rows]  # ASCII: no text that a model wrote can end a line
    appended.append(path, b"".join(b"\n%s %s" % (_checksum(line, seed), line) for line in lines) + b"\n")


def _seed(key: Row) -> int:
    return zlib.crc32(json.dumps(key, sort_keys=True).encode())


def _checksum(line: bytes, seed: int) -> bytes:
    return b"%08x" % zlib.crc32(line, seed)
