"""The command line: `ablate`. Results go to stdout, progress and errors to stderr.

What takes long to load is imported by the command that needs it, inside `guard`: there an interruption ends in a line.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.guard import guard, writable
from experiments.commands.judge import judge_app
from experiments.commands.launch import launch
from experiments.commands.laws import law
from experiments.commands.lookup import asked, planned_as_run
from experiments.commands.mixture import mixture_app
from experiments.commands.new_data import evolve, fresh, make, synthesize
from experiments.commands.options import (
    RUNS,
    Json,
    ScaleName,
    Store,
    StudyName,
    Without,
    chip_hour_price,
    local_path,
    print_result,
)
from experiments.commands.propose import propose
from experiments.commands.results import check_claims, compare, report, signal, transfer
from experiments.commands.sandbox import sandbox_app
from experiments.commands.wandb import wandb_app
from store.errors import UserError

app = typer.Typer(
    help="What does code in the pre-training data do to a language model? Declare mixtures, train arms, compare them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def plan(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    plot: Annotated[
        Path | None, typer.Option(parser=local_path, help="Draw every arm's learning rate to this .svg or .png.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(parser=local_path, help="Draw the stages, and which go on from which, to this .svg.")
    ] = None,
    every_stage: Annotated[
        bool, typer.Option("--stages", help="Every stage in a row, those that differ in seed alone, too.")
    ] = False,
    price: Annotated[
        str, typer.Option("--price-per-chip-hour", help="A number, or a .json file with per_chip_hour and date.")
    ] = "",
    leave_out: Without = None,
    json: Json = False,
) -> None:
    """Show stages, tokens, epochs, FLOPs, time and cost before anything is trained."""
    from experiments.plan.find import without
    from experiments.plan.make import make_plan
    from experiments.plan.sources import as_made
    from experiments.show.plans import plan_json, print_plan

    per_hour = chip_hour_price(price)
    planned = make_plan(as_made(without(asked(study, scale), leave_out or []), store), store)
    if plot is not None:
        from experiments.show import rates

        rates.plot(planned, plot)
        print(f"learning rates: {plot}", file=sys.stderr)
    if svg is not None:
        from experiments.show.dag import draw
        from store.files import write_text

        write_text(svg, draw(planned))
        print(f"stages: {svg}", file=sys.stderr)
    document = plan_json(planned, store, per_hour)
    print_result(document, json, lambda _, console: print_plan(document, console, every_stage))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def prepare(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A study, or a source of the catalogue (see `ablate sources`).")],
    scale: ScaleName = "",
    store: Store = RUNS,
    executor: Annotated[
        str, typer.Option(help="pool: processes of this machine; beam: Apache Beam, with what follows as its options.")
    ] = "pool",
    workers: Annotated[int, typer.Option(min=1, help="Processes of the pool.")] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Only open the first file of every source, and say what is missing.")
    ] = False,
    json: Json = False,
) -> int:
    """Fetch, clean, decontaminate, tokenise and store the data of a study, or read and clean one source."""
    from experiments.commands.data import prepare_target, print_prepared
    from mixtures.steps.executors import beam, pool

    if executor not in ("pool", "beam"):
        raise UserError(f"executor '{executor}' is unknown; choose pool or beam")
    if context.args and executor == "pool":
        raise UserError(f"no such option: {context.args[0]}; options of Beam need --executor beam")
    if check:
        from experiments.commands.reach import print_reached, reach_target

        reached = reach_target(target, scale, store)
        print_result(reached, json, print_reached)
        return 1 if reached["missing"] else 0
    chosen = pool(workers) if executor == "pool" else beam(context.args, store)
    print_result(prepare_target(target, scale, store, chosen), json, print_prepared)
    return 0


@app.command()
def studies(json: Json = False) -> None:
    """List what can be asked: question, arms, scales and cost."""
    from experiments.show.studies import print_studies, studies_json

    print_result(studies_json(), json, print_studies)


@app.command()
def sources(json: Json = False) -> None:
    """List the catalogue: every source with its upstream, licence, expected tokens and filters."""
    from experiments.commands.data import print_sources, sources_json

    print_result(sources_json(), json, print_sources)


@app.command()
def decontaminate(
    target: Annotated[
        Path,
        typer.Argument(parser=local_path, help="A file or folder: .jsonl, .csv, .parquet, text; also .gz, .zst."),
    ],
    rule: Annotated[str, typer.Option(help="align, gpt4, gpt4-exhaustive or ngram.")] = "align",
    n: Annotated[int, typer.Option(help="Words of an n-gram, for ngram.")] = 13,
    drop: Annotated[float, typer.Option(help="Score from which a document is to be left out.")] = 0.5,
    report: Annotated[float, typer.Option(help="Score from which a match is shown.")] = 0.3,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Search for this one only, by name or file of rows; may be repeated.")
    ] = None,
    fields: Annotated[
        list[str] | None, typer.Option(help="How such a file is laid out: question=prompt,answer=completion.")
    ] = None,
    field: Annotated[
        str, typer.Option(help="Where the text of the target's rows is; text or content, if not said.")
    ] = "",
    selftest: Annotated[bool, typer.Option(help="Plant edited items in these documents; show what is found.")] = False,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Search documents for benchmark items; every study's data pass through this when they are prepared."""
    from experiments.commands import data
    from mixtures.benchmarks.own_rows import with_fields
    from mixtures.decontaminate.scan import Rule

    chosen, named = Rule(rule, n, drop, report), with_fields(benchmark or [], fields or [])
    if selftest:
        print_result(data.selftest(target, chosen, named, store, field), json, data.print_selftest)
    else:
        print_result(data.decontaminate(target, chosen, named, store, field), json, data.print_matches)


