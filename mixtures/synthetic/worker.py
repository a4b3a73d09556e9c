"""The process that executes our own generated programs: python -m mixtures.synthetic.worker judge|repeat

Reads a pickled list of drafts on standard input and writes a pickled answer a line. Each has limits on processor time,
memory and wall time; one that meets them kills the process, and `generate.execute` starts another for those after it.
That keeps a runaway from stopping a preparation; it is no sandbox, and nothing that a model wrote may run here.
"""

import gc
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from mixtures.synthetic import gates
from mixtures.synthetic.problem import Draft

CPU_SECONDS = 2
WALL_SECONDS = 30
MEMORY_BYTES = 1 << 30

TASKS: dict[str, Callable[[Draft], Any]] = {"judge": gates.judge, "repeat": gates.results_digest}


def main() -> None:
    task, drafts = TASKS[sys.argv[1]], pickle.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    gc.disable()  # a batch leaves no garbage worth the search for cycles in every syntax tree
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for draft in drafts:
            soft = int(time.process_time()) + 1 + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
            signal.alarm(WALL_SECONDS)
            try:
                answer = task(draft)
            except Exception:  # the solution's, under another hash seed
                answer = None
            pipe.write(f"{pickle.dumps(answer).hex()}\n")
            pipe.flush()


if __name__ == "__main__":
    main()
