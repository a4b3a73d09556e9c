"""Commits: a message, then the unified diff of one file.

    The subject of the commit

    The rest of its message.

    --- a/src/project/core.py
    +++ b/src/project/core.py
    @@ ...

`parse` reads the commits of the StarCoder data. `read` makes some from package registries alone: the difference between
two consecutive releases, with "project 1.2.0: src/project/core.py" as subject and the newer one's changelog entry below
it. A release is not one commit and its message covers more than the file's own change, but it is real code before and
after, with a person's words for it.
"""

import difflib
import io
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from pathlib import Path, PurePosixPath

from mixtures.documents.document import Document
from mixtures.readers.fetch import Archive, texts
from store.errors import Failure

READER_VERSION = 1

SUFFIXES = frozenset({".py", ".rst", ".md"})
MAX_CHARACTERS = 20_000
"""Of a document; a longer diff is a file that was moved, generated or reformatted."""
MAX_LINES = 2_000
"""Of a file in the StarCoder data: the time of a diff grows with their square, 25 seconds at 12,000 lines."""
MESSAGE_CHARACTERS = 600
"""The entry is repeated for every file of a release, so a long one would outweigh the diffs."""
CHANGELOG = re.compile(r"^(changes|changelog|docs/changes|docs/changelog|docs/versions)\.(rst|md)$", re.IGNORECASE)
NOT_SOURCE = re.compile(r"\.egg-info/|(^|/)(PKG-INFO|changelog\.d|changelog|_vendor)(/|$)")


def read(releases: Sequence[Archive], cache: Path) -> Iterator[Document]:
    """One document per file changed between neighbours of `releases`, project by project, each oldest first.

    id = project/version/path, group = project. New and deleted files count as changed.

    Raises:
        Failure: an archive cannot be had, or its changelog has no entry for the release.
    """
    for _, chain in groupby(releases, lambda archive: archive.project):
        trees = [(archive, _tree(archive, cache)) for archive in chain]
        for (old, before), (new, after) in pairwise(trees):
            yield from _changes(old, before, new, after)


def _tree(archive: Archive, cache: Path) -> dict[str, str]:
    found = texts([archive], cache, lambda name: PurePosixPath(name).suffix in SUFFIXES)
    return {name: content for _, name, content in found if not NOT_SOURCE.search(name)}


def _changes(old: Archive, before: dict[str, str], new: Archive, after: dict[str, str]) -> Iterator[Document]:
    message = _message(old, new, after)
    for name in sorted(before.keys() | after.keys()):
        if CHANGELOG.match(name) or before.get(name) == after.get(name):
            continue
        change = diff(name, before.get(name), after.get(name))
        document = render(f"{new.project} {new.version}: {name}", message, change)
        if change and len(document) <= MAX_CHARACTERS:
            yield Document(f"{new.project}/{new.version}/{name}", new.project, document)


def render(subject: str, body: str, change: str) -> str:
    """The one format of commits; parts that are empty are left out."""
    return "\n\n".join(part for part in (subject.strip(), body.strip(), change) if part)


TAGGED = re.compile(r"<commit_before>(.*?)<commit_msg>(.*?)<commit_after>(.*)", re.DOTALL)


def parse(content: str) -> str:
    """A commit between StarCoder's tags (arXiv:2305.06161, section 5) in our format; "" if it is none.

    The tags name no file, so the diff is that of "file".
    """
    tagged = TAGGED.search(content)
    return one_file(tagged[2], "file", tagged[1], tagged[3]) if tagged else ""


def one_file(message: str, name: str, before: str, after: str) -> str:
    """A commit to one file, "" for the content of a file that is not there.

    Returns "" when nothing changed, and for commits longer than MAX_CHARACTERS or to files longer than MAX_LINES.
    """
    if max(before.count("\n"), after.count("\n")) > MAX_LINES:
        return ""
    change = diff(name, before or None, after or None)
    subject, _, body = message.strip().partition("\n")
    document = render(subject, body, change)
    return document if change and len(document) <= MAX_CHARACTERS else ""


def diff(name: str, before: str | None, after: str | None) -> str:
    """Unified diff of one file, None standing for a file that is not there; "" where only line ends differ.

    Lines end at "\\n" alone, so that a form feed or another break of Unicode's stays in its line.
    """
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        fromfile="/dev/null" if before is None else f"a/{name}",
        tofile="/dev/null" if after is None else f"b/{name}",
    )
    written = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(written).removesuffix("\n")


def _lines(text: str | None) -> list[str]:
    return list(io.StringIO((text or "").replace("\r\n", "\n"), newline="\n"))


def _message(old: Archive, new: Archive, after: dict[str, str]) -> str:
    for name in sorted(after):
        if CHANGELOG.match(name) and (entry := changelog_entry(after[name], new.version, old.version)):
            return entry
    raise Failure(f"{new.filename} has no changelog entry for {new.version}; pin another release of {new.project}")


def changelog_entry(changelog: str, version: str, previous: str) -> str:
    """What stands between the headings of `version` and `previous`, "" if nothing; cut to `MESSAGE_CHARACTERS`."""
    lines = changelog.splitlines()
    start = _heading(lines, version, 0)
    if start is None:
        return ""
    end = _heading(lines, previous, start + 1)
    body = [line.rstrip() for line in lines[start + 1 : end] if not re.match(r"^([-=~^])\1{2,}$|^<a id|^\.\. _", line)]
    body = "\n".join(body).strip().splitlines()
    ends = accumulate(len(line) + 1 for line in body)
    kept = [line for line, end in zip(body, ends, strict=True) if end - 1 <= MESSAGE_CHARACTERS]
    return "\n".join([*kept, "..."] if len(kept) < len(body) else kept)


def _heading(lines: list[str], version: str, start: int) -> int | None:
    token = re.compile(rf"(?<![\w.]){re.escape(version)}(?!\.?\w)")
    for number in range(start, len(lines)):
        underlined = number + 1 < len(lines) and re.match(r"^([-=~^])\1{2,}\s*$", lines[number + 1])
        if (underlined or lines[number].startswith("#")) and token.search(lines[number]):
            return number
    return None
