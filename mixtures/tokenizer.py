"""One byte-level BPE per study, trained on a fixed sample that gives every kind of data the same bytes.

Two programs read one tokenizer.json: `tokenizers`, which trains it and decodes, and `fastokens`, which encodes some
fifty times as fast. A test holds their ids equal, and preparation checks a document of every shard.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from mixtures.errors import Failure, UserError
from mixtures.files import write_text

EOD = "<eod>"
EOD_ID = 0
"""Of the tokenizers that are trained here; `eod_id` finds that of any other."""
FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX = "<fim-prefix>", "<fim-middle>", "<fim-suffix>"
SPECIALS = (EOD, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
END_OF_DOCUMENT = (EOD, "<|endoftext|>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>", "</s>", "<eos>")
"""What the end of a document is called in published tokenizers, in order of preference."""

# The split of published tokenizers (cl100k's, with single digits): contractions; words with the blank or mark before
# them; digits; punctuation; runs of line ends and of blanks. fastokens has a fast path for this expression: splitting
# digits in a step of its own is 17 times slower.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHECKED_CHARACTERS = 5_000

Ids = npt.NDArray[np.uint32]


def up_to(texts: Iterable[str], budget: int) -> Iterator[str]:
    """Texts in order up to `budget` bytes; the last one is cut."""
    for text in texts:
        raw = text.encode()
        if len(raw) >= budget:
            yield raw[:budget].decode(errors="ignore")
            return
        budget -= len(raw)
        yield text


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a byte-level BPE: digits split singly, runs of blanks kept together, `SPECIALS` as its first ids.

    A sample too small for `vocabulary` gives fewer ids; the manifest says how many there are.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, path: Path) -> None:
    write_text(path, tokenizer.to_str())


def load(path: Path) -> Tokenizer:
    """Load a tokenizer.json. A text that spells "<eod>" is encoded as those five characters, never as the token.

    Raises:
        Failure: the file is missing or not a tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises bare Exception
        raise Failure(
            f"tokenizer {path} cannot be read ({error}); name another, or delete it and prepare again"
        ) from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def eod_id(tokenizer: Tokenizer) -> int:
    """The id that closes a document.

    Raises:
        UserError: the tokenizer has none of the usual names for it.
    """
    for name in END_OF_DOCUMENT:
        if (id := tokenizer.token_to_id(name)) is not None:
            return int(id)
    raise UserError(f"the tokenizer has no end-of-document token; add one of {', '.join(END_OF_DOCUMENT)} to it")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer opened for bulk encoding. Open it with `encoder`."""

    fast: Any
    reference: Tokenizer
    eod: int


def encoder(path: Path) -> Encoder:
    """Open a tokenizer.json for `encode`.

    Raises:
        Failure: the file is missing, not a tokenizer, or of a kind that cannot be encoded in bulk.
        UserError: the tokenizer has no end-of-document token.
    """
    import fastokens

    reference = load(path)
    try:
        fast = fastokens.Tokenizer.from_json_str(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"tokenizer {path} cannot be used for bulk encoding ({error}); use a BPE tokenizer") from error
    return Encoder(fast, reference, eod_id(reference))


def encode(encoder: Encoder, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Token ids of all texts, end to end, and the offsets between them: int64 [len(texts) + 1].

    Neither a begin-of-sequence nor an end-of-document token is added.

    Raises:
        Failure: a text gets other ids than the tokenizer's reference implementation gives it. One short text of
            every call is compared; the reference is too slow for more.
    """
    flat, ends = encoder.fast.encode_batch_flat(list(texts), split_special_tokens=True)
    ids, offsets = np.frombuffer(flat, "<u4"), np.frombuffer(ends, "<u8").astype(np.int64)
    sample = next((number for number, text in enumerate(texts) if len(text) <= CHECKED_CHARACTERS), None)
    if sample is not None:
        expected = encoder.reference.encode(texts[sample], add_special_tokens=False).ids
        if ids[offsets[sample] : offsets[sample + 1]].tolist() != expected:
            raise Failure("the bulk encoder and the reference encode a document differently; use another tokenizer")
    return ids, offsets


def with_eod(ids: Ids, offsets: npt.NDArray[np.int64], eod: int) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Close every document of `encode` with `eod`."""
    ends = offsets + np.arange(len(offsets))
    closed = np.empty(ends[-1], ids.dtype)
    for start, end, at in zip(offsets[:-1].tolist(), offsets[1:].tolist(), ends[:-1].tolist(), strict=True):
        closed[at : at + end - start] = ids[start:end]  # three times as fast as np.insert
    closed[ends[1:] - 1] = eod
    return closed, ends
