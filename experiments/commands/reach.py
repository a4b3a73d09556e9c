"""`ablate prepare --check`: what is missing before the sources of a study can be read."""

from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.commands.data import known_source
from experiments.plan.find import find_study, is_study
from experiments.progress import Display
from experiments.show.table import Column, say, table
from mixtures.catalogue.reach import reach


def reach_target(name: str, scale: str, store: Path) -> dict[str, Any]:
    """Open the first file of every source of a study, or of one source of the catalogue.

    Returns:
        {"target", "sources": a row for everything that was opened (`mixtures.catalogue.reach.Reached`), "missing": the
        names of sources that cannot be read}.

    Raises:
        UserError: `name` is neither, or ABLATE_MIRROR names no place.
    """
    sources = find_study(name, scale).data.sources if is_study(name) else (known_source(name),)
    rows: list[dict[str, Any]] = []
    with Display("check") as display:
        for number, source in enumerate(sources):
            display.update(source.name, number, len(sources))
            rows += reach(source, store)
    return {"target": name, "sources": rows, "missing": sorted({row["source"] for row in rows if row["missing"]})}


def print_reached(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        "source": "source",
        "where": "where",
        "fetched, kB": (lambda row: row["fetched"] / 1000, ".0f"),
        "missing": lambda row: row["missing"] or (f"nothing; {row['note']}" if row["note"] else "nothing"),
    }
    console.print(table(f"Sources of {document['target']}", document["sources"], columns))
    missing = document["missing"]
    say(console, f"{len(missing)} cannot be read: {', '.join(missing)}" if missing else "All can be read.")
