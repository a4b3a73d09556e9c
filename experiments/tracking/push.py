"""Sending a study to W&B: what is new of every stage, once, however often and wherever this is stopped.

What was sent is noted beside the store's runs, by target, when W&B has said that it has it; then a second push opens
no run. Where that note is lost W&B itself knows how far a run is. Rows are only ever added: after training fell back to
an older checkpoint, the rows that it makes again are the ones that W&B has. A stage that several studies read is one
run, in the group of the study that was pushed last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.ledger_rows import read_ledger
from analysis.records import StudyRecord, read_study
from experiments.plan import status
from experiments.plan.stage import PreparedPlan
from experiments.tracking.stage_run import history, stage_run, summary
from store.errors import Failure
from store.files import read_json, write_json
from store.lock import exclusive

FOLDER, LOCK = "wandb", "lock"
SECONDS, PATIENCE = 30.0, 600.0
"""Between two looks for what is new, and at most between two tries while W&B fails."""


@dataclass(frozen=True)
class Sent:
    """Runs and rows that one push has sent."""

    runs: int
    rows: int


def push(plan: PreparedPlan, store: Path, offline: bool = False) -> tuple[Sent, str]:
    """Send what is new of a study to W&B, or write it as offline runs under the store; where that is, too.

    Raises:
        UserError: the study was never run in this store.
        Failure: W&B cannot be reached, rejects the key or does not take it; another process sends; a record is damaged.
    """
    record = read_study(store, plan.study.key)
    with exclusive(store / FOLDER / LOCK, f"sending store {store} to W&B"):
        return _push(plan, store, offline, record)


def follow(plan: PreparedPlan, store: Path, pause: Callable[[float], bool], tell: Callable[[str], None]) -> bool:
    """Push what is new every SECONDS, until all of the study is done and sent, or `pause` says that it is time to end.

    Args:
        plan: of the study.
        store: root of the records.
        pause: waits so many seconds, and says whether this is over; then there is one last push.
        tell: given a line when something was sent or went wrong, which stops nothing.

    Returns:
        Whether the last push sent all there was.
    """
    wait, over = SECONDS, False
    while True:
        ended = over or _done(plan, store)
        try:
            sent, where = push(plan, store)
        except Failure as error:
            tell(f"warning: {error}")
            wait = min(2 * wait, PATIENCE)
            if over:
                return False
        else:
            wait = SECONDS
            if sent.runs:
                tell(f"{sent.rows} rows, {sent.runs} runs sent to {where}")
            if ended:
                return True
        over = pause(wait)


def _done(plan: PreparedPlan, store: Path) -> bool:
    return set(status.scoring(plan, store, status.states(plan, store)).values()) <= {"done", "gaps"}


def _push(plan: PreparedPlan, store: Path, offline: bool, record: StudyRecord) -> tuple[Sent, str]:
    from experiments.tracking import client

    where = client.target(store, offline)
    note = store / FOLDER / f"sent-{where.mark}.json"
    known: dict[str, dict[str, Any]] = {}
    if note.exists():
        known = read_json(note, f"what was sent to {where}")["runs"]
    runs = rows = 0
    for stage in plan.stages:
        run, done = stage_run(plan, stage, store), status.trained(stage, store)
        if run is None:
            continue
        its = known.get(run.id, {})
        if its and run.step <= its["step"] and run.seen == its["seen"]:
            continue
        before = its.get("step", 0)
        ledger = read_ledger(run.folder)
        whole = summary(plan, run, ledger, record, store)
        last, sent = client.send(where, run, lambda after: history(run, ledger, after), whole, done, before)  # noqa: B023
        # `seen` was taken before the records were read: what came in between is sent the next time.
        known[run.id] = {"step": max(before, last), "seen": run.seen}
        write_json(note, {"target": str(where), "runs": known})
        runs, rows = runs + 1, rows + sent
    return Sent(runs, rows), str(where)
