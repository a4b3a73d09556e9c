"""Files of rows as people have them: JSON lines, JSON, CSV, TSV and Parquet of any schema, also as .gz and .zst."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from store.errors import Failure

READER_VERSION = 1

COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
TABLES = (*LINES, *SEPARATORS, ".parquet")
"""What holds rows whatever is in it; a .json may be rows or one document."""
BATCH_ROWS = 256
MAX_CELL = 2**31 - 1
"""Characters of a CSV cell; the default of 131,072 is less than a long page."""


def form(name: str) -> str:
    """The suffix that says what a file holds, in lower case, without that of its compression."""
    stem, suffix = os.path.splitext(name.lower())  # noqa: PTH122 (asked of a million names)
    return os.path.splitext(stem)[1] if suffix in COMPRESSIONS else suffix  # noqa: PTH122


def unit(name: str) -> str:
    """What the numbers of `rows` count in such a file."""
    return "line" if form(name) in (*LINES, *SEPARATORS) else "row"


def rows(path: Path, columns: Sequence[str] = ()) -> Iterator[tuple[int, Any]]:
    """Every row with its number: the line on which it ends, or in Parquet and JSON its place, from 1.

    A row is whatever its line of JSON holds, in general an object; from CSV and TSV, an object of strings whose names
    stand in the first line. A .json holds a list of rows, such a list under "data", or lines. Blank lines are no rows.

    Args:
        columns: of a Parquet file, those that are wanted, or fields in them ("meta.body"); () for all, and all when one
            of them is not there.

    Raises:
        Failure: the file cannot be read, is cut short, or is not what its name says; it names the line.
    """
    number = 0
    try:
        if form(path.name) == ".parquet":
            yield from enumerate(_parquet(path, columns), 1)
            return
        with opened(path) as file:
            for number, row in text_rows(file, str(path)):
                yield number, row
    except Failure:
        raise
    except Exception as error:
        raise unreadable(path, error, f" after {unit(path.name)} {number}" if number else "") from error


def opened(path: Path) -> BinaryIO:
    """The file's bytes, decompressed as its suffix says; a cut file is an error where it was cut."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if suffix == ".zst":
        from mixtures.readers.zstandard_files import StrictReader

        return cast(BinaryIO, io.BufferedReader(StrictReader(path.open("rb"))))
    return path.open("rb")


def unreadable(path: Path, error: Exception, where: str = "") -> Failure:
    """The Failure for a file that could not be read; what is no fault of a file is raised as it is."""
    import pyarrow
    import zstandard

    line = " ".join(str(error).split())[:200] or type(error).__name__
    torn = isinstance(error, OSError) and error.errno is None  # as a decoder says it
    if torn or isinstance(error, EOFError | zlib.error | zstandard.ZstdError | pyarrow.ArrowException | lzma.LZMAError):
        return Failure(f"{path} is damaged or cut short{where} ({line}); write it again or leave it out")
    if isinstance(error, OSError):
        return Failure(f"{path} cannot be read ({error.strerror or line}); make it readable or leave it out")
    raise error


class _Line(Exception):
    """What is wrong with one line; the file is known further up."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


def text_rows(file: BinaryIO, name: str) -> Iterator[tuple[int, Any]]:
    """`rows` of an open file that is not Parquet, decompressed; `name` says what it is.

    Raises:
        Failure: as `rows`; what the file itself raises is not caught.
    """
    read = _json_lines if form(name) in LINES else _json
    try:
        yield from _separated(file, SEPARATORS[form(name)]) if form(name) in SEPARATORS else read(file)
    except _Line as error:
        raise Failure(f"{name}, line {error.number}: {error}") from error


def _json_lines(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, 1):
        text = _decoded(line.removeprefix(b"\xef\xbb\xbf"), number)  # before every file that was put behind another
        if text.strip():
            yield number, _parsed(text, number)


def _json(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    content = file.read()
    try:
        whole = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        yield from _json_lines(io.BytesIO(content))  # which many call .json, and which say where the fault is
        return
    found = whole["data"] if isinstance(whole, dict) and isinstance(whole.get("data"), list) else whole
    yield from enumerate(found if isinstance(found, list) else [found], 1)


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _Line(number, f"not UTF-8 ({error.reason} at byte {error.start}); convert the file") from error


def _parsed(text: str, number: int) -> Any:
    try:
        return json.loads(text.rstrip("\r\n"))
    except (ValueError, RecursionError) as error:
        what = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise _Line(number, f"not JSON ({what}); every line is to hold one JSON object") from error


def _separated(file: BinaryIO, separator: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(MAX_CELL)
    lines = _text_lines(file)
    reader = csv.DictReader(lines, delimiter=separator, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if doubled := [name for name in names if name and names.count(name) > 1]:
            raise _Line(1, f"two columns are called '{doubled[0]}'; give one another name")
        for row in reader:
            if None in row or None in row.values():
                cells = [*row.get(None, ()), *(value for name, value in row.items() if name and value is not None)]
                raise _Line(reader.line_num, f"{len(cells)} cells, and {len(names)} names in the first line")
            yield reader.line_num, row
    except csv.Error as error:
        raise _Line(reader.line_num + 1, f"{error}; quote cells that hold quotes or line ends") from error


def _text_lines(file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        yield _decoded(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number)


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    packed = path.suffix.lower() in COMPRESSIONS
    if packed:
        with opened(path) as compressed:
            source: Any = pa.BufferReader(compressed.read())
    else:
        source = path
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        wanted = [name if name in names else name.partition(".")[0] for name in columns]
        # Where one is missing, all: whoever asked can then say what there is.
        there = wanted and set(wanted) <= set(names)
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted if there else None, use_threads=False):
            yield from python_rows(batch, str(path))


def python_rows(batch: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a batch or table of Arrow, of the file `name`.

    Raises:
        Failure: a column holds what Python cannot: a date of the year 30,000, or text that is no UTF-8.
    """
    try:
        return cast(list[dict[str, Any]], batch.to_pylist())
    except (ValueError, OverflowError, KeyError) as error:
        raise Failure(
            f"{name} has a column that cannot be read ({str(error)[:200]}); name the fields that are wanted, so that "
            "others are left, or write the file again"
        ) from error
