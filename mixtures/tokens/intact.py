"""Whether prepared data still are what their manifest says: by a look at sizes, or by reading every byte."""

from collections.abc import Callable

from mixtures.documents import parquet
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import joined_digest, open_tokens
from mixtures.tokens.manifest import Manifest, SourceManifest
from store.errors import Failure


def problems(manifest: Manifest, full: bool, progress: Callable[[str], None]) -> list[str]:
    """What is missing or changed, a line for each source and form.

    Args:
        manifest: of the prepared data.
        full: read all tokens and held-out texts and compare their digests; else the tokenizer's digest, and of the
            tokens only that every shard is there with its size.
        progress: told what is looked at.
    """
    found, remedy = [], f"delete {manifest.folder} and prepare again"
    if not manifest.tokenizer.exists() or bpe.digest(manifest.tokenizer) != manifest.tokenizer_digest:
        found.append(f"the tokenizer {manifest.tokenizer} is missing or not the manifest's; {remedy}")
    for name, source in manifest.sources.items():
        progress(name)
        # What stages read: of examples the packed forms, of all else the plain one and those that are infilled.
        packed = [(form.sequence, False) for form in source.packed]
        for sequence, infilling in packed or [(0, False), *((form.sequence, True) for form in source.infilled)]:
            try:
                tokens = open_tokens(manifest, sequence, infilling)
                tokens.check([name])
                form = source.form(sequence, infilling)
                if full and tokens.digest(name) != form.digest:
                    what = f"tokens{'' if isinstance(form, SourceManifest) else form.suffix}"
                    found.append(f"the {what} of source '{name}' are not the manifest's; {remedy}")
            except Failure as error:
                found.append(str(error))
        if full:
            found += _heldout(manifest, name, remedy)
    return found


def _heldout(manifest: Manifest, name: str, remedy: str) -> list[str]:
    try:
        digest = joined_digest(map(parquet.text_digest, manifest.heldout(name)))
    except Failure as error:
        return [str(error)]
    right = digest == manifest.sources[name].heldout_digest
    return [] if right else [f"the held-out text of source '{name}' is not the manifest's; {remedy}"]
