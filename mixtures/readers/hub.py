"""Data files of the hub, or of copies of them in a bucket or a folder, streamed through fsspec.

Files are grouped to shards of about SHARD_BYTES, and one that several sources read at the same time is read once
(`one_pass`). A file is read at the pinned revision, or from where the environment variable ABLATE_MIRROR says that a
copy is. It holds one or more of these, with blanks between them:

    gs://bucket/folder                      copies of all data sets, each in folder/<owner>/<name>/<revision>/
    bigcode/starcoderdata=s3://bucket/code  a copy of one data set; whoever writes this says that it is that revision

Any URL that fsspec knows will do, and so will a folder. A copy must hold as many files as the catalogue counts, and
of files that are numbered "3 of 59" all. Where a copy was when a command began travels with every job, so that a worker
on another machine reads there as well. fsspec is imported only when a file is listed or read.
"""

import errno
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any, BinaryIO

from mixtures.documents.document import Document, Rows
from mixtures.readers import tables
from store.errors import Failure, UserError, said

READER_VERSION = 2
MIRROR = "ABLATE_MIRROR"
BUFFER_BYTES = 1 << 20
SHARD_BYTES = 1_000_000_000
"""Of upstream files in a shard, as they are listed, so compressed; a larger file is a shard of its own."""
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\b")
"""The way in which most data files say which one they are, of how many."""
Row = tuple[str, Any]


@dataclass(frozen=True)
class HubDataset:
    """Some files of a public data set at one revision.

    Attributes:
        id: "owner/name" on the hub.
        revision: the commit, 40 hexadecimal digits.
        licence: SPDX where upstream says it.
        part: which part of the data set it is, for people ("" for all of it).
        files: paths in the repository, exact or with `*`; the split is part of the path.
        columns: those that `documents` reads; () for all.
        documents: from the rows of one file to its documents.
        size: what upstream says of its size.
        gated: whether its terms must be accepted on its page first.
        count: how many files that is, against copies that lack some; None where upstream does not say.
    """

    id: str
    revision: str
    licence: str
    part: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    documents: Callable[[Rows], Iterator[Document]]
    size: str
    gated: bool = False
    count: int | None = None


_mirror_of_job: ContextVar[Mapping[str, str] | None] = ContextVar("mirror_of_job", default=None)


def mirror() -> Mapping[str, str]:
    """Where copies are, by data set ("" for all), as MIRROR says it; folders by their whole path, as others need it.

    Raises:
        UserError: it names a data set without an owner, or no place.
    """
    given = _mirror_of_job.get()
    if given is not None:
        return given
    places: dict[str, str] = {}
    for entry in os.environ.get(MIRROR, "").split():
        ((name, where),) = re.findall(r"^(?:([^:=]*)=)?(.*)", entry)
        if not where or ((name or where != entry) and name.count("/") != 1):
            raise UserError(f"{MIRROR} says '{entry}'; write owner/name=URL, or the URL of all data sets alone")
        where = where if ":" in where else os.path.abspath(os.path.expanduser(where))  # noqa: PTH100, PTH111
        places.setdefault(name, where.rstrip("/"))
    return places


@contextmanager
def reading_from(mirror: Mapping[str, str]) -> Iterator[None]:
    """Within the block, copies are where `mirror` says and not where the environment of this process does."""
    token = _mirror_of_job.set(mirror)
    try:
        yield
    finally:
        _mirror_of_job.reset(token)


@dataclass(frozen=True)
class _Pass:
    """The rows of files that several readers read at the same time, and of how many rows of them each has taken."""

    taken: list[int]
    waiting: dict[tuple[str, Sequence[str]], list[Iterator[Row]]] = field(default_factory=dict)


_pass: ContextVar[_Pass | None] = ContextVar("pass", default=None)


@contextmanager
def one_pass(readers: int) -> Iterator[Sequence[int]]:
    """Within the block, a file that so many readers ask for is read once.

    The rows between the reader that has taken least and the one that has taken most are held, so whoever calls asks
    the former, the first of them where several are: the numbers of rows that each has taken are yielded.
    """
    shared = _Pass([0] * readers)
    token = _pass.set(shared)
    try:
        yield shared.taken
    finally:
        _pass.reset(token)


