"""`ablate launch`: show what a study costs on so many slices, ask, and have an engine run it."""

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.commands.options import Json, ScaleName, chip_hour_price, local_path, print_result, store_path
from store.errors import Failure, UserError

if TYPE_CHECKING:
    from experiments.launch.slices import Slice
    from experiments.launch.sweep import Launch
    from experiments.plan.stage import PreparedPlan

ENGINES = ("local", "skypilot", "jobset")
NO_IMAGE = "ablate"
"""What files of a dry run name where no image was."""


def launch(
    study: Annotated[str, typer.Argument(help="See `ablate studies`; of --status and --cancel all, if none.")] = "",
    scale: ScaleName = "",
    engine: Annotated[str, typer.Option(help="local: processes here; skypilot: TPU VMs; jobset: a GKE cluster.")] = "",
    slice_name: Annotated[
        str, typer.Option("--slice", help="What a worker runs on, as v5litepod-256; of local cpu:N, N processes.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, max=99, help="Slices at work; by default as many as are kept busy, up to 8.")
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="On machines that are cheaper and may be taken away.")] = False,
    image: Annotated[str, typer.Option(help="The image that workers run, as its registry has it.")] = "",
    secret: Annotated[
        list[str] | None, typer.Option(help="Name of a variable that workers need, as WANDB_API_KEY; may be repeated.")
    ] = None,
    price_typed: Annotated[
        str, typer.Option("--price-per-chip-hour", help="A number, or a .json file with per_chip_hour and date.")
    ] = "",
    max_cost: Annotated[
        float | None, typer.Option(help="Dollars: more is not launched, and workers stop when so much was used.")
    ] = None,
    canary: Annotated[
        bool, typer.Option("--canary", help="Have one worker reach a first checkpoint before the others start.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show and write, submit nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write the engine's files and launch.json there, too.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    show_status: Annotated[bool, typer.Option("--status", help="How far launches are, as the store says.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End what a launch started; its records stay.")] = False,
    store_typed: Annotated[
        str, typer.Option("--store", help="As of other commands; of workers gs://bucket/path.")
    ] = "runs",
    json: Json = False,
) -> None:
    """Run a study on slices of TPU: cost, fit and duration are shown, then you are asked; --dry-run submits nothing."""
    from experiments.commands.lookup import asked
    from experiments.launch import before, submit, sweep
    from experiments.plan.stage import Plan, PreparedPlan

    if show_status or cancel:
        _of_launched(study, scale, store_path(store_typed), cancel, json)
        return
    slice_ = _slice(engine, slice_name)
    price = _price(price_typed, max_cost)
    secrets = _names(secret or [])
    if not study:
        raise UserError("no study is named; `ablate studies` lists what can be launched")
    question = sweep.scaled(asked(study, scale), slice_)
    plan: Plan
    if dry_run:
        plan, forecast, store = before.without_a_store(question, store_path, store_typed, price)
    else:
        store = store_path(store_typed)
        plan, forecast = before.ready(question, store, price, engine, image)
    warnings = sweep.check_fits(plan, slice_)
    launched = sweep.planned(
        plan,
        forecast,
        slice_,
        workers,
        before.spent(plan, store, price if max_cost is not None else None),
        engine=engine,
        store=store_typed,
        image=image or NO_IMAGE,
        spot=spot,
        secrets=secrets,
        price=price,
        max_cost=max_cost,
    )
    _show(launched, forecast, [*warnings, *_cautions(launched)], canary, out, json)
    if dry_run:
        return
    if submit.known(store, launched.name) and not canary:
        print(f"warning: {launched.name} was launched before; --cancel ends what of it still runs", file=sys.stderr)
    assert isinstance(plan, PreparedPlan), "it is ready"
    if not launched.hours:
        print("nothing is missing; nothing was submitted", file=sys.stderr)
    elif _agreed(yes):
        _start(launched, plan, store, canary)


def _slice(engine: str, name: str) -> "Slice":
    from experiments.launch.slices import find_processes, find_slice

    if engine not in ENGINES:
        raise UserError(f"engine '{engine[:60]}' is unknown; choose one of {', '.join(ENGINES)}")
    if engine == "local":
        return find_processes(name or "cpu:1")
    return find_slice(name, tpu_vm=engine == "skypilot")


def _price(typed: str, max_cost: float | None) -> float | None:
    price = chip_hour_price(typed)
    if max_cost is not None and not (math.isfinite(max_cost) and max_cost > 0):
        raise UserError(f"--max-cost is {max_cost:g}; write dollars above 0")
    if max_cost is not None and price is None:
        raise UserError("--max-cost needs a price to count with; add --price-per-chip-hour")
    return price


def _names(typed: list[str]) -> tuple[str, ...]:
    """Of secrets. What was typed is not repeated: it may hold one."""
    if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in typed):
        raise UserError("--secret takes the name of a variable, such as WANDB_API_KEY, and never what it holds")
    return tuple(dict.fromkeys(typed))


def _cautions(launched: "Launch") -> list[str]:
    """What only a dry run lets pass."""
    lines = []
    if launched.engine != "local" and launched.image == NO_IMAGE:
        lines.append(f"no --image is named; the files say '{NO_IMAGE}'")
    if launched.engine != "local" and "://" not in launched.store:
        lines.append(f"store {launched.store} is on this machine, where workers cannot reach it")
    return lines


def _show(
    launched: "Launch", forecast: dict[str, Any], warnings: list[str], canary: bool, out: Path | None, json: bool
) -> None:
    """Write files where that is asked for, and print the plan and what the launch makes of it."""
    from experiments.launch import submit, sweep
    from experiments.show.launches import print_launch

    workers = sweep.workers(launched, canary)
    if out is None:
        kept = sweep.record(launched, workers)
    else:
        kept = submit.write_files(launched, out, workers)
        print(f"{len(kept['files'])} files and launch.json in {out}", file=sys.stderr)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    print_result({"launch": kept, "busy": launched.busy, "plan": forecast}, json, print_launch)


def _agreed(yes: bool) -> bool:
    """Whether to go on. Raises UserError where nobody is there to be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("nobody is there to be asked whether to launch this; add --yes (nothing was submitted)")
    print("launch this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was submitted", file=sys.stderr)
    return False


def _start(launched: "Launch", plan: "PreparedPlan", store: Path, canary: bool) -> None:
    """Submit the workers; of a canary the first alone, and the others once the store has a checkpoint of it.

    Interrupted while it waits, the same command waits for the same worker.
    """
    from experiments.commands.work_on import TRIES
    from experiments.launch import canary as cell
    from experiments.launch import submit, sweep

    workers = sweep.workers(launched, canary)
    first, rest = (workers[:1], workers[1:]) if canary and launched.engine != "local" else ([], workers)
    if first:
        known = submit.known(store, launched.name).get("canary")
        if known is None:
            known = cell.seen(plan, store)
            submit.keep(launched, store, workers, canary=known)
            submit.submit(launched, first)
        print(cell.wait(plan, store, known, TRIES), file=sys.stderr)
    submit.keep(launched, store, workers)
    submit.submit(launched, rest)
    if launched.engine == "local":
        _judge(plan, store)
    else:
        names = ", ".join(worker.name for worker in workers)
        print(f"submitted: {names}; `ablate launch --status` says how far they are")


def _judge(plan: "PreparedPlan", store: Path) -> None:
    """Whether all is done, by the markers in the store. Raises Failure where it is not."""
    from experiments.plan import status

    scored = status.scoring(plan, store, status.states(plan, store))
    missing = [id for id, state in scored.items() if state not in ("done", "gaps")]
    if missing:
        raise Failure(
            f"workers ended, and {len(missing)} of {len(scored)} stages are not trained and scored, such as "
            f"{missing[0]}; `ablate status {plan.study.typed}` says why"
        )
    print(f"done: {len(scored)} stages are trained and scored")


def _of_launched(study: str, scale: str, store: Path, cancel: bool, json: bool) -> None:
    from experiments.commands.lookup import asked
    from experiments.launch import submit
    from experiments.launch.sweep import launch_name
    from experiments.show.launches import launches_json, print_launches

    records = submit.read(store, launch_name(asked(study, scale).key) if study else "")
    if not cancel:
        print_result(launches_json(records, store), json, print_launches)
        return
    for record in records:
        print(submit.cancel(store, record))
