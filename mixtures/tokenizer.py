"""One byte-level BPE per study, trained on a fixed sample that gives every kind of data the same bytes."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mixtures.errors import Failure
from mixtures.files import write_text

EOD = "<eod>"
EOD_ID = 0


def equal_by_kind(texts_by_kind: Mapping[str, Sequence[str]], max_bytes_per_kind: int) -> list[str]:
    """Take texts in order from every kind up to the same number of bytes: what the smallest kind has.

    The last text of a kind is cut, so that no kind gets more than its share.
    """
    smallest = min(sum(len(text.encode()) for text in texts) for texts in texts_by_kind.values())
    budget = min(smallest, max_bytes_per_kind)
    return [text for texts in texts_by_kind.values() for text in _up_to(texts, budget)]


def _up_to(texts: Iterable[str], budget: int) -> Iterator[str]:
    for text in texts:
        raw = text.encode()
        if len(raw) >= budget:
            yield raw[:budget].decode(errors="ignore")
            return
        budget -= len(raw)
        yield text


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a byte-level BPE: digits split singly, runs of spaces kept together, `<eod>` as id 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[EOD],
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
        raise Failure(f"tokenizer {path} cannot be read ({error}); delete {path.parent} and prepare again") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of every text, each closed by `<eod>`; there is no begin-of-sequence token."""
    return [[*encoding.ids, EOD_ID] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
