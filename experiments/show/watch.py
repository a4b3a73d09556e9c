"""`ablate status --watch`: how far every stage at work is, anew every second, read from the store alone."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from analysis.ledger_rows import last_step
from analysis.records import stage_folder
from experiments.plan import forecast, status
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.show.plans import amount, duration
from experiments.show.table import Column, table
from store.paths import remote

SECONDS = {False: 1.0, True: 15.0}
"""Between two looks, by whether the store is an object store."""
AT_WORK = ("running", "interrupted", "failed")


def progress(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"study", "counts", "scored", "stages": [those at work], "hours_left", "chip_hours", "done"}`.

    A stage has "id", "state", "step", "steps", "tokens_per_second", "utilisation" (None on CPUs), "seconds_left" and
    the "loss" of its last step.
    """
    states = status.states(plan, store)
    scored = status.scoring(plan, store, states)
    speeds = forecast.speeds(plan, store)
    rows = {
        stage.id: _row(plan, stage, states[stage.id], store, speeds[stage.model.name])
        for stage in plan.stages
        if states[stage.id] in AT_WORK
    }
    left = [stage for stage in plan.stages if states[stage.id] != "done" or scored[stage.id] not in ("done", "gaps")]
    hours, used = forecast.hours(plan, speeds, left), 0.0
    for stage in plan.stages:
        row, speed = rows.get(stage.id), speeds[stage.model.name]
        share = 1.0 if states[stage.id] == "done" else row["step"] / row["steps"] if row else 0.0
        used += share * (forecast.chip_hours(speed, plan.flops(stage)) or 0.0)
        hours -= share * plan.flops(stage) / speed.flops_per_second / 3600 if stage in left else 0.0
    return {
        "study": plan.study.key,
        "counts": dict(Counter(states.values())),
        "scored": sum(state in ("done", "gaps") for state in scored.values()),
        "stages": list(rows.values()),
        "hours_left": max(0.0, hours),
        "chip_hours": None if plan.study.topology == "cpu" else used,
        "done": isinstance(plan, PreparedPlan) and not left,
    }


def _row(plan: Plan, stage: PlannedStage, state: str, store: Path, speed: forecast.Speed) -> dict[str, Any]:
    assert isinstance(stage, PreparedStage), "only a stage whose data are prepared is at work"
    last = last_step(stage_folder(store, stage.folder))
    done, seconds = (last.step, last.seconds) if last else (0, 0.0)
    tokens = stage.tokens / stage.steps / seconds if seconds else None
    flops = plan.flops(stage) / stage.tokens
    peak = speed.flops_per_second / speed.utilisation if speed.utilisation else None
    return {
        "id": stage.id,
        "state": state,
        "step": done,
        "steps": stage.steps,
        "tokens_per_second": tokens,
        "utilisation": None if tokens is None or peak is None else tokens * flops / peak,
        "seconds_left": (stage.steps - done) * seconds if seconds else None,
        "loss": last.loss if last else None,
    }


def watch(planned: Callable[[], Plan], store: Path) -> None:
    """Show a table until all is done; on what is no terminal, once."""
    console = Console()
    if not console.is_terminal:
        console.print(shown(progress(planned(), store)))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            document = progress(planned(), store)
            live.update(shown(document), refresh=True)
            if document["done"]:
                return
            time.sleep(SECONDS[remote(store)])


def shown(document: dict[str, Any]) -> Group:
    """The stages at work, and a line about all."""
    columns: dict[str, Column] = {
        "stage": "id",
        "state": "state",
        "step": lambda row: f"{row['step']:,} of {row['steps']:,}",
        "tokens/s": lambda row: None if row["tokens_per_second"] is None else amount(row["tokens_per_second"]),
        "utilisation": lambda row: None if row["utilisation"] is None else f"{row['utilisation']:.0%}",
        "left": lambda row: None if row["seconds_left"] is None else duration(row["seconds_left"] / 3600),
        "last loss": ("loss", ".3f"),
    }
    counts, total = document["counts"], sum(document["counts"].values())
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    cost = "" if document["chip_hours"] is None else f"; {document['chip_hours']:,.0f} chip-hours so far"
    line = f"{said}; {document['scored']} of {total} scored; about {duration(document['hours_left'])} to go{cost}"
    return Group(table(document["study"], document["stages"], columns), Text(line))
