"""The process that executes our own generated programs: python -m mixtures.synthetic.worker judge|repeat

Reads a pickled list of jobs on standard input and writes a pickled list of answers. Jobs run one after another in a
forked child with limits on processor time, memory and wall time; when it dies, the job that it was at is answered by
None and a new child goes on. That keeps a runaway from stopping a preparation; it is no sandbox, and nothing that a
model wrote may run here.
"""

import gc
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from mixtures.synthetic import gates

CPU_SECONDS = 2
WALL_SECONDS = 30.0
MEMORY_BYTES = 1 << 30

TASKS: dict[str, Callable[[gates.Job], Any]] = {"judge": gates.judge, "repeat": gates.results_digest}


def answers(task: Callable[[gates.Job], Any], jobs: Sequence[gates.Job]) -> list[Any]:
    """What `task` gives for every job, None where a limit was met."""
    found: list[Any] = []
    while len(found) < len(jobs):
        found += _in_child(task, jobs[len(found) :])
        if len(found) < len(jobs):
            found.append(None)
    return found


def _in_child(task: Callable[[gates.Job], Any], jobs: Sequence[gates.Job]) -> list[Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(task, jobs, writer)
    os.close(writer)
    try:
        return _collect(reader)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _run(task: Callable[[gates.Job], Any], jobs: Sequence[gates.Job], writer: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    gc.disable()  # a batch leaves no garbage worth the search for cycles in every syntax tree
    with os.fdopen(writer, "wb") as pipe:
        for job in jobs:
            soft = int(time.process_time()) + 1 + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
            answer = pickle.dumps(task(job))
            pipe.write(len(answer).to_bytes(8, "big") + answer)
            pipe.flush()
    os._exit(0)


def _collect(reader: int) -> list[Any]:
    """The whole answers that come before the other end is closed or stays silent for too long."""
    data, found = b"", []
    while select.select([reader], [], [], WALL_SECONDS)[0]:
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        data += chunk
        while len(data) >= 8 and len(data) >= 8 + (size := int.from_bytes(data[:8], "big")):
            found.append(pickle.loads(data[8 : 8 + size]))
            data = data[8 + size :]
    return found


if __name__ == "__main__":
    jobs = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(answers(TASKS[sys.argv[1]], jobs)))
