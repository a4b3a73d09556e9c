"""A plan and its state, as data for machines and as tables for people."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.records import read_end, stage_folder
from experiments.plan import status
from experiments.plan.epochs import heldout_warnings
from experiments.plan.make import simulated_share
from experiments.plan.stage import Plan, PlannedStage
from experiments.show.benchmarks import part_warnings
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
            *(heldout_warnings(plan.study, plan.manifest) if plan.manifest else []),
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
        "fingerprint": stage.fingerprint,
        "arms": list(stage.arms),
        "seed": stage.seed,
        "kind": stage.stage.kind,
        "model": plan.study.model.name,
        "mixture": stage.stage.mixture.name,
        "parent": stage.parent,
        "tokens": stage.tokens,
        "tokens_requested": stage.stage.tokens,
        "tokens_by_source": stage.tokens_by_source,
        "tokens_by_kind": plan.tokens_by_kind(stage),
        "epochs_by_source": dict(stage.epochs) if stage.epochs else {},
        "steps": stage.steps,
        "warmup_steps": min(max(0, stage.schedule.warmup_steps - stage.first_step), stage.steps),
        "peak_learning_rate": stage.schedule.peak,
        "flops": plan.flops(stage),
        "state": status.state(plan, stage, store),
    }


def _evaluation_row(plan: Plan, stage: PlannedStage, store: Path) -> dict[str, Any]:
    size = plan.study.evaluation
    names = status.task_names(plan, stage)
    heldout = [name for name in names if name.startswith("heldout/")]
    tokens = (
        len(heldout) * size.heldout_bytes / _BYTES_PER_TOKEN
        + (len(names) - len(heldout)) * size.items * _TOKENS_PER_ITEM
    )
    return {
        "id": f"evaluate-{stage.id}",
        "fingerprint": stage.fingerprint,
        "arms": list(stage.arms),
        "seed": stage.seed,
        "kind": "evaluate",
        "model": plan.study.model.name,
        "mixture": None,
        "parent": stage.id,
        "tokens": 0,
        "tokens_requested": 0,
        "tokens_by_source": {},
        "tokens_by_kind": {},
        "epochs_by_source": {},
        "steps": 0,
        "warmup_steps": 0,
        "peak_learning_rate": 0.0,
        "flops": tokens * forward_flops_per_token(plan.study.model, plan.study.sequence),
        "state": status.evaluation_state(plan, stage, store),
    }


def speed(plan: Plan, store: Path) -> tuple[float, str]:
    """FLOP/s to plan with, and where the figure is from."""
    flops = seconds = 0.0
    for stage in plan.stages:
        path = stage_folder(store, stage.folder) / "done.json"
        if stage.fingerprint and path.exists():
            flops += plan.flops(stage)
            seconds += read_end(path.parent).seconds
    if seconds:
        return flops / seconds, "measured on this store's finished stages"
    return ASSUMED_FLOPS_PER_SECOND, "assumed for 2 CPU cores"


def print_plan(document: dict[str, Any], console: Console) -> None:
    """The plan as a table: a row for every training stage."""
    table = Table(title=f"Plan of {document['study']}", title_justify="left")
    for name in ("stage", "kind", "arms", "state"):
        table.add_column(name, overflow="fold")
    for name in ("tokens", "steps", "tokens by kind, %", "most epochs", "TFLOP"):
        table.add_column(name, justify="right")
    for row in document["stages"]:
        if row["kind"] == "evaluate":
            continue
        by_kind = " ".join(f"{kind} {100 * n / row['tokens']:.1f}" for kind, n in row["tokens_by_kind"].items())
        epochs = max(row["epochs_by_source"].items(), key=lambda pair: pair[1], default=None)
        table.add_row(
            row["id"],
            row["kind"],
            ", ".join(row["arms"]),
            row["state"],
            f"{row['tokens']:,}",
            f"{row['steps']:,}",
            by_kind,
            f"{epochs[1]:.2f} {epochs[0]}" if epochs else "unprepared",
            f"{row['flops'] / 1e12:.1f}",
        )
    console.print(table)
    _print_changes(document, console)
    totals = document["totals"]
    if totals["simulated_tokens"]:
        console.print(
            f"Every source is cut to {totals['simulated_share']:.3%}, so that epochs are those of a run of "
            f"{totals['simulated_tokens']:,} tokens.",
            highlight=False,
        )
    console.print(
        f"{totals['tokens']:,} tokens to train ({totals['tokens_without_sharing']:,} without sharing), "
        f"{totals['flops'] / 1e12:,.0f} TFLOP with evaluation; about {60 * totals['hours']:.1f} minutes in all, "
        f"{60 * totals['hours_left']:.1f} to go at {totals['flops_per_second'] / 1e9:.0f} GFLOP/s ({totals['speed']})",
        highlight=False,
    )


def _print_changes(document: dict[str, Any], console: Console) -> None:
    for line in (*document["changes"], *document.get("warnings", ())):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def status_json(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"study", "prepared", "changes", "counts": {state: n}, "stages": [...]}`, failed stages with "error"."""
    rows = [{key: row[key] for key in ("id", "kind", "arms", "state")} for row in plan_json(plan, store)["stages"]]
    for row in rows:
        if row["state"] == "failed":
            row["error"] = status.why_failed(plan.stage(row["id"]), store)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    prepared = plan.manifest is not None
    return {
        **{"study": plan.study.name, "prepared": prepared, "changes": list(plan.changes)},
        **{"counts": counts, "stages": rows},
    }


