"""The items of an evaluation as columns: a record's text becomes arrays, with no Python object for a score.

A study's records are mostly lists of numbers, a gigabyte of text for a paper's. pyarrow's reader takes them out of it
at half of json's cost and in threads. What it cannot tell from a whole record (null, another type, another schema, a
file that was changed) is read the slow way, by `analysis.records.read_eval`, whose errors are then those that are told.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.records import SCHEMA, EvalRecord, read_eval
from analysis.statistics import Floats
from store import paths
from store.errors import Failure
from store.files import is_sealed

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, "pa.Array"]
"""By the name of a field of `Item`; a field that no item has is not there, or all null."""

TEXTS = ("id", "source", "cluster")
NUMBERS = ("nats", "bytes", "correct", "exact", "score", "cut", "alike")
SOME_LACK = ("source", "cluster", "cut", "alike")
"""Fields that an item may have where others have not."""
COUNTS = {"samples": "int64", "passed": "int64", "runs": "bool_", "weak": "bool_"}
CHOICES = ("choice_nats", "choice_bytes", "choice_chars")

_HEAD, _TAIL = b'\n "items": [\n', b"\n ]"


def read_columns(path: Path, fingerprint: str) -> tuple[EvalRecord, Columns]:
    """A record without its items, and these.

    Raises:
        Failure: as `analysis.records.read_eval`, or the items are not those of a record.
    """
    found = _parsed(path, fingerprint)
    if found is not None:
        return found
    record = read_eval(path, fingerprint)
    return replace(record, items=()), columns_of(record.items, record.task, path.parent.parent.name)


def columns_of(items: Sequence[Mapping[str, Any]], task: str, where: str) -> Columns:
    """Of items that are at hand.

    Raises:
        Failure: a field of an item is of another type.
    """
    import pyarrow as pa

    as_kind: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(TEXTS, str),
        **dict.fromkeys(NUMBERS, _number),
        **dict.fromkeys(("runs", "weak"), bool),
    }
    columns = {}
    for field, kind in _types().items():
        made = as_kind.get(field, lambda value: value)
        if any(field in item for item in items):
            try:
                columns[field] = pa.array([made(item[field]) if field in item else None for item in items], kind)
            except (ValueError, TypeError, OverflowError) as error:
                raise corrupt(task, where, f"has {called(field)} that are not whole ({error!r})") from error
    return columns


def _number(value: Any) -> float:
    """What json has for a score that was not finite is null."""
    return math.nan if value is None else float(value)


def numbers(column: "pa.Array") -> Floats:
    """A column of numbers or truth values of shape N, NaN where it has none. (`to_numpy` would load pandas.)"""
    valid, data = column.buffers()
    kind, ends = str(column.type), slice(column.offset, column.offset + len(column))
    values = _bits(data) if kind == "bool" else np.frombuffer(data, {"int64": "i8", "int32": "i4"}.get(kind, "f8"))
    found = values[ends].astype(np.float64)
    if column.null_count:
        found[_bits(valid)[ends] == 0] = np.nan
    return found


def _bits(data: Any) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")


def whole(columns: Columns, field: str) -> Floats:
    """A field that all items have, as floats of shape N.

    Raises:
        KeyError, ValueError: no item has it, or some have not.
    """
    if columns[field].null_count:
        raise ValueError(f"'{field}' for some items only")
    return numbers(columns[field])


def of_choices(columns: Columns) -> dict[str, Floats]:
    """What acc_norm, correct_prob and margin sum over the items of a task.

    Raises:
        KeyError, ValueError: an item has nothing to choose from, its lists are not of one length, or the gold choice is
            none of them.
    """
    if any(columns[field].null_count for field in CHOICES):
        raise ValueError("choices for some items only")
    counts = [np.diff(numbers(columns[field].offsets)).astype(np.intp) for field in CHOICES]
    gold_N = whole(columns, "gold").astype(np.intp)
    if not all(np.array_equal(count_N, counts[0]) for count_N in counts) or counts[0].min() < 2:
        raise ValueError("lists of unequal length, or a single choice")
    if not ((gold_N >= 0) & (gold_N < counts[0])).all():
        raise ValueError("a gold choice that is not there")
    nats_L, bytes_L, chars_L = (numbers(columns[field].values) for field in CHOICES)
    first_N = np.cumsum(counts[0]) - counts[0]
    per_character_L, per_byte_L = nats_L / np.maximum(1, chars_L), nats_L / np.maximum(1, bytes_L)
    gold_nats_N, gold_per_byte_N = per_character_L[first_N + gold_N], per_byte_L[first_N + gold_N]
    least_N = np.minimum.reduceat(per_character_L, first_N)
    ties_N = np.add.reduceat((per_character_L == np.repeat(least_N, counts[0])).astype(np.float64), first_N)
    per_byte_L[first_N + gold_N] = np.inf
    return {
        "correct_norm": np.where(gold_nats_N == least_N, 1 / ties_N, 0.0),
        "correct_prob": np.exp(-gold_nats_N),
        "margin": np.minimum.reduceat(per_byte_L, first_N) - gold_per_byte_N,
    }


def corrupt(task: str, where: str, problem: str) -> Failure:
    return Failure(f"evaluation of '{task}' in {where} {problem}; delete {files(task)} there and score it again")


def files(task: str) -> str:
    """The record of a task, of whatever version and prompts, as it is called on disk."""
    return f"{task.replace('/', '.')}@*.json"


def called(field: str) -> str:
    return "counts" if field in COUNTS else "choices" if field in (*CHOICES, "gold") else f"values of '{field}'"


def _types() -> "dict[str, pa.DataType]":
    import pyarrow as pa

    return {
        **{field: pa.string() for field in TEXTS},
        **{field: pa.float64() for field in NUMBERS},
        **{field: getattr(pa, kind)() for field, kind in COUNTS.items()},
        **{field: pa.list_(pa.float64()) for field in CHOICES},
        "gold": pa.int64(),
    }


def _parsed(path: Path, fingerprint: str) -> tuple[EvalRecord, Columns] | None:
    """As `read_columns`, or None where the slow way is to be taken."""
    try:
        data = paths.read(path)
    except OSError:
        return None
    begin, end = data.find(_HEAD), data.rfind(_TAIL)
    if not is_sealed(data) or not 0 <= begin < end:
        return None
    try:
        head = json.loads(data[:begin] + b'\n "items": []' + data[end + len(_TAIL) :])
        columns = _columns(b'{"items": [' + data[begin + len(_HEAD) : end] + b"]}")
    except ValueError:  # pyarrow's errors are that too
        return None
    if columns is None or head.pop("schema", None) != SCHEMA:
        return None
    del head["checksum"]
    return read_eval(path, fingerprint, head | {"items": ()}), columns


def _columns(items: bytes) -> Columns | None:
    """Of the text {"items": [...]}; None where a null may stand for what is not there."""
    import pyarrow as pa
    from pyarrow import json as arrow

    types = _types()
    first = items[: items.find(b"\n  }")]
    named = {field: kind for field, kind in types.items() if field in TEXTS or b'"%s": ' % field.encode() in first}
    table = arrow.read_json(
        pa.BufferReader(items),
        arrow.ReadOptions(use_threads=False, block_size=len(items) + 1),
        # What the first item lacks is found too, by a type that is guessed.
        arrow.ParseOptions(pa.schema([("items", pa.list_(pa.struct(named.items())))]), newlines_in_values=True),
    )
    found = table.column("items").chunk(0).values
    there = {field.name for field in found.type}
    columns = {field: found.field(field) for field in types if field in there}
    # Where a guess was wrong. (pyarrow.compute, which casts, takes longer to load than a study of the laptop to read.)
    columns = {field: of if of.type == types[field] else of.cast(types[field]) for field, of in columns.items()}
    if any(column.null_count for field, column in columns.items() if field not in SOME_LACK):
        return None
    if any(columns[field].values.null_count for field in CHOICES if field in columns):
        return None
    return {field: column for field, column in columns.items() if column.null_count < len(column)}
