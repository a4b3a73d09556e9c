"""`ablate benchmarks`: what is here of every benchmark, and the full splits of the hub on request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.show.table import Column, say, table
from mixtures.benchmarks.full_splits import fetch
from mixtures.benchmarks.full_splits import table as splits_table


def benchmarks_json(fetched: Sequence[str], store: Path) -> dict[str, Any]:
    """`{"benchmarks": [...]}`, after the full splits of `fetched` were got.

    Raises:
        UserError, Failure: as `mixtures.benchmarks.full_splits.fetch`.
    """
    for name in fetched:
        fetch(name, store)
    return {"benchmarks": splits_table(store)}


def print_benchmarks(document: dict[str, Any], console: Console) -> None:
    """A row a benchmark, and the command that gets what only a part is here of."""
    columns: dict[str, Column] = {
        "benchmark": "benchmark",
        "rows": lambda row: row["rows"] or None,
        "full split": lambda row: row["full"] or None,
        **{name: name for name in ("from", "upstream", "licence")},
    }
    console.print(table("Benchmarks", document["benchmarks"], columns))
    parts = [row["benchmark"] for row in document["benchmarks"] if row["fetch"]]
    if parts:
        options = " ".join(f"--fetch {name}" for name in parts)
        say(console, f"Full splits of {', '.join(parts)}: ablate benchmarks {options}")