def print_status(document: dict[str, Any], console: Console) -> None:
    """One line per stage, and the sum."""
    table = Table(title=f"Status of {document['study']}", title_justify="left")
    for name in ("stage", "kind", "arms", "state"):
        table.add_column(name, overflow="fold")
    for row in document["stages"]:
        table.add_row(
            row["id"],
            row["kind"],
            ", ".join(row["arms"]),
            row["state"] + (f": {row['error']}" if "error" in row else ""),
        )
    console.print(table)
    _print_changes(document, console)
    console.print(
        ("data prepared" if document["prepared"] else "data not prepared")
        + "; "
        + ", ".join(f"{n} {state}" for state, n in document["counts"].items())
    )


def print_audit(document: dict[str, Any], console: Console) -> None:
    """Declared and realised tokens of every stage and source."""
    table = Table(title="Declared and realised tokens", title_justify="left")
    for name in ("stage", "source"):
        table.add_column(name, overflow="fold")
    for name in ("declared", "realised", "difference"):
        table.add_column(name, justify="right")
    for stage in document["stages"]:
        for source, declared in stage["declared"].items():
            realised = stage["realised"].get(source, 0)
            table.add_row(stage["id"], source, f"{declared:,}", f"{realised:,}", f"{realised - declared:,}")
    console.print(table)
    found = [*document["problems"], *(f"{s['id']}: {problem}" for s in document["stages"] for problem in s["problems"])]
    for problem in found:
        console.print(Text(problem, "red"), soft_wrap=True)
    replayed = sum(len(stage["steps_replayed"]) for stage in document["stages"])
    verdict = "equal to the token" if document["equal"] else "NOT equal"
    console.print(f"{len(document['stages'])} stages: {verdict}; {replayed} steps replayed against their digests")
    console.print(
        "records and the size of every token shard were looked at"
        + ("; all tokens and held-out texts were read" if document["full"] else "; --full reads all tokens as well")
    )


def models_json(sequence: int) -> dict[str, Any]:
    """`{"sequence", "models": [...]}`: every size that a study can name."""
    return {"sequence": sequence, "models": [asdict(size) for size in sizes(sequence)]}


def print_models(document: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Models, FLOPs at {document['sequence']:,} tokens", title_justify="left")
    table.add_column("model")
    columns = ("vocabulary", "parameters", "without embedding", "layers", "width", "heads", "feed-forward")
    for name in (*columns, "training GFLOP/token", "state, GB", "peak learning rate"):
        table.add_column(name, justify="right")
    for row in document["models"]:
        counts = ("vocabulary", "parameters", "non_embedding", "layers", "width", "heads", "feed_forward")
        table.add_row(
            row["name"],
            *(f"{row[name]:,}" for name in counts),
            f"{row['flops_per_token'] / 1e9:.3f}",
            f"{row['state_bytes'] / 1e9:.2f}",
            f"{row['peak_learning_rate']:g}",
        )
    console.print(table)


def print_fit(row: dict[str, Any], console: Console) -> None:
    """One row, what the step exchanges, and what was tried before; the way out where nothing fits."""
    table = Table(title=f"{row['batch']:,} sequences of {row['sequence']:,} tokens a step", title_justify="left")
    for name in ("model", "topology", "fits", f"HBM GiB of {row['limit_gib']}"):
        table.add_column(name)
    cells = [row["model"], row["topology"], "yes" if row["fits"] else "no", f"{row['hbm_gib']:.2f}"]
    if row["fits"]:
        bound = row["roofline"]
        for name in ("mesh", "remat", "microbatches", "step bound, s", "compute / HBM / links, s"):
            table.add_column(name)
        table.add_column(f"chip-hours of {row['tokens'] / 1e9:,.0f}B tokens")
        mesh = " x ".join(f"{axis} {devices}" for axis, devices in row["mesh"].items())
        cells += [mesh, row["remat"], f"{row['microbatches']} x {row['microbatch']} sequences a chip"]
        cells += [f"{row['step_seconds_bound']:.2f}, by {row['bound_by']}"]
        cells += [" / ".join(f"{bound[side]:.2f}" for side in ("compute_seconds", "hbm_seconds", "link_seconds"))]
        cells += [f"{row['chip_hours']:,.0f}"]
    table.add_row(*cells)
    console.print(table)
    for each in row["collectives"]:
        console.print(f"{each['kind']} over {each['axes']}: {each['count']} times, {each['gib']:.2f} GiB a chip")
    if row["tried"]:
        console.print(f"{len(row['tried'])} layouts with a shorter bound refused; the last: {row['tried'][-1]}")
    if row["way_out"]:
        console.print(row["way_out"])
