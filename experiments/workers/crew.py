"""Doing what is missing of a study in several processes, each with one core of a CPU: `ablate run`, `ablate train`.

The processes share nothing but the store. This one starts them, shows how far all of them are, starts one again that
was killed, and stops them when it is asked to. What each of them trains is the same to the bit, however many there are.
"""

import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

from experiments.plan import status
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.progress import Display
from experiments.run.stops import StopRequested, noted, stopped
from experiments.workers import ready
from experiments.workers.child import POLL_SECONDS, started, stop
from models.devices.threads import accelerated, cores
from store.errors import Failure
from store.paths import remote

COMMAND = (sys.executable, "-m", "experiments.workers.worker")
LIVES = 3
"""How often, in all, a worker that was killed is started again."""
PROGRESS_SECONDS = {False: 1.0, True: 15.0}
"""How far they are is read out of the store: milliseconds of a core that they could use, or requests to a bucket."""
RECORD_TOKENS = 6_000
"""Tokens that are trained while one task of a checkpoint is scored, roughly: it only paces the progress."""

Crew = dict[int, "subprocess.Popen[bytes]"]


def default_count(plan: PreparedPlan) -> int:
    """A worker for every core that this process may use, and no more than there are runs; one on an accelerator."""
    return 1 if accelerated() else min(len(cores()), len(plan.runs))


def run(plan: PreparedPlan, store: Path, count: int, scores: bool = True) -> None:
    """Train what is missing of `plan`, and score it if asked, in `count` processes.

    Raises:
        Failure: stages failed, a line each, or workers were killed again and again.
        StopRequested, KeyboardInterrupt: a signal came; the state is saved.
    """
    wanted = status.records(plan, store) if scores else {}
    ready.forgive(plan, store, wanted)
    missing = [stage for stage in plan.stages if not _done(stage, store, wanted)]
    if not missing:
        return
    count, here = min(count, len(missing)), cores()
    orders = {n: pickle.dumps((plan, store, scores, here[n % len(here) :: count])) for n in range(count)}
    crew, broken, lives = Crew(), False, LIVES
    due = time.monotonic()
    with noted() as signals, Display("run") as display:
        try:
            crew |= {number: started(COMMAND, its) for number, its in orders.items()}
            while crew and not signals:
                for number, process in _ended(crew).items():
                    if process.returncode < 0 or process.returncode == StopRequested.exit_code:
                        crew[number] = _again(number, process, lives, orders[number])
                        lives -= 1
                    else:
                        broken |= process.returncode != 0
                if time.monotonic() >= due:
                    display.update(*_progress(plan, store, wanted))
                    due = time.monotonic() + PROGRESS_SECONDS[remote(store)]
                time.sleep(POLL_SECONDS)
        finally:
            stop(crew.values(), signals)
        if signals:
            raise stopped(signals[0])
        failed = [stage for stage in plan.stages if ready.failed(store, stage, 1)]
        if failed or broken:  # a worker that could not even note what failed has said it
            raise Failure("\n".join(status.why_failed(stage, store) for stage in failed))


def _done(stage: PreparedStage, store: Path, wanted: ready.Records) -> bool:
    return status.trained(stage, store) and not status.unscored(wanted.get(stage.id, {}))


def _ended(crew: Crew) -> Crew:
    """Those that have ended, taken out of the crew."""
    ended = {number: process for number, process in crew.items() if process.poll() is not None}
    for number in ended:
        del crew[number]
    return ended


def _again(number: int, process: "subprocess.Popen[bytes]", lives: int, orders: bytes) -> "subprocess.Popen[bytes]":
    """Another worker in place of one that was killed.

    Raises:
        Failure: this happened too often.
    """
    by = signal.Signals(-process.returncode if process.returncode < 0 else signal.SIGTERM).name
    what = f"worker {number + 1} (process {process.pid}) was ended by {by}"
    if not lives:
        raise Failure(
            f"{what}, the {LIVES + 1}th that was killed, perhaps for want of memory; free some or give fewer "
            "--workers, then run again to carry on"
        )
    print(f"warning: {what}; it is started again, and carries on from its last checkpoint", file=sys.stderr)
    return started(COMMAND, orders)


def _progress(plan: PreparedPlan, store: Path, wanted: ready.Records) -> tuple[str, float, float]:
    """How far all workers are, out of the store: in words, and FLOPs done of all."""
    trained = scored = 0
    done = total = 0.0
    for stage in plan.stages:
        flops, is_trained = plan.flops(stage), status.trained(stage, store)
        steps = stage.steps if is_trained else status.steps_done(stage, store)
        records = wanted.get(stage.id, {})
        left = len(status.unscored(records))
        record_flops = RECORD_TOKENS * flops / stage.tokens
        total += flops + record_flops * len(records)
        done += flops * steps / stage.steps + record_flops * (len(records) - left)
        trained += is_trained
        scored += bool(records) and not left
    what = f"{trained} of {len(plan.stages)} stages trained"
    if wanted:
        what += f", {scored} of {len(plan.stages)} checkpoints scored"
    return what, done, total