@app.command()
def benchmarks(
    fetch: Annotated[
        list[str] | None, typer.Option(help="Get this one's full official split from the hub; may be repeated.")
    ] = None,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """List the benchmarks: how many rows are here, of how many, and where they are from."""
    from experiments.show.benchmarks import benchmarks_json, print_benchmarks

    print_result(benchmarks_json(fetch or [], store), json, print_benchmarks)


for writer in (synthesize, fresh, make, evolve):
    app.command()(writer)


Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes; by default one for each core of a CPU, and one on an accelerator.")
]


@app.command()
def run(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    workers: Workers = None,
    leave_out: Without = None,
) -> None:
    """Run what is missing of a study and write its report; after an interruption, carry on."""
    from experiments.commands.run import run_study
    from experiments.plan.find import without

    print(f"report: {run_study(without(asked(study, scale), leave_out or []), store, workers)}")


@app.command()
def train(study: StudyName, scale: ScaleName = "", store: Store = RUNS, workers: Workers = None) -> None:
    """Train what is missing of a study whose data are prepared; nothing is scored. On several hosts, `ablate work`."""
    from experiments.commands.run import train_study

    train_study(asked(study, scale), store, workers)


@app.command()
def work(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    only: Annotated[str, typer.Option(help="train or score, which waits for what others train; both if empty.")] = "",
    max_stages: Annotated[int | None, typer.Option(min=1, help="End after so many were trained or scored.")] = None,
    canary: Annotated[
        bool, typer.Option("--canary", help="Begin one stage, and others once it has a checkpoint.")
    ] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="This is one of several processes, started alike on every host.")
    ] = False,
    price_per_chip_hour: Annotated[str, typer.Option(help="For --max-cost: a number, or a .json file.")] = "",
    max_cost: Annotated[float | None, typer.Option(min=0, help="Of all workers; at it they save and end (42).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for everything that is taken.")] = False,
    leave_out: Without = None,
) -> None:
    """Do what is missing of a study whose data are prepared, beside other workers, until nothing is left to take."""
    from experiments.commands.work_on import Asked, work_on
    from experiments.plan.find import without

    price = chip_hour_price(price_per_chip_hour)
    how = Asked(only, max_stages, canary, distributed, price, max_cost, json)
    work_on(without(asked(study, scale), leave_out or []), store, how)


@app.command()
def status(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second until all is done.")] = False,
    json: Json = False,
) -> None:
    """Say what is done, running, waiting or failed."""
    from experiments.show.states import print_status, status_json

    if watch and json:
        raise UserError("--watch is for people to look at; leave out --json, or --watch")
    if watch:
        from experiments.show.watch import watch as watch_plan

        watch_plan(lambda: planned_as_run(study, scale, store), store)
        return
    print_result(status_json(planned_as_run(study, scale, store), store), json, print_status)


