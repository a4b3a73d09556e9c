"""Workers as processes of this machine, as a pod has them: a gang trains together by a coordinator on loopback.

A gang that checkpointed (exit 42) is started again as often as it asks; one that ended otherwise, a few times. Where
one of its processes has ended badly the others are ended too: nobody waits for it in a collective.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.run.stops import StopRequested, noted, stopped
from experiments.workers.child import POLL_SECONDS, deaf, stop
from store.errors import Failure, UserError

LIVES = 3
"""How often a worker that failed is started again."""
LEAVE_SECONDS = 10.0
"""For the rest of a gang to notice that one has ended badly, before they are told and then killed."""
PROGRAM = (str(Path(sys.executable).parent / "ablate"),)


@dataclass
class _Gang:
    """One worker: its command and how many run it, those processes, and how often it may still fail."""

    number: int
    words: Sequence[str]
    hosts: int
    lives: int = LIVES
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    broken_at: float | None = None

    @property
    def codes(self) -> list[int | None]:
        return [process.poll() for process in self.processes]


def run(workers: Sequence[tuple[Sequence[str], int]]) -> None:
    """Run workers, until all have ended well.

    Args:
        workers: of each the command, and how many processes run it: they find each other by JAX_COORDINATOR_ADDRESS
            and the like.

    Raises:
        Failure: a gang failed again and again.
        StopRequested, KeyboardInterrupt: a signal came; the processes were told, and have ended.
    """
    with noted() as signals:
        gangs = [_Gang(number, words, hosts) for number, (words, hosts) in enumerate(workers)]
        try:
            for gang in gangs:
                _start(gang)
            while gangs and not signals:
                gangs = [gang for gang in gangs if not _ended_well(gang)]
                time.sleep(POLL_SECONDS)
        finally:
            stop([process for gang in gangs for process in gang.processes], signals)
    if signals:
        raise stopped(signals[0])


def _start(gang: _Gang) -> None:
    with deaf():
        gang.processes = [subprocess.Popen(gang.words, env=its) for its in _environments(gang.hosts)]
    gang.broken_at = None


def _environments(hosts: int) -> list[Mapping[str, str]]:
    """Of every process of a gang; `experiments.workers.gang` reads them."""
    here = {**os.environ, "JAX_PLATFORMS": "cpu"}
    if hosts == 1:
        return [here]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = here | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(hosts)}
    return [together | {"JAX_PROCESS_ID": str(number)} for number in range(hosts)]


def _ended_well(gang: _Gang) -> bool:
    """Whether it has; if it has ended otherwise it is started again.

    Raises:
        Failure: it has done so too often.
    """
    codes = gang.codes
    if None in codes:
        _end_the_rest(gang)
        return False
    if not any(codes):
        return True
    wrong = next((code for code in codes if code not in (0, StopRequested.exit_code)), None)
    if wrong is not None:
        if not gang.lives:
            raise Failure(
                f"worker {gang.number} ended with exit code {wrong} for the {LIVES + 1}th time; what it said is above; "
                "run the same command again to carry on"
            )
        gang.lives -= 1
        print(f"warning: worker {gang.number} ended with exit code {wrong}; it is started again", file=sys.stderr)
    _start(gang)
    return False


def _end_the_rest(gang: _Gang) -> None:
    if not any(gang.codes):  # none has ended, or those that have did well
        return
    now = time.monotonic()
    gang.broken_at = gang.broken_at or now
    for process in gang.processes:
        if process.poll() is None and now > gang.broken_at + LEAVE_SECONDS:
            # Twice as long for one that was told: it may be at its checkpoint.
            process.kill() if now > gang.broken_at + 3 * LEAVE_SECONDS else process.terminate()


def this_process() -> dict[str, Any]:
    """What `cancel` tells the process by that looks after a launch."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def cancel(name: str, process: Mapping[str, Any]) -> bool:
    """Tell the process that looks after a launch to stop its workers; whether it was there to be told.

    Raises:
        UserError: it runs on another machine.
    """
    if process.get("host") != socket.gethostname():
        raise UserError(f"launch '{name}' runs on {process.get('host')}; cancel it there")
    pid = process.get("pid")
    # Of another process that has got its number since, the time of its start is another.
    if not isinstance(pid, int) or not process.get("started") or _started(pid) != process["started"]:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    return True


def _started(pid: int) -> str:
    """Ticks from the machine's start to a process's (proc(5)); "" where that is not known or it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
