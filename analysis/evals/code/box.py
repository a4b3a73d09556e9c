"""One program in one box: bubblewrap around the system's Python, started by nobody of importance.

A box has its own user, process, network, IPC, host-name and cgroup namespaces; it sees the interpreter (runtime.py) and
nothing else of the host's files, has no network, no capability, no environment, a read-only root and two small tmpfs;
system calls are filtered (seccomp.py), resources limited (rlimits from inside, since processes are counted per user
namespace; a cgroup where there is one). As real root bubblewrap is no wall: user 0 owns the host's /proc/sys, whatever
the namespace. So root becomes an unused uid first, and /proc is read-only besides.

Nothing here waits for a box longer than the box has: what others of the same user do to the machine, as with the quota
of pipes, may keep a box from starting (NoBox, which says nothing of a program) and cannot hold up the judge.
"""

import contextlib
import ctypes
import fcntl
import functools
import json
import marshal
import os
import platform
import pwd
import select
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evals.code import cgroup, runtime, seccomp
from store.errors import Failure

UNUSED_UIDS = range(61_000, 61_184)
"""No distribution hands these out, and every container that maps 65,536 ids has them."""
BWRAP = "/usr/bin/bwrap"
OLDEST_BWRAP = (0, 8)
"""The first with --disable-userns."""
OLDEST_PYTHON = (3, 9)
MEBI = 1 << 20
PR_SET_CHILD_SUBREAPER = 36
EXIT_SECONDS = 1.0
OUT_OF_TIME = "out of processor time"
LATE = "out of time"
KILLED = "killed at a limit"
NOT_A_REPLY, TOO_MUCH = "not a reply", "too much output"
START_SECONDS = 30.0
"""Of a box, on however loaded a machine, before its first process must have spoken."""
PROGRAM, TESTS = "program", "tests"
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK

_CODEC, _ASKING = ((Path(__file__).parent / name).read_bytes() for name in ("inside.py", "asking.py"))
_TEXTS = {PROGRAM: _CODEC + b"\nserve()\n", TESTS: _CODEC + _ASKING + b"\nask()\n"}
"""Read at once: a user who dropped his rights may no longer reach the folder of this project."""
_COMPILE = (
    "import marshal, sys; marshal.dump(compile(sys.stdin.read(), '<box>', 'exec', optimize=2), sys.stdout.buffer)"
)


@dataclass(frozen=True)
class Limits:
    """What a program may use. Time is decided by the processor's clock; the wall clock is for programs that sleep."""

    cpu_seconds: int = 10
    """Of each process. The slowest reference solution of HumanEval and MBPP takes 3."""
    wall_seconds: float = 30.0
    process_bytes: int = 512 * MEBI
    box_bytes: int = 768 * MEBI
    """Of all processes and both tmpfs together, where there is a cgroup."""
    processes: int = 16
    files: int = 64
    file_bytes: int = 8 * MEBI
    tmp_bytes: int = 16 * MEBI
    shm_bytes: int = 8 * MEBI
    reply_bytes: int = 1 * MEBI
    replies_bytes: int = 16 * MEBI


@dataclass(frozen=True)
class Sandbox:
    """What this machine has to build boxes with.

    Attributes:
        bwrap: path of bubblewrap.
        bwrap_version: as it calls itself.
        python: path of the interpreter in the box, the system's.
        python_version: "3.11.2".
        uid: whom root becomes; None for a normal user, who stays who he is.
        mounts: bubblewrap's arguments that bind the interpreter and what it needs (runtime.py).
    """

    bwrap: str
    bwrap_version: str
    python: str
    python_version: str
    uid: int | None
    mounts: tuple[str, ...] = ()


class NoBox(Exception):
    """No box came to life: the machine's fault, whatever the program."""


class Gone(Exception):
    """The box died, or said something that no honest box says; the message is the reason."""


@dataclass
class Box:
    """A running box: bubblewrap's process, the files that it names the box's first process and its troubles in, and the
    pipes into and out of the box.

    `until` is when its time is over, by the monotonic clock; `received` counts the bytes of its replies.
    """

    pid: int
    info: int
    errors: int
    requests: int
    replies: int
    limits: Limits
    until: float
    received: int = 0


