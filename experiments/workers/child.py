"""A process that works for another: it reads what to do on its standard input, and is gone soon after the other is."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from models.devices.threads import environment


def started(command: Sequence[str], orders: bytes) -> "subprocess.Popen[bytes]":
    """A process whose standard input, on which it is given its pickled `orders`, ends with this process."""
    # It starts deaf to Ctrl-C, which reaches every process of a terminal: this one tells the others.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdin is not None
    try:
        process.stdin.write(orders)
        process.stdin.flush()
    except BrokenPipeError:  # it has ended; how, it says as any other
        pass
    return process


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
