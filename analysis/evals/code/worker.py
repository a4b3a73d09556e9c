"""A judge's process: python -m analysis.evals.code.worker

Reads jobs and writes verdicts, a JSON line each, on its standard streams; ends with its input. It is a process of its
own since the judge needs a small memory image to fork boxes from, and no rights: root drops them here, for good, before
it reads the first job.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.evals.code import box, cgroup, judge


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    sandbox, limits = box.Sandbox(**setup["sandbox"]), box.Limits(**setup["limits"])
    group = None
    try:
        if setup["name"]:
            group = cgroup.make(setup["name"], limits.box_bytes, limits.processes + 4, sandbox.uid)
        os.chdir("/")
        box.adopt_orphans()
        Path("/proc/self/oom_score_adj").write_text("1000")  # and the boxes': when memory runs out, they go first
        if sandbox.uid is not None:
            box.drop(sandbox.uid)
    except OSError as error:
        _say({"error": f"cannot become an unprivileged user ({error})"})
        return
    _say({"group": asdict(group) if group else None})
    bench = judge.Bench(sandbox, limits, group)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            check = judge.Check(**{**job["check"], "names": tuple(job["check"]["names"])})
            _say({"verdict": asdict(judge.verdict(bench, job["program"], check))})
        except (box.NoBox, OSError) as error:
            judge.close(bench)
            _say({"error": str(error)})


def _say(reply: dict[str, Any]) -> None:
    print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
