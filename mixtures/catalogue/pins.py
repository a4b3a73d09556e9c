"""The archives that the sources read, pinned by content in pins.sha256."""

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import parse_sdist_filename

from mixtures.readers.fetch import Archive


def _pinned(text: str) -> Iterator[Archive]:
    licence = ""
    for said, sha256, filename in re.findall(r"(?m)^# licence: (.+)|^(\w{64})  (.+)", text):
        licence = said or licence
        if filename:
            project, version = parse_sdist_filename(filename)
            yield Archive(project, str(version), filename, sha256, licence)


ARCHIVES = tuple(_pinned(Path(__file__).with_suffix(".sha256").read_text()))


def releases(*projects: str) -> tuple[Archive, ...]:
    """Every release of the projects, in their order, oldest first."""
    return tuple(archive for project in projects for archive in ARCHIVES if archive.project == project)


def newest(*projects: str) -> tuple[Archive, ...]:
    """The last release of each of the projects."""
    return tuple(releases(project)[-1] for project in projects)
