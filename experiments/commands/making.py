"""`ablate make`: the sources of a study that checkpoints write, and what came of them."""

from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.make.node import make
from experiments.make.sources import folder_of, read_record
from experiments.progress import Display
from experiments.show.table import Column, say, table
from experiments.study import Study
from store.errors import UserError
from store.lock import shared_store


def make_sources(study: Study, store: Path) -> dict[str, Any]:
    """Make what is missing of the sources of `study` that checkpoints write.

    Returns:
        {"study", "made": a row a source with "folder" and all that its record holds}.

    Raises:
        UserError: it has none; or as `experiments.make.node.make`.
        Failure: as there, or another process prepares data in the store.
    """
    if not study.made:
        raise UserError(f"study '{study.name}' reads nothing that checkpoints write; there is nothing to make")
    with shared_store(store), Display("make") as display:
        make(study, store, display.update)
    rows = []
    for made in study.made:
        folder = folder_of(made, store)
        assert folder is not None, made.source
        rows.append({"folder": str(folder), **(read_record(folder) or {})})
    return {"study": study.key, "made": rows}


def print_made(document: dict[str, Any], console: Console) -> None:
    """Of every source, how far the answers got and which rule dropped how many problems."""
    for made in document["made"]:
        reasons = dict.fromkeys(why for its in made["answers"].values() for why in its)
        columns: dict[str, Column] = {"who answers": "who", **{why: why for why in reasons}}
        rows = [{"who": who, **{why: its.get(why, 0) for why in reasons}} for who, its in made["answers"].items()]
        console.print(table(f"Answers of source '{made['source']}'", rows, columns))
        problems = [{"why": why, "problems": count} for why, count in made["problems"].items()]
        console.print(table("", problems, {"problems": "why", "": "problems"}))
        say(console, f"{made['documents']:,} documents: {made['folder']}")
