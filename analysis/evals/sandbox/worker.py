"""A judge's process: python -m analysis.evals.sandbox.worker

Reads jobs and writes verdicts, a JSON line each, on its standard streams; ends with its input. It is a process of its
own since the judge needs a main thread, a small memory image to fork boxes from, and no rights: root drops them here,
for good, before it reads the first job.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from analysis.evals.sandbox import box, cgroup, judge

MEMORY_BYTES = 4 << 30
"""Of the judge itself: tests may multiply what a program returns."""
USUAL = (
    *("array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "enum", "fractions", "functools"),
    *("heapq", "itertools", "math", "operator", "random", "re", "statistics", "string", "typing"),
)
"""What tests import. A user who dropped his rights may no longer reach the folder of his own Python."""


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    sandbox, limits = box.Sandbox(**setup["sandbox"]), box.Limits(**setup["limits"])
    group = None
    try:
        if setup["name"]:
            group = cgroup.make(setup["name"], limits.box_bytes, limits.processes + 4, sandbox.uid)
        for name in USUAL:
            import_module(name)
        os.chdir("/")
        box.adopt_orphans()
        Path("/proc/self/oom_score_adj").write_text("1000")  # and the boxes': when memory runs out, they go first
        if sandbox.uid is not None:
            box.drop(sandbox.uid)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except OSError as error:
        _say({"error": f"cannot become an unprivileged user ({error})"})
        return
    _say({"group": asdict(group) if group else None})
    for line in sys.stdin:
        job = json.loads(line)
        try:
            check = judge.Check(**{**job["check"], "names": tuple(job["check"]["names"])})
            _say({"verdict": asdict(judge.verdict(sandbox, job["program"], check, limits, group))})
        except box.NoBox as error:
            _say({"error": str(error)})
        except OSError as error:
            _say({"error": f"{error.strerror or error}"})


def _say(reply: dict[str, Any]) -> None:
    os.write(_REPLIES, json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    _REPLIES = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # tests may print
    main()
