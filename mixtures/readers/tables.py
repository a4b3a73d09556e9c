"""Files of rows as people have them: JSON lines, JSON, CSV, TSV and Parquet of any schema, also as .gz and .zst."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from store.errors import Failure, UserError, readable, said

READER_VERSION = 1

COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
TABLES = (*LINES, *SEPARATORS, ".parquet")
"""What holds rows whatever is in it; a .json may be rows or one document."""
BOM = b"\xef\xbb\xbf"
BATCH_ROWS = 256
MAX_CELL = 2**31 - 1
"""Characters of a CSV cell; the default of 131,072 is less than a long page."""
ZSTANDARD_BYTES = 1 << 16
"""Of compressed bytes at a time; what they hold is kept in memory."""
ZSTANDARD_WINDOW = 1 << 31
"""What `zstd --long=31` may ask for; memory is taken as a file needs it."""


def form(name: str) -> str:
    """The suffix that says what a file holds, in lower case, without that of its compression."""
    stem, suffix = os.path.splitext(name.lower())  # noqa: PTH122 (asked of a million names)
    return os.path.splitext(stem)[1] if suffix in COMPRESSIONS else suffix  # noqa: PTH122


def place(path: str | Path, number: int) -> str:
    """A row of `rows` in words, for an error."""
    return f"{path}, {'line' if form(str(path)) in (*LINES, *SEPARATORS) else 'row'} {number}"


def rows(path: Path, columns: Sequence[str] = ()) -> Iterator[tuple[int, Any]]:
    """As `read`, of a file on this machine.

    Raises:
        Failure: as `read`, or the file cannot be read.
    """
    with readable(path), path.open("rb") as file:
        yield from read(file, str(path), columns)


def read(file: BinaryIO, name: str, columns: Sequence[str] = ()) -> Iterator[tuple[int, Any]]:
    """Every row with its number: the line on which it ends, or in Parquet and JSON its place, from 1.

    A row is whatever its line of JSON holds, in general an object; from CSV and TSV, an object of strings whose names
    stand in the first line. A .json holds a list of rows, such a list under "data", or lines. Blank lines are no rows.

    Args:
        file: open and as it is, so compressed if `name` says so.
        columns: of a Parquet file, those that are wanted, or fields in them ("meta.body"); () for all, and all when one
            of them is not there.

    Raises:
        Failure: the file is cut short or not what its name says, naming the line; a column holds what Python cannot.
    """
    number = 0
    with _undamaged(name, lambda: f" after {place(name, number).rpartition(', ')[2]}" if number else ""):
        for number, row in _rows(file, name, columns):
            yield number, row


def text(file: BinaryIO, name: str, limit: int = -1) -> bytes:
    """What `file` holds, decompressed, up to `limit` bytes where one is given.

    Raises:
        Failure: the file is damaged or cut short.
    """
    with _undamaged(name):
        return _opened(file, name).read(limit)


def _rows(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    unpacked, its = _opened(file, name), form(name)
    if its == ".parquet":
        whole = file if unpacked is file else io.BytesIO(unpacked.read())
        return enumerate(_parquet(whole, name, columns), 1)
    if its in SEPARATORS:
        return _separated(unpacked, name, SEPARATORS[its])
    return _json_lines(unpacked, name) if its in LINES else _json(unpacked, name)


def objects(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    """`rows` of a file that a user wrote, each with named fields.

    Raises:
        UserError: it cannot be read, or a row is no object.
    """
    try:
        found = list(rows(path))
    except Failure as error:
        raise UserError(str(error)) from error
    for number, row in found:
        if not isinstance(row, dict):
            raise UserError(f"{place(path, number)} is not an object with named fields; write one object a row")
    return found


def _opened(file: BinaryIO, name: str) -> BinaryIO:
    """Its bytes, decompressed as the suffix of `name` says; a cut file is an error where it was cut."""
    suffix = os.path.splitext(name.lower())[1]  # noqa: PTH122
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Zstandard(file)))
    unpack: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(suffix)
    return cast(BinaryIO, unpack(file)) if unpack else file


class _Zstandard(io.RawIOBase):
    """The decompressed bytes of `file`.

    The library's own reader reads a cut file to where it was cut and calls that the end, so that a shard whose last
    bytes were never copied would be a smaller shard without a word.

    Raises (when read):
        EOFError: the file ends inside a frame.
        zstandard.ZstdError: it is no Zstandard file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.frame = self._frame()
        self.inside = True  # a file without a single frame is cut short as well
        self.waiting = memoryview(b"")

    def _frame(self) -> Any:
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=ZSTANDARD_WINDOW).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.waiting:
            compressed = self.frame.unused_data or self.file.read(ZSTANDARD_BYTES)
            if not compressed:
                if self.inside:
                    raise EOFError("the compressed file ends before its last frame does")
                return 0
            if self.frame.eof:
                self.frame = self._frame()
            self.waiting = memoryview(self.frame.decompress(compressed))
            self.inside = not self.frame.eof
        size = min(len(buffer), len(self.waiting))
        buffer[:size] = self.waiting[:size]
        self.waiting = self.waiting[size:]
        return size


