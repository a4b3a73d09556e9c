"""One program in one box: bubblewrap around the system's Python, started by nobody of importance.

A box has its own user, process, network, IPC, host-name and cgroup namespaces; it sees /usr and nothing else of the
host's files, has no network, no capability, no environment, a read-only root and two small tmpfs; system calls are
filtered (seccomp.py), resources limited (rlimits from inside, since processes are counted per user namespace; a cgroup
where there is one). As real root bubblewrap is no wall: user 0 owns the host's /proc/sys, whatever the namespace. So
root becomes an unused uid first, and /proc is read-only besides.
"""

import contextlib
import ctypes
import functools
import json
import marshal
import os
import platform
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evals.sandbox import cgroup, inside, seccomp
from mixtures.errors import Failure

UNUSED_UIDS = range(61_000, 61_184)
"""No distribution hands these out, and every container that maps 65,536 ids has them."""
BWRAP = "/usr/bin/bwrap"
OLDEST_BWRAP = (0, 8)
"""The first with --disable-userns."""
OLDEST_PYTHON = (3, 9)
MEBI = 1 << 20
FILTER_FD = 3
PR_SET_CHILD_SUBREAPER = 36
EXIT_SECONDS = 1.0
OUT_OF_TIME = "out of processor time"
LATE = "out of time"

_INSIDE = Path(inside.__file__).read_bytes() + b"\nserve()\n"
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
    """

    bwrap: str
    bwrap_version: str
    python: str
    python_version: str
    uid: int | None


class NoBox(Exception):
    """No box came to life: the machine's fault, whatever the program."""


class Gone(Exception):
    """The box died, or said something that no honest box says; the message is the reason."""


@dataclass
class Box:
    """A running box: bubblewrap's process, the pipes into and out of it, and what has happened so far."""

    pid: int
    requests: int
    replies: int
    limits: Limits
    received: int = 0
    late: bool = False


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
    version = _output([bwrap, "--version"]).removeprefix("bubblewrap ")
    if _numbers(version) < OLDEST_BWRAP:
        raise Failure(f"no sandbox: bubblewrap {version or '(unknown version)'} is too old; 0.8 or later is needed")
    python, python_version = _interpreter()
    return Sandbox(bwrap, version, python, python_version, _unused_uid() if 0 in (os.getuid(), os.geteuid()) else None)


def _interpreter() -> tuple[str, str]:
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        resolved = os.path.realpath(path)
        if resolved.startswith("/usr/") and _for_all(resolved):
            version = _output([resolved, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
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


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, cwd="/").stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


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


def start(sandbox: Sandbox, limits: Limits, group: cgroup.Group | None) -> Box:
    """Start a box and wait until it has taken its limits on.

    Raises:
        NoBox: this process is root, or bubblewrap or the interpreter does not start.
    """
    if 0 in os.getresuid():
        raise NoBox("root starts no box")
    request_out, request_in = os.pipe()
    reply_out, reply_in = os.pipe()
    errors_out, errors_in = os.pipe()
    filter_out = _filled_pipe(seccomp.program(platform.machine()))
    driver = _driver(sandbox.python)
    os.write(request_in, driver)  # much less than a pipe holds
    command = _command(sandbox, limits, len(driver))
    pid = os.fork()
    if pid == 0:
        _become(command, (request_out, reply_in, errors_in, filter_out), group)
    for fd in (request_out, reply_in, errors_in, filter_out):
        os.close(fd)
    box = Box(pid, request_in, reply_out, limits)
    rlimits = {"AS": limits.process_bytes, "CPU": limits.cpu_seconds, "NPROC": limits.processes}
    rlimits |= {"NOFILE": limits.files, "FSIZE": limits.file_bytes, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0}
    try:
        send(box, rlimits)
        receive(box)
    except Gone as gone:
        stop(box)
        said = os.read(errors_out, 1000).decode(errors="replace").strip()
        raise NoBox(said.splitlines()[-1] if said else str(gone)) from None
    except BaseException:
        stop(box)
        raise
    finally:
        os.close(errors_out)
    return box


def _become(command: list[str], fds: tuple[int, int, int, int], group: cgroup.Group | None) -> None:
    """In the forked child: enter the cgroup, put the pipes where they belong, be bubblewrap."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
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


def _filled_pipe(data: bytes) -> int:
    """The readable end of a pipe that holds `data`. A file shared by boxes would share its position with them."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


@functools.cache
def _driver(python: str) -> bytes:
    """inside.py as that interpreter compiles it: to compile it in every box would be a fifth of a box's life.

    Raises:
        NoBox: it cannot.
    """
    command = [python, "-I", "-S", "-B", "-c", _COMPILE]
    done = subprocess.run(command, input=_INSIDE, capture_output=True, timeout=30, check=False, cwd="/")
    if done.returncode != 0 or not done.stdout:
        raise NoBox(f"{python} does not compile what runs in a box (exit code {done.returncode})")
    return done.stdout


def _command(sandbox: Sandbox, limits: Limits, driver_bytes: int) -> list[str]:
    """bubblewrap's arguments. They can be read from inside, so nothing secret may ever be in them."""
    begin = f"import marshal, posix; exec(marshal.loads(posix.read(0, {driver_bytes})))"
    return [
        *(sandbox.bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp"),
        *("--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0"),
        *("--ro-bind", "/usr", "/usr", *_top_folders()),
        *("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"),
        *("--size", str(limits.shm_bytes), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *("--size", str(limits.tmp_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"),
        *("--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "box", "--seccomp", str(FILTER_FD)),
        *("--", sandbox.python, "-I", "-S", "-B", "-c", begin),
    ]


def _top_folders() -> list[str]:
    """/bin, /lib and the like: links into /usr nowadays, folders of their own on older systems."""
    found: list[str] = []
    for folder in ("/bin", "/lib", "/lib64", "/lib32"):
        if Path(folder).is_symlink():
            found += ["--symlink", str(Path(folder).readlink()).removeprefix("/"), folder]
        elif Path(folder).is_dir():
            found += ["--ro-bind", folder, folder]
    return found


def send(box: Box, request: Any) -> None:
    """Send a request that we made ourselves.

    Raises:
        Gone: nobody is there to read it.
    """
    data = marshal.dumps(request, 4)
    data = len(data).to_bytes(4, "big") + data
    try:
        while data:
            data = data[os.write(box.requests, data) :]
    except OSError:
        raise Gone(_why(box)) from None


def receive(box: Box) -> Any:
    """The next reply, parsed as JSON and no further.

    Raises:
        Gone: none comes, or it is too long, or it is not JSON.
    """
    size = int.from_bytes(_exactly(box, 4), "big")
    box.received += size
    if size > box.limits.reply_bytes or box.received > box.limits.replies_bytes:
        raise Gone("too much output")
    try:
        return json.loads(_exactly(box, size))
    except (ValueError, RecursionError):
        raise Gone("not a reply") from None


def tree(value: Any) -> Any:
    """`value` as the codec's tree, to be sent.

    Raises:
        inside.NotPlain: it cannot cross.
    """
    return json.loads(inside.write(value))


def value(tree: Any) -> Any:
    """The value in a reply.

    Raises:
        Gone: it is none that our codec writes.
    """
    try:
        return inside.read(tree)
    except inside.NotPlain:
        raise Gone("not a reply") from None


def _exactly(box: Box, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(box.replies, size - len(data))
        if not chunk:
            raise Gone(_why(box))
        data += chunk
    return bytes(data)


def kill(box: Box) -> None:
    """End everything in the box, because its time is over; whoever reads from it then finds it gone."""
    box.late = True
    if box.pid:
        os.kill(box.pid, signal.SIGKILL)


def stop(box: Box) -> None:
    """End everything in the box, wait until it has ended, and let go of it."""
    if box.pid:
        os.kill(box.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:  # bubblewrap, and the first process of the box, which it leaves to us (see adopt_orphans)
            os.waitpid(-1, 0)
    os.close(box.requests)
    os.close(box.replies)


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
    while time.monotonic() < until:
        pid, status = os.waitpid(box.pid, os.WNOHANG) if box.pid else (0, 0)
        if pid:
            box.pid = 0
            if box.late:
                break
            code = os.waitstatus_to_exitcode(status)
            if code == 128 + signal.SIGXCPU:
                return OUT_OF_TIME
            killed = code in (128 + signal.SIGKILL, -signal.SIGKILL)
            return "killed at a limit" if killed else f"the process ended (exit code {code})"
        time.sleep(0.005)
    return LATE if box.late else "the process hung up"
