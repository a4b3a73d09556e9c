"""What the commands of `ablate` have in common: paths as they are typed, shared options, and how results are shown."""

import errno
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from store import paths
from store.errors import UserError
from store.paths import require_bucket


def local_path(typed: str | Path) -> Path:
    """A path of this machine's; typer hands defaults over as they are.

    Raises:
        UserError: it is an address, or no file could be there.
    """
    text = str(typed)
    if "://" in text:
        raise UserError(f"{text} is an address of an object store, which cannot be used here; name a local path")
    if not text.strip():
        raise UserError("a path is empty; name one")
    try:
        path = Path(text).expanduser()
        path.exists()
        if any(parent.exists() and not parent.is_dir() for parent in path.parents):
            raise NotADirectoryError(errno.ENOTDIR, "a file stands where it needs a folder")
    except (OSError, ValueError, RuntimeError) as error:  # too long, or the home of nobody
        raise UserError(f"{_short(text)} cannot be used ({getattr(error, 'strerror', error)}); name another") from error
    return path


def store_path(typed: str | Path) -> Path:
    """A folder of this machine's, or one in a bucket that is there.

    Raises:
        UserError: it is neither.
    """
    if paths.remote(typed):
        require_bucket(path := paths.at(typed))
        return path
    path = local_path(typed)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; name a folder")
    return path


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


StudyName = Annotated[
    str, typer.Argument(help="A file of experiments/studies, such as quickstart; see `ablate studies`.")
]
ScaleName = Annotated[
    str, typer.Option("--scale", help="How large the question is asked: laptop (the default), desktop, ...")
]
Store = Annotated[
    Path,
    typer.Option(parser=store_path, help="Folder that holds data, checkpoints and records, or gs://bucket/folder."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="Do not ask this task, fresh text (fresh), or any program (executed); repeatable."),
]
Price = Annotated[tuple[float, float] | None, typer.Option(help="Dollars per million tokens, in and out.")]
MaxCost = Annotated[float | None, typer.Option(help="Dollars; nothing is sent when the estimate is above.")]
RUNS = Path("runs")


def print_result(document: Any, as_json: bool, table: Any) -> None:
    """Print one JSON document, or what `table` makes of it and a console."""
    if as_json:
        print(json.dumps(document, indent=1, allow_nan=False))
    else:
        width = None if sys.stdout.isatty() else 160
        table(document, Console(width=width))


def chip_hour_price(typed: str) -> float | None:
    """Of `--price-per-chip-hour`: a number, or a file of JSON with "per_chip_hour" and the "date" of the offer.

    Raises:
        UserError: it is neither, or no price.
    """
    if not typed:
        return None
    path = local_path(typed)
    if path.is_file():
        try:
            offer = json.loads(path.read_text(encoding="utf-8"))
            date, given = str(offer["date"]), offer["per_chip_hour"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f'{path} holds no price; write {{"date": ..., "per_chip_hour": ...}}') from error
        print(f"price of a chip-hour: {given}, of {date} ({path})", file=sys.stderr)
    else:
        given = typed
    try:
        price = float(given)
    except (ValueError, TypeError):
        price = math.nan
    if not (math.isfinite(price) and price >= 0):
        raise UserError(f"price {str(given)[:40]!r} is no number that a chip-hour could cost; write one such as 1.2")
    return price


def margins(typed: Sequence[str]) -> dict[str, float]:
    """Of `--margin`: by metric or kind of score, in the metric's unit.

    Raises:
        UserError: one is not NAME=NUMBER.
    """
    found = {}
    for text in typed:
        name, equals, number = text.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not (equals and name.strip()):
            raise UserError(f"margin {_short(text)!r} is not NAME=NUMBER; write one such as bpb=0.01")
    return found
