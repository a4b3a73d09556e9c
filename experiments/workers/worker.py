"""A process that works on a study: python -m experiments.workers.worker, with what to do on its standard input.

It ends when there is nothing left to do (0), when it was asked to stop and has saved its state (42), and soon after the
process that started it is gone: then its standard input ends.
"""

import os
import pickle
import signal
import sys
import threading

from experiments.run.stops import StopRequested
from experiments.workers.work import Terms, work
from store.errors import Failure, UserError


def main() -> None:
    try:
        plan, store, scores, share = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # who started it was killed before it had said all
        sys.exit(StopRequested.exit_code)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(plan, store, Terms(scores=scores))
    except (StopRequested, KeyboardInterrupt):
        sys.exit(StopRequested.exit_code)
    except (UserError, Failure) as error:
        print(f"ablate: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
