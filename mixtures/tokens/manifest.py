"""The manifest of prepared data: what was tokenised, from where, and the digests that prove it. Pure Python."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from store.errors import Failure, UserError
from store.files import read_sealed, write_sealed
from store.layout import INFILLED, Prepared

SCHEMA = 4


@dataclass(frozen=True)
class Infilled:
    """A source's tokens with documents in fill-in-the-middle order (mixtures/tokens/fim.py).

    Attributes:
        shard_tokens: of every shard.
        permuted_documents: those in that order.
        digest: of tokens and document offsets.
        sequence: tokens of the sequences it is made for; 0 in older manifests, which do not say.
        suffix: what the folder of its tokens is called behind the source's name.
    """

    shard_tokens: tuple[int, ...]
    permuted_documents: int
    digest: str
    sequence: int = 0
    suffix: str = INFILLED


@dataclass(frozen=True)
class Packed:
    """Examples packed into sequences of one length (mixtures/tokens/packing.py); all counts but the first of tokens.

    Attributes:
        sequence: tokens of a sequence.
        suffix: as in `Infilled`.
        shard_tokens: of every shard: sequences times their length, and the `<eod>` before the first.
        examples: that are in.
        left_out: examples that are not, by reason; together they are the source's documents.
        prompt_tokens, answer_tokens, padding_tokens: of all sequences; an answer's `<eod>` is the answer's.
        most_answers: examples in one sequence, at most.
        digest: of tokens, document offsets and what is known of every example.
    """

    sequence: int
    suffix: str
    shard_tokens: tuple[int, ...]
    examples: int
    left_out: Mapping[str, int]
    prompt_tokens: int
    answer_tokens: int
    padding_tokens: int
    most_answers: int
    digest: str


@dataclass(frozen=True)
class SourceManifest:
    """One prepared source. `digest` covers its tokens and document offsets, `heldout_digest` its held-out text.

    Of examples, `shard_tokens` and `digest` are of them end to end; what is stored of them are the packed forms.
    """

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
    infilled: tuple[Infilled, ...] = ()
    """The forms that stages with `infilling` read, where the study's data have them."""
    packed: tuple[Packed, ...] = ()
    """The forms that stages read of a source of examples; it has no other."""

    def form(self, sequence: int, infilling: bool) -> "Form":
        """What a stage reads of it in sequences of so many tokens: `shard_tokens` and `digest`.

        Raises:
            UserError: there is no form of it for such sequences.
        """
        forms: tuple[Infilled | Packed, ...] = self.packed or (self.infilled if infilling else ())
        if not forms:
            return self
        if (found := next((form for form in forms if form.sequence in (0, sequence)), None)) is None:
            there, what = ", ".join(f"{form.sequence:,}" for form in forms), "packing" if self.packed else "fim"
            name = Path(self.folder).name[:-13]  # which ends in a hash
            raise UserError(
                f"source '{name}' is prepared for sequences of {there} tokens and not of {sequence:,}; add that to the "
                f"{what} of the study's data"
            )
        return found


Form = SourceManifest | Infilled | Packed


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


def forms(manifest: Manifest, sequence: int, infilling: bool) -> dict[str, Form]:
    """What stages read of every source in sequences of so many tokens, but for those that have no such form.

    Sources that no stage reads in such sequences need none.
    """
    found = {}
    for name, source in manifest.sources.items():
        with suppress(UserError):
            found[name] = source.form(sequence, infilling)
    return found


def packing_lines(name: str, packed: Sequence[Packed]) -> list[str]:
    """What became of the examples of source `name`, a line for every length."""
    lines = []
    for form in packed:
        full = form.prompt_tokens + form.answer_tokens
        share = full / (full + form.padding_tokens)
        reasons = "".join(f"; left out: {why} {count:,}" for why, count in form.left_out.items())
        lines.append(
            f"{name}: {form.examples:,} examples fill sequences of {form.sequence:,} tokens to {share:.1%}, of which "
            f"{form.answer_tokens / full:.1%} are answers{reasons}"
        )
    return lines


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
    infilled = tuple(Infilled(**_form(each)) for each in several(row["infilled"]))
    return SourceManifest(**{**row, **lists, "infilled": infilled, "packed": packed_of(row)})


def packed_of(row: Mapping[str, Any]) -> tuple[Packed, ...]:
    """What became of the examples of a source, as the file has it."""
    return tuple(Packed(**_form(each)) for each in row.get("packed", ()))


def _form(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "shard_tokens": tuple(row["shard_tokens"])}


def several(found: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The infilled forms that a file tells of; in older ones there was one or none."""
    return [found] if isinstance(found, Mapping) else list(found or ())