def find() -> Sandbox:
    """What this machine has for a sandbox.

    Raises:
        Failure: it has not all of it; nothing may be executed here.
    """
    if platform.system() != "Linux":
        raise Failure("programs are executed on Linux only, in bubblewrap; evaluate code on a Linux machine")
    if platform.machine() not in seccomp.ARCHITECTURES:
        raise Failure(f"the sandbox has no system-call filter for {platform.machine()}; use x86_64 or aarch64")
    bwrap = next((path for path in (BWRAP, shutil.which("bwrap")) if path and _for_all(path)), None)
    if bwrap is None:
        raise Failure("no sandbox: bubblewrap is not installed; install it (apt-get install bubblewrap)")
    if Path(bwrap).stat().st_mode & stat.S_ISUID:
        raise Failure(f"no sandbox: {bwrap} is setuid root; allow unprivileged user namespaces and remove that bit")
    version = runtime.said([bwrap, "--version"]).removeprefix("bubblewrap ")
    if _numbers(version) < OLDEST_BWRAP:
        raise Failure(f"no sandbox: bubblewrap {version or '(unknown version)'} is too old; 0.8 or later is needed")
    python, python_version = _interpreter()
    uid = _unused_uid() if 0 in (os.getuid(), os.geteuid()) else None
    return Sandbox(bwrap, version, python, python_version, uid, runtime.mounts(python))


