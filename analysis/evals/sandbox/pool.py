"""Many programs, a box each, judged side by side by as many workers as asked for."""

import contextlib
import itertools
import json
import os
import queue
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.evals.sandbox import cgroup
from analysis.evals.sandbox.box import LATE, Limits, Sandbox
from analysis.evals.sandbox.judge import Check, Verdict
from mixtures.errors import Failure

PATIENCE_SECONDS = 30.0
"""What a worker gets on top of a program's own time, on however loaded a machine, before it counts as stuck."""
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
    """The verdicts on (program, its tests), in order, `jobs` at a time. What is late among others is tried again alone.

    Raises:
        Failure: the machine gives no box (any more); there are no verdicts then, rather than wrong ones.
    """
    limits = limits or Limits()
    jobs = max(1, min(jobs, len(programs)))
    with workers(sandbox, limits, jobs) as idle:
        found = judge_all(idle, sandbox, programs, limits)
        for number, (program, check) in enumerate(programs):
            if jobs > 1 and found[number].detail == LATE:
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
    worker = idle.get()
    try:
        verdict = ask(worker, limits, program, check)
        if verdict is None:
            _end(worker)
            worker = _start(sandbox, limits, worker.group is not None)
            verdict = Verdict(False, "time", LATE, check.weak)
        return verdict
    finally:
        idle.put(worker)


def ask(worker: Worker, limits: Limits, program: str, check: Check) -> Verdict | None:
    """The worker's verdict, or None if it is stuck or dead, as with tests that never come back from what was returned.

    Raises:
        Failure: it gets no box.
    """
    reply = _exchange(worker.process, {"program": program, "check": asdict(check)}, limits.wall_seconds)
    if reply is None:
        return None
    if "error" in reply:
        raise Failure(f"no sandbox: {reply['error']}")
    return Verdict(**reply["verdict"])


def _start(sandbox: Sandbox, limits: Limits, grouped: bool) -> Worker:
    command = [sys.executable, "-m", "analysis.evals.sandbox.worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=_ROOT, start_new_session=True, **pipes)
    name = f"{GROUP}-{os.getpid()}-{next(_numbers)}" if grouped else ""
    reply = _exchange(process, {"sandbox": asdict(sandbox), "limits": asdict(limits), "name": name}, 0)
    if reply is None or "error" in reply:
        process.kill()
        process.wait()
        raise Failure(f"no sandbox: {reply['error'] if reply else 'the judge process does not start'}")
    group = reply["group"]
    return Worker(process, cgroup.Group(tuple(group["processes"]), tuple(group["folders"])) if group else None)


def _exchange(process: subprocess.Popen[bytes], message: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Send a line and read one; None if the process is gone or silent."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(seconds + PATIENCE_SECONDS):
                return None
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return None
            line += chunk
    reply: dict[str, Any] = json.loads(line)
    return reply


def _end(worker: Worker) -> None:
    """End the worker; its box dies with it. A stuck one is killed."""
    process = worker.process
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
