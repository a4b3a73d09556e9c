"""A plan and its state, as data for machines and as tables for people."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.records import read_end, stage_folder
from experiments.plan import status
from experiments.plan.budget import simulated_share
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.plan.warnings import heldout_warnings, part_warnings
from experiments.show.table import Column, say, table
from models.devices.flops import forward_flops_per_token, sizes

ASSUMED_FLOPS_PER_SECOND = 7.8e10
"""Of a 2-core CPU on the quickstart's model, until the store has a measurement (benchmarks/quickstart.md, 2026-11)."""
_BYTES_PER_TOKEN = 3.0
_TOKENS_PER_ITEM = 300
"""Scored per benchmark item over all its choices, roughly (the mean of the quickstart's eight benchmarks)."""


def plan_json(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"study", "changes", "warnings", "stages": [...], "totals": {...}}`; evaluation is a kind of stage."""
    rows = []
    for stage in plan.stages:
        rows.append(_stage_row(plan, stage, store))
        rows.append(_evaluation_row(plan, stage, store))
    flops = sum(row["flops"] for row in rows)
    rate, basis = speed(plan, store)
    return {
        "study": plan.study.name,
        "changes": list(plan.changes),
        "warnings": [
            *(heldout_warnings(plan.study, plan.manifest) if isinstance(plan, PreparedPlan) else []),
            *part_warnings(plan.study, store),
        ],
        "stages": rows,
        "totals": {
            "tokens": sum(stage.tokens for stage in plan.stages),
            "tokens_without_sharing": sum(stage.tokens * len(stage.arms) for stage in plan.stages),
            "simulated_tokens": plan.study.simulated_tokens,
            "simulated_share": float(simulated_share(plan.study)),
            "flops": flops,
            "hours": flops / rate / 3600,
            "hours_left": sum(row["flops"] for row in rows if row["state"] != "done") / rate / 3600,
            "flops_per_second": rate,
            "speed": basis,
        },
    }


def _stage_row(plan: Plan, stage: PlannedStage, store: Path) -> dict[str, Any]:
    return {
        "id": stage.id,
        "kind": stage.stage.kind,
        "mixture": stage.stage.mixture.name,
        "parent": stage.parent,
        "tokens": stage.tokens,
        "tokens_requested": stage.stage.tokens,
        "tokens_by_source": stage.tokens_by_source,
        "tokens_by_kind": plan.tokens_by_kind(stage),
        "epochs_by_source": dict(stage.epochs) if isinstance(stage, PreparedStage) else {},
        "steps": stage.steps,
        "warmup_steps": min(max(0, stage.schedule.warmup_steps - stage.first_step), stage.steps),
        "peak_learning_rate": stage.schedule.peak,
        "flops": plan.flops(stage),
        "state": status.state(plan, stage, store),
        **_shared(plan, stage),
    }


def _evaluation_row(plan: Plan, stage: PlannedStage, store: Path) -> dict[str, Any]:
    size = plan.study.evaluation
    names = status.task_names(plan, stage)
    heldout = sum(name.startswith("heldout/") for name in names)
    tokens = heldout * size.heldout_bytes / _BYTES_PER_TOKEN + (len(names) - heldout) * size.items * _TOKENS_PER_ITEM
    return {
        **{"id": f"evaluate-{stage.id}", "kind": "evaluate", "mixture": None, "parent": stage.id},
        **dict.fromkeys(("tokens", "tokens_requested", "steps", "warmup_steps", "peak_learning_rate"), 0),
        **{"tokens_by_source": {}, "tokens_by_kind": {}, "epochs_by_source": {}},
        "flops": tokens * forward_flops_per_token(stage.model, stage.sequence),
        "state": status.evaluation_state(plan, stage, store),
        **_shared(plan, stage),
    }


def _shared(plan: Plan, stage: PlannedStage) -> dict[str, Any]:
    arms, model = list(stage.arms), stage.model.name
    fingerprint = stage.fingerprint if isinstance(stage, PreparedStage) else None
    return {"fingerprint": fingerprint, "arms": arms, "seed": stage.seed, "model": model}


def speed(plan: Plan, store: Path) -> tuple[float, str]:
    """FLOP/s to plan with, and where the figure is from."""
    flops = seconds = 0.0
    for stage in plan.stages:
        if isinstance(stage, PreparedStage) and status.state(plan, stage, store) == "done":
            flops += plan.flops(stage)
            seconds += read_end(stage_folder(store, stage.folder)).seconds
    if seconds:
        return flops / seconds, "measured on this store's finished stages"
    return ASSUMED_FLOPS_PER_SECOND, "assumed for 2 CPU cores"


_STAGE: Mapping[str, Column] = {"stage": "id", "kind": "kind", "arms": "arms", "state": "state"}


def print_plan(document: dict[str, Any], console: Console) -> None:
    """The plan as a table: a row for every training stage."""

    def by_kind(row: Mapping[str, Any]) -> str:
        return " ".join(f"{kind} {100 * n / row['tokens']:.1f}" for kind, n in row["tokens_by_kind"].items())

    def most_epochs(row: Mapping[str, Any]) -> str:
        most = max(row["epochs_by_source"].items(), key=lambda pair: pair[1], default=None)
        return f"{most[1]:.2f} {most[0]}" if most else "unprepared"

    columns: dict[str, Column] = {
        **_STAGE,
        "tokens": "tokens",
        "steps": "steps",
        "tokens by kind, %": by_kind,
        "most epochs": most_epochs,
        "TFLOP": (lambda row: row["flops"] / 1e12, ".1f"),
    }
    stages = [row for row in document["stages"] if row["kind"] != "evaluate"]
    console.print(table(f"Plan of {document['study']}", stages, columns))
    totals = document["totals"]
    say(console, *document["changes"], *document["warnings"])
    if totals["simulated_tokens"]:
        say(
            console,
            f"Every source is cut to {totals['simulated_share']:.3%}, so that epochs are those of a run of "
            f"{totals['simulated_tokens']:,} tokens.",
        )
    say(
        console,
        f"{totals['tokens']:,} tokens to train ({totals['tokens_without_sharing']:,} without sharing), "
        f"{totals['flops'] / 1e12:,.0f} TFLOP with evaluation; about {60 * totals['hours']:.1f} minutes in all, "
        f"{60 * totals['hours_left']:.1f} to go at {totals['flops_per_second'] / 1e9:.0f} GFLOP/s ({totals['speed']})",
    )


def status_json(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"study", "prepared", "changes", "counts": {state: n}, "stages": [...]}`, failed stages with "error"."""
    rows = [{key: row[key] for key in ("id", "kind", "arms", "state")} for row in plan_json(plan, store)["stages"]]
    for row in rows:
        if row["state"] == "failed":
            row["error"] = status.why_failed(plan.stage(row["id"]), store)
    known = {"study": plan.study.name, "prepared": isinstance(plan, PreparedPlan), "changes": list(plan.changes)}
    return {**known, "counts": dict(Counter(row["state"] for row in rows)), "stages": rows}


def print_status(document: dict[str, Any], console: Console) -> None:
    """One line per stage, and the sum."""
    state = lambda row: row["state"] + (f": {row['error']}" if "error" in row else "")  # noqa: E731
    console.print(table(f"Status of {document['study']}", document["stages"], {**_STAGE, "state": state}))
    counts = ", ".join(f"{n} {state}" for state, n in document["counts"].items())
    say(console, *document["changes"], f"data {'' if document['prepared'] else 'not '}prepared; {counts}")


def print_audit(document: dict[str, Any], console: Console) -> None:
    """Declared and realised tokens of every stage and source."""
    rows = [
        {"stage": stage["id"], "source": source, "declared": declared, "realised": stage["realised"].get(source, 0)}
        for stage in document["stages"]
        for source, declared in stage["declared"].items()
    ]
    columns: dict[str, Column] = {name: name for name in ("stage", "source", "declared", "realised")}
    columns |= {"difference": lambda row: row["realised"] - row["declared"]}
    console.print(table("Declared and realised tokens", rows, columns))
    found = [*document["problems"], *(f"{s['id']}: {problem}" for s in document["stages"] for problem in s["problems"])]
    say(console, *found, style="red")
    replayed = sum(len(stage["steps_replayed"]) for stage in document["stages"])
    verdict = "equal to the token" if document["equal"] else "NOT equal"
    read = "all tokens and held-out texts were read" if document["full"] else "--full reads all tokens as well"
    say(
        console,
        f"{len(document['stages'])} stages: {verdict}; {replayed} steps replayed against their digests",
        f"records and the size of every token shard were looked at; {read}",
    )


def models_json(sequence: int) -> dict[str, Any]:
    """`{"sequence", "models": [...]}`: every size that a study can name."""
    return {"sequence": sequence, "models": sizes(sequence)}


def print_models(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        "model": "name",
        **{name: name for name in ("vocabulary", "parameters")},
        "without embedding": "non_embedding",
        **{name.replace("_", "-"): name for name in ("layers", "width", "heads", "feed_forward")},
        "training GFLOP/token": (lambda row: row["flops_per_token"] / 1e9, ".3f"),
        "state, GB": (lambda row: row["state_bytes"] / 1e9, ".2f"),
        "peak learning rate": ("peak_learning_rate", "g"),
    }
    console.print(table(f"Models, FLOPs at {document['sequence']:,} tokens", document["models"], columns))


def print_fit(document: dict[str, Any], console: Console) -> None:
    """One row, what the step exchanges, and what was tried before; the way out where nothing fits."""
    columns: dict[str, Column] = {
        "model": "model",
        "topology": "topology",
        "fits": lambda row: "yes" if row["fits"] else "no",
        f"HBM GiB of {document['limit_gib']}": ("hbm_gib", ".2f"),
    }
    if document["fits"]:
        sides = ("compute_seconds", "hbm_seconds", "link_seconds")
        columns |= {
            "mesh": lambda row: " x ".join(f"{axis} {devices}" for axis, devices in row["mesh"].items()),
            "remat": "remat",
            "microbatches": lambda row: f"{row['microbatches']} x {row['microbatch']} sequences a chip",
            "step bound, s": lambda row: f"{row['step_seconds_bound']:.2f}, by {row['bound_by']}",
            "compute / HBM / links, s": lambda row: " / ".join(f"{row['roofline'][side]:.2f}" for side in sides),
            f"chip-hours of {document['tokens'] / 1e9:,.0f}B tokens": ("chip_hours", ",.0f"),
        }
    title = f"{document['batch']:,} sequences of {document['sequence']:,} tokens a step"
    console.print(table(title, [document], columns))
    for each in document["collectives"]:
        say(console, f"{each['kind']} over {each['axes']}: {each['count']} times, {each['gib']:.2f} GiB a chip")
    if document["tried"]:
        tried = document["tried"]
        say(console, f"{len(tried)} layouts with a shorter bound refused; the last: {tried[-1]}")
    if document["way_out"]:
        say(console, document["way_out"])
