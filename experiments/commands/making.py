"""`ablate make`: the sources of a study that checkpoints write, and what came of them. `ablate evolve`: problems that a
server makes harder."""

from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.make.evolve import Evolving, evolve
from experiments.make.node import make
from experiments.plan.sources import folder_of, read_record
from experiments.progress import Display
from experiments.show.table import Column, say, table
from experiments.study import Study
from store import layout
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
        console.print(table("", problems, {"": "why", "problems": "problems"}))
        say(console, f"{made['documents']:,} documents: {made['folder']}")


def evolve_problems(what: Evolving, store: Path) -> dict[str, Any]:
    """Have a server make problems harder; {"files", and all that the record of it holds}.

    Raises:
        UserError, Failure: as `experiments.make.evolve.evolve`, or another process prepares data in the store.
    """
    with shared_store(store), Display("evolve") as display:
        folder = evolve(what, store, display.update)
    return {"files": str(folder / layout.EXAMPLES), **(read_record(folder) or {})}


def print_evolved(document: dict[str, Any], console: Console) -> None:
    """What every rule dropped, and how the rest is read."""
    rows = [{"why": why, "replies": count} for why, count in document["problems"].items()]
    console.print(table(f"Evolved for source '{document['source']}'", rows, {"": "why", "replies": "replies"}))
    its = f'"{document["source"]}", "{document["files"]}", prompt="prompt", answer="answer", group="group"'
    say(console, f"{document['documents']:,} examples; read them as examples({its})")
