"""`ablate compare`, `signal`, `transfer`, `check-claims` and `report`: what was found, from the records alone."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.lookup import asked, planned_as_run
from experiments.commands.options import RUNS, Json, ScaleName, Store, StudyName, local_path, margins, print_result
from store.errors import UserError


def compare(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    baseline: Annotated[str, typer.Option(help="Compare all arms with this one.")] = "",
    arms: Annotated[
        tuple[str, str] | None,
        typer.Option(help="A against B alone; of another study STUDY:ARM, of another store FOLDER/STUDY:ARM."),
    ] = None,
    at: Annotated[str, typer.Option(help="final, before-cooldown, or stage-1, the end of the first stage.")] = "",
    margin: Annotated[
        list[str] | None,
        typer.Option(help="How far apart is still equivalent: bpb=0.01 or heldout/code/bpb=0.02; may be repeated."),
    ] = None,
    last: Annotated[
        int, typer.Option(help="Average so many scored checkpoints of a run, up to the point, item by item.")
    ] = 1,
    every: Annotated[bool, typer.Option("--all", help="Every metric with its interval.")] = False,
    json: Json = False,
) -> None:
    """Compare every arm with the baseline, or any two: paired differences, intervals, verdicts."""
    from analysis.choice import Choice
    from analysis.compare import compare as compare_arms
    from analysis.compare import to_json
    from analysis.report.terminal import print_all, print_answer

    choice = Choice(baseline, arms, at, margins(margin or []), last)
    comparison = compare_arms(store, asked(study, scale).key, choice)
    show = print_all if every else print_answer
    print_result(to_json(comparison), json, lambda _, console: show(comparison, console))


def signal(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    last: Annotated[
        int, typer.Option(help="Checkpoints at the end of a run, of one kind of stage and mixture, whose noise counts.")
    ] = 3,
    json: Json = False,
) -> None:
    """Say which tasks and metrics can tell the arms apart: noise of seeds and checkpoints, spread, chance, order."""
    from analysis.rungs.signal import card, to_json
    from experiments.commands.signal import print_card

    found = card(store, asked(study, scale).key, last)
    print_result(to_json(found), json, lambda _, console: print_card(found, console))


def transfer(
    study: StudyName,
    small: Annotated[str, typer.Option("--from", help="The scale that is to be trusted, such as laptop.")],
    large: Annotated[str, typer.Option("--to", help="The scale that says how far, such as desktop.")],
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Hold a study's results at two scales beside each other: decisions, conclusions, what effects are in tokens."""
    from experiments.show.rungs import print_rungs, rungs_json

    keys = [asked(study, scale).key for scale in (small, large)]
    print_result(rungs_json(store, study, *keys), json, print_rungs)


def check_claims(
    study: Annotated[str, typer.Argument(help="Say of each claim what this study's records show, too.")] = "",
    scale: ScaleName = "",
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Recompute the claims of arXiv:2408.10914 from its own numbers; with a study, hold them beside its records."""
    from experiments.commands import claims

    print_result(claims.check_claims(study, scale, store), json, claims.print_claims)


def report(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    form: Annotated[str, typer.Option("--format", help="html, or wandb: a report beside the runs there.")] = "html",
    spec: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write W&B's spec of it to this .json file, with no network.")
    ] = None,
    paper_values: Annotated[
        bool, typer.Option("--paper-values", help="Show the values that the paper published beside those of its arms.")
    ] = False,
) -> None:
    """Write the report again from the records."""
    from experiments.show.report import publish_report, write_report, write_spec

    if form not in ("html", "wandb"):
        raise UserError(f"format '{form}' is unknown; choose html or wandb")
    if spec is not None and form != "wandb":
        raise UserError("--spec is of a W&B report; add --format wandb")
    planned = planned_as_run(study, scale, store)
    if form == "html":
        print(f"report: {write_report(planned, store, paper_values)}")
    elif spec is not None:
        print(f"spec: {write_spec(planned, store, spec)}")
        print(
            f"`ablate report {planned.study.typed} --format wandb` publishes it, once you have logged in",
            file=sys.stderr,
        )
    else:
        print(f"report: {publish_report(planned, store)}")
