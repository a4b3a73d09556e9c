"""Files below a path, on a disk or in an object store, which has names with slashes in them and no folders.

Paths are absolute, or URLs such as gs://bucket/run. No store is asked for a folder: what clients say of one differs
(some end its name in "/", some list it in itself), and the names of the files are all that is needed.
"""

import functools
import hashlib
import shutil
from pathlib import Path

import tensorstore as ts

from store.paths import kvstore, remote


def files(path: str) -> list[str]:
    """Every file below `path`, by its path from there, in order; none if there is nothing."""
    return [name for name in _keys(path) if name and not name.endswith("/")]


def names(path: str) -> list[str]:
    """What is directly below `path`, in order, empty folders too; none if there is nothing."""
    if remote(path):
        return sorted({name.split("/")[0] for name in _keys(path) if name})
    return sorted(entry.name for entry in Path(path).iterdir()) if Path(path).is_dir() else []


def _keys(path: str) -> list[str]:
    """Some tools leave one for each folder, its name with a "/" at the end; below it that is an empty name."""
    return sorted(key.decode() for key in _store(path).list().result())


def digest(path: str, file: str) -> str:
    """SHA-256, in hexadecimal. Raises OSError or ValueError when the file cannot be read."""
    if remote(path):  # whole: Orbax writes no file of more than 2 GB
        return hashlib.sha256(read(path, file)).hexdigest()
    with (Path(path) / file).open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def read(path: str, file: str) -> bytes:
    """Raises OSError or ValueError when the file cannot be read."""
    found = _store(path).read(file).result()
    if found.state != "value":
        raise FileNotFoundError(f"{path}/{file}")
    return found.value


def write(path: str, file: str, content: bytes) -> None:
    """Write a file; it appears whole or not at all."""
    _store(path).write(file, content).result()


def remove(path: str, file: str | None = None) -> None:
    """Remove one file, or everything below `path`, if it is there."""
    if file is not None:
        _store(path).write(file, None).result()
    elif remote(path):
        _store(path).delete_range(ts.KvStore.KeyRange()).result()
    elif Path(path).exists():
        shutil.rmtree(path)


@functools.lru_cache(64)
def _store(path: str) -> ts.KvStore:
    return ts.KvStore.open(kvstore(path)).result()
