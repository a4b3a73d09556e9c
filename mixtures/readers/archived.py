"""Files of pinned archives, by the end of their names."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mixtures.documents.document import Document
from mixtures.readers.fetch import Archive, texts

READER_VERSION = 1

MINIFIED = re.compile(r"[.-]min\.(js|css)$")
MAX_LINE = 2_000
"""Characters. A text file with a longer line is generated, minified or carries data in line."""
DUPLICATES = re.compile(r"\.egg-info/|(^|/)(_vendor|vendor|vendored|node_modules|locale)/")
"""Copies of other projects' files, packaging records, and translations."""


def files(archives: Sequence[Archive], cache: Path, suffixes: frozenset[str], skip: str = "") -> Iterator[Document]:
    """Files that end in one of `suffixes`; id = project/path, group = project.

    Left out: paths in which the regular expression `skip` is found, `DUPLICATES`, minified files, and those that
    are not UTF-8 text.

    Raises:
        Failure: an archive cannot be had.
    """
    skipped = re.compile(skip) if skip else None

    def wanted(name: str) -> bool:
        if PurePosixPath(name).suffix not in suffixes or DUPLICATES.search(name) or MINIFIED.search(name):
            return False
        return skipped is None or not skipped.search(name)

    for archive, name, content in texts(archives, cache, wanted):
        if max(map(len, content.splitlines())) <= MAX_LINE:
            yield Document(f"{archive.project}/{name}", archive.project, content)
