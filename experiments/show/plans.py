"""A plan and its forecast, as data for machines and as a page for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.tabular import few
from experiments.plan import forecast, status
from experiments.plan.budget import simulated_share
from experiments.plan.detect import comparisons
from experiments.plan.examples import loss
from experiments.plan.forecast import Speed
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.plan.warnings import design_warnings, heldout_warnings, part_warnings
from experiments.show.table import Column, say, table

Row = dict[str, Any]


def plan_json(plan: Plan, store: Path, price: float | None = None) -> Row:
    """What `forecast_json` has, and "comparisons": what each of them can detect; `price` is of a chip-hour."""
    return {**forecast_json(plan, store, price), "comparisons": comparisons(plan.study, store)}


def forecast_json(plan: Plan, store: Path, price: float | None = None) -> Row:
    """The plan and its cost; evaluation is a kind of stage.

    `{"study", "scale", "changes", "warnings", "needed": [...], "stages": [...], "totals": {...}, "paper": {...}}`;
    "needed" is what is trained of other studies before, and no part of the totals.
    """
    speeds = forecast.speeds(plan, store)
    rows, states = [], status.states(plan, store)
    scoring = status.scoring(plan, store, states)
    for stage in plan.stages:
        rows.append(_stage_row(plan, stage, states[stage.id], speeds))
        rows.append(_evaluation_row(plan, stage, scoring[stage.id], speeds))
    paper = [hours for stage in plan.stages if (hours := forecast.paper_chip_hours(stage)) is not None]
    return {
        "study": plan.study.key,
        "scale": plan.study.scale,
        "changes": list(plan.changes),
        "warnings": [
            *(heldout_warnings(plan.study, plan.manifest) if isinstance(plan, PreparedPlan) else []),
            *part_warnings(plan.study, store),
            *design_warnings(plan),
        ],
        "needed": [_needed_row(other, store) for other in plan.needed],
        "stages": rows,
        "totals": _totals(plan, states, rows, speeds, price),
        "paper": {"chip_hours": sum(paper) if paper else None},
    }


def _needed_row(plan: Plan, store: Path) -> Row:
    """Of the part of another study that is trained first, and not scored; the hours are those that are left."""
    speeds, states = forecast.speeds(plan, store), status.states(plan, store)
    left = [stage for stage in plan.stages if states[stage.id] != "done"]
    hours = {stage.id: plan.flops(stage) / speeds[stage.model.name].flops_per_second / 3600 for stage in left}
    chips = [forecast.chip_hours(speeds[stage.model.name], plan.flops(stage)) for stage in left]
    return {
        "study": plan.study.typed,
        "stages": len(plan.stages),
        "done": len(plan.stages) - len(left),
        "tokens": sum(stage.tokens for stage in plan.stages),
        "hours_left": sum(hours.values()),
        "chip_hours_left": None if plan.study.topology == "cpu" else sum(each or 0.0 for each in chips),
    }


def _totals(
    plan: Plan, states: Mapping[str, str], rows: Sequence[Row], speeds: Mapping[str, Speed], price: float | None
) -> Row:
    left = [stage for stage in plan.stages if states[stage.id] != "done"]
    used = None if plan.study.topology == "cpu" else sum(row["chip_hours"] or 0.0 for row in rows)
    main = speeds[plan.study.model.name] if plan.study.model.name in speeds else next(iter(speeds.values()))
    flops = sum(row["flops"] for row in rows)
    hours = forecast.hours(plan, speeds, plan.stages)
    return {
        "models": len(plan.runs),
        "tokens": sum(stage.tokens for stage in plan.stages),
        "tokens_without_sharing": sum(plan.stage(id).tokens for chain in plan.runs.values() for id in chain),
        "tokens_a_trunk_would_save": forecast.saved_by_a_trunk(plan),
        "simulated_tokens": plan.study.simulated_tokens,
        "simulated_share": float(simulated_share(plan.study)),
        "flops": flops,
        "hours": hours,
        "hours_left": forecast.hours(plan, speeds, left),
        "chip_hours": used,
        "price": None if price is None or used is None else price * used,
        "price_per_chip_hour": price,
        "topology": plan.study.topology,
        "checkpoint_bytes": forecast.checkpoint_bytes(plan),
        "store_bytes": forecast.store_bytes(plan),
        "utilisation": {"value": main.utilisation, "basis": main.basis},
        "flops_per_second": main.flops_per_second,
        "speed": main.basis,
    }


def _stage_row(plan: Plan, stage: PlannedStage, state: str, speeds: Mapping[str, Speed]) -> Row:
    fit = forecast.memory_fit(plan, stage)
    flops = plan.flops(stage)
    return {
        "id": stage.id,
        "kind": stage.stage.kind,
        "mixture": stage.stage.mixture.name,
        "parent": stage.parent,
        "tokens": stage.tokens,
        "tokens_requested": stage.stage.tokens,
        "epochs_requested": _epochs(stage),
        "tokens_by_source": stage.tokens_by_source,
        "tokens_by_kind": plan.tokens_by_kind(stage),
        "epochs_by_source": dict(stage.epochs),
        "steps": stage.steps,
        "batch": stage.batch,
        "sequence": stage.sequence,
        "objective": loss(stage.stage.objective),
        "start": None if stage.start is None else stage.start.name,
        "warmup_steps": min(max(0, stage.schedule.warmup_steps - stage.first_step), stage.steps),
        "peak_learning_rate": stage.schedule.peak,
        "flops": flops,
        "hours": flops / speeds[stage.model.name].flops_per_second / 3600,
        "chip_hours": forecast.chip_hours(speeds[stage.model.name], flops),
        "memory_fit": None if fit is None else asdict(fit),
        "state": state,
        **_shared(stage),
    }


def _epochs(stage: PlannedStage) -> Row | None:
    budget = stage.stage.epochs
    return None if budget is None else {"source": budget.source, "count": float(budget.count)}


def _evaluation_row(plan: Plan, stage: PlannedStage, state: str, speeds: Mapping[str, Speed]) -> Row:
    flops = forecast.evaluation_flops(plan, stage)
    return {
        **{"id": f"evaluate-{stage.id}", "kind": "evaluate", "mixture": None, "parent": stage.id},
        **dict.fromkeys(("tokens", "tokens_requested", "steps", "warmup_steps", "peak_learning_rate"), 0),
        **dict.fromkeys(("epochs_requested", "batch", "sequence", "objective", "start")),
        **{"tokens_by_source": {}, "tokens_by_kind": {}, "epochs_by_source": {}},
        "flops": flops,
        "hours": flops / speeds[stage.model.name].flops_per_second / 3600,
        "chip_hours": forecast.chip_hours(speeds[stage.model.name], flops),
        "memory_fit": None,
        "state": state,
        **_shared(stage),
    }


def _shared(stage: PlannedStage) -> Row:
    fingerprint = stage.fingerprint if isinstance(stage, PreparedStage) else None
    return {"fingerprint": fingerprint, "arms": list(stage.arms), "seed": stage.seed, "model": stage.model.name}


def _detectable(rows: Sequence[Row]) -> list[str]:
    """A line for every metric: the worst and the best of its comparisons."""
    lines = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        of = [row for row in rows if row["metric"] == metric]
        known = sorted(row["detectable"] for row in of if row["detectable"] is not None)
        ends = f"{known[0]:.3g}" if len(set(known)) == 1 else f"{known[0]:.3g} to {known[-1]:.3g}" if known else ""
        basis = next((row["basis"] for row in of if row["detectable"] is not None), "")
        lines.append(
            f"smallest difference that {of[0]['seeds']} seeds find in {metric}: "
            + (f"{ends} (by {basis}; {len(known)} of {len(of)} comparisons)" if known else "unknown, for want of a run")
        )
    return lines


PAGE = 24
"""Stages that a table shows one by one; of more, those that differ in seed alone are one row."""


def print_plan(document: Row, console: Console, every_stage: bool = False) -> None:
    """The plan as a page: a row for every training stage, or for those that differ in seed alone."""
    rows = [row for row in document["stages"] if row["kind"] != "evaluate"]
    folded = len(rows) > PAGE and not every_stage
    shown = _folded(rows) if folded else [row | {"seeds": 1} for row in rows]
    accelerated = document["totals"]["chip_hours"] is not None
    columns: dict[str, Column] = {
        "stage": "id",
        **({"seeds": "seeds"} if folded else {}),
        "kind": _kind,
        "arms": lambda row: few(row["arms"], 2),
        "state": "state",
        "tokens": _tokens,
        "steps": "steps",
        "tokens by kind, %": _by_kind,
        "most epochs": _most_epochs,
    }
    if accelerated:
        columns |= {"chip-hours": ("chip_hours", ",.0f"), "HBM GiB": _memory}
    else:
        columns["minutes"] = lambda row: f"{60 * row['hours']:.1f}"
    console.print(table(f"Plan of {document['study']}", shown, columns))
    say(console, *document["changes"], *map(_first, document["needed"]), *document["warnings"])
    say(console, *_starts(document), *_sums(document), *_detectable(document["comparisons"]))


def _folded(rows: Sequence[Row]) -> list[Row]:
    """Stages that differ in seed alone as one row, with the sum of their hours."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["id"].rpartition("-s")[0], []).append(row)
    found = []
    for id, each in groups.items():
        states = Counter(row["state"] for row in each)
        state = next(iter(states)) if len(states) == 1 else ", ".join(f"{n} {state}" for state, n in states.items())
        sums = {key: sum(row[key] or 0.0 for row in each) for key in ("hours", "chip_hours")}
        found.append({**each[0], **sums, "id": id, "seeds": len(each), "state": state})
    return found


