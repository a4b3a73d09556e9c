"""Downloads from the package index that pip uses on this machine, with pip's settings."""

import functools
import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, UnsupportedContentTypeError

from store.errors import Failure

ATTEMPTS = 3
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 60.0


def download(project: str, filename: str, sha256: str, folder: Path) -> bytes:
    """A file of a project, tried three times; `folder` is where the user could put it instead.

    Raises:
        Failure: the index cannot be reached, has no such file, or serves other bytes than pinned.
    """
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        try:
            return _downloaded(project, filename, sha256)
        except NoSuchProjectError:
            problem = "the package index does not have the project"
        except (requests.RequestException, UnsupportedContentTypeError) as error:
            problem = type(error).__name__
    raise Failure(
        f"{filename} cannot be downloaded ({problem}); check the network and pip's settings "
        f"(index-url, cert), or put the file into {folder}"
    )


def _downloaded(project: str, filename: str, sha256: str) -> bytes:
    with _session() as session, PyPISimple(_endpoint(), session=session) as index:
        page = index.get_project_page(project, timeout=TIMEOUT_SECONDS)
        url = next((package.url for package in page.packages if package.filename == filename), None)
        if url is None:
            raise Failure(f"the package index has no {filename}; use an index that mirrors {project}")
        response = session.get(url, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
    if hashlib.sha256(response.content).hexdigest() != sha256:
        raise Failure(
            f"the package index serves {filename} with another sha256 than pinned; "
            "use an index that mirrors the original file"
        )
    return response.content


@dataclass(frozen=True)
class Listed:
    """A file of a project as the index lists it; `uploaded` is the day, as "2026-11-20" (UTC)."""

    filename: str
    version: str
    sha256: str
    uploaded: str
    yanked: bool


def listed(project: str) -> tuple[Listed, ...]:
    """The files of a project, of those whose version can be told.

    Raises:
        Failure: the index cannot be reached, has no such project, or does not say when files were uploaded.
    """
    try:
        with _session() as session, PyPISimple(_endpoint(), session=session) as index:
            page = index.get_project_page(project, timeout=TIMEOUT_SECONDS)
    except NoSuchProjectError as error:
        raise Failure(f"the package index does not have {project}; use an index that mirrors it") from error
    except (requests.RequestException, UnsupportedContentTypeError) as error:
        raise Failure(
            f"the package index cannot be asked for {project} ({type(error).__name__}); check the network and pip's "
            "settings (index-url, cert)"
        ) from error
    files = [file for file in page.packages if file.version and "sha256" in file.digests]
    if any(file.upload_time is None for file in files):
        raise Failure(
            f"the package index does not say when files of {project} were uploaded (PEP 700); use one that does"
        )
    return tuple(
        Listed(file.filename, str(file.version), file.digests["sha256"], _day(file.upload_time), bool(file.is_yanked))
        for file in files
    )


def _day(uploaded: datetime | None) -> str:
    return uploaded.astimezone(UTC).date().isoformat() if uploaded else ""


def names(project: str, filename: str, most: int) -> tuple[bool, int]:
    """Whether the index's page of the project names the file, of which page no more than `most` bytes are read; these.

    Raises:
        Failure: the index cannot be reached.
    """
    content = b""
    try:
        url = f"{_endpoint().rstrip('/')}/{project}/"
        with _session() as session, session.get(url, stream=True, timeout=TIMEOUT_SECONDS) as page:
            parts = page.iter_content(1 << 14) if page.ok else iter(())
            while filename.encode() not in content and len(content) < most and (part := next(parts, b"")):
                content += part
    except requests.RequestException as error:
        raise Failure(
            f"the package index cannot be reached ({type(error).__name__}); check the network and pip's settings"
        ) from error
    return filename.encode() in content, len(content)


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
