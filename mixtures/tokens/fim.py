"""Fill-in-the-middle: a document's middle is moved to its end, so that a left-to-right model learns to infill.

Bavarian et al. (arXiv:2207.14255) with the choices of Code Llama (arXiv:2308.12950, §2.3): cut at two characters drawn
uniformly, half of the documents in the order prefix, suffix, middle (PSM) and half suffix, prefix, middle (SPM), and
never a document that is cut across contexts. In SPM the prefix and the middle are encoded as one text. Everything is
a function of (document, epoch, seed).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from mixtures.tokens.tokenizer import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, Encoder, Ids, encode
from store.errors import UserError
from store.layout import INFILLED


@dataclass(frozen=True)
class Fim:
    """How a study's documents are permuted.

    Attributes:
        sequence: tokens in a training sequence; only documents that lie whole in one are permuted. Of several lengths
            there is a form of its own for each.
        kinds: the kinds of data it applies to.
        rate: share of those documents that is permuted.
        seed: names the draw.
    """

    sequence: int | tuple[int, ...]
    kinds: tuple[str, ...] = ("code",)
    rate: float = 0.9
    seed: int = 0

    @property
    def suffixes(self) -> dict[int, str]:
        """By sequence, what the folder of that form is called behind the source's name."""
        if isinstance(self.sequence, int):
            return {self.sequence: INFILLED}
        return {sequence: f"{INFILLED}-{sequence}" for sequence in self.sequence}


@dataclass(frozen=True)
class Pieces:
    """A document cut in three. `suffix_first` tells SPM from PSM."""

    prefix: str
    middle: str
    suffix: str
    suffix_first: bool


def cut(text: str, document: str, rate: float, seed: int, epoch: int = 0) -> Pieces | None:
    """The pieces of `text`, or None for the share of documents that stay as they are."""
    chance, order, first, second = _draws(document, epoch, seed)
    if chance >= rate:
        return None
    left, right = sorted((int(first * (len(text) + 1)), int(second * (len(text) + 1))))
    return Pieces(text[:left], text[left:right], text[right:], suffix_first=order < 0.5)


def _draws(document: str, epoch: int, seed: int) -> tuple[float, ...]:
    """Four numbers in [0, 1)."""
    digest = hashlib.sha256(repr(("fim", document, epoch, seed)).encode()).digest()
    return tuple(int.from_bytes(digest[i : i + 8], "big") / 2**64 for i in range(0, 32, 8))


def permuted(encoder: Encoder, pieces: Sequence[Pieces]) -> list[Ids]:
    """Token ids of every cut document, without an end-of-document token.

    Raises:
        UserError: the tokenizer has no fill-in-the-middle tokens.
    """
    prefix_id, middle_id, suffix_id = marks(encoder.reference)
    texts: list[str] = []
    for p in pieces:
        texts += [p.suffix, p.prefix + p.middle] if p.suffix_first else [p.prefix, p.suffix, p.middle]
    ids, offsets = encode(encoder, texts)
    parts = iter(np.split(ids, offsets[1:-1]) if texts else [])
    out = []
    for p in pieces:
        if p.suffix_first:
            out.append(np.concatenate([[prefix_id, suffix_id], next(parts), [middle_id], next(parts)]))
        else:
            out.append(np.concatenate([[prefix_id], next(parts), [suffix_id], next(parts), [middle_id], next(parts)]))
    return [ids.astype(np.uint32) for ids in out]


def marks(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The tokens before a prefix, a middle and a suffix.

    Raises:
        UserError: the tokenizer has none, or its texts would not join.
    """
    prefix, middle, suffix = (tokenizer.token_to_id(name) for name in (FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX))
    if prefix is None or middle is None or suffix is None:
        raise UserError(f"the tokenizer has no {FIM_PREFIX}, {FIM_MIDDLE}, {FIM_SUFFIX}; add them or leave out fim")
    pieces = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in ("a b", "c d")]
    if tokenizer.decode([*pieces[0], *pieces[1]]) != "a bc d":
        raise UserError("the tokenizer puts a blank before every text, so that pieces would not join; leave out fim")
    return prefix, middle, suffix
