"""Documents on disk: one Parquet file a shard, in row groups small enough to be held in memory; and their roles.

Beside id, group and text, a row has what choosing among documents needs, so that choosing never reads a text. Whoever
reads a file that is missing or damaged is told so by a Failure. What every document is for in a study, one byte a
document, stands in a file of that study.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.documents.document import OF_EXAMPLES, STORED, Document, hash64
from store import layout
from store.errors import Failure, said
from store.files import whole
from store.paths import Unreachable, binary
from store.paths import read as read_bytes

GROUP_BYTES = 16_000_000
"""Of text in a row group: what a process holds at a time."""
PAGE_DOCUMENTS = 64
"""After so many a page may end, so that a few documents can be read without the rest of their group."""
TYPES = (*(3 * [pa.string()]), *(2 * [pa.uint64()]), pa.binary(16), pa.uint32())
SCHEMA = pa.schema([pa.field(name, type, False) for name, type in zip(STORED, TYPES, strict=True)])
_EXAMPLE_TYPES = (pa.uint32(), pa.string(), pa.int32())
EXAMPLES = pa.schema(
    [*SCHEMA, *(pa.field(name, type, False) for name, type in zip(OF_EXAMPLES, _EXAMPLE_TYPES, strict=True))]
)
DROPPED, TRAINING, HELDOUT, CONTAMINATED, NEAR_DUPLICATE = range(5)
"""A contaminated document is neither trained on nor held out, and neither is one that is nearly another."""
Roles = npt.NDArray[np.uint8]
WHOLE = ("id", "group", "text", *OF_EXAMPLES)
"""The columns that make a document; the last are those of examples alone."""


def write(path: Path, documents: Iterable[Document], facts: Mapping[str, Any], examples: bool = False) -> None:
    """Write a shard of documents, which are streamed; otherwise as `writing`."""
    with writing(path, facts, examples) as add:
        for document in documents:
            add(document)


@contextmanager
def writing(path: Path, facts: Mapping[str, Any], examples: bool = False) -> Iterator[Callable[[Document], None]]:
    """Write the documents that the function is given, as one shard.

    Within a row group they stand in the order of their id's hash; at most GROUP_BYTES of them are held. The hash of an
    answer in a set is the set's, so that a source's size takes or leaves the whole set.

    Args:
        path: appears whole or not at all.
        facts: kept in the file's header. Read after the last document, so a caller may fill it meanwhile.
        examples: whether prompt, set and score are kept.

    Raises:
        Failure: the disk is full.
    """
    settings = {"compression": "lz4", "use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    settings |= {"write_batch_size": PAGE_DOCUMENTS}
    schema = EXAMPLES if examples else SCHEMA
    with whole(path) as temporary, pq.ParquetWriter(temporary, schema, **settings) as file:
        held: list[Document] = []
        size = 0

        def add(document: Document) -> None:
            nonlocal size
            held.append(document)
            size += len(document.text)
            if size >= GROUP_BYTES:
                write_group()

        def write_group() -> None:
            nonlocal size
            rows = sorted(map(_row, held), key=lambda row: (row["id_hash"], row["id"]))
            held.clear()
            size = 0
            file.write_table(pa.Table.from_pylist(rows, schema))

        yield add
        if held:
            write_group()
        file.add_key_value_metadata({"facts": json.dumps(facts, ensure_ascii=False)})


def _row(document: Document) -> dict[str, Any]:
    text = document.text.encode()
    return {
        **{"id": document.id, "group": document.group, "text": text, "bytes": len(text)},
        **{"id_hash": hash64(document.set or document.id), "group_hash": hash64(document.group)},
        "text_hash": hashlib.sha256(document.same.encode() or text).digest()[:16],
        **{name: getattr(document, name) for name in OF_EXAMPLES},
    }


def facts(path: Path) -> dict[str, Any]:
    """What `write` was told to keep."""
    with _reading(path), binary(path) as raw:
        found: dict[str, Any] = json.loads(pq.read_metadata(raw).metadata[b"facts"])
        return found


def read(path: Path, columns: tuple[str, ...] = WHOLE) -> Iterator[pa.RecordBatch]:
    """The row groups of a shard, with those of `columns` alone that it has."""
    with _reading(path), binary(path) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=list(columns), use_threads=False)
            yield from table.combine_chunks().to_batches()


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a shard, in their order there."""
    yield from documents(read(path))


def documents(groups: Iterable[pa.RecordBatch]) -> Iterator[Document]:
    """The documents of row groups, in their order."""
    for batch in groups:
        names = [name for name in WHOLE if name in batch.schema.names]
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        yield from (Document(**dict(zip(names, row, strict=True))) for row in rows)


def texts(path: Path, wanted: npt.NDArray[np.bool_]) -> Iterator[str]:
    """The texts of the documents that are `wanted`, a bool each.

    Of a row group no more is read than reaches the last of them. Documents stand there in the order of their ids'
    hash, so that a sample of small hashes is the beginning of every group.
    """
    options: dict[str, Any] = {"page_checksum_verification": True, "pre_buffer": False, "buffer_size": 1 << 16}
    with _reading(path), binary(path) as raw, pq.ParquetFile(raw, **options) as file:
        start = 0
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            rows = np.flatnonzero(wanted[start : start + count])
            start += count
            if len(rows):
                pages = file.iter_batches(int(rows[-1]) + 1, [number], ["text"], use_threads=False)
                yield from next(pages).column("text").take(pa.array(rows)).to_pylist()


def text_digest(path: Path) -> str:
    """Of the texts of a shard, in their order there."""
    total = hashlib.sha256()
    for batch in read(path, ("text",)):
        for text in batch.column("text").to_pylist():
            total.update(text.encode() + b"\0")
    return total.hexdigest()


def read_roles(path: Path, mode: Literal["r+"] | None = None) -> Roles:
    """The role of every document of a shard, in its order there; in mode "r+" to be changed in place."""
    with _reading(path):
        roles: Roles = np.load(io.BytesIO(read_bytes(path)))
        return np.load(path, mode) if mode and len(roles) else roles


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Unreachable:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are the first two
        # Held-out documents and roles are part of prepared data, which are complete or not.
        folder = path.parents[2] if path.parents[1].name in (layout.HELDOUT, layout.ROLES) else path.parent
        raise Failure(f"{path} cannot be read ({said(error)}); delete {folder} and prepare again") from error