def _interpreter() -> tuple[str, str]:
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        resolved = os.path.realpath(path)
        if resolved.startswith("/usr/") and _for_all(resolved):
            version = runtime.said([resolved, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
            if _numbers(version) >= OLDEST_PYTHON:
                return resolved, version
    raise Failure(
        "no sandbox: there is no Python 3.9 or later in /usr that every user can run (one in a home folder is out of "
        "reach for an unprivileged user); install the system's (apt-get install python3)"
    )


def _for_all(path: str) -> bool:
    """Whether any user can run the file: itself executable, and every folder above it searchable."""
    resolved = Path(path).resolve()
    return resolved.is_file() and all(part.stat().st_mode & stat.S_IXOTH for part in (resolved, *resolved.parents))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _unused_uid() -> int:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    free = [uid for uid in UNUSED_UIDS if uid not in taken]
    if not free:
        raise Failure(f"no sandbox: all users {UNUSED_UIDS[0]}–{UNUSED_UIDS[-1]} are taken; start as a normal user")
    return free[0]


def drop(uid: int) -> None:
    """Become `uid` for good, with no group but its own.

    Raises:
        OSError: not allowed to; then nothing may be executed.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def start(sandbox: Sandbox, limits: Limits, group: cgroup.Group | None, side: str = PROGRAM) -> Box:
    """Start a box and wait until it has taken its limits on.

    Raises:
        NoBox: this process is root, or the machine does not give us one, or not within `START_SECONDS`.
    """
    if 0 in os.getresuid():
        raise NoBox("root starts no box")
    try:
        box = _born(sandbox, limits, group, side)
    except (OSError, subprocess.TimeoutExpired) as error:  # no process, no pipe, no memory left for anybody
        raise NoBox(str(getattr(error, "strerror", None) or error)) from None
    rlimits = {"AS": limits.process_bytes, "CPU": limits.cpu_seconds, "NPROC": limits.processes}
    rlimits |= {"NOFILE": limits.files, "FSIZE": limits.file_bytes, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0}
    try:
        send(box, rlimits)
        receive(box)
        for fd in (box.info, box.errors):  # bubblewrap still holds them, which programs might get at
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except Gone as gone:
        said = os.pread(box.errors, 1000, 0).decode(errors="replace").strip()
        stop(box)
        raise NoBox(said.splitlines()[-1] if said else str(gone)) from None
    except BaseException:
        stop(box)
        raise
    return box


def _born(sandbox: Sandbox, limits: Limits, group: cgroup.Group | None, side: str) -> Box:
    """A box whose first process may or may not come to life."""
    driver = _driver(sandbox.python, side)
    sizes = {"tmp_bytes": limits.tmp_bytes, "shm_bytes": limits.shm_bytes, "driver_bytes": len(driver)}
    command = runtime.command(sandbox.bwrap, sandbox.python, sandbox.mounts, side, **sizes)
    opened: list[int] = []
    try:
        for _ in range(2):
            opened.extend(os.pipe())
        for data in (None, seccomp.program(platform.machine()), driver, None):
            opened.append(_file(data))
        pid = os.fork()
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    request_out, request_in, reply_out, reply_in, errors, filter_out, driver_out, info = opened
    if pid == 0:
        _become(command, (request_out, reply_in, errors, filter_out, driver_out, info), group)
    for fd in (request_out, reply_in, filter_out, driver_out):
        os.close(fd)
    os.set_blocking(request_in, False)
    return Box(pid, info, errors, request_in, reply_out, limits, time.monotonic() + START_SECONDS)


def _become(command: list[str], fds: Sequence[int], group: cgroup.Group | None) -> None:
    """In the forked child: enter the cgroup, put the files where they belong, be bubblewrap."""
    try:
        if group is not None:
            cgroup.enter(group)
        aside = [os.dup2(fd, 100 + target, inheritable=False) for target, fd in enumerate(fds)]
        for target, fd in enumerate(aside):
            os.dup2(fd, target, inheritable=True)
        os.execve(command[0], command, {})
    except BaseException as error:
        os.write(fds[2], str(error).encode())
    finally:
        os._exit(126)


def _file(data: bytes | None) -> int:
    """A file in memory that holds `data` and never anything else; None: an empty one, to be written.

    Not a pipe: the pages of all pipes of a user have one quota, which other boxes may have used up. Every box has its
    own, since those who share an open file share its position.
    """
    fd = os.memfd_create("box", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if data is not None:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


@functools.cache
def _driver(python: str, side: str) -> bytes:
    """`_TEXTS` of a side as that interpreter compiles it: to compile it in every box would be a fifth of a box's life.

    Raises:
        NoBox: it cannot.
    """
    command = [python, "-I", "-S", "-B", "-c", _COMPILE]
    done = subprocess.run(command, input=_TEXTS[side], capture_output=True, timeout=30, check=False, cwd="/")
    if done.returncode != 0 or not done.stdout:
        raise NoBox(f"{python} does not compile what runs in a box (exit code {done.returncode})")
    return done.stdout


def send(box: Box, request: Any) -> None:
    """Send a request that we made ourselves.

    Raises:
        Gone: nobody is there to read it, or nobody reads it in time.
    """
    say(box, marshal.dumps(request, 4))


def say(box: Box, data: bytes) -> None:
    """Send a message as it is; raises as `send`."""
    data = len(data).to_bytes(4, "big") + data
    while data:
        _await(box, box.requests, select.POLLOUT)
        try:
            data = data[os.write(box.requests, data) :]
        except BlockingIOError:
            continue
        except OSError:
            raise Gone(_why(box)) from None


def receive(box: Box) -> Any:
    """The next reply, parsed as JSON and no further.

    Raises:
        Gone: none comes in time, or it is too long, or it is not JSON.
    """
    try:
        return json.loads(hear(box))
    except (ValueError, RecursionError):
        raise Gone(NOT_A_REPLY) from None


def hear(box: Box) -> bytes:
    """The next message as it is; raises as `receive`."""
    size = int.from_bytes(_exactly(box, 4), "big")
    box.received += size
    if size > box.limits.reply_bytes or box.received > box.limits.replies_bytes:
        raise Gone(TOO_MUCH)
    return _exactly(box, size)


def _exactly(box: Box, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        _await(box, box.replies, select.POLLIN)
        chunk = os.read(box.replies, size - len(data))
        if not chunk:
            raise Gone(_why(box))
        data += chunk
    return bytes(data)


def _await(box: Box, fd: int, what: int) -> None:
    """Wait until the pipe is ready, or its other end closed; until the box's time is over."""
    poll = select.poll()
    poll.register(fd, what)
    if not poll.poll(max(0.0, 1000 * (box.until - time.monotonic()))):
        raise Gone(LATE)


def stop(box: Box) -> None:
    """End everything in the box, wait until it has ended, and let go of it."""
    if box.pid:
        os.kill(box.pid, signal.SIGKILL)
        os.waitpid(box.pid, 0)
    with contextlib.suppress(ValueError, KeyError, ChildProcessError):
        os.waitpid(json.loads(os.pread(box.info, 1000, 0))["child-pid"], 0)  # dies with bubblewrap, and is left to us
    for fd in (box.requests, box.replies, box.info, box.errors):
        os.close(fd)


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, so that `stop` can wait for all of a box.

    Left to the system's first process, dead boxes would stay in the process table until it gets round to them.

    Raises:
        OSError: the kernel does not want to.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _why(box: Box) -> str:
    """What its exit status says of a box that fell silent."""
    until = time.monotonic() + EXIT_SECONDS
    while box.pid and time.monotonic() < until:
        pid, status = os.waitpid(box.pid, os.WNOHANG)
        if pid:
            box.pid = 0
            code = os.waitstatus_to_exitcode(status)
            if code == 128 + signal.SIGXCPU:
                return OUT_OF_TIME
            killed = code in (128 + signal.SIGKILL, -signal.SIGKILL)
            return KILLED if killed else f"the process ended (exit code {code})"
        time.sleep(0.005)
    return "the process hung up"
