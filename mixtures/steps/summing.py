"""The manifest of one source: the sum of what reading, scanning, choosing and tokenising left of its shards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import Source, provenance
from mixtures.decontaminate.scan import Match, best
from mixtures.documents import parquet
from mixtures.documents.roles import Candidate
from mixtures.tokens.arrays import joined_digest
from mixtures.tokens.manifest import Infilled, SourceManifest
from store.files import read_sealed


def summed(
    source: Source,
    candidate: Candidate,
    chosen: Mapping[str, Any],
    documents: str,
    facts: Sequence[Path],
    infilled: bool,
) -> SourceManifest:
    """The manifest of a source.

    Args:
        chosen: what `selection.select` says of it.
        documents: where they are, in the store.
        facts: of its shards, as tokenising left them.
        infilled: whether it has a form in fill-in-the-middle order.

    Raises:
        Failure: a file is missing or damaged.
    """
    paths = candidate.shards
    stored = [read_sealed(path, "a shard's facts") for path in facts]
    scanned = [read_sealed(path, "what was found of the benchmarks") for path in candidate.scans]
    dropped: Counter[str] = Counter(chosen["dropped"])
    for path in paths:
        dropped.update(parquet.facts(path)["dropped"])

    def total(name: str) -> int:
        return sum(facts[name] for facts in stored)

    def digest(name: str) -> str:
        return joined_digest(facts[name] for facts in stored)

    def matches(name: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(asdict(match) for match in best([Match(**row) for facts in scanned for row in facts[name]]))

    return SourceManifest(
        kind=source.kind,
        packages=tuple({"name": p.name, "version": p.version, "licence": p.licence} for p in provenance(source)),
        folder=documents,
        shards=tuple(path.stem for path in paths),
        shard_tokens=tuple(facts["tokens"] for facts in stored),
        documents=total("documents"),
        tokens=total("tokens"),
        bytes=total("bytes"),
        heldout_documents=total("heldout_documents"),
        heldout_bytes=total("heldout_bytes"),
        dropped=dict(sorted(dropped.items())),
        duplicates=chosen["duplicates"],
        shared=chosen["shared"],
        found=matches("found"),
        kept=matches("kept"),
        digest=digest("digest"),
        heldout_digest=digest("heldout_digest"),
        infilled=_infilled([facts["infilled"] for facts in stored]) if infilled else None,
    )


def _infilled(stored: Sequence[Mapping[str, Any]]) -> Infilled:
    digest = joined_digest(facts["digest"] for facts in stored)
    moved = sum(facts["permuted_documents"] for facts in stored)
    return Infilled(tuple(facts["tokens"] for facts in stored), moved, digest)
