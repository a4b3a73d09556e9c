"""The process that sends a study while it is trained: python -m experiments.tracking.follower, what to send on stdin.

Training neither waits for it nor hears of it: it reads the store, alone and at the lowest priority. When its standard
input ends (the command is done, or was killed) it sends what is left and ends: 0 if that was all.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.plan.stage import PreparedPlan
from experiments.tracking.mode import mode
from experiments.tracking.push import FOLDER, follow
from store.errors import Failure, UserError
from store.paths import remote

LOG = "push.log"
GRACE_SECONDS = 20.0
"""That a command which is done waits for what is left to be sent."""


@contextmanager
def followed(plan: PreparedPlan, store: Path) -> Iterator[None]:
    """Send a study to W&B from a process beside this one while the block runs, if the user has logged in.

    Whatever happens to that process, the block runs as it would without. When it ends what is left is waited for, but
    not long, and not at all where the block was stopped.
    """
    process = _started(plan, store) if mode() == "online" else None
    if process is None:
        yield
        return
    try:
        yield
    except BaseException:
        _end(process)
        raise
    assert process.stdin is not None
    try:
        process.stdin.close()
        if process.poll() is None:
            print(f"W&B: sending what is left, for {GRACE_SECONDS:.0f} s at most", file=sys.stderr)
        all_sent = process.wait(GRACE_SECONDS) == 0
    except (OSError, subprocess.TimeoutExpired):
        all_sent = False
    finally:
        _end(process)
    rest = f"not all is sent (see {_log(store)}); `ablate wandb push {plan.study.typed}` sends the rest"
    print(f"W&B: {'all is sent' if all_sent else rest}", file=sys.stderr)


def _started(plan: PreparedPlan, store: Path) -> "subprocess.Popen[bytes] | None":
    try:
        _log(store).parent.mkdir(parents=True, exist_ok=True)
        with _log(store).open("ab") as log:
            command = (sys.executable, "-m", "experiments.tracking.follower")
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        assert process.stdin is not None
        process.stdin.write(pickle.dumps((plan, store)))
        process.stdin.flush()
    except OSError as error:
        print(f"warning: nothing is sent to W&B while training ({error})", file=sys.stderr)
        return None
    return process


def _log(store: Path) -> Path:
    """Of this machine, for it is for whoever looks here."""
    return Path(tempfile.gettempdir(), "ablate-wandb", LOG) if remote(store) else store / FOLDER / LOG


def _end(process: "subprocess.Popen[bytes]") -> None:
    """At any time: what was not sent is sent the next time."""
    process.kill()
    process.wait()


def main() -> None:
    os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan, store = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # who started it was killed before it had said all
        sys.exit(1)
    over = threading.Event()
    threading.Thread(target=_note_end, args=(over,), daemon=True).start()
    try:
        all_sent = follow(plan, store, over.wait, _tell)
    except (UserError, Failure) as error:
        _tell(str(error))
        all_sent = False
    sys.exit(0 if all_sent else 1)


def _note_end(over: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    over.set()


def _tell(line: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    main()