def _first(row: Row) -> str:
    """What is trained of another study, on a line."""
    chips = row["chip_hours_left"]
    cost = f"{chips:,.0f} chip-hours" if chips is not None else f"about {duration(row['hours_left'])}"
    left = row["stages"] - row["done"]
    todo = f"{left} to train, {cost}" if left else "all trained"
    return f"first {row['stages']} stages of {row['study']}, {amount(row['tokens'])} tokens: {todo}"


def _starts(document: Row) -> list[str]:
    """A line for everything that runs start from."""
    found: dict[str, list[str]] = {}
    for row in document["stages"]:
        if row["start"] is not None:
            found.setdefault(row["start"], []).append(row["id"])
    return [f"{few(ids, 2)} start{'s' * (len(ids) == 1)} from {name}" for name, ids in found.items()]


def _tokens(row: Mapping[str, Any]) -> str:
    asked = row["epochs_requested"]
    return amount(row["tokens"]) + (f" ({asked['count']:g} of {asked['source']})" if asked else "")


def _kind(row: Mapping[str, Any]) -> str:
    return str(row["kind"]) if row["objective"] == "all" else f"{row['kind']}, {row['objective']}"


def _by_kind(row: Mapping[str, Any]) -> str:
    return " ".join(f"{kind} {100 * n / row['tokens']:.1f}" for kind, n in row["tokens_by_kind"].items())


