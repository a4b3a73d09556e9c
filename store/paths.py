"""Where a store is: a folder of this machine, or of an object store (gs://bucket/folder, s3://, whatever fsspec knows).

Both answer to the names of `pathlib.Path`, so that who reads a store need not know which it is. What differs is said
here, and in files.py, appended.py and lock.py, which write: an object store has no folders, renames nothing, appends
nothing and changes nothing in place. It is never asked for a folder as such, for what its clients say of one differs
(some end its name in "/", some list it in itself).
"""

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from store.errors import Away, Failure, UserError, said

EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
"""What pip installs for a scheme."""
AT_ONCE = 16
"""Requests: one takes some 50 ms whatever it is about."""

_T = TypeVar("_T")
_R = TypeVar("_R")

# Plain buckets alone: where this is on, every bucket is first asked by gRPC whether it is another kind.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
for _scheme in EXTRAS:
    # In a listing that was kept, what another worker wrote a second ago is not. Processes that are started inherit it.
    os.environ.setdefault(f"FSSPEC_{_scheme.upper()}", '{"use_listings_cache": false}')


class Unreachable(Away, OSError):
    """An object store did not answer."""


def at(text: str | Path) -> Path:
    """The path that was typed: of this machine, or in an object store if it is a URL.

    Raises:
        UserError: the package for that kind of store is not installed, or there is no such kind.
    """
    if not remote(text):
        return Path(text)
    scheme = str(text).partition("://")[0]
    from upath import UPath

    try:
        path = UPath(str(text).rstrip("/"))
        _ = path.fs  # which loads its package
    except ImportError as error:
        extra = f"; pip install 'code-data-ablation[{EXTRAS[scheme]}]'" if scheme in EXTRAS else ""
        raise UserError(f"{text}: {said(error)}{extra}") from error
    except Exception as error:
        raise UserError(
            f"{text} cannot be used ({said(error)}); name a folder, or one such as gs://bucket/runs"
        ) from error
    return cast(Path, path)


def remote(path: str | Path) -> bool:
    return "://" in str(path)


def place(path: str | Path) -> str:
    """As a text, absolute: of a relative path Orbax finds no metadata, and says nothing."""
    return str(path).rstrip("/") if remote(path) else str(Path(path).absolute())


def kvstore(folder: str | Path) -> str | dict[str, Any]:
    """What TensorStore opens for the files below a folder, or in an object store below a URL."""
    base = place(folder)
    return f"{base}/" if remote(base) else {"driver": "file", "path": f"{base}/"}


def require_bucket(path: Path) -> None:
    """Refuse a store in a bucket that is not there or may not be read, before anything else is tried.

    Raises:
        UserError: which of these it is.
    """
    if not remote(path):
        return
    system: Any = path.fs  # type: ignore[attr-defined]
    bucket = system._strip_protocol(str(path)).partition("/")[0]
    where = f"{str(path).partition('://')[0]}://{bucket}"
    try:
        system.info(bucket)
    except FileNotFoundError as error:
        raise UserError(f"bucket {where} does not exist, or is not yours to read; make it, or name another") from error
    except Exception as error:
        raise UserError(
            f"{where} cannot be reached ({type(error).__name__}: {said(error)}); see to the network and to your "
            "credentials, which this command takes from the environment"
        ) from error


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """While the block runs, what an object store's client raises is Unreachable: each raises what it likes."""
    try:
        yield
    except (OSError, ValueError, Failure, UserError):
        raise
    except Exception as error:
        if not remote(path):
            raise
        what = f"{type(error).__name__}: {said(error)}"
        raise Unreachable(f"{path} cannot be reached ({what}); see to the network, then run again") from error


def read(path: Path) -> bytes:
    """The content of a file. Raises OSError, of which FileNotFoundError is one."""
    with reaching(path):
        return path.read_bytes()


@contextmanager
def binary(path: Path) -> Iterator[Any]:
    """What libraries that read Parquet and the like take: the path of a file on this machine, else an open file."""
    if not remote(path):
        yield path
        return
    with reaching(path):
        file = path.open("rb")
    with file:
        yield file


def there(path: Path) -> bool:
    """Whether there is such a file."""
    with reaching(path):
        return path.exists()


def names(folder: Path) -> list[str]:
    """What is directly in a folder, in order; none if there is none."""
    if not remote(folder):
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    system: Any = folder.fs  # type: ignore[attr-defined]
    own: str = folder.path  # type: ignore[attr-defined]
    with reaching(folder):
        try:
            found = system.ls(own, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
    below = (name.rstrip("/").removeprefix(f"{own}/") for name in found)
    return sorted({name for name in below if name and name != own})


def missing(paths: Iterable[Path]) -> set[Path]:
    """Those where there is no file, by a listing of each of their folders: shards and stages are many."""
    asked = set(paths)
    folders = list({path.parent for path in asked})
    listed = together(folders[0], names, folders) if folders else []
    return asked - {folder / name for folder, its in zip(folders, listed, strict=True) for name in its}


def glob(folder: Path, pattern: str) -> list[Path]:
    """What is below a folder under such names, in order; `*` stands for any part of a name, and `**` is not known.

    In an object store every folder on the way is listed by itself, and no name below those is looked at.
    """
    if not remote(folder):
        return sorted(folder.glob(pattern))
    places = [folder]
    for part in pattern.split("/"):
        if "*" in part:
            found = together(folder, names, places)
            pairs = zip(places, found, strict=True)
            places = [place / name for place, its in pairs for name in its if fnmatch.fnmatchcase(name, part)]
        else:
            places = [place / part for place in places]
    if "*" not in pattern.rpartition("/")[2]:
        places = [place for place, its in zip(places, together(folder, there, places), strict=True) if its]
    return sorted(places)


def stamp(path: Path) -> tuple[float, int]:
    """When a file was last written, by whoever keeps it, and its size: another where it was written again."""
    with reaching(path):
        about = path.stat()
    written = getattr(about, "st_mtime_ns", None) or about.st_mtime * 1e9
    return written, about.st_size


def together(where: Path, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """`work` of every item, in their order; many at once if `where` they are is an object store."""
    items = list(items)
    if len(items) < 2 or not remote(where):
        return list(map(work, items))
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))
