"""Doing what is missing of a study beside others: training stages, scoring checkpoints.

Any number of processes may be at work in one store, on any number of machines. Each takes what nobody else is at, first
what others wait for longest, and ends when nothing is left that could still come its way. The lease of a stage
(`store.lock`) is one to train it, and once it is trained one to score it. All of a process's work is done in one, so
that every program is compiled once and every benchmark is read once.

Processes that train every stage together (`jax.distributed.initialize` was called) are one worker: the first of them
takes what all of them do.
"""

import functools
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from analysis.records import stage_folder
from experiments.plan import status
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.run.stops import StopRequested
from experiments.workers import ready
from experiments.workers.ready import Job
from store.errors import Away, Failure
from store.layout import LOCK
from store.lease import Held
from store.lock import Check, exclusive
from store.paths import remote

WAIT_SECONDS = {False: 0.2, True: 5.0}
"""Between two looks for work while others are at all that there is, by whether the store is an object store."""
AWAY_SECONDS, AWAY_TIMES = 30.0, 20
"""Between two tries while an object store does not answer, and how often in a row that may be."""
_NONE, _WAIT = -2, -1
"""Nothing is left to do, or nothing now; other numbers are twice that of a stage in the plan, and one more to train."""


@dataclass(frozen=True)
class Terms:
    """On which terms a worker works.

    Attributes:
        trains, scores: what it takes.
        tries: how often a stage may fail before it is left alone.
        stages: it ends when it has done so many; None for no end.
        released: whether more may be begun than what is first in order.
        claimed: told what it takes.
        progress: told the steps of a stage that are done.
    """

    trains: bool = True
    scores: bool = True
    tries: int = 1
    stages: int | None = None
    released: Callable[[], bool] = lambda: True
    claimed: Callable[[Job], None] = lambda job: None
    progress: Callable[[PreparedStage, int], None] = lambda stage, step: None


def work(plan: PreparedPlan, store: Path, terms: Terms) -> None:
    """Do what is missing of `plan`, until all is done, has failed or waits for what has failed.

    A stage that fails is left with its reason (`status.why_failed`), and what does not wait for it is done. Of several
    processes that are one worker each ends with that reason: where the others are by then nobody could tell.

    Raises:
        Failure: it could not even be noted that something failed; of several processes, one failed.
        Away: the object store does not answer.
        StopRequested, KeyboardInterrupt: a signal came while training; the state is saved.
    """
    from experiments.run.train import use_compilation_cache
    from experiments.run.trainer import train_stage
    from experiments.score.checkpoints import evaluate, loader
    from models.devices import hosts

    use_compilation_cache(store)
    wanted, load = status.records(plan, store) if terms.scores else {}, functools.cache(loader(plan, store))

    def do(job: Job, held: Check) -> None:
        if job.trains:
            train_stage(plan, job.stage, store, functools.partial(terms.progress, job.stage), held)
        else:
            missing = status.unscored(wanted[job.stage.id]) if hosts.first() else {}
            evaluate(job.stage, store, missing, load)

    done = away = 0
    while terms.stages is None or done < terms.stages:
        try:
            number = _turn(plan, store, wanted, terms, do)
        except Away as error:
            away += 1
            if away == AWAY_TIMES:
                raise
            print(f"warning: {error}; tried again in {AWAY_SECONDS:.0f} s", file=sys.stderr)
            time.sleep(AWAY_SECONDS)
            continue
        away = 0
        if number == _NONE:
            return
        if number == _WAIT:
            time.sleep(WAIT_SECONDS[remote(store)])
        else:
            done += 1


def _turn(
    plan: PreparedPlan, store: Path, wanted: ready.Records, terms: Terms, do: Callable[[Job, Check], None]
) -> int:
    """Take a job and do it, in all processes of this worker; its number, `_NONE` or `_WAIT`."""
    from models.devices import hosts

    with ExitStack() as lease:
        number, held = _WAIT, _unheld
        with hosts.together():
            if hosts.first():
                open_ = ready.jobs(plan, store, wanted, terms.tries)
                found = [job for job in open_ if _ours(job, terms)]
                number, held = _taken(plan, found, store, terms, lease)
                if number == _NONE and terms.scores and open_:  # what others train is to be scored
                    number = _WAIT
        number = hosts.told(number)
        if number < 0:
            return number
        job = Job(plan.stages[number // 2], bool(number % 2))
        return number if _done(job, store, held, do) else _WAIT


def _done(job: Job, store: Path, held: Check, do: Callable[[Job, Check], None]) -> bool:
    """Do a job; False if it is another's by now. A failure is noted, and raised where processes are at it together."""
    from models.devices import hosts

    folder = stage_folder(store, job.stage.folder)
    try:
        do(job, held)
    except (Away, StopRequested, hosts.Interrupted):
        raise
    except Held:
        if not hosts.alone():
            raise
        return False
    except Exception as error:
        if hosts.first():
            ready.note_failure(folder, str(error) or type(error).__name__)
        if not hosts.alone():
            raise
        if not isinstance(error, Failure):  # a device that has no more memory, or a fault of ours
            traceback.print_exc()
        return True
    if hosts.first():
        ready.forget_failure(folder)
    return True


def _unheld() -> None:
    """Of several processes the first asks whether the lease is held, for all."""


def _ours(job: Job, terms: Terms) -> bool:
    return terms.trains if job.trains else terms.scores


def _taken(plan: PreparedPlan, found: list[Job], store: Path, terms: Terms, lease: ExitStack) -> tuple[int, Check]:
    """The first of the jobs that nobody else is at, by its number, and its lease."""
    for job in found if terms.released() else found[:1]:
        with suppress(Held):
            path = stage_folder(store, job.stage.folder) / LOCK
            held = lease.enter_context(exclusive(path, f"stage {job.stage.id}"))
            terms.claimed(job)
            return 2 * plan.stages.index(job.stage) + job.trains, held
    return _WAIT if found else _NONE, _unheld