@contextmanager
def _undamaged(name: str, after: Callable[[], str] = str) -> Iterator[None]:
    """While the block runs, a Failure names the file where a decoder says that it is damaged or cut short."""
    try:
        yield
    except Exception as error:
        import pyarrow
        import zstandard

        kinds = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError, pyarrow.ArrowException)
        if not (isinstance(error, kinds) or (type(error) is OSError and error.errno is None)):
            raise
        problem = f"is damaged or cut short{after()} ({said(error)}); fetch or write it again, or leave it out"
        raise Failure(f"{name} {problem}") from error


def _json_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, Any]]:
    for number, text in enumerate(_decoded(lines, name), 1):
        if text.strip():
            yield number, _parsed(text, name, number)


def _json(file: BinaryIO, name: str) -> Iterator[tuple[int, Any]]:
    """Lines, which many call .json as well, are streamed; what is one JSON value is held."""
    start = [file.readline(), file.readline()]
    if start[1].strip() and _loaded(start[0]):
        yield from _json_lines(chain(start, file), name)
        return
    content = b"".join([*start, file.read()])
    if not (loaded := _loaded(content)):
        yield from _json_lines(io.BytesIO(content), name)  # which say where the fault is
        return
    (whole,) = loaded
    found = whole["data"] if isinstance(whole, dict) and isinstance(whole.get("data"), list) else whole
    yield from enumerate(found if isinstance(found, list) else [found], 1)


def _loaded(content: bytes) -> tuple[Any] | None:
    """What is written as JSON, alone in a tuple; None if it is none."""
    try:
        return (json.loads(content.removeprefix(BOM)),)
    except (ValueError, RecursionError):
        return None


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.removeprefix(BOM).decode()  # which stands before every file that was put behind another
        except UnicodeDecodeError as error:
            raise _fault(name, number, f"not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error


def _parsed(text: str, name: str, number: int) -> Any:
    try:
        return json.loads(text.rstrip("\r\n"))
    except (ValueError, RecursionError) as error:
        what = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        problem = f"not JSON ({what}), or the file was cut short here; every line is to hold one JSON object"
        raise _fault(name, number, problem) from error


def _fault(name: str, line: int, problem: str) -> Failure:
    return Failure(f"{name}, line {line}: {problem}")


def _separated(file: BinaryIO, name: str, separator: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.DictReader(_decoded(file, name), delimiter=separator, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if doubled := [each for each in names if each and names.count(each) > 1]:
            raise _fault(name, 1, f"two columns are called '{doubled[0]}'; give one another name")
        for row in reader:
            if None in row or None in row.values():
                cells = [*row.get(None, ()), *(value for its, value in row.items() if its and value is not None)]
                raise _fault(name, reader.line_num, f"{len(cells)} cells, and {len(names)} names in the first line")
            yield reader.line_num, row
    except csv.Error as error:
        raise _fault(name, reader.line_num + 1, f"{error}; quote cells that hold quotes or line ends") from error


def _parquet(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        names = parquet.schema_arrow.names
        wanted = [column if column in names else column.partition(".")[0] for column in columns]
        # Where one is missing, all: whoever asked can then say what there is.
        there = wanted if set(wanted) <= set(names) else []
        for batch in parquet.iter_batches(BATCH_ROWS, columns=there or None, use_threads=False):
            try:
                rows = batch.to_pylist()
            except (ValueError, OverflowError, KeyError) as error:  # a date of the year 30,000, text that is no UTF-8
                raise Failure(
                    f"{name} has a column that cannot be read ({str(error)[:200]}); name the fields that are wanted, "
                    "so that others are left, or write the file again"
                ) from error
            yield from rows
