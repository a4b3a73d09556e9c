"""Two processes of `tests.experiments.run_host` at one run, on loopback."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import ROOT

RUN = ("-m", "tests.experiments.run_host")


def start(
    store: Path,
    *steps: int,
    second: Path | None = None,
    run: Sequence[str] = RUN,
    step_seconds: float = 0.0,
    given: bool = True,
) -> list[subprocess.Popen[str]]:
    """Both processes; the second with other `steps`, or a store of its own, if any are given. `run` is all if not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *run]
    options = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "WANDB_MODE": "disabled"}
    environment |= {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2"}
    environment |= {"STEP_SECONDS": str(step_seconds)}
    return [
        subprocess.Popen([*command, *map(str, more)], env=environment | {"JAX_PROCESS_ID": rank}, **options)
        for rank, more in (("0", [store] if given else []), ("1", [second or store, *steps] if given else []))
    ]


def end(processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    try:
        errors = [process.communicate(timeout=180)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors
