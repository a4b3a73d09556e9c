"""A control group that bounds all processes of a box together, where this machine lets us make one.

Without one, memory is bounded per process only (RLIMIT_AS), and a box can use that much once per process. Version 2
needs a part of the tree that was delegated to us, version 1 in practice root. A group serves one box after another.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
EMPTYING_SECONDS = 2.0


@dataclass(frozen=True)
class Group:
    """`processes` are the files that a process writes "0" to, to enter; `folders` are ours, in order of removal."""

    processes: tuple[str, ...]
    folders: tuple[str, ...]


def make(name: str, memory_bytes: int, processes: int, owner: int | None) -> Group | None:
    """A group called `name` with both limits, into which user `owner` (None: this one) may move its processes.

    Returns None where there is no way to make one: not delegated, not mounted, or no memory controller.
    """
    paths = _own_paths()
    try:
        if "memory" in paths and "pids" in paths:
            return _version1(paths, name, memory_bytes, processes, owner)
        if "" in paths:
            return _version2(ROOT / paths[""].lstrip("/"), name, memory_bytes, processes, owner)
    except OSError:
        pass
    return None


def enter(group: Group) -> None:
    """Move this process into the group. For use between fork and exec: whoever fails here must not go on."""
    for path in group.processes:
        Path(path).write_text("0")


def remove(group: Group) -> None:
    """Remove the group once its last process is gone; a group that stays is empty and harmless."""
    until = time.monotonic() + EMPTYING_SECONDS
    for folder in group.folders:
        while Path(folder).exists():
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
                continue
            if time.monotonic() > until:
                return
            time.sleep(0.02)


def _own_paths() -> Mapping[str, str]:
    """From controller to our group's path in its hierarchy, as /proc/self/cgroup has it; "" is version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    split = [line.split(":", 2) for line in lines]
    return {controller: path for _, controllers, path in split for controller in controllers.split(",")}


def _version1(paths: Mapping[str, str], name: str, memory_bytes: int, processes: int, owner: int | None) -> Group:
    memory = ROOT / "memory" / paths["memory"].lstrip("/") / name
    pids = ROOT / "pids" / paths["pids"].lstrip("/") / name
    group = Group(tuple(str(folder / "cgroup.procs") for folder in (memory, pids)), (str(memory), str(pids)))
    try:
        memory.mkdir()
        pids.mkdir()
        (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
        with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
            (memory / "memory.memsw.limit_in_bytes").write_text(str(memory_bytes))
        (pids / "pids.max").write_text(str(processes))
        _give(group.processes, owner)
    except OSError:
        remove(group)
        raise
    return group


def _version2(own: Path, name: str, memory_bytes: int, processes: int, owner: int | None) -> Group:
    """A group beside ours, below the nearest ancestor that hands its children both controllers.

    The caller moves into it too (a group with controllers for its children may hold no process itself), since a process
    can only be moved by someone who may write to the nearest group above both ends of the move.
    """
    parents = [folder for folder in (own, *own.parents) if folder.is_relative_to(ROOT)]
    needed = {"memory", "pids"}
    parent = next((p for p in parents if needed <= set((p / "cgroup.subtree_control").read_text().split())), None)
    if parent is None:
        raise OSError("no ancestor hands memory and pids on")
    top = parent / name
    judge, box = top / "judge", top / "box"
    group = Group((str(box / "cgroup.procs"),), (str(box), str(judge), str(top)))
    try:
        top.mkdir()
        (top / "cgroup.subtree_control").write_text("+memory +pids")
        judge.mkdir()
        box.mkdir()
        (box / "memory.max").write_text(str(memory_bytes))
        (box / "memory.oom.group").write_text("1")
        with contextlib.suppress(OSError):  # no swap, no file
            (box / "memory.swap.max").write_text("0")
        (box / "pids.max").write_text(str(processes))
        enter(Group((str(judge / "cgroup.procs"),), ()))
        _give([str(folder / "cgroup.procs") for folder in (top, judge, box)], owner)
    except OSError:
        remove(group)
        raise
    return group


def _give(files: "tuple[str, ...] | list[str]", owner: int | None) -> None:
    if owner is not None:
        for file in files:
            os.chown(file, owner, -1)
