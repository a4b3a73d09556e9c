"""The scores of a large evaluation record, kept beside it as Arrow: making them of its text takes ten times as long.

A kept file is a copy and nothing hangs on it. It counts only while its record has the size and time of change that it
was made of, and its own checksum holds; otherwise, and where it cannot be read or written, the record is read.
"""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import Failure
from store.files import whole
from store.paths import remote

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_BYTES = 64_000
"""Of a record; smaller ones are read as fast."""
VERSION = 1
_HEAD, _RECORD, _CHECKSUM = b"record", b"made of", 8


def read(record: Path) -> tuple[dict[str, Any], Mapping[str, "pa.Array"]] | None:
    """The fields of a record without its items, and what scores are made of; None where they are not kept."""
    if remote(record):
        return None
    path = _path(record)
    try:
        data = path.read_bytes()
        made_of = _made_of(record)
    except OSError:
        return None
    if data[-_CHECKSUM:] != _checksum(data[:-_CHECKSUM]):
        return None
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.py_buffer(data[:-_CHECKSUM])).read_all()
        head = json.loads(table.schema.metadata[_HEAD])
        if table.schema.metadata[_RECORD] != made_of:
            return None
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    return head, {name: table.column(name).chunk(0) for name in table.column_names}


def keep(record: Path, head: Mapping[str, Any], columns: Mapping[str, "pa.Array"]) -> None:
    """Keep what was made of a record, if it is large."""
    if remote(record):  # whose time of change is no stamp, and what takes long there is the way
        return
    with suppress(OSError, Failure):
        made_of = _made_of(record)
        if record.stat().st_size < LEAST_BYTES:
            return
        import pyarrow as pa

        table = pa.table(dict(columns)).combine_chunks()
        table = table.replace_schema_metadata({_HEAD: json.dumps(head).encode(), _RECORD: made_of})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue().to_pybytes()
        with whole(_path(record)) as temporary:
            temporary.write_bytes(data + _checksum(data))


def _path(record: Path) -> Path:
    return record.parent / ".scores" / f"{record.stem}.arrow"


def _made_of(record: Path) -> bytes:
    stat = record.stat()
    return f"{VERSION} {stat.st_size} {stat.st_mtime_ns}".encode()


def _checksum(data: bytes) -> bytes:
    return f"{zlib.crc32(data):08x}".encode()
