"""The sha256 of files, remembered: a file that looks untouched is not read again."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from store.errors import Failure, readable
from store.files import write_json

SETTLED_NS = 2_000_000_000
"""A file changed more recently than this may change again within the same tick of its clock, and is not remembered."""
THREADS = 4


def digests(paths: Iterable[Path], memory: Path) -> dict[Path, str]:
    """The sha256 of every file, hexadecimal.

    What was found is kept in the file `memory` with size, times and inode of each file. The time of the last change
    is among them, which nobody can set, so an edit that puts the time of writing back is seen.

    Raises:
        Failure: a file cannot be read.
    """
    known = _load(memory)
    now = {path: look(path) for path in paths}
    names = {path: os.fsencode(path).decode(errors="backslashreplace") for path in now}  # which need not be UTF-8
    missing = [path for path, look in now.items() if known.get(names[path], [None])[0] != look]
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(missing, pool.map(sha256, missing), strict=True))
    if found:
        settled = time.time_ns() - SETTLED_NS
        new = {names[path]: [now[path], sha] for path, sha in found.items() if max(now[path][1:3]) < settled}
        with suppress(Failure):  # the store may be read-only; then the next command reads the files again
            write_json(memory, known | new)
    return {path: found.get(path) or known[names[path]][1] for path in now}


def _load(memory: Path) -> dict[str, list]:  # type: ignore[type-arg]
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return {}


def look(path: Path) -> list[int]:
    """Size, times of writing and of the last change, and inode: equal as long as nobody touches the file.

    Raises:
        Failure: there is no such file.
    """
    with readable(path):
        stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def short(value: object, digits: int = 12) -> str:
    """A name for what is written as JSON: so many hexadecimal digits of its sha256."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:digits]


def sha256(path: Path) -> str:
    with readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