def _most_epochs(row: Mapping[str, Any]) -> str:
    most = max(row["epochs_by_source"].items(), key=lambda pair: pair[1], default=None)
    return f"{most[1]:.2f} {most[0]}" if most else "unprepared"


def _memory(row: Mapping[str, Any]) -> str:
    fit = row["memory_fit"]
    return "unknown" if fit is None else f"{fit['gib']:.1f} of {fit['limit_gib']:g}"


def amount(number: float) -> str:
    """A count as people say it: 194,560, 19.5M, 200.0B, 3.6T."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= 10 * size or (size == 1e12 and number >= size):
            return f"{number / size:,.1f}{letter}"
    return f"{number:,.0f}"


def duration(hours: float) -> str:
    return f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:,.1f} hours" if hours < 100 else f"{hours:,.0f} hours"


def _sums(document: Row) -> list[str]:
    totals, paper = document["totals"], document["paper"]["chip_hours"]
    shared = totals["tokens_without_sharing"]
    lines = []
    if totals["simulated_tokens"]:
        lines.append(
            f"Every source is cut to {totals['simulated_share']:.3%}, so that epochs are those of a run of "
            f"{totals['simulated_tokens']:,} tokens."
        )
    trunk = totals["tokens_a_trunk_would_save"]
    lines.append(
        f"{totals['models']} models at the end of runs; {amount(totals['tokens'])} tokens to train, "
        f"{amount(shared)} without sharing ({1 - totals['tokens'] / shared:.0%} saved)"
        + (f"; a trunk with branches would save {amount(trunk)} more, but is another schedule" if trunk else "")
    )
    where = "on this machine" if totals["topology"] == "cpu" else f"on {totals['topology']}"
    used, price = totals["chip_hours"], totals["price"]
    share = totals["utilisation"]["value"]
    speed = f"{totals['flops_per_second'] / 1e9:,.0f} GFLOP/s" if share is None else f"{share:.0%} of the peak"
    lines.append(
        f"{totals['flops']:.2e} FLOPs with evaluation: about {duration(totals['hours'])} in all {where}, "
        f"{duration(totals['hours_left'])} to go, at {speed} ({totals['speed']})"
    )
    if used is not None:
        lines.append(
            f"{used:,.0f} chip-hours"
            + (f", {price:,.0f} at {totals['price_per_chip_hour']:g} a chip-hour" if price is not None else "")
            + (f"; the paper's own code took {paper:,.0f} for as many tokens of its models" if paper else "")
        )
    lines.append(
        f"{amount(totals['store_bytes'])} bytes of store, of which checkpoints {amount(totals['checkpoint_bytes'])}"
    )
    return lines
