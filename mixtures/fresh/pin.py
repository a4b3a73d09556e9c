"""Pins a set of fresh documents: of every project the newest release since a day, and what in it no text before had.

The text before is the project's last release before that day, and all that the sources hold: a new file may be an old
one of somebody else's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path, PurePosixPath

from packaging.version import Version

from mixtures.catalogue.source import Source
from mixtures.documents.document import hash64
from mixtures.fresh import unseen
from mixtures.fresh.dates import newest, require_later, upstreams
from mixtures.fresh.pinned import KINDS, Fresh, Part, Release, digest_of
from mixtures.readers import archived
from mixtures.readers.fetch import Archive, texts
from mixtures.readers.package_index import Listed, listed
from store.errors import Failure

SUFFIXES: Mapping[str, frozenset[str]] = {
    "python": frozenset({".py"}),
    "c-cpp": frozenset({".h", ".hpp", ".hh", ".cuh", ".c", ".cc", ".cpp"}),
    "javascript": frozenset({".js", ".mjs"}),
    unseen.PROSE: frozenset({".py", ".md", ".rst"}),
}
SKIPPED = r"(^|/)tests?/|(^|/)pythoncapi_compat\.h$"
"""Fixtures and repeated assertions; and a file of another project that many carry, in whose releases it is older."""
PROJECT_BYTES = 16_000
"""Of a form are kept of a project, so that none has most of it."""
LEAST_SHARE = 0.001
"""Of a release's bytes are kept; one with less that is new is not worth its download."""
COPIED = 0.2
"""Share of a document's units that are in what is trained on, from which on it counts as a copy."""


def pin(
    since: str,
    projects: Mapping[str, str],
    sources: Sequence[Source],
    downloads: Path,
    progress: Callable[[str, float, float], None] = lambda what, done, total: None,
) -> Fresh:
    """The documents that appeared in `projects` on the day `since` or later.

    Args:
        since: as "2026-11-19".
        projects: names on the index, with their licences.
        sources: of the studies that are scored by them.
        downloads: folder of archives.
        progress: told what is looked at, and how far it is.

    Raises:
        UserError: a source reads a release of that day or later.
        Failure: the index or an archive cannot be had, or there is nothing new.
    """
    steps = 2 + len(projects)
    progress("when the sources' packages were released", 0, steps)
    none = Fresh(since, (), (), dict(_days(sources)))
    require_later(since, its := newest(sources, none))
    candidates = [found for name, licence in projects.items() if (found := _releases(name, licence, since))]
    progress("what the sources hold", 1, steps)
    trained = _trained(sources, downloads) if candidates else frozenset()
    releases, parts = [], []
    for number, (release, before) in enumerate(candidates):
        progress(f"{release.archive.project} {release.archive.version}", 2 + number, 2 + len(candidates))
        new = list(_parts(release, before, trained, downloads))
        if sum(part.bytes for part in new) >= LEAST_SHARE * (downloads / release.archive.filename).stat().st_size:
            releases.append(release)
            parts += new
    if not parts:
        raise Failure(f"no release since {since} has anything new; take an earlier day, after {its.day}")
    return replace(none, releases=tuple(releases), parts=tuple(sorted(parts, key=_order)))


def _order(part: Part) -> tuple[int, str, str, int]:
    return list(KINDS).index(part.form), part.project, part.path, part.first


def _days(sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
    """The days of what sources read from the index, by "project version": of a release's files the last one's."""
    wanted: dict[str, set[str]] = {}
    for name, version in upstreams(sources):
        if version:
            wanted.setdefault(name, set()).add(version)
    for name, versions in sorted(wanted.items()):
        files = [] if name == "cpython" else listed(name)
        for version in sorted(versions):
            days = [file.uploaded for file in files if Version(file.version) == Version(version)]
            if days:
                yield f"{name} {version}", max(days)


def _releases(project: str, licence: str, since: str) -> tuple[Release, Archive | None] | None:
    """The newest release since the day, and the one before the day that comes before it."""
    files = sorted(filter(_usable, listed(project)), key=lambda file: (Version(file.version), file.filename))
    new = [file for file in files if file.uploaded >= since and not Version(file.version).is_prerelease]
    if not new:
        return None
    file = new[-1]
    old = [each for each in files if each.uploaded < since and Version(each.version) < Version(file.version)]
    archives = [Archive(project, each.version, each.filename, each.sha256, licence) for each in (file, *old[-1:])]
    before = archives[1] if old else None
    after = f"{before.project} {before.version}" if before else ""
    return Release(archives[0], file.uploaded, after), before


def _usable(file: Listed) -> bool:
    return file.filename.endswith(".tar.gz") and not file.yanked


def _trained(sources: Sequence[Source], downloads: Path) -> frozenset[int]:
    """What the units of all that the sources read are known by."""
    found: set[int] = set()
    for source in sources:
        for shard in source.shards(downloads):
            for document in source.read(shard, downloads):
                for form in ("", unseen.PROSE):
                    its = unseen.known(form, [(document.id, document.text)])
                    found.update(map(hash64, its))
    return frozenset(found)


def _parts(release: Release, before: Archive | None, trained: AbstractSet[int], downloads: Path) -> Iterator[Part]:
    """The new documents of a release, PROJECT_BYTES of each form at most: the first by hash."""
    project = release.archive.project
    for form, suffixes in SUFFIXES.items():
        # All of its files, whatever of the newer one's is left out: a file may have been tidied or moved.
        old = texts([before], downloads, lambda name: PurePosixPath(name).suffix in suffixes) if before else ()  # noqa: B023
        seen = unseen.known(form, ((name, text) for _, name, text in old))
        found = []
        for file in archived.files([release.archive], downloads, suffixes, SKIPPED):
            path, its = file.id.removeprefix(f"{project}/"), unseen.units(form, file.id, file.text)
            for run in unseen.runs(form, its, seen):
                text = unseen.joined(form, its, run)
                if not _copied(form, its[run[0] - 1 : run[1]], trained):
                    found.append(Part(form, project, path, *run, len(text.encode()), digest_of(text)))
        yield from _some(found)


def _copied(form: str, its: Sequence[str], trained: AbstractSet[int]) -> bool:
    keys = [hash64(key) for unit in its for key in unseen.keys(form, unit)]
    return sum(key in trained for key in keys) >= COPIED * len(keys)


def _some(found: Sequence[Part]) -> Iterator[Part]:
    total = 0
    known: set[str] = set()
    for part in sorted(found, key=lambda part: (hash64(f"{part.path}:{part.first}"), part.path)):
        if total < PROJECT_BYTES and part.sha256 not in known:
            known.add(part.sha256)
            total += part.bytes
            yield part
