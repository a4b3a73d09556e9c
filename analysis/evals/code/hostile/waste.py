"""Programs that use up what there is. Each is bounded by itself, so that a sandbox that fails its test does no harm.

A function returns what it got beyond its share (nothing, if the sandbox holds), or a limit stops it. They run in boxes
only: selftest.py sends this file as it stands, and asks for one function.
"""
# ruff: noqa: PTH123, SIM105

import os
import signal
import time
from typing import Any

MEBI = 1 << 20


def _until_refused(most: int, get: Any) -> list[Any]:
    got: list[Any] = []
    try:
        while len(got) < most:
            got.append(get())
    except (OSError, MemoryError, RuntimeError):
        pass
    return got


def fork_bomb() -> list[str]:
    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            time.sleep(5)
            os._exit(0)
        return pid

    children = _until_refused(300, fork)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return [] if len(children) < 40 else [f"{len(children)} children"]


def thread_bomb() -> list[str]:
    import threading

    threads = _until_refused(300, lambda: threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start())
    return [] if len(threads) < 40 else [f"{len(threads)} threads"]


def memory_of_one_process() -> list[str]:
    got = len(_until_refused(64, lambda: bytearray(b"x") * (16 * MEBI)))
    return [] if got * 16 <= 512 else [f"{got * 16} MiB"]


def anonymous_maps() -> list[str]:
    import mmap

    got = len(_until_refused(64, lambda: mmap.mmap(-1, 16 * MEBI)))
    return [] if got * 16 <= 512 else [f"{got * 16} MiB"]


def files_without_a_name() -> list[str]:
    got = len(_until_refused(40, lambda: os.write(os.memfd_create("x"), b"x" * MEBI)))
    return [] if got < 32 else [f"{got} MiB"]


def memory_of_many_processes() -> list[str]:
    """Only a control group contains this one: without, each process has a limit of its own."""
    for _ in range(12):
        if os.fork() == 0:
            block = bytearray(b"x") * (100 * MEBI)
            time.sleep(2)
            os._exit(len(block) == 0)
    whole = sum(os.wait()[1] == 0 for _ in range(12))
    return [] if whole < 8 else [f"{whole * 100} MiB"]


def _fill(folder: str) -> list[str]:
    got = 0
    for number in range(16):
        try:
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                for _ in range(7):
                    got += file.write(b"x" * MEBI)
        except OSError:
            pass
    return [] if got <= 20 * MEBI else [f"{got} bytes in {folder}"]


def fill_the_disk() -> list[str]:
    return _fill("/tmp")


def fill_shared_memory() -> list[str]:
    return _fill("/dev/shm")


def one_big_file() -> list[str]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/tmp/big", "wb", buffering=0) as file:
        got = sum(_until_refused(12, lambda: file.write(b"x" * MEBI)))
    return [] if got <= 8 * MEBI else [f"{got} bytes"]


def open_files() -> list[str]:
    got = _until_refused(2000, lambda: os.open("/dev/null", os.O_RDONLY))
    for fd in got:
        os.close(fd)
    return [] if len(got) <= 64 else [f"{len(got)} files"]


def pages_of_pipes() -> list[str]:
    """All pipes of a user share a quota of pages, and a pipe may have more of them than it begins with: not here."""
    import fcntl

    def larger() -> int:
        return fcntl.fcntl(os.pipe()[1], 1031, MEBI)  # F_SETPIPE_SZ

    return [f"a pipe of {size} bytes" for size in _until_refused(1, larger)]


def every_pipe_there_is() -> list[str]:
    """They take most of that quota all the same; an honest neighbour must not notice."""
    for _ in range(6):
        if os.fork() == 0:
            for _, end in _until_refused(100, os.pipe):
                os.set_blocking(end, False)
                os.write(end, b"x" * 65536)
            time.sleep(2)
            os._exit(0)
    time.sleep(2)
    return []


def inode_flood() -> list[str]:
    _until_refused(10**6, lambda: os.close(os.open(f"/tmp/{time.monotonic_ns()}", os.O_CREAT | os.O_WRONLY)))
    return []


def endless_output() -> list[str]:
    for _ in range(10**7):
        print("x" * 10_000)
    return ["all of it"]


def huge_reply() -> str:
    return "x" * (40 * MEBI)


def deep_reply() -> list[Any]:
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    return deep


def endless_range() -> range:
    """A few bytes, until somebody adds it up."""
    return range(10**15)


def set_of_one_hash() -> set[int]:
    return {number * (2**61 - 1) for number in range(60_000)}


def huge_number() -> int:
    return int("f" * 8 * MEBI, 16)


def _write_everywhere(data: bytes, times: int) -> None:
    for _ in range(times):
        for fd in range(3, 64):
            try:
                os.write(fd, data)
            except OSError:
                pass


def raw_bytes_down_every_pipe() -> list[str]:
    _write_everywhere(b"\xff" * 65536, 1)
    return ["nobody minded"]


def endless_replies_down_every_pipe() -> list[str]:
    _write_everywhere(b"\x00\x00\x00\x04null" * 1000, 10**5)
    return ["nobody minded"]


def endless_loop() -> list[str]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass
    return ["a minute"]


def one_endless_operation() -> list[str]:
    return [str(len(str(7 ** (10**8))))]


def sleep() -> list[str]:
    time.sleep(60)
    return ["a minute"]


def loop_that_ignores_signals() -> list[str]:
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    return endless_loop()


def stops_itself() -> list[str]:
    os.kill(os.getpid(), signal.SIGSTOP)
    return []


def overflow_of_the_stack() -> list[str]:
    import ctypes

    ctypes.string_at(0)
    return ["alive"]


def daemons() -> list[str]:
    """They are to be gone with the box: selftest.py looks for what is left of it."""
    for _ in range(6):
        if os.fork() == 0:
            os.setsid()
            endless_loop()
    os._exit(0)
