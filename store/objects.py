"""Files below a path, on a disk or in an object store, which has names with slashes in them and no folders.

Paths are absolute, or URLs such as gs://bucket/run. No store is asked for a folder: what clients say of one differs
(some end its name in "/", some list it in itself), and the names of the files are all that is needed.
"""

import functools
import shutil
from pathlib import Path

import tensorstore as ts

from store.paths import kvstore, remote


def names(path: str) -> list[str]:
    """What is directly below `path`, in order, empty folders too; none if there is nothing."""
    if remote(path):
        return sorted({name.split("/")[0] for name in _keys(path) if name})
    return sorted(entry.name for entry in Path(path).iterdir()) if Path(path).is_dir() else []


def _keys(path: str) -> list[str]:
    """Some tools leave one for each folder, its name with a "/" at the end; below it that is an empty name."""
    return sorted(key.decode() for key in _store(path).list().result())


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
