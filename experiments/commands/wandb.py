"""`ablate wandb`: a study's runs in Weights & Biases, which is a view of the store's records."""

import sys
import time
from typing import Annotated

import typer

from experiments.commands.options import RUNS, ScaleName, Store, StudyName
from store.errors import UserError

wandb_app = typer.Typer(help="Runs and results in Weights & Biases, a view of the records.", no_args_is_help=True)


@wandb_app.command()
def push(
    study: StudyName,
    scale: ScaleName = "",
    store: Store = RUNS,
    offline: Annotated[
        bool, typer.Option("--offline", help="Write runs under the store's wandb/, for `wandb sync`.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is new until the study is done.")] = False,
) -> None:
    """Send what W&B does not have of a study: runs, scores, tables; call it as often as you like."""
    from analysis.records import read_study
    from experiments.plan.find import as_last_run, find_study
    from experiments.plan.make import prepared_plan
    from experiments.plan.sources import as_made
    from experiments.tracking import mode
    from experiments.tracking import push as sending

    asked = find_study(study, scale)
    now = mode.mode()
    if now == "disabled":
        print("WANDB_MODE is disabled; nothing is sent", file=sys.stderr)
        return
    if now == "offline" and not offline:
        raise UserError(
            "you have not logged in to W&B, or WANDB_MODE is offline; `wandb login` or WANDB_API_KEY, or write offline "
            "runs with --offline"
        )
    if follow and offline:
        raise UserError("--follow sends to a server; leave out --offline, or --follow")
    read_study(store, asked.key)  # before a plan asks for data of a study that was never run
    plan = prepared_plan(as_made(as_last_run(asked, store), store), store)
    if follow:
        sending.follow(plan, store, _pause, lambda line: print(line, file=sys.stderr))
        return
    sent, where = sending.push(plan, store, offline)
    print(f"{sent.rows:,} rows, {sent.runs} runs sent to {where}" if sent.runs else f"nothing new for {where}")


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
