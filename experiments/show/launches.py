"""A launch before it is submitted, and launches as far as the store says that they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.plan.find import as_last_run, find_study
from experiments.plan.make import make_plan
from experiments.plan.sources import as_made
from experiments.show.plans import duration, print_plan
from experiments.show.states import status_json
from experiments.show.table import Column, say, table

LOOK = {
    "jobset": "kubectl get jobsets -l ablate.launch={name}",
    "skypilot": "sky jobs queue",
    "local": "it runs where it was started",
}
"""What the engine has to say of a launch, for people."""


def print_launch(document: Mapping[str, Any], console: Console) -> None:
    """The plan as `ablate plan` shows it, then the slices and what they cost."""
    print_plan(document["plan"], console)
    launch = document["launch"]
    hosts, workers = launch["hosts"], launch["workers"]
    what = ("process" if hosts == 1 else "processes") if launch["chip_hours"] is None else "host" + "s" * (hosts > 1)
    scorer = f", and {launch['scorer']} to score what they train" if launch["scorer"] else ""
    lines = [
        f"launch {launch['name']}: {workers} x {launch['slice']} ({hosts} {what} each) by {launch['engine']}{scorer}, "
        f"{duration(launch['hours'])} from first to last, at work {document['busy']:.0%} of it"
    ]
    if launch["chip_hours"] is not None:
        price, each = launch["price"], launch["price_per_chip_hour"]
        cost = f", {price:,.0f} dollars at {each:g} a chip-hour" if price is not None else "; no price was said"
        lines.append(
            f"{launch['chip_hours']:,.0f} chip-hours of work that is missing{cost}; starts and restarts come on top"
        )
        lines.append(f"a worker has {launch['grace_seconds']} seconds to save its state when it is told to stop")
    say(console, *lines)


def launches_json(records: list[dict[str, Any]], store: Path) -> dict[str, Any]:
    """`{"launches": [...]}`: what is kept of each, and of its stages "counts" by state, "running", "failed", "done"."""
    rows = []
    for record in records:
        study = as_last_run(find_study(record["study"], record["scale"]), store)
        state = status_json(make_plan(as_made(study, store), store), store)
        counts = state["counts"]
        rows.append(record | {"counts": counts, "running": _of(state, "running"), "failed": _of(state, "failed")})
        rows[-1]["done"] = set(counts) <= {"done", "gaps"}
    return {"launches": rows}


def _of(states: Mapping[str, Any], wanted: str) -> list[str]:
    return [row["id"] for row in states["stages"] if row["state"] == wanted]


def print_launches(document: Mapping[str, Any], console: Console) -> None:
    counts = lambda row: ", ".join(f"{n} {state}" for state, n in row["counts"].items())  # noqa: E731
    columns: dict[str, Column] = {
        "launch": "name",
        "engine": "engine",
        "slices": lambda row: f"{row['workers']} x {row['slice']}",
        "stages, by the store": counts,
        "running": "running",
        "failed": "failed",
    }
    console.print(table("Launches", document["launches"], columns))
    for row in document["launches"]:
        where = "cancelled" if row.get("cancelled") else LOOK[row["engine"]].format(name=row["name"])
        say(console, f"{row['name']}: {'done' if row['done'] else where}")
