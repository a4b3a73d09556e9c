"""The manifest of one source: the sum of what reading, scanning, choosing and tokenising left of its shards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mixtures.catalogue.source import provenance
from mixtures.decontaminate.scan import Match, best
from mixtures.documents import parquet
from mixtures.steps.candidate import Candidate
from mixtures.tokens.arrays import joined_digest
from mixtures.tokens.manifest import Infilled, SourceManifest
from mixtures.tokens.tokenise import ShardFacts
from store.files import read_sealed

SUMMED = ("documents", "tokens", "bytes", "heldout_documents", "heldout_bytes")


def summed(candidate: Candidate, chosen: Mapping[str, Any]) -> SourceManifest:
    """The manifest of a source, of which `select` says what was `chosen`.

    Raises:
        Failure: a file is missing or damaged.
    """
    source, shards, at = candidate.source, candidate.shards, candidate.at
    facts = [ShardFacts(**read_sealed(at.facts(source.name, path.stem), "a shard's facts")) for path in shards]
    scanned = [read_sealed(path, "what was found of the benchmarks") for path in candidate.scans]
    dropped: Counter[str] = Counter(chosen["dropped"])
    for path in shards:
        dropped.update(parquet.facts(path)["dropped"])

    def matches(name: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(asdict(match) for match in best(Match(**row) for scan in scanned for row in scan[name]))

    return SourceManifest(
        kind=source.kind,
        packages=tuple(map(asdict, provenance(source))),
        folder=str(shards[0].parent.relative_to(at.store)),
        shards=tuple(path.stem for path in shards),
        shard_tokens=tuple(each.tokens for each in facts),
        **{name: sum(getattr(each, name) for each in facts) for name in SUMMED},
        dropped=dict(sorted(dropped.items())),
        duplicates=chosen["duplicates"],
        shared=chosen["shared"],
        found=matches("found"),
        kept=matches("kept"),
        digest=joined_digest(each.digest for each in facts),
        heldout_digest=joined_digest(each.heldout_digest for each in facts),
        infilled=_infilled([each.infilled for each in facts if each.infilled]),
    )


def _infilled(stored: list[Mapping[str, Any]]) -> Infilled | None:
    digest = joined_digest(facts["digest"] for facts in stored)
    moved = sum(facts["permuted_documents"] for facts in stored)
    return Infilled(tuple(facts["tokens"] for facts in stored), moved, digest) if stored else None
