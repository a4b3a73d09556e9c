"""Data files of the hub, or of copies of them in a bucket or a folder, streamed through the `datasets` library.

A file is read at the pinned revision, or from where the environment variable ABLATE_MIRROR says that a copy is. It
holds one or more of these, with blanks between them:

    gs://bucket/folder                      copies of all data sets, each in folder/<owner>/<name>/<revision>/
    bigcode/starcoderdata=s3://bucket/code  a copy of one data set; whoever writes this says that it is that revision

Any URL that fsspec knows will do, and so will a folder. A copy must hold as many files as the catalogue counts, and
of files that are numbered "3 of 59" all. Where a copy was when a command began travels with every job, so that a worker
on another machine reads there as well. `datasets` is imported only when a file is listed or read.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixtures.documents.document import Document, Rows
from mixtures.readers import tables
from store.errors import Failure, UserError

READER_VERSION = 1
MIRROR = "ABLATE_MIRROR"
BATCH_ROWS = 256
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\b")
"""The way in which most data files say which one they are, of how many."""


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


_mirror_of_job: ContextVar[str | None] = ContextVar("mirror_of_job", default=None)


def mirror() -> str:
    """Where copies are, as MIRROR says it; folders by their whole path, for a process that works elsewhere."""
    given = _mirror_of_job.get()
    entries = (os.environ.get(MIRROR, "") if given is None else given).split()
    return " ".join(map(_rooted, entries))


def _rooted(entry: str) -> str:
    name, equals, where = entry.rpartition("=") if _names_data_set(entry) else ("", "", entry)
    if not where:
        raise UserError(f"{MIRROR} says '{entry}' and no place; write owner/name=URL")
    return entry if ":" in where else f"{name}{equals}{os.path.abspath(os.path.expanduser(where))}"  # noqa: PTH100, PTH111


def _names_data_set(entry: str) -> bool:
    name, equals, _ = entry.partition("=")
    return bool(equals) and ":" not in name


@contextmanager
def reading_from(mirror: str) -> Iterator[None]:
    """Within the block, copies are where `mirror` says and not where the environment of this process does."""
    token = _mirror_of_job.set(mirror)
    try:
        yield
    finally:
        _mirror_of_job.reset(token)


def shards(datasets: Sequence[HubDataset], downloads: Path) -> tuple[str, ...]:
    """One shard per data file, named by data set and path with ~ for /. The files are listed where they are.

    Raises:
        Failure: the data set cannot be reached, or a copy of it lacks files.
    """
    return tuple(_flat(f"{dataset.id}/{path}") for dataset in datasets for path in _paths(dataset))


def read(datasets: Sequence[HubDataset], shard: str, downloads: Path) -> Iterator[Document]:
    """The documents of one data file, in the order of its rows.

    Raises:
        Failure: the file cannot be reached, is damaged, or is not what this reader knows.
    """
    dataset = next((dataset for dataset in datasets if shard.startswith(_flat(f"{dataset.id}/"))), None)
    if dataset is None:
        raise Failure(f"shard '{shard}' is of none of its data sets; prepare the source again")
    path = shard.removeprefix(_flat(f"{dataset.id}/")).replace("~", "/")
    try:
        yield from dataset.documents(_rows(dataset, path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"{location(dataset)}/{path} is not laid out as this reader expects ({type(error).__name__}: "
            f"{_line(error)}); check that it is a file of {dataset.id} at {dataset.revision}"
        ) from error


def copy(dataset: HubDataset, path: str, target: Path) -> None:
    """Write a file of the data set to `target`, byte for byte.

    Raises:
        Failure: the file cannot be reached, or the disk is full.
    """
    try:
        with _file(f"{location(dataset)}/{path}") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except Failure:
        raise
    except Exception as error:  # every file system raises what it likes
        raise _unreachable(dataset, error) from error


def location(dataset: HubDataset) -> str:
    """The URL under which the files of `dataset` are: a mirror's, else that of the pinned revision on the hub.

    Raises:
        UserError: the mirror variable names a data set without an owner.
    """
    everything = ""
    for entry in mirror().split():
        name, _, url = entry.partition("=")
        if not _names_data_set(entry):
            everything = everything or entry.rstrip("/")
        elif name.count("/") != 1:
            raise UserError(f"{MIRROR} names '{name}', which is no data set; write owner/name=URL")
        elif name == dataset.id:
            return url.rstrip("/")
    if everything:
        return f"{everything}/{dataset.id}/{dataset.revision}"
    return f"hf://datasets/{dataset.id}@{dataset.revision}"


def wanted(dataset: HubDataset) -> str:
    """What would be fetched, on one line."""
    files = ", ".join(dataset.files[:3]) + (f" and {len(dataset.files) - 3} more" if len(dataset.files) > 3 else "")
    terms = "; gated: accept its terms on its page on the hub and set HF_TOKEN" if dataset.gated else ""
    return f"{dataset.id} at revision {dataset.revision}: {files} ({dataset.size}; licence {dataset.licence}{terms})"


def _paths(dataset: HubDataset) -> list[str]:
    """The files of `dataset`, those that are named in their order and then those that match a pattern."""
    where = location(dataset)
    copied = not where.startswith("hf://")
    exact = [path for path in dataset.files if "*" not in path]
    found = _listed(dataset, [path for path in dataset.files if "*" in path or copied])
    nameless = {path for path in found if not tables.form(path)} - set(exact)
    found -= nameless
    for path in dataset.files:
        if ("*" in path or copied) and not any(_matches(path, name) for name in found):
            there = next((name for name in sorted(nameless) if _matches(path, name)), "")
            but = f" with a suffix, but {there}, which has to be named without *" if there else ""
            raise Failure(f"{where} has no file {path}{but}; it would be {wanted(dataset)}")
    _refuse_gaps(dataset, found - set(exact))
    paths = exact + sorted(found - set(exact))
    if dataset.count is not None and len(paths) != dataset.count:
        raise Failure(
            f"{where} has {len(paths):,} of the {dataset.count:,} files; it would be {wanted(dataset)}; copy the "
            f"others as well, or unset {MIRROR} to read the hub"
        )
    return paths


def _listed(dataset: HubDataset, patterns: Sequence[str]) -> set[str]:
    if not patterns:
        return set()
    _library()
    try:
        import fsspec

        system, root = fsspec.url_to_fs(location(dataset))
        found = [system.glob(f"{root}/{pattern}", detail=True) for pattern in patterns]
        files = {path for each in found for path, about in each.items() if about["type"] != "directory"}
        return {path.split(f"{root}/", 1)[-1] for path in files}
    except Exception as error:  # every file system raises what it likes
        raise _unreachable(dataset, error) from error


def _matches(pattern: str, path: str) -> bool:
    parts = (re.escape(part).replace(r"\*", "[^/]*") for part in re.split(r"\*\*/?", pattern))
    return re.fullmatch("(?:.*/)?".join(parts) if "**/" in pattern else ".*".join(parts), path) is not None


def _refuse_gaps(dataset: HubDataset, paths: set[str]) -> None:
    """Files that say "3 of 59" must all be there: a mirror may still be copying."""
    series: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        number = NUMBERED.search(path)
        if number:
            series.setdefault((path[: number.start()], number[2]), set()).add(int(number[1]))
    for (stem, total), numbers in sorted(series.items()):
        missing = sorted(set(range(int(total))) - numbers)
        if missing:
            raise Failure(
                f"{location(dataset)} lacks {len(missing)} of the {int(total)} files {stem}-*, the first being number "
                f"{missing[0]}; copy them as well, or unset {MIRROR} to read the hub"
            )


def _rows(dataset: HubDataset, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    url = f"{location(dataset)}/{path}"
    try:
        for number, row in enumerate(_reader(dataset, path)(url)):
            yield f"{path}#{number}", row
    except Failure:
        raise
    except Exception as error:  # the library, the file system and the decoders each raise their own
        if _damaged(error):
            raise Failure(f"{url} is damaged or cut short ({_line(error)}); fetch it again") from error
        raise _unreachable(dataset, error) from error


def _reader(dataset: HubDataset, path: str) -> Callable[[str], Iterator[Any]]:
    """How the rows of a file are read from its URL; a file without rows is one, with its text as "text"."""
    form = tables.form(path)
    if path.endswith(".parquet"):
        return partial(_parquet, dataset)
    if form in tables.LINES or path.endswith((".json.gz", ".json.zst")):
        return partial(_json_lines, dataset)
    return _opened if form in tables.TABLES or form == ".json" else _plain


def _parquet(dataset: HubDataset, url: str) -> Iterator[dict[str, Any]]:
    columns = list(dataset.columns) or None
    stream = _stream("parquet", url, columns=columns, batch_size=BATCH_ROWS)
    missing = sorted(set(dataset.columns) - set(stream.features or ()))
    if missing:
        raise Failure(f"{url} has no column {', '.join(missing)}; check that it is {wanted(dataset)}")
    for table in stream.with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from tables.python_rows(table, url)


def _json_lines(dataset: HubDataset, url: str) -> Iterator[dict[str, Any]]:
    """Read as text and parsed here: the library's JSON reader fails on rows unlike the first ones."""
    number = 0
    for table in _stream("text", url, encoding_errors="strict").with_format("arrow").iter(batch_size=BATCH_ROWS):
        for line in table.column("text").to_pylist():
            number += 1
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise Failure(
                    f"{url} is damaged or cut short (line {number}: {_line(error)}); fetch it again"
                ) from error
            missing = sorted(set(dataset.columns) - row.keys()) if isinstance(row, dict) else ["object"]
            if missing:
                raise Failure(f"{url}, line {number}: no {', '.join(missing)}; check that it is {wanted(dataset)}")
            yield row


