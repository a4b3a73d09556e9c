"""The manifest of prepared data: what was tokenised, from where, and the digests that prove it. Pure Python."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from store.errors import Failure
from store.files import read_sealed, write_sealed
from store.layout import Prepared

SCHEMA = 4


@dataclass(frozen=True)
class Infilled:
    """A source's tokens with documents in fill-in-the-middle order (mixtures/tokens/fim.py)."""

    shard_tokens: tuple[int, ...]
    permuted_documents: int
    digest: str


@dataclass(frozen=True)
class SourceManifest:
    """One prepared source. `digest` covers its tokens and document offsets, `heldout_digest` its held-out text."""

    kind: str
    packages: tuple[Mapping[str, str], ...]
    """Name, version and licence of every upstream that was read."""
    folder: str
    """Where its documents are, in the store: shards of clean text, shared by all studies that read the source."""
    shards: tuple[str, ...]
    """Their names; the tokens of shard i are in folder i of the source's tokens."""
    shard_tokens: tuple[int, ...]
    documents: int
    tokens: int
    bytes: int
    heldout_documents: int
    heldout_bytes: int
    dropped: Mapping[str, int]
    """Documents left out, by reason."""
    duplicates: Mapping[str, int]
    """The exact duplicates among them, by the source that keeps the text; its own repeats by its own name."""
    shared: Mapping[str, int]
    """Documents that were kept although an earlier source, by its name, has the text too (`dedup` of a `Source`)."""
    found: tuple[Mapping[str, Any], ...]
    """Benchmark items that the source held, in all documents that were read: the best match of each, with evidence."""
    kept: tuple[Mapping[str, Any], ...]
    """The best matches in documents that are not contaminated."""
    digest: str
    heldout_digest: str
    infilled: Infilled | None = None
    """The form that stages with `infilling` read, where the study's data have one."""

    def form(self, sequence: int, infilling: bool) -> "SourceManifest | Infilled":
        """What a stage of this sequence reads of it: `shard_tokens` and `digest`."""
        return self.infilled if infilling and self.infilled else self


@dataclass(frozen=True)
class Manifest:
    """All sources of one preparation, with the tokenizer they share and the benchmarks they were cleaned against."""

    folder: Path
    vocabulary: int
    """Ids that a model must know: one more than the highest of the tokenizer."""
    tokenizer_digest: str
    eod: int
    loss: str
    """What the tokenizer does not keep of a text, with an example; "" where it keeps all."""
    bits_per_byte: bool
    """Whether they mean something: it keeps all, but for the form (NFC) of letters with accents."""
    benchmarks: Mapping[str, int]
    """Name and items of every benchmark."""
    rule: Mapping[str, Any]
    sources: Mapping[str, SourceManifest]

    @property
    def tokenizer(self) -> Path:
        return Prepared(self.folder).tokenizer

    @property
    def tokens(self) -> Path:
        return Prepared(self.folder).tokens

    def documents(self, source: str) -> tuple[Path, ...]:
        """Files of its clean documents."""
        store = Prepared(self.folder).store
        return tuple(store / self.sources[source].folder / f"{shard}.parquet" for shard in self.sources[source].shards)

    def roles(self, source: str) -> tuple[Path, ...]:
        """Files that say, for every one of those, what each document is for."""
        return tuple(Prepared(self.folder).roles(source, shard) for shard in self.sources[source].shards)

    def heldout(self, source: str) -> tuple[Path, ...]:
        """Files of its held-out documents."""
        return tuple(Prepared(self.folder).heldout(source, shard) for shard in self.sources[source].shards)


def in_common(source: str, duplicates: Mapping[str, int], shared: Mapping[str, int]) -> list[str]:
    """A line for every other source that has some of the texts of `source`, too."""
    pairs = [(other, count, "dropped as duplicates") for other, count in duplicates.items() if other != source]
    pairs += [(other, count, "not dropped for it") for other, count in shared.items()]
    return [f"{source}: {count:,} document{'s'[: count > 1]} also in {other}, {what}" for other, count, what in pairs]


def write_manifest(manifest: Manifest) -> None:
    """Write manifest.json; its presence says that the preparation is complete."""
    row = {
        "schema": SCHEMA,
        "tokenizer": {
            "vocabulary": manifest.vocabulary,
            "digest": manifest.tokenizer_digest,
            "eod": manifest.eod,
            "loss": manifest.loss,
            "bits_per_byte": manifest.bits_per_byte,
        },
        "decontamination": {"benchmarks": manifest.benchmarks, "rule": manifest.rule},
        "sources": {name: asdict(source) for name, source in manifest.sources.items()},
    }
    write_sealed(Prepared(manifest.folder).manifest, row)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a complete preparation, or None when there is none.

    Raises:
        Failure: the file is damaged or of another version.
    """
    path = Prepared(folder).manifest
    if not path.exists():
        return None
    way_out = f"delete {folder} and prepare again"
    row = read_sealed(path, "the manifest of the prepared data", SCHEMA, way_out)
    try:
        tokenizer, cleaned = row["tokenizer"], row["decontamination"]
        return Manifest(
            folder=folder,
            vocabulary=tokenizer["vocabulary"],
            tokenizer_digest=tokenizer["digest"],
            eod=tokenizer["eod"],
            loss=tokenizer["loss"],
            bits_per_byte=tokenizer["bits_per_byte"],
            benchmarks=cleaned["benchmarks"],
            rule=cleaned["rule"],
            sources={name: _source(source) for name, source in row["sources"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"{path} is not a schema-{SCHEMA} manifest ({error}); {way_out}") from error


def _source(row: Mapping[str, Any]) -> SourceManifest:
    lists = {name: tuple(row[name]) for name in ("packages", "shards", "shard_tokens", "found", "kept")}
    infilled = row["infilled"] and Infilled(
        **{**row["infilled"], "shard_tokens": tuple(row["infilled"]["shard_tokens"])}
    )
    return SourceManifest(**{**row, **lists, "infilled": infilled})
