"""Data files of the hub, or of copies of them in a bucket or a folder, streamed through the `datasets` library.

A file is read at the pinned revision, or from where the environment variable ABLATE_MIRROR says that a copy is. It
holds one or more of these, with blanks between them:

    gs://bucket/folder                      copies of all data sets, each in folder/<owner>/<name>/<revision>/
    bigcode/starcoderdata=s3://bucket/code  a copy of one data set; whoever writes this says that it is that revision

Any URL that fsspec knows will do, and so will a folder. `datasets` is imported only when a file is listed or read.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixtures.documents import Document
from mixtures.errors import Failure, UserError
from mixtures.sources import HubDataset

MIRROR = "ABLATE_MIRROR"
BATCH_ROWS = 256
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\b")
"""The way in which most data files say which one they are, of how many."""


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


def location(dataset: HubDataset) -> str:
    """The URL under which the files of `dataset` are: a mirror's, else that of the pinned revision on the hub.

    Raises:
        UserError: the mirror variable names a data set without an owner.
    """
    everything = ""
    for entry in os.environ.get(MIRROR, "").split():
        name, equals, url = entry.partition("=")
        if not equals or ":" in name:
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
    exact = [path for path in dataset.files if "*" not in path]
    patterns = [path for path in dataset.files if "*" in path]
    if patterns:
        where = location(dataset)
        _library()
        try:
            import fsspec

            system, root = fsspec.url_to_fs(where)
            found = {path.split(f"{root}/", 1)[-1] for pattern in patterns for path in system.glob(f"{root}/{pattern}")}
        except Exception as error:  # every file system raises what it likes
            raise _unreachable(dataset, error) from error
        for pattern in patterns:
            if not any(_matches(pattern, path) for path in found):
                raise Failure(f"{where} has no file {pattern}; it would be {wanted(dataset)}")
        _refuse_gaps(dataset, found)
        exact += sorted(found)
    return exact


def _matches(pattern: str, path: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), path) is not None


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
        rows = _parquet(dataset, url) if path.endswith(".parquet") else _json_lines(dataset, url)
        for number, row in enumerate(rows):
            yield f"{path}#{number}", row
    except Failure:
        raise
    except Exception as error:  # the library, the file system and the decoders each raise their own
        if _damaged(error):
            raise Failure(f"{url} is damaged or cut short ({_line(error)}); fetch it again") from error
        raise _unreachable(dataset, error) from error


def _parquet(dataset: HubDataset, url: str) -> Iterator[dict[str, Any]]:
    columns = list(dataset.columns) or None
    stream = _stream("parquet", url, columns=columns, batch_size=BATCH_ROWS)
    missing = sorted(set(dataset.columns) - set(stream.features or ()))
    if missing:
        raise Failure(f"{url} has no column {', '.join(missing)}; check that it is {wanted(dataset)}")
    for table in stream.with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from table.to_pylist()


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
    return isinstance(error, kinds) or type(error) is OSError or type(error).__name__ == "BadGzipFile"


def _unreachable(dataset: HubDataset, error: Exception) -> Failure:
    if isinstance(error, ImportError):
        return Failure(f"{location(dataset)} needs another package to be read ({_line(error)})")
    return Failure(
        f"cannot reach {location(dataset)} ({type(error).__name__}: {_line(error)}); it would be {wanted(dataset)}; "
        f"go online, or set {MIRROR} to where a copy is"
    )


def _flat(path: str) -> str:
    return path.replace("/", "~")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
