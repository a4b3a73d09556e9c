"""The manifest of one source: the sum of what reading, scanning, choosing and tokenising left of its shards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mixtures.catalogue.source import provenance
from mixtures.decontaminate.scan import Match, best
from mixtures.documents import parquet
from mixtures.steps.candidate import Candidate
from mixtures.tokens.arrays import joined_digest
from mixtures.tokens.manifest import Infilled, Packed, SourceManifest, several
from mixtures.tokens.tokenise import ShardFacts
from store.errors import UserError
from store.files import read_sealed

COUNTED = ("examples", "prompt_tokens", "answer_tokens", "padding_tokens")
SUMMED = ("documents", "tokens", "bytes", "heldout_documents", "heldout_bytes")


def summed(candidate: Candidate, chosen: Mapping[str, Any]) -> SourceManifest:
    """The manifest of a source, of which `select` says what was `chosen`.

    Raises:
        Failure: a file is missing or damaged.
        UserError: no example of the source fits into a sequence that it is packed into.
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
        kept=matches("found" if source.keeps_leaks else "kept"),
        digest=joined_digest(each.digest for each in facts),
        heldout_digest=joined_digest(each.heldout_digest for each in facts),
        infilled=tuple(map(_infilled, zip(*(several(each.infilled) for each in facts), strict=True))),
        packed=tuple(_packed(source.name, forms) for forms in zip(*(each.packed for each in facts), strict=True)),
    )


def _infilled(shards: Sequence[Mapping[str, Any]]) -> Infilled:
    """One form of a source, from those of its shards."""
    return Infilled(
        **_joined(shards),
        permuted_documents=sum(shard["permuted_documents"] for shard in shards),
        **{name: shards[0][name] for name in ("sequence", "suffix") if name in shards[0]},
    )


def _packed(source: str, shards: Sequence[Mapping[str, Any]]) -> Packed:
    """One form of a source of examples. Raises UserError where no example fits."""
    left_out = sum((Counter(shard["left_out"]) for shard in shards), Counter[str]())
    form = Packed(
        sequence=shards[0]["sequence"],
        suffix=shards[0]["suffix"],
        **_joined(shards),
        **{name: sum(shard[name] for shard in shards) for name in COUNTED},
        left_out=dict(sorted(left_out.items())),
        most_answers=max(shard["most_answers"] for shard in shards),
    )
    if not form.examples:
        raise UserError(
            f"source '{source}': of {left_out.total():,} examples none fits into a sequence of {form.sequence:,} "
            "tokens; pack it into longer ones"
        )
    return form


def _joined(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    digest = joined_digest(shard["digest"] for shard in shards)
    return {"shard_tokens": tuple(shard["tokens"] for shard in shards), "digest": digest}
