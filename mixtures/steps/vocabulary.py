"""The tokenizer of a preparation: trained on a sample of its documents, or made elsewhere and checked on one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from mixtures.steps.candidate import Candidate
from mixtures.steps.select import sample
from mixtures.tokens import tokenizer as bpe

CHECKED_BYTES = 2_000_000
"""Of documents that a tokenizer from elsewhere has to give back as they were."""


def checked(path: Path, end: str | None, candidates: Sequence[Candidate]) -> Tokenizer:
    """The tokenizer in `path`, whose documents end with the token `end`, or one of a usual name.

    Raises:
        Failure: it is no tokenizer.
        UserError: it has no such token, or changes documents in a way that it does not admit.
    """
    tokenizer = bpe.load(path, end)
    bpe.eod_id(tokenizer, end)
    share = CHECKED_BYTES // len(candidates)
    bpe.check_kept(tokenizer, (text for candidate in candidates for text in sample(candidate, share)))
    return tokenizer


def trained(
    candidates: Sequence[Candidate], chosen: Mapping[str, Mapping[str, Any]], vocabulary: int, bytes_per_kind: int
) -> Tokenizer:
    """One of so many ids, from at most so many bytes of every kind of data, which its sources share by their size.

    Args:
        chosen: by source, what `select` says.
    """
    sizes = {name: facts["training_bytes"] for name, facts in chosen.items()}
    by_kind: Counter[str] = Counter()
    for c in candidates:
        by_kind[c.source.kind] += sizes[c.source.name]
    budget = min(bytes_per_kind, *by_kind.values())
    shares = [budget * sizes[c.source.name] // by_kind[c.source.kind] for c in candidates]
    texts = (text for c, share in zip(candidates, shares, strict=True) for text in sample(c, share))
    return bpe.train(texts, vocabulary)
