"""The process that executes our own generated programs. Started as a script; imports nothing of this project.

Reads a JSON list of jobs on standard input, a job being a list of programs [source, [expression, ...]], and writes for
each program {"values": [repr, ...]} or {"error": text}. Every job runs in a fork of its own, with limits on processor
time, memory and wall time, and every program in a namespace of its own. That keeps an endless loop from stopping a
preparation; it is no sandbox, and nothing that a model wrote may run here.
"""

import json
import os
import resource
import select
import signal
import sys
import time

CPU_SECONDS = 2
WALL_SECONDS = 20.0
MEMORY_BYTES = 1 << 30


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def execute(source: str, expressions: list[str]) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "program"}
    try:
        exec(compile(source, "<program>", "exec"), namespace)
        return {"values": [repr(eval(expression, namespace)) for expression in expressions]}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"}


def run(job: list[tuple[str, list[str]]]) -> list[dict[str, object]]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        limit()
        with os.fdopen(writer, "w") as pipe:
            json.dump([execute(source, expressions) for source, expressions in job], pipe)
        os._exit(0)
    os.close(writer)
    answer = read_until(reader, time.monotonic() + WALL_SECONDS)
    os.close(reader)
    if answer is None:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        results: list[dict[str, object]] = json.loads(answer or b"")
    except ValueError:
        return [{"error": "stopped: it took too much time or memory"} for _ in job]
    return results


def read_until(reader: int, deadline: float) -> bytes | None:
    """What is written before the other end is closed, or None when the deadline comes first."""
    chunks: list[bytes] = []
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None


if __name__ == "__main__":
    json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
