"""A process that works on a study: python -m experiments.workers.worker, with what to do on its standard input.

It ends when there is nothing left to do (0), when it was asked to stop and has saved its state (42), and soon after the
process that started it is gone: then its standard input ends.
"""

import os
import signal
import sys

from experiments.run.stops import StopRequested
from experiments.workers.child import told
from experiments.workers.work import Terms, work
from store.errors import Failure, UserError


def main() -> None:
    plan, store, scores, share = told(StopRequested.exit_code, signal.SIGTERM)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share)
    try:
        work(plan, store, Terms(scores=scores))
    except (StopRequested, KeyboardInterrupt):
        sys.exit(StopRequested.exit_code)
    except (UserError, Failure) as error:
        print(f"ablate: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
