"""Many programs, a box each, judged side by side by as many workers as asked for."""

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.evals.code import cgroup
from analysis.evals.code.box import KILLED, LATE, START_SECONDS, Limits, Sandbox
from analysis.evals.code.judge import Check, Verdict
from store.errors import Failure

PATIENCE_SECONDS = 2 * START_SECONDS + 15.0
"""What a worker gets on top of a program's own time, which is that of two boxes' start, before it counts as stuck."""
PAUSES = (0.1, 1.0, 5.0, 20.0)
"""Seconds before what the machine spoilt is tried again: others may have used up what it has for everybody."""
GROUP = "code-data-ablation"

_ROOT = Path(__file__).parents[3]
_numbers = itertools.count()


@dataclass(frozen=True)
class Worker:
    """A worker's process, and the control group that its boxes live in (None: each process is limited alone)."""

    process: subprocess.Popen[bytes]
    group: cgroup.Group | None


@contextlib.contextmanager
def workers(sandbox: Sandbox, limits: Limits, jobs: int, grouped: bool = True) -> Iterator["queue.Queue[Worker]"]:
    """A queue of `jobs` workers, to be taken from it and put back; they end with the block.

    Raises:
        Failure: a worker does not start.
    """
    idle: queue.Queue[Worker] = queue.Queue()
    try:
        for _ in range(jobs):
            idle.put(_start(sandbox, limits, grouped))
        yield idle
    finally:
        while not idle.empty():
            _end(idle.get())


def verdicts(
    sandbox: Sandbox, programs: Sequence[tuple[str, Check]], limits: Limits | None = None, jobs: int = 1
) -> list[Verdict]:
    """The verdicts on (program, its tests), in order, `jobs` at a time.

    What is late among others is tried again alone; so is what was killed, since a machine without memory kills, too.

    Raises:
        Failure: the machine gives no box (any more); there are no verdicts then, rather than wrong ones.
    """
    limits = limits or Limits()
    jobs = max(1, min(jobs, len(programs)))
    with workers(sandbox, limits, jobs) as idle:
        found = judge_all(idle, sandbox, programs, limits)
        for number, (program, check) in enumerate(programs):
            if found[number].detail == KILLED or (jobs > 1 and found[number].detail == LATE):
                found[number] = _one(idle, sandbox, limits, program, check)
    return found


def judge_all(
    idle: "queue.Queue[Worker]", sandbox: Sandbox, programs: Sequence[tuple[str, Check]], limits: Limits
) -> list[Verdict]:
    """The verdicts of the workers at hand, in order.

    Raises:
        Failure: as `verdicts`.
    """
    with ThreadPoolExecutor(idle.qsize()) as threads:
        tasks = [threads.submit(_one, idle, sandbox, limits, program, check) for program, check in programs]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _one(idle: "queue.Queue[Worker]", sandbox: Sandbox, limits: Limits, program: str, check: Check) -> Verdict:
    """A verdict, as often tried as there are pauses: what is no verdict is the machine's fault, not the program's."""
    worker = idle.get()
    try:
        for pause in (*PAUSES, None):
            try:
                return ask(worker, limits, program, check)
            except Failure:
                if pause is None:
                    raise
            time.sleep(pause)
            if worker.process.poll() is not None:
                with contextlib.suppress(Failure):
                    worker = _start(sandbox, limits, worker.group is not None)
        raise AssertionError
    finally:
        idle.put(worker)


def ask(worker: Worker, limits: Limits, program: str, check: Check) -> Verdict:
    """The worker's verdict.

    Raises:
        Failure: it gets no box, or it is dead, or stuck, and then it is ended.
    """
    reply = _exchange(worker.process, {"program": program, "check": asdict(check)}, limits.wall_seconds)
    if reply is None:
        _end(worker, at_once=True)
        raise Failure("no sandbox: a judge's process died, or was stuck; is there memory left?")
    if "error" in reply:
        raise Failure(f"no sandbox: {reply['error']}")
    return Verdict(**reply["verdict"])


def _start(sandbox: Sandbox, limits: Limits, grouped: bool) -> Worker:
    command = [sys.executable, "-m", "analysis.evals.code.worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen(command, cwd=_ROOT, env=_environment(), start_new_session=True, **pipes)
    except OSError as error:
        raise Failure(f"no sandbox: the judge process does not start ({error.strerror or error})") from error
    name = f"{GROUP}-{os.getpid()}-{next(_numbers)}" if grouped else ""
    reply = _exchange(process, {"sandbox": asdict(sandbox), "limits": asdict(limits), "name": name}, 0)
    if reply is None or "error" in reply:
        process.kill()
        process.wait()
        raise Failure(f"no sandbox: {reply['error'] if reply else 'the judge process does not start'}")
    group = reply["group"]
    return Worker(process, cgroup.Group(tuple(group["processes"]), tuple(group["folders"])) if group else None)


def _environment() -> dict[str, str]:
    """No more than an interpreter may need to start."""
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}


def _exchange(process: subprocess.Popen[bytes], message: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Send a line and read one; None if the process is gone, or was silent or did not even listen, which ends it."""
    assert process.stdin is not None and process.stdout is not None
    patience = threading.Timer(seconds + PATIENCE_SECONDS, process.kill)  # also wakes who writes to it, or waits for it
    patience.start()
    try:
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except (OSError, ValueError):  # it is gone, or was ended before
        return None
    finally:
        patience.cancel()
    reply: dict[str, Any] | None = json.loads(answer) if answer.endswith(b"\n") else None
    return reply


def _end(worker: Worker, at_once: bool = False) -> None:
    """End the worker; its boxes die with it."""
    process = worker.process
    if at_once:
        process.kill()
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    if worker.group is not None:
        cgroup.remove(worker.group)