@app.command()
def audit(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    full: Annotated[bool, typer.Option("--full", help="Read all tokens and compare them with their digests.")] = False,
    json: Json = False,
) -> None:
    """Verify records, data and tokens read against what was declared; exit 1 on a difference."""
    from experiments.audit import audit as audit_plan
    from experiments.show.states import print_audit

    document = audit_plan(planned_as_run(study, scale, store), store, full)
    print_result(document, json, print_audit)
    if not document["equal"]:
        raise typer.Exit(1)


app.add_typer(mixture_app, name="mixture")
mixture_app.command("audit")(audit)


for command in (compare, signal, transfer, law, propose, check_claims, report, launch):
    app.command()(command)


@app.command()
def models(
    sequence: Annotated[int, typer.Option(min=1, help="Tokens in a sequence, for the FLOPs.")] = 8_192,
    json: Json = False,
) -> None:
    """List the model sizes: parameters, widths, FLOPs per token, bytes of state, peak learning rate."""
    from experiments.show.models import models_json, print_models

    print_result(models_json(sequence), json, print_models)


@app.command()
def fit(
    model: Annotated[str, typer.Argument(help="A size of `ablate models`, such as 2.8b.")],
    topology: Annotated[str, typer.Option(help="A slice of TPU v5e, such as v5e:16x16; or gpu, the one that is here.")],
    sequence: Annotated[int, typer.Option(min=1, help="Tokens in a sequence.")] = 8_192,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a step.")] = 512,
    tokens: Annotated[float, typer.Option(min=1, help="The budget that chip-hours are for.")] = 200e9,
    precision: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    json: Json = False,
) -> None:
    """Find the layout of a train step and write it into the table that training reads; exit 1 if none fits.

    For a slice of TPU the step is compiled with no TPU, for a GPU it is compiled and run.
    """
    from experiments.commands.fit import fit_model
    from experiments.show.models import print_fit

    found = fit_model(model, topology, sequence, batch, tokens, precision)
    print_result(found, json, print_fit)
    if not found["fits"]:
        raise typer.Exit(1)


@app.command()
def evaluate(
    target: Annotated[
        str, typer.Argument(help="A folder under the store's stages/, the beginning of its name, or an exported model.")
    ],
    tasks: Annotated[
        str, typer.Option(help="Names with commas between, such as boolq,heldout/code; all if empty.")
    ] = "",
    items: Annotated[int, typer.Option(min=0, help="Items of each benchmark, the first by sha256; 0 for all.")] = 100,
    shots: Annotated[int, typer.Option(min=0, max=99, help="Examples before every question.")] = 0,
    out: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write scores and items to this .json file, too.")
    ] = None,
    inference: Annotated[
        str, typer.Option(help="What a stage is scored in: float32, bfloat16, int8 or int4 (the weights' bits).")
    ] = "float32",
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Score one finished stage or exported model (CohereForCausalLM); what was scored before is not scored again."""
    from experiments.commands.evaluate import evaluate_target, print_evaluated
    from models.devices.threads import a_device_a_core

    a_device_a_core()
    print_result(evaluate_target(target, store, tasks, items, shots, out, inference), json, print_evaluated)


@app.command()
def export(
    stage: Annotated[str, typer.Argument(help="A folder under the store's stages/, or the beginning of its name.")],
    out: Annotated[Path, typer.Option(parser=local_path, help="Folder to write; it must not be there.")],
    store: Store = RUNS,
) -> None:
    """Write a finished stage as a folder that transformers and vLLM open (CohereForCausalLM)."""
    from experiments.run.trained import export_stage

    print(f"exported: {export_stage(stage, store, out)}")


app.add_typer(judge_app, name="judge")

app.add_typer(sandbox_app, name="sandbox")

app.add_typer(wandb_app, name="wandb")


def main() -> None:
    """Entry point of `ablate`."""
    sys.stdout, sys.stderr = writable(sys.stdout), writable(sys.stderr)
    # Not in typer's standalone mode, which would swallow an interruption and its advice.
    guard(lambda: app(standalone_mode=False))
