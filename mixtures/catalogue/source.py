"""What a source is, and where every byte of it comes from. The catalogues are in `mixtures/catalogue/`."""

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from mixtures.documents.document import Document
from mixtures.documents.filters import FILTERS
from mixtures.readers import hub, installed
from mixtures.readers.fetch import Archive
from mixtures.readers.hub import HubDataset
from store.errors import UserError, about

KINDS = ("text", "code", "markup", "synthetic", "adjacent", "math", "instruct")
"""The last two are for the cooldown (paper §2.1)."""

ACROSS, WITHIN, NEVER = DEDUP = ("across", "within", "never")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Read = Callable[[str, Path], Iterator[Document]]
"""From (shard, download folder) to the shard's documents, in a fixed order."""


Upstream = str | Archive | HubDataset
"""An installed distribution by its name (or `installed.STANDARD_LIBRARY`), a pinned archive, or files of the hub."""


@dataclass(frozen=True)
class Source:
    """One corpus. It can be sent to another process.

    Attributes:
        name: what mixtures call it.
        kind: one of `KINDS`.
        form: its language or format.
        read: from a shard's name and the download folder to its documents, streamed, in a fixed order.
        shards: from the download folder to the names of its shards, in a fixed order; names can be file names. Or to
            what `read` is asked for one after the other for each of them, by its name: files of the hub share shards.
        max_bytes: UTF-8 bytes that preparation keeps of it, chosen by the documents' hash; None for everything.
        expected_tokens: upstream's or the paper's count, for plans before preparation.
        dedup: what happens to texts that stand twice, byte for byte. "across": of the sources that say so, the first in
            order keeps one. "within": it keeps one, whatever others have, as a cooldown that reads again what was good.
            "never": it keeps all. No copy of a held-out text is ever kept.
        filters: names of `mixtures.documents.filters.FILTERS` that preparation applies.
        upstream: what it reads of others; archives are downloaded on first use.
        inputs: files of this machine that it reads: paths, folders or patterns, as `catalogue.files` takes them. Their
            contents are part of its identity. A source of a function of your own names them here; files that the
            function or its arguments spell are found as well (`traced.py`).
        examples: whether its documents are prompts with an answer, of which a window holds none but whole ones.
        keeps_leaks: whether documents with benchmark items stay, so that a study can say what a leak is worth.
        identity: what its documents are decided by, while a command runs; `identity.pinned` sets it.

    Raises:
        UserError: a name that is no name of a folder, an unknown kind or filter, another `dedup`, or a bad number.
    """

    name: str
    kind: str
    form: str
    read: Read
    shards: Callable[[Path], tuple[str, ...] | Mapping[str, tuple[str, ...]]]
    max_bytes: int | None = None
    expected_tokens: int | None = None
    dedup: str = ACROSS
    filters: tuple[str, ...] = ()
    upstream: tuple[Upstream, ...] = ()
    inputs: tuple[str, ...] = ()
    examples: bool = False
    keeps_leaks: bool = False
    identity: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise UserError(f"source '{self.name}': no name; use letters, digits, '.', '_' and '-'")
        if self.kind not in KINDS:
            raise UserError(f"source '{self.name}': unknown kind '{self.kind}'; choose one of {', '.join(KINDS)}")
        if unknown := [name for name in self.filters if name not in FILTERS]:
            raise UserError(f"source '{self.name}': unknown filter '{unknown[0]}'; known are {', '.join(FILTERS)}")
        if self.dedup not in DEDUP:
            raise UserError(f"source '{self.name}': dedup is {self.dedup!r}; choose one of {', '.join(DEDUP)}")
        for what, size in (("max_bytes", self.max_bytes), ("expected_tokens", self.expected_tokens)):
            if size is not None and (type(size) is not int or size < 1):
                raise UserError(f"source '{self.name}': {what} is {size!r}; give a whole number above 0, or None")

    @property
    def datasets(self) -> tuple[HubDataset, ...]:
        """What it reads of the hub."""
        return tuple(each for each in self.upstream if isinstance(each, HubDataset))


@dataclass(frozen=True)
class Package:
    """One upstream of a source: what was read, in which version, under which licence (SPDX where upstream says it)."""

    name: str
    version: str
    licence: str


def one_shard(downloads: Path) -> tuple[str, ...]:
    """The shards of a source that is read in one go."""
    return ("all",)


def naming(source: str, read: Read) -> Read:
    """`read`, with the name of `source` before every error."""
    return partial(_naming, source, read)


def _naming(source: str, read: Read, shard: str, downloads: Path) -> Iterator[Document]:
    with about(f"source '{source}'"):
        yield from read(shard, downloads)


def hub_source(name: str, kind: str, form: str, *datasets: HubDataset, **options: Any) -> Source:
    """A source of data sets of the hub, some files a shard; `options` are fields of `Source`."""
    read = naming(name, partial(hub.read, datasets))
    return Source(name, kind, form, read, partial(hub.shards, datasets), upstream=datasets, **options)


def provenance(source: Source) -> tuple[Package, ...]:
    """Every package and data set that `source` reads. Nothing is downloaded.

    Raises:
        Failure: a distribution is not installed.
    """
    with about(f"source '{source.name}'"):
        packages = [_package(each) for each in source.upstream]
    if source.kind == "synthetic" and not source.datasets:
        from mixtures.synthetic.generate import GENERATOR_VERSION

        packages.append(Package("mixtures.synthetic", str(GENERATOR_VERSION), "generated by this project"))
    return tuple(packages)


def _package(upstream: Upstream) -> Package:
    if isinstance(upstream, Archive):
        return Package(upstream.project, upstream.version, upstream.licence)
    if isinstance(upstream, HubDataset):
        return Package(f"{upstream.id} {upstream.part}".strip(), upstream.revision, upstream.licence)
    if upstream == installed.STANDARD_LIBRARY:
        return Package(upstream, platform.python_version(), "PSF-2.0")
    return Package(canonicalize_name(upstream), installed.distribution(upstream).version, _licence(upstream))


def _licence(name: str) -> str:
    """What the installed distribution `name` says of its licence, on one line."""
    metadata = installed.distribution(name).metadata
    classifiers = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    field = metadata["License"].strip() if "License" in metadata else ""
    # The field sometimes holds the whole licence; the classifier is then the better name.
    short = field if len(field) < 60 and "\n" not in field else ""
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    return short or ", ".join(classifiers) or field.partition("\n")[0] or "see the package"


def describe(source: Source) -> dict[str, Any]:
    """A row of a table of sources, ready for JSON. Nothing is downloaded.

    Raises:
        Failure: a distribution is not installed.
    """
    said = ("name", "kind", "form", "expected_tokens", "max_bytes", "dedup")
    return {
        **{name: getattr(source, name) for name in said},
        "filters": list(source.filters),
        "gated": any(dataset.gated for dataset in source.datasets),
        "upstream": [asdict(package) for package in provenance(source)],
        "files": [f"{dataset.id}/{path}" for dataset in source.datasets for path in dataset.files] + [*source.inputs],
        "size": "; ".join(dataset.size for dataset in source.datasets),
    }
