"""A pinned set of fresh documents: releases that were uploaded after a date, and which parts of their files are new.

Only those releases are downloaded. A document is cut out of its file by numbers and compared with its digest, so that a
set is the same everywhere and at any time. `ablate fresh` makes one (pin.py).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.fresh import unseen
from mixtures.readers.fetch import Archive, members, text
from store.errors import Failure, UserError, about
from store.files import write_text
from store.layout import DOWNLOADS, FRESH

KINDS: Mapping[str, str] = {"python": "code", "c-cpp": "code", "javascript": "code", unseen.PROSE: "text"}
"""By form of text, the kind that it is scored as."""
WAY_OUT = "or leave it out with `--without fresh`"
DIGITS = 16


@dataclass(frozen=True)
class Release:
    """A release of a project.

    Attributes:
        archive: its sdist.
        uploaded: the day, as "2026-11-20" (UTC).
        after: the release that it is compared with; "" for a project's first.
    """

    archive: Archive
    uploaded: str
    after: str


@dataclass(frozen=True)
class Part:
    """A document: units of a file (`unseen.units`), from 1, its UTF-8 bytes, and the first digits of its sha256."""

    form: str
    project: str
    path: str
    first: int
    last: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Fresh:
    """A set of documents that appeared since a day.

    Attributes:
        since: the first day on which a release may have been uploaded, as "2026-11-19" (UTC).
        releases: by project, one each.
        parts: the documents, in a fixed order.
        dated: days on which other releases were uploaded, those that sources read, by "project version".
    """

    since: str
    releases: tuple[Release, ...]
    parts: tuple[Part, ...]
    dated: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """Of all that decides the documents."""
        what = [self.since, *map(asdict, self.releases), *map(asdict, self.parts)]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:DIGITS]

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """That it has documents of."""
        return tuple(form for form in KINDS if any(part.form == form for part in self.parts))

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(KINDS[form] for form in self.forms))


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def read(path: str | Path) -> Fresh:
    """The set in a file that `ablate fresh` wrote.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    try:
        its = json.loads(Path(path).read_text(encoding="utf-8"))
        releases = [Release(Archive(**row.pop("archive")), **row) for row in its["releases"]]
        return Fresh(its["since"], tuple(releases), tuple(map(_part, its["documents"])), its["sources"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} holds no fresh documents ({error}); `ablate fresh --since DATE` writes some"
        ) from error


def write(path: Path, fresh: Fresh) -> None:
    """A line a document, so that two sets can be compared."""
    its: dict[str, Any] = {
        "since": fresh.since,
        "releases": [asdict(release) for release in fresh.releases],
        "documents": [f"{p.form} {p.project} {p.first}-{p.last} {p.bytes} {p.sha256} {p.path}" for p in fresh.parts],
        "sources": dict(sorted(fresh.dated.items())),
    }
    write_text(path, json.dumps(its, indent=1) + "\n")


def _part(line: str) -> Part:
    form, project, numbers, size, digest, path = line.split(" ", 5)
    first, _, last = numbers.partition("-")
    return Part(form, project, path, int(first), int(last), int(size), digest)


def documents(fresh: Fresh, downloads: Path) -> dict[str, list[Document]]:
    """Its documents by form, each in the set's order; id = project/path:first-last, group = project.

    Raises:
        Failure: a release cannot be had or has other bytes, or a text is not as it was pinned.
    """
    texts: dict[Part, str] = {}
    for release in fresh.releases:
        its = [part for part in fresh.parts if part.project == release.archive.project]
        texts |= _cut(release.archive, its, downloads)
    found: dict[str, list[Document]] = {form: [] for form in fresh.forms}
    for part in fresh.parts:
        name = f"{part.project}/{part.path}:{part.first}-{part.last}"
        found[part.form].append(Document(name, part.project, texts[part]))
    return found


def _cut(archive: Archive, parts: list[Part], downloads: Path) -> dict[Part, str]:
    paths = {part.path for part in parts}
    files = {name: text(content) or "" for name, content in members(archive, downloads, paths.__contains__)}
    known: dict[tuple[str, str], list[str]] = {}
    found = {}
    for part in parts:
        at = part.form, part.path
        its = known.setdefault(at, unseen.units(*at, files.get(part.path, "")))
        found[part] = unseen.joined(part.form, its, (part.first, part.last))
        if digest_of(found[part]) != part.sha256:
            raise Failure(
                f"{part.first}-{part.last} of {part.path} in {archive.filename} is not the text that was pinned: this "
                "version cuts files in another way; pin a set again with `ablate fresh`"
            )
    return found


def keep(fresh: Fresh, store: Path) -> None:
    """Have the documents in the store, a file a form; what is there stays.

    Raises:
        Failure: as `documents`.
    """
    missing = [form for form in fresh.forms if not _place(fresh, form, store).exists()]
    if not missing:
        return
    with about("fresh text"):
        try:
            found = documents(fresh, store / DOWNLOADS)
        except Failure as error:
            raise Failure(f"{error}; {WAY_OUT}") from error
    for form in missing:
        parquet.write(_place(fresh, form, store), found[form], {})


def kept(fresh: Fresh, kind: str, store: Path) -> dict[str, list[Document]]:
    """The documents of a kind, by form; fetched if they are not in the store.

    Raises:
        Failure: as `keep`, or a file of them is damaged.
    """
    keep(fresh, store)
    forms = [form for form in fresh.forms if KINDS[form] == kind]
    return {form: list(parquet.read_documents(_place(fresh, form, store))) for form in forms}


def _place(fresh: Fresh, form: str, store: Path) -> Path:
    return store / FRESH / fresh.digest / f"{form}.parquet"


SHIPPED_FILE = Path(__file__).with_suffix(".json")
SHIPPED = read(SHIPPED_FILE)
"""The set that comes with the suite: later than all that the laptop's catalogue reads."""
