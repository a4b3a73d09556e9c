"""Whether a data set of the hub, or a copy of it, can be read: the first file of it is opened, and little is fetched.

On the hub everything is asked with the client's own addresses, token and errors. Of Parquet the footer is read and the
smallest wanted column of the first row group, of other files their beginning up to the first row.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from mixtures.readers import hub, tables
from mixtures.readers.hub import HubDataset
from store.errors import Failure, UserError, said

BEGINNING = (1 << 18, 1 << 19)
"""Bytes of a file in which its first row is looked for, and if it is not there."""
NAMES = 100
"""Of a folder on the hub, in one answer (some 40 kB)."""
TIMEOUT_SECONDS = 30


class _Missing(Exception):
    """What is missing, in words."""


class _TooMuch(Exception):
    """What could not be looked at within the budget."""


@dataclass(frozen=True)
class Looked:
    """What is missing before a data set can be read, or "", and what could not be looked at."""

    missing: str = ""
    note: str = ""


@dataclass
class Budget:
    """Bytes that may be fetched, and that were."""

    allowed: int
    fetched: int = 0

    def left(self) -> int:
        return self.allowed - self.fetched


@dataclass(frozen=True)
class _File:
    """A file far away: its bytes, and how some of them are fetched."""

    name: str
    size: int
    fetch: Callable[[int, int], bytes]


class _Far(io.RawIOBase):
    """A file that is fetched where it is read.

    Raises (when read):
        _TooMuch: that is past the budget.
    """

    def __init__(self, file: _File, budget: Budget):
        self.file, self.budget, self.at = file, budget, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.file.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        end = min(self.file.size, self.at + len(buffer))
        if end - self.at > self.budget.left():
            raise _TooMuch(f"looking into {self.file.name} takes over {self.budget.allowed:,} bytes")
        content = self.file.fetch(self.at, max(self.at, end))
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)


def look(dataset: HubDataset, budget: Budget) -> Looked:
    """Open the first file of the data set, at its pin or of its copy.

    Of a copy the names in a folder are fetched as well, as its file system lists them.

    Raises:
        UserError: ABLATE_MIRROR names no place.
    """
    where = hub.location(dataset)
    try:
        file = _first_on_hub(dataset, budget) if where.startswith("hf://") else _first_of_copy(dataset, where, budget)
        _look_into(file, dataset, budget)
    except _Missing as missing:
        return Looked(str(missing))
    except _TooMuch as much:
        return Looked(note=str(much))
    except UserError:
        raise
    except ImportError as error:
        return Looked(f"another package is needed ({said(error)})")
    except Exception as error:  # every file system and client raises what it likes
        return Looked(_refused(dataset, error) or f"cannot be reached ({type(error).__name__}: {said(error)})")
    return Looked()


def _refused(dataset: HubDataset, error: Exception) -> str:
    """What the hub's client means by its error."""
    from huggingface_hub import errors, get_token

    token = get_token()
    if isinstance(error, errors.GatedRepoError):
        if not token:
            return "no token: accept its terms on its page on the hub, then set HF_TOKEN"
        return "its terms are not accepted by the account of HF_TOKEN; accept them on its page on the hub"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no revision {dataset.revision}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such data set" + (" for the account of HF_TOKEN" if token else ", or no token: set HF_TOKEN")
    if isinstance(error, errors.EntryNotFoundError):
        return f"no file {dataset.files[0]} at revision {dataset.revision}"
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
        return "HF_TOKEN is refused; set one that is valid"
    return ""


def _first_on_hub(dataset: HubDataset, budget: Budget) -> _File:
    from huggingface_hub import constants

    path = next((name for pattern in dataset.files for name in _matching(dataset, pattern, budget)), None)
    if path is None:
        raise _Missing(f"no file {dataset.files[0]} at revision {dataset.revision}")
    url = f"{constants.ENDPOINT}/datasets/{dataset.id}/resolve/{dataset.revision}/{quote(path)}"
    _, said_of_range = _get(url, budget, 1, {"Range": "bytes=0-0"})
    size = int(said_of_range.get("Content-Range", "/0").rpartition("/")[2])

    def fetch(start: int, end: int) -> bytes:
        return _get(url, budget, end - start, {"Range": f"bytes={start}-{end - 1}"})[0] if end > start else b""

    return _File(path, size, fetch)


def _matching(dataset: HubDataset, pattern: str, budget: Budget) -> Iterator[str]:
    """Files of the hub that match. Folder by folder, so that little is listed before the first."""
    if "*" not in pattern:
        yield pattern
        return
    yield from _below(dataset, pattern[: pattern.index("*")].rpartition("/")[0], pattern, budget)


