"""Programs that use up what there is. Each is bounded by itself, so that a sandbox that fails its test does no harm.

One returns what it got beyond its share (nothing, if the sandbox holds), or a limit stops it. They run in boxes only:
selftest.py sends this file as it stands, and asks for one of PROGRAMS.
"""
# ruff: noqa: PTH123, SIM105

import ctypes
import fcntl
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

MEBI = 1 << 20


def _until_refused(most: int, get: Callable[[], Any]) -> list[Any]:
    got: list[Any] = []
    try:
        while len(got) < most:
            got.append(get())
    except (OSError, MemoryError, RuntimeError):
        pass
    return got


def _beyond(share: int, got: int, what: str) -> list[str]:
    return [] if got <= share else [f"{got} {what}"]


def _forked(child: Callable[[], Any]) -> int:
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    return pid


def _fork_bomb() -> list[str]:
    children = _until_refused(300, lambda: _forked(lambda: time.sleep(5)))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return _beyond(39, len(children), "children")


def _memory_of_many_processes() -> list[str]:
    """Only a control group contains this one: without, each process has a limit of its own."""

    def hold() -> None:
        block = bytearray(b"x") * (100 * MEBI)
        time.sleep(2)
        os._exit(len(block) == 0)

    for _ in range(12):
        _forked(hold)
    return _beyond(799, 100 * sum(os.wait()[1] == 0 for _ in range(12)), "MiB")


def _fill(folder: str) -> list[str]:
    got = 0
    for number in range(16):
        try:
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                for _ in range(7):
                    got += file.write(b"x" * MEBI)
        except OSError:
            pass
    return _beyond(20 * MEBI, got, f"bytes in {folder}")


def _one_big_file() -> list[str]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/tmp/big", "wb", buffering=0) as file:
        return _beyond(8 * MEBI, sum(_until_refused(12, lambda: file.write(b"x" * MEBI))), "bytes")


def _open_files() -> list[str]:
    got = _until_refused(2000, lambda: os.open("/dev/null", os.O_RDONLY))
    for fd in got:
        os.close(fd)
    return _beyond(64, len(got), "files")


def _pages_of_pipes() -> list[str]:
    """All pipes of a user share a quota of pages, and a pipe may have more of them than it begins with: not here."""
    larger = _until_refused(1, lambda: fcntl.fcntl(os.pipe()[1], 1031, MEBI))  # F_SETPIPE_SZ
    return [f"a pipe of {size} bytes" for size in larger]


def _every_pipe_there_is() -> list[str]:
    """They take most of that quota all the same; an honest neighbour must not notice."""

    def hold() -> None:
        for _, end in _until_refused(100, os.pipe):
            os.set_blocking(end, False)
            os.write(end, b"x" * 65536)
        time.sleep(2)

    for _ in range(6):
        _forked(hold)
    time.sleep(2)
    return []


def _endless_output() -> list[str]:
    for _ in range(10**7):
        print("x" * 10_000)
    return ["all of it"]


def _deep_reply() -> list[Any]:
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    return deep


def _write_everywhere(data: bytes, times: int) -> list[str]:
    for _ in range(times):
        for fd in range(3, 64):
            try:
                os.write(fd, data)
            except OSError:
                pass
    return ["nobody minded"]


def _endless_loop() -> list[str]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass
    return ["a minute"]


def _sleep() -> list[str]:
    time.sleep(60)
    return ["a minute"]


def _stops_itself() -> list[str]:
    os.kill(os.getpid(), signal.SIGSTOP)
    return []


def _loop_that_ignores_signals() -> list[str]:
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    return _endless_loop()


def _daemons() -> Any:
    """They are to be gone with the box: selftest.py looks for what is left of it."""

    def run_on() -> None:
        os.setsid()
        _endless_loop()

    for _ in range(6):
        _forked(run_on)
    os._exit(0)


PROGRAMS: dict[str, Callable[[], Any]] = {
    "fork bomb": _fork_bomb,
    "thread bomb": lambda: _beyond(
        39,
        len(_until_refused(300, lambda: threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start())),
        "threads",
    ),
    "memory of one process": lambda: _beyond(
        512, 16 * len(_until_refused(64, lambda: bytearray(b"x") * (16 * MEBI))), "MiB"
    ),
    "anonymous maps": lambda: _beyond(512, 16 * len(_until_refused(64, lambda: mmap.mmap(-1, 16 * MEBI))), "MiB"),
    "files without a name": lambda: _beyond(
        31, len(_until_refused(40, lambda: os.write(os.memfd_create("x"), b"x" * MEBI))), "MiB"
    ),
    "memory of many processes": _memory_of_many_processes,
    "fill the disk": lambda: _fill("/tmp"),
    "fill shared memory": lambda: _fill("/dev/shm"),
    "one big file": _one_big_file,
    "open files": _open_files,
    "pages of pipes": _pages_of_pipes,
    "every pipe there is": _every_pipe_there_is,
    "inode flood": lambda: _until_refused(
        10**6, lambda: os.close(os.open(f"/tmp/{time.monotonic_ns()}", os.O_CREAT | os.O_WRONLY))
    )[:0],
    "endless output": _endless_output,
    "huge reply": lambda: "x" * (40 * MEBI),
    "deep reply": _deep_reply,
    "endless range": lambda: range(10**15),  # a few bytes, until somebody adds it up
    "set of one hash": lambda: {number * (2**61 - 1) for number in range(60_000)},
    "huge number": lambda: int("f" * 8 * MEBI, 16),
    "raw bytes down every pipe": lambda: _write_everywhere(b"\xff" * 65536, 1),
    "endless replies down every pipe": lambda: _write_everywhere(b"\x00\x00\x00\x04null" * 1000, 10**5),
    "endless loop": _endless_loop,
    "one endless operation": lambda: [str(len(str(7 ** (10**8))))],
    "sleep": _sleep,
    "loop that ignores signals": _loop_that_ignores_signals,
    "stops itself": _stops_itself,
    "overflow of the stack": lambda: ctypes.string_at(0) and ["alive"],
    "daemons": _daemons,
}
