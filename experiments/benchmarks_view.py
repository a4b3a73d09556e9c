"""`ablate benchmarks`: what is here of every benchmark, and the full splits of the hub on request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixtures.benchmark_fetch import fetch, table


def benchmarks_json(fetched: Sequence[str], store: Path) -> dict[str, Any]:
    """`{"benchmarks": [...]}`, after the full splits of `fetched` were got.

    Raises:
        UserError, Failure: as `mixtures.benchmark_fetch.fetch`.
    """
    for name in fetched:
        fetch(name, store)
    return {"benchmarks": table(store)}


def print_benchmarks(document: dict[str, Any], console: Console) -> None:
    """A row a benchmark, and the command that gets what only a part is here of."""
    shown = Table(title="Benchmarks", title_justify="left")
    for name in ("benchmark", "rows", "full split", "from", "upstream", "licence"):
        shown.add_column(name, justify="right" if name in ("rows", "full split") else "left", overflow="fold")
    for row in document["benchmarks"]:
        rows, full = (f"{row[key]:,}" if row[key] else "–" for key in ("rows", "full"))
        shown.add_row(Text(row["benchmark"]), rows, full, Text(row["from"]), row["upstream"], row["licence"])
    console.print(shown)
    parts = [row["benchmark"] for row in document["benchmarks"] if row["fetch"]]
    if parts:
        options = " ".join(f"--fetch {name}" for name in parts)
        console.print(Text(f"Full splits of {', '.join(parts)}: ablate benchmarks {options}"), soft_wrap=True)
