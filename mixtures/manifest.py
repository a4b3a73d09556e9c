"""The manifest of prepared data: what was tokenised, from where, and the digests that prove it. Pure Python."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixtures.errors import Failure
from mixtures.files import read_json, write_json

SCHEMA = 1


@dataclass(frozen=True)
class SourceManifest:
    """One prepared source. `digest` covers its tokens and document offsets, `heldout_digest` its held-out text."""

    kind: str
    packages: tuple[Mapping[str, str], ...]
    """Name, version and licence of every package that was read."""
    documents: int
    tokens: int
    bytes: int
    heldout_documents: int
    heldout_bytes: int
    dropped: Mapping[str, int]
    """Documents left out, by reason."""
    digest: str
    heldout_digest: str


@dataclass(frozen=True)
class Manifest:
    """All sources of one preparation, with the tokenizer they share."""

    folder: Path
    vocabulary: int
    tokenizer_digest: str
    sources: Mapping[str, SourceManifest]

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def heldout(self, source: str) -> Path:
        return self.folder / "heldout" / f"{source}.jsonl"


def write_manifest(manifest: Manifest) -> None:
    """Write manifest.json; its presence says that the preparation is complete."""
    sources = {name: asdict(source) for name, source in manifest.sources.items()}
    tokenizer = {"vocabulary": manifest.vocabulary, "digest": manifest.tokenizer_digest}
    write_json(manifest.folder / "manifest.json", {"schema": SCHEMA, "tokenizer": tokenizer, "sources": sources})


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a complete preparation, or None when there is none.

    Raises:
        Failure: the file is damaged or of another version.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return None
    row: Any = read_json(path, "the manifest of the prepared data")
    try:
        if row["schema"] != SCHEMA:
            raise ValueError(f"schema {row['schema']}")
        sources = {
            name: SourceManifest(**{**source, "packages": tuple(source["packages"])})
            for name, source in row["sources"].items()
        }
        return Manifest(folder, row["tokenizer"]["vocabulary"], row["tokenizer"]["digest"], sources)
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"{path} is not a schema-{SCHEMA} manifest ({error}); delete {folder} and prepare again"
        ) from error