def _below(dataset: HubDataset, folder: str, pattern: str, budget: Budget) -> Iterator[str]:
    from huggingface_hub import constants

    tree = f"{constants.ENDPOINT}/api/datasets/{dataset.id}/tree/{dataset.revision}/{quote(folder, safe='')}"
    for entry in _entries(tree.rstrip("/"), budget):
        path = entry["path"]
        its_part = pattern if "**" in pattern else "/".join(pattern.split("/")[: path.count("/") + 1])
        if entry["type"] == "directory" and ("**" in pattern or (its_part != pattern and fnmatchcase(path, its_part))):
            yield from _below(dataset, path, pattern, budget)
        elif entry["type"] == "file" and its_part == pattern and fnmatchcase(path, pattern) and tables.form(path):
            yield path


def _entries(url: str, budget: Budget) -> Iterator[dict[str, Any]]:
    address: str | None = f"{url}?limit={NAMES}"
    while address:
        content, headers = _get(address, budget, budget.left(), {})
        if budget.left() <= 0:  # so that it may have been cut
            raise _TooMuch(f"finding its first file takes over {budget.allowed:,} bytes of names")
        yield from json.loads(content)
        following = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("Link", ""))
        address = following and following[1]


def _get(url: str, budget: Budget, most: int, headers: dict[str, str]) -> tuple[bytes, Any]:
    """At most so many bytes, whatever the server would send."""
    from huggingface_hub import utils

    client: Any = utils  # which says nothing of what it exports
    headers = {**client.build_hf_headers(), **headers, "Accept-Encoding": "identity"}
    with client.get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code >= 400:
            budget.fetched += len(response.read())
        client.hf_raise_for_status(response)
        content = b""
        for part in response.iter_raw(1 << 14):
            budget.fetched += len(part)
            content += part
            if len(content) >= most:
                break
    return content[:most], response.headers


def _first_of_copy(dataset: HubDataset, where: str, budget: Budget) -> _File:
    import fsspec

    system, root = fsspec.url_to_fs(where)
    try:
        system.info(root)
    except FileNotFoundError as error:
        raise _Missing(f"the mirror has no folder {where}") from error
    for pattern in dataset.files:
        found = sorted(path for path in _leading(system, root, pattern) if tables.form(path) or "*" not in pattern)
        if found:
            break
    else:
        raise _Missing(f"the mirror {where} lacks {dataset.files[0]}")

    def fetch(start: int, end: int) -> bytes:
        content: bytes = system.cat_file(found[0], start=start, end=end)
        budget.fetched += len(content)
        return content

    return _File(found[0].split(f"{root}/", 1)[-1], system.size(found[0]), fetch)


def _leading(system: Any, root: str, pattern: str) -> list[str]:
    """Files that match in the first of the folders that match."""
    folder, _, name = pattern.rpartition("/")
    folders = system.glob(f"{root}/{folder}") if "*" in folder else [f"{root}/{folder}".rstrip("/")]
    for each in folders if "**" not in folder else [f"{root}/{folder}"]:
        if files := [path for path in system.glob(f"{each}/{name}") if not system.isdir(path)]:
            return files
    return []


def _look_into(file: _File, dataset: HubDataset, budget: Budget) -> None:
    """Raise _Missing where the columns are not there."""
    if file.name.lower().endswith(".parquet"):
        _look_into_parquet(file, dataset, budget)
        return
    for most in BEGINNING:
        content = file.fetch(0, min(most, file.size, budget.left()))
        try:
            _, row = next(hub.rows(io.BytesIO(content), file.name, dataset.columns), (0, None))
        except Failure as failure:
            if len(content) >= file.size:
                raise _Missing(str(failure)) from failure
            continue  # it was cut here, within its first row
        if row is None and len(content) < file.size:
            continue
        _has(dataset, file, row.keys() if isinstance(row, dict) else ())
        return
    raise _TooMuch(f"the first row of {file.name} is longer than what is looked at")


def _look_into_parquet(file: _File, dataset: HubDataset, budget: Budget) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    far = io.BufferedReader(_Far(file, budget), 1 << 16)
    try:
        with pq.ParquetFile(far, buffer_size=1 << 16, pre_buffer=False) as parquet:
            _has(dataset, file, parquet.schema_arrow.names)
            if not parquet.num_row_groups:
                return
            group = parquet.metadata.row_group(0)
            columns = [group.column(number) for number in range(group.num_columns)]
            smallest = min(columns, key=lambda column: column.total_compressed_size)
            if smallest.total_compressed_size < budget.left() / 2:
                parquet.read_row_group(0, [smallest.path_in_schema], use_threads=False)
    except pa.ArrowException as error:
        raise _Missing(f"{file.name} is damaged or no Parquet file ({said(error)})") from error


def _has(dataset: HubDataset, file: _File, names: Any) -> None:
    if lacking := sorted(set(dataset.columns) - set(names)):
        has = ", ".join([*names][:20]) or "none"
        raise _Missing(f"{file.name} has no column {', '.join(lacking)} (it has {has})")