def _opened(url: str) -> Iterator[Any]:
    with _file(url) as file:
        yield from (row for _, row in tables.text_rows(file, url))


def _plain(url: str) -> Iterator[dict[str, str]]:
    with _file(url) as file:
        yield {"text": file.read().decode(errors="surrogateescape")}


def _file(url: str) -> Any:
    _library()
    import fsspec

    return fsspec.open(url, "rb", compression="infer")


def _stream(builder: str, url: str, **options: Any) -> Any:
    return _library().load_dataset(builder, data_files={"train": [url]}, split="train", streaming=True, **options)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise Failure("the `datasets` library is not installed; pip install 'code-data-ablation[hub]'") from error
    from mixtures.readers import zstandard_files

    zstandard_files.register()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is told by the Failure, once
    return datasets


def _damaged(error: Exception) -> bool:
    import pyarrow
    import zstandard

    # A bare OSError is what Arrow raises for a page that does not decompress; gzip's is a subclass of its own.
    kinds = (pyarrow.ArrowException, EOFError, UnicodeError, zstandard.ZstdError)
    bare = type(error) is OSError and not _full(error)
    return isinstance(error, kinds) or bare or type(error).__name__ == "BadGzipFile"


def _full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _unreachable(dataset: HubDataset, error: Exception) -> Failure:
    if isinstance(error, ImportError):
        return Failure(f"{location(dataset)} needs another package to be read ({_line(error)})")
    if _full(error):
        return Failure(
            f"the disk is full: no room for what comes from {location(dataset)} ({_line(error)}); "
            f"it is {wanted(dataset)}; free some space, then run again"
        )
    return Failure(
        f"cannot reach {location(dataset)} ({type(error).__name__}: {_line(error)}); it would be {wanted(dataset)}; "
        f"go online, or set {MIRROR} to where a copy is"
    )


def _flat(path: str) -> str:
    return path.replace("/", "~")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
