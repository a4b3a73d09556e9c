"""A process that works for another: it reads what to do on its standard input, and is gone soon after the other is."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from models.devices.threads import environment

POLL_SECONDS = 0.1


def started(command: Sequence[str], orders: bytes) -> "subprocess.Popen[bytes]":
    """A process whose standard input, on which it is given its pickled `orders`, ends with this process."""
    with deaf():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
    assert process.stdin is not None
    try:
        process.stdin.write(orders)
        process.stdin.flush()
    except BrokenPipeError:  # it has ended; how, it says as any other
        pass
    return process


@contextmanager
def deaf() -> Iterator[None]:
    """Processes start deaf to Ctrl-C, which reaches every one of a terminal: this one tells the others."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop(processes: Collection["subprocess.Popen[bytes]"], signals: Sequence[int]) -> None:
    """Have all save their state and end; a second signal ends them where they are."""
    for process in processes:
        process.terminate()
    for process in processes:
        while process.poll() is None:
            if len(signals) > 1:
                process.kill()
            time.sleep(POLL_SECONDS)


def told(otherwise: int, end: signal.Signals) -> Any:
    """In such a process: what it is to do. From then on it is sent `end` as soon as who started it is gone.

    It exits with `otherwise` where that one was killed before it had said all.
    """
    try:
        orders = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):
        sys.exit(otherwise)
    threading.Thread(target=_end_with_parent, args=(end,), daemon=True).start()
    return orders


def _end_with_parent(end: signal.Signals) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), end)