def shards(datasets: Sequence[HubDataset], downloads: Path) -> dict[str, tuple[str, ...]]:
    """The files of every shard, in their order, each named by data set and path with ~ for /.

    A shard is of one data set. Files are listed where they are.

    Raises:
        Failure: the data set cannot be reached, or a copy of it lacks files.
    """
    groups = [group for dataset in datasets for group in _groups(dataset)]
    return {f"{number:05}-of-{len(groups):05}": group for number, group in enumerate(groups)}


def _groups(dataset: HubDataset) -> list[tuple[str, ...]]:
    groups: list[list[str]] = []
    free = 0
    for path, size in _paths(dataset).items():
        if not groups or size > free:
            groups.append([])
            free = SHARD_BYTES
        groups[-1].append(_flat(f"{dataset.id}/{path}"))
        free -= size
    return [tuple(group) for group in groups]


def read(datasets: Sequence[HubDataset], shard: str, downloads: Path) -> Iterator[Document]:
    """The documents of one data file, in the order of its rows.

    Raises:
        Failure: the file cannot be reached, is damaged, or is not what this reader knows.
    """
    dataset = next(dataset for dataset in datasets if shard.startswith(_flat(f"{dataset.id}/")))
    path = shard.removeprefix(_flat(f"{dataset.id}/")).replace("~", "/")
    try:
        yield from dataset.documents(_rows(dataset, path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"{location(dataset)}/{path} is not laid out as this reader expects ({type(error).__name__}: "
            f"{said(error)}); check that it is a file of {dataset.id} at {dataset.revision}"
        ) from error


def copy(dataset: HubDataset, path: str, target: Path) -> None:
    """Write a file of the data set to `target`, byte for byte.

    Raises:
        Failure: the file cannot be reached, or the disk is full.
    """
    with _reaching(dataset), _file(f"{location(dataset)}/{path}") as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def location(dataset: HubDataset) -> str:
    """The URL under which the files of `dataset` are: a mirror's, else that of the pinned revision on the hub.

    Raises:
        UserError: the mirror variable names a data set without an owner.
    """
    places = mirror()
    if dataset.id in places:
        return places[dataset.id]
    if "" in places:
        return f"{places['']}/{dataset.id}/{dataset.revision}"
    return f"hf://datasets/{dataset.id}@{dataset.revision}"


def wanted(dataset: HubDataset) -> str:
    """What would be fetched, on one line."""
    files = ", ".join(dataset.files[:3]) + (f" and {len(dataset.files) - 3} more" if len(dataset.files) > 3 else "")
    terms = "; gated: accept its terms on its page on the hub and set HF_TOKEN" if dataset.gated else ""
    return f"{dataset.id} at revision {dataset.revision}: {files} ({dataset.size}; licence {dataset.licence}{terms})"


def _paths(dataset: HubDataset) -> dict[str, int]:
    """The files of `dataset` and their bytes, those that are named in their order and then those that match."""
    where = location(dataset)
    named = [path for path in dataset.files if "*" not in path]
    matched: set[str] = set()
    sizes: dict[str, int] = {}
    for pattern in dataset.files:
        found = {} if pattern in sizes else _listed(dataset, pattern)
        sizes |= found
        if pattern in named:
            found = {path: size for path, size in sizes.items() if path == pattern}
        files = {path for path in found if tables.form(path) or path in named}
        if not files:
            but = f" with a suffix, but {min(found)}, which has to be named without *" if found else ""
            raise Failure(f"{where} has no file {pattern}{but}; it would be {wanted(dataset)}")
        matched |= files - set(named)
    _refuse_gaps(dataset, matched)
    paths = named + sorted(matched)
    if dataset.count is not None and len(paths) != dataset.count:
        raise Failure(
            f"{where} has {len(paths):,} of the {dataset.count:,} files; it would be {wanted(dataset)}; copy the "
            f"others as well, or unset {MIRROR} to read the hub"
        )
    return {path: sizes[path] for path in paths}


def _listed(dataset: HubDataset, pattern: str) -> dict[str, int]:
    """Files that match, and their bytes; of one that is named all that are beside it, which is a single question."""
    with _reaching(dataset):
        import fsspec

        system, root = fsspec.url_to_fs(location(dataset))
        if "*" in pattern:
            found = system.glob(f"{root}/{pattern}", detail=True).values()
        else:
            try:
                found = system.ls(f"{root}/{pattern}".rpartition("/")[0], detail=True)
            except FileNotFoundError:
                found = []
    return {
        about["name"].split(f"{root}/", 1)[-1]: SHARD_BYTES if about.get("size") is None else about["size"]
        for about in found
        if about["type"] != "directory"
    }


def _refuse_gaps(dataset: HubDataset, paths: set[str]) -> None:
    """Files that say "3 of 59" must all be there: a mirror may still be copying."""
    series: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        if number := NUMBERED.search(path):
            series.setdefault((path[: number.start()], number[2]), set()).add(int(number[1]))
    for (stem, total), numbers in sorted(series.items()):
        if missing := sorted(set(range(int(total))) - numbers):
            raise Failure(
                f"{location(dataset)} lacks {len(missing)} of the {int(total)} files {stem}-*, the first being number "
                f"{missing[0]}; copy them as well, or unset {MIRROR} to read the hub"
            )


def _rows(dataset: HubDataset, path: str) -> Iterator[Row]:
    """The rows of a file; while several readers read it, each of their calls gives all of them."""
    shared = _pass.get()
    if shared is None or len(shared.taken) == 1:
        return _read_rows(dataset, path)
    key = (f"{location(dataset)}/{path}", dataset.columns)
    if key not in shared.waiting:
        shared.waiting[key] = list(tee(_read_rows(dataset, path), len(shared.taken)))
    if not (waiting := shared.waiting[key]):
        return _read_rows(dataset, path)  # somebody reads it twice
    # Readers begin in their order, since whoever has taken least goes on.
    return _counted(waiting.pop(), shared.taken, len(shared.taken) - len(waiting) - 1)


def _counted(copy: Iterator[Row], taken: list[int], reader: int) -> Iterator[Row]:
    for row in copy:
        taken[reader] += 1
        yield row


def _read_rows(dataset: HubDataset, path: str) -> Iterator[Row]:
    url = f"{location(dataset)}/{path}"
    with _reaching(dataset), _file(url) as file:
        for place, (number, row) in enumerate(rows(file, url, dataset.columns)):
            if missing := sorted(set(dataset.columns) - (row.keys() if isinstance(row, dict) else set())):
                lacks = f"{tables.place(url, number)}: no {', '.join(missing)}"
                raise Failure(f"{lacks}; check that it is {wanted(dataset)}")
            yield f"{path}#{place}", row


def rows(file: BinaryIO, url: str, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their numbers, as `tables.read`; one without rows is one, with its text as "text".

    Raises:
        Failure: as `tables.read`.
    """
    if tables.form(url) in (*tables.TABLES, ".json"):
        yield from tables.read(file, url, columns)
    else:
        yield 1, {"text": tables.text(file, url).decode(errors="surrogateescape")}


@contextmanager
def _file(url: str) -> Iterator[BinaryIO]:
    import fsspec

    with fsspec.open(url, "rb") as file:
        yield io.BufferedReader(file, BUFFER_BYTES)  # whose lines take a thousandth of the time of fsspec's own


@contextmanager
def _reaching(dataset: HubDataset) -> Iterator[None]:
    """While the block runs, a Failure says what could not be reached: every file system raises what it likes."""
    try:
        yield
    except (UserError, Failure):
        raise
    except Exception as error:
        where = location(dataset)
        problem = (
            f"cannot reach {where} ({type(error).__name__}: {said(error)}); it would be {wanted(dataset)}; "
            f"go online, or set {MIRROR} to where a copy is"
        )
        if isinstance(error, ImportError):
            problem = f"{where} needs another package to be read ({said(error)})"
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = (
                f"the disk is full: no room for what comes from {where} ({said(error)}); "
                f"it is {wanted(dataset)}; free some space, then run again"
            )
        raise Failure(problem) from error


def _flat(path: str) -> str:
    return path.replace("/", "~")
