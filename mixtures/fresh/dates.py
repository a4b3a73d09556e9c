"""When what the sources read was released: a fresh document is later than all of it, as far as that is known."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

from packaging.utils import canonicalize_name

from mixtures.catalogue.source import Source
from mixtures.fresh.pinned import WAY_OUT, Fresh
from mixtures.readers import installed
from mixtures.readers.fetch import Archive
from store.errors import UserError


@dataclass(frozen=True)
class Newest:
    """The newest release that sources read.

    Attributes:
        day: as "2026-11-18"; "" where none is known.
        what: the release.
        known: releases whose day is known.
        unknown: what else is read: releases, data sets and files.
    """

    day: str
    what: str
    known: int
    unknown: tuple[str, ...]


def upstreams(sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
    """What the sources read of others: packages by name and version, all else with "" as version. What this project
    generates is nobody's release."""
    for source in sources:
        for each in source.upstream:
            if isinstance(each, Archive):
                yield canonicalize_name(each.project), each.version
            elif isinstance(each, str):
                name = canonicalize_name(each)
                yield name, platform.python_version() if each == installed.STANDARD_LIBRARY else _version(name)
            else:
                yield f"{each.id} {each.part}".strip(), ""
        if source.inputs or not (source.upstream or _ours(source.read)):
            yield f"what source '{source.name}' reads", ""


def newest(sources: Sequence[Source], fresh: Fresh, others: tuple[str, ...] = ()) -> Newest:
    """The newest of what `sources` read, by the days that `fresh` knows; `others` is what else was read."""
    days: dict[str, str] = {}
    unknown = []
    for name, version in dict.fromkeys(upstreams(sources)):
        what = f"{name} {version}".strip()
        if day := _before(fresh.since) if name == installed.STANDARD_LIBRARY else fresh.dated.get(what, ""):
            days[what] = day
        else:
            unknown.append(what)
    day, what = max(((day, what) for what, day in days.items()), default=("", ""))
    return Newest(day, what, len(days), (*unknown, *others))


def told(fresh: Fresh, its: Newest) -> dict[str, Any]:
    """What a study's record says of its fresh documents: since when, how many, of which releases; and of `its`, the
    newest release that it reads."""
    forms = {
        form: {"documents": len(parts), "bytes": sum(part.bytes for part in parts)}
        for form in fresh.forms
        if (parts := [part for part in fresh.parts if part.form == form])
    }
    releases = [
        {"release": f"{each.archive.project} {each.archive.version}", "uploaded": each.uploaded, "after": each.after}
        | {"sha256": each.archive.sha256, "licence": each.archive.licence}
        for each in fresh.releases
    ]
    digest = {"since": fresh.since, "digest": fresh.digest}
    return {**digest, "forms": forms, "releases": releases, "newest": asdict(its)}


def require_later(since: str, its: Newest) -> None:
    """Refuse fresh documents that may be as old as what is read.

    Raises:
        UserError: a release that is read is of the day `since` or later.
    """
    if its.day >= since:
        raise UserError(
            f"documents since {since} may be as old as what the sources read: {its.what} is of {its.day}; take a "
            f"day after it with `ablate fresh --since DATE`, {WAY_OUT}"
        )


def _ours(read: object) -> bool:
    """Whether a reader is made of functions of this project alone."""
    if isinstance(read, partial):
        return all(_ours(each) for each in (read.func, *read.args) if callable(each))
    return str(getattr(read, "__module__", "")).startswith("mixtures.")


@cache
def _version(distribution: str) -> str:
    return installed.distribution(distribution).version


def _before(since: str) -> str:
    """The day on which this interpreter was built: nothing in its library is later. "" where it does not say it, or
    where that is not before `since`, for an old release may be built anew."""
    try:
        built = datetime.strptime(" ".join(platform.python_build()[1].split()[:3]), "%b %d %Y").date().isoformat()
    except ValueError:
        return ""
    return built if built < since else ""
