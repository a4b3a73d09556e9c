"""`ablate work`: one of any number of workers, on any machines, that share a store and a study in it."""

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from analysis.records import write
from experiments.plan import status
from experiments.plan.make import prepared_plan
from experiments.plan.sources import as_made
from experiments.plan.starts import check_trained
from experiments.run.stops import StopRequested
from experiments.run.train import study_record
from experiments.study import Study
from experiments.tracking.follower import followed
from experiments.workers import gang, limits, ready
from experiments.workers.ready import Job
from experiments.workers.work import Terms, work
from store import layout
from store.errors import Failure, UserError
from store.lock import shared_store

TRIES = 4
"""A stage that failed is tried three times more."""


@dataclass(frozen=True)
class Asked:
    """The options of `ablate work`.

    Attributes:
        only: "train" or "score"; "" for both.
        max_stages: it ends when it has trained or scored so many.
        canary: nothing else is begun before one stage has a checkpoint.
        distributed: this is one of several processes that train and score every stage together.
        price, max_cost: of an hour of one device, and of all that all workers do.
        json: a line for every node that is taken, for machines.
    """

    only: str = ""
    max_stages: int | None = None
    canary: bool = False
    distributed: bool = False
    price: float | None = None
    max_cost: float | None = None
    json: bool = False


def work_on(study: Study, store: Path, asked: Asked) -> None:
    """Work on `study` until nothing of it is left that could come this way.

    Raises:
        UserError: what is asked does not go together, the plan cannot be met, its data are not prepared, or what
            it starts from is not trained.
        Failure: stages failed as often as they may, the cap was reached before, or the store is away.
        StopRequested: SIGTERM came or the cap was reached; the state is saved.
    """
    _require_sense(asked)
    study = as_made(study, store)
    plan = prepared_plan(study, store)
    check_trained(plan, store)
    terms = Terms(
        trains=asked.only != "score",
        scores=asked.only != "train",
        tries=TRIES,
        stages=asked.max_stages,
        released=limits.canary(plan, store, TRIES) if asked.canary else lambda: True,
        claimed=_printed if asked.json else _said,
    )
    with ExitStack() as hold:
        if asked.price is not None and asked.max_cost is not None:
            hold.enter_context(limits.capped(plan, store, asked.price, asked.max_cost))
        if asked.distributed:
            # Where one process fails all end, and are started again: the store knows how often.
            gang.work_on_hosts(study, store, terms, StopRequested.exit_code)
        else:
            hold.enter_context(shared_store(store))
            write(store / layout.STUDIES / study.key / layout.STUDY, study_record(plan, store))
            hold.enter_context(followed(plan, store))
            work(plan, store, terms)
    if failed := [stage for stage in plan.stages if ready.failed(store, stage, TRIES)]:
        raise Failure("\n".join(f"{stage.id}: {status.why_failed(stage, store)}" for stage in failed))


def _require_sense(asked: Asked) -> None:
    if asked.only not in ("", "train", "score"):
        raise UserError(f"--only {asked.only} is neither train nor score")
    if (asked.price is None) != (asked.max_cost is None):
        raise UserError("--max-cost needs --price-per-chip-hour, and that is for --max-cost; give both")


def _printed(job: Job) -> None:
    what = {"node": "train" if job.trains else "score", "stage": job.stage.id, "folder": job.stage.folder}
    print(json.dumps(what), flush=True)


def _said(job: Job) -> None:
    print(f"{'training' if job.trains else 'scoring'} {job.stage.id}", file=sys.stderr, flush=True)
