"""One tokenizer per study: a byte-level BPE trained on a fixed sample that gives every kind of data the same bytes, or
a tokenizer.json of the user's own.

Two programs read one tokenizer.json: `tokenizers`, which trains it and decodes, and `fastokens`, which encodes some
fifty times as fast and stands aside where it would give other ids. A test holds their ids equal, and preparation checks
a document of every shard.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from store.errors import Failure, UserError
from store.files import write_text

EOD = "<eod>"
EOD_ID = 0
"""Of the tokenizers that are trained here; `eod_id` finds that of any other."""
FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX = "<fim-prefix>", "<fim-middle>", "<fim-suffix>"
SPECIALS = (EOD, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
SMALLEST = 256 + len(SPECIALS)
"""Ids of a tokenizer that is trained here, whatever was asked for: there is one for every byte."""
END_OF_DOCUMENT = (
    EOD,
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
)
"""What the end of a document is called in published tokenizers, in order of preference."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_MARK = re.compile(rf"(?!{_BYTE.pattern})(<.*>|\[.*\]|\|.*\|)", re.DOTALL)
"""How tokens that are no text are spelt. Others that were added (runs of blanks, words) are text; so are bytes."""

# The split of published tokenizers (cl100k's, with single digits): contractions; words with the blank or mark before
# them; digits; punctuation; runs of line ends and of blanks. fastokens has a fast path for this expression: splitting
# digits in a step of its own is 17 times slower.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHECKED_CHARACTERS = 5_000
PROBES = (
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCXYZ[\\]^_`abcxyz{|}~",
    "don't , stop .  Two blanks,   three\tand a tab \n\n\tif x:\r\n        return  \n",
    "Stra\u00dfe \u00c9t\u00e9 e\u0301 \u00bd \ufb01 \uff21 \u2460 \u00a0 \u200b \u2026 \u201cI\u0307\u201d",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u0391\u03b8\u03ae\u03bd\u03b1 \u5317\u4eac\u3002 \U0001f600",
    "\n\t  what stands at the beginning",
)
"""What a tokenizer that keeps texts gives back: cases, blanks, digits, accents, ligatures, other scripts."""

Ids = npt.NDArray[np.uint32]


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


def load(path: Path, end: str | None = None) -> Tokenizer:
    """Load a tokenizer.json, made fit for what it is used for here.

    A text that spells "<eod>" is encoded as those five characters, never as the token: tokens with a mark's spelling
    are special, whatever the file says. Nothing is put in front of a text, cut off, filled up or drawn at random.

    Args:
        path: the file.
        end: the token that closes a document, where it has none of the usual names.

    Raises:
        Failure: the file is missing or not a tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_str(_adopted(json.loads(path.read_text(encoding="utf-8")), end))
    except Exception as error:  # tokenizers raises bare Exception
        raise Failure(
            f"tokenizer {path} cannot be read ({error}); name another, or delete it and prepare again"
        ) from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _adopted(found: dict[str, Any], end: str | None) -> str:
    """A tokenizer.json without what only a fine-tuned model, a batch or its authors' training needs."""
    model, added = found["model"], found["added_tokens"]
    found |= {"truncation": None, "padding": None, "post_processor": None}
    if "dropout" in model:
        model["dropout"] = None
    pieces = model["vocab"]
    if isinstance(pieces, list):  # of pieces with their scores
        pieces = {piece: id for id, (piece, _) in enumerate(pieces)}
    roles = {*SPECIALS, *END_OF_DOCUMENT, *([end] if end else ())}
    unlisted = (roles & pieces.keys()) - {token["content"] for token in added}
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added += [{"id": pieces[name], "content": name, "special": True, **plain} for name in sorted(unlisted)]
    for token in added:
        token["special"] = bool(token["special"] or token["content"] in roles or _MARK.fullmatch(token["content"]))
        token |= {"lstrip": False, "rstrip": False}  # they would swallow blanks of the text
    added.sort(key=lambda token: token["id"])
    marks = [token["content"] for token in added if token["special"]]
    if cut := _cut(model, pieces, marks):
        before = found["pre_tokenizer"]
        steps = [] if before is None else before["pretokenizers"] if before["type"] == "Sequence" else [before]
        steps = [*steps, *([] if cut in steps else [cut])]
        found["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    return json.dumps(found, ensure_ascii=False)


def _cut(model: dict[str, Any], pieces: Container[str], marks: Sequence[str]) -> dict[str, Any] | None:
    """A step that cuts a text behind the first letter of every mark, and byte's name, that it could become whole.

    Where merges make the pieces, those are the marks that merges lead to; elsewhere all that are pieces.
    """
    by_merges = "merges" in model and not model.get("ignore_merges")
    makable = {_joined(pair) for pair in model["merges"]} if by_merges else pieces
    cuts = [rf"{re.escape(mark[0])}(?={re.escape(mark[1:])})" for mark in marks if mark in makable and len(mark) > 1]
    if not by_merges and "<0x00>" in pieces:
        cuts.append(f"<(?={_BYTE.pattern[1:]})")
    split = {"type": "Split", "pattern": {"Regex": "|".join(cuts)}, "behavior": "Isolated", "invert": False}
    return split if cuts else None


def _joined(pair: str | list[str]) -> str:
    """What a merge makes; older files have its halves in one text."""
    return pair.replace(" ", "", 1) if isinstance(pair, str) else "".join(pair)


def size(tokenizer: Tokenizer) -> int:
    """Ids that a model must know: one more than the highest, since numbers may be left out."""
    return 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())


def canonical(text: str) -> str:
    """The composed form (NFC), which many tokenizers bring texts into: what it changes holds no information."""
    return unicodedata.normalize("NFC", text)


def loss(tokenizer: Tokenizer, texts: Iterable[str] = PROBES, form: Callable[[str], str] = str) -> str:
    """The first of `texts` that does not come back from its ids, in words; "" where all do.

    Bits per byte mean nothing where texts are not kept: what was lost is not predicted, and its bytes are counted. One
    blank at the very beginning may come or go, as it does in all tokenizers of SentencePiece's kind.

    Args:
        tokenizer: of `load`.
        texts: to be given back.
        form: what must come back of a text; `canonical` for what is the same text to Unicode.
    """
    for text in texts:
        back = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
        text, back = form(text), form(back)
        if text not in (back, " " + back) and back != " " + text:
            same = next((n for n, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), len(back))
            part = slice(max(0, same - 5), same + 15)
            return f"{text[part]!r} comes back as {back[part]!r}"
    return ""


def check_kept(tokenizer: Tokenizer, documents: Iterable[str]) -> None:
    """Refuse a tokenizer that changes documents in a way that its `loss` does not show.

    Raises:
        UserError: more than 1 % of them do not come back.
    """
    if loss(tokenizer, form=canonical):
        return  # known: the manifest says so, and there are no bits per byte
    checked = [loss(tokenizer, [text], canonical) for text in documents]
    changed = [difference for difference in checked if difference]
    if len(changed) > len(checked) // 100:
        raise UserError(
            f"the tokenizer changes {len(changed)} of {len(checked)} documents ({changed[0]}); use one that keeps texts"
        )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def eod_id(tokenizer: Tokenizer, end: str | None = None) -> int:
    """The id that closes a document: of the token `end`, or of the first of the usual names.

    Raises:
        UserError: the tokenizer has no such token, or a text that spells it becomes it.
    """
    for name in (end,) if end else END_OF_DOCUMENT:
        if (id := tokenizer.token_to_id(name)) is not None:
            if id in tokenizer.encode(f"a {name} b{name}", add_special_tokens=False).ids:
                raise UserError(f"a text that spells {name!r} becomes the tokenizer's end of a document; name a mark")
            return int(id)
    marks = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    raise UserError(
        f"the tokenizer has no end-of-document token {end or 'of a usual name'!r}; name one of its own as `end`: "
        f"{', '.join(marks[:10]) or 'it has none, add one'}"
    )


@dataclass(frozen=True)
class Encoder:
    """A tokenizer opened for bulk encoding. Open it with `encoder`.

    Attributes:
        fast: a fastokens tokenizer; None where the reference has to do it.
        reference: the tokenizer.
        eod: id of the token that closes a document.
        slow: why there is no fast one; "" where there is.
        apart: what the fast one would give other ids; the reference encodes texts that hold it.
    """

    fast: Any
    reference: Tokenizer
    eod: int
    slow: str = ""
    apart: re.Pattern[str] | None = None


def encoder(path: Path, end: str | None = None) -> Encoder:
    """Open a tokenizer.json for `encode`.

    Raises:
        Failure: the file is missing or not a tokenizer.
        UserError: the tokenizer has no end-of-document token.
    """
    import fastokens

    reference = load(path, end)
    eod = eod_id(reference, end)
    try:
        fast = fastokens.Tokenizer.from_json_str(reference.to_str())
    except ValueError as error:
        return Encoder(None, reference, eod, str(error))
    opened, slow = Encoder(fast, reference, eod), Encoder(None, reference, eod, "it gives other ids")
    names = [token.content for token in reference.get_added_tokens_decoder().values()]
    spelt = [form.format(name) for name in ("<0x0A>", *names[:100]) for form in ("{}", "x{}y", "a {} b")]
    if not _agree(opened, slow, spelt):  # it takes a piece whole that no merges lead to
        opened = replace(opened, apart=re.compile("|".join([_BYTE.pattern, *map(re.escape, names)])))
    return opened if _agree(opened, slow, [*PROBES, *spelt]) else slow


def _agree(one: Encoder, other: Encoder, texts: Sequence[str]) -> bool:
    return bool(np.array_equal(_bulk(one, texts)[0], _bulk(other, texts)[0]))


def encode(encoder: Encoder, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Token ids of all texts, end to end, and the offsets between them: int64 [len(texts) + 1].

    Neither a begin-of-sequence nor an end-of-document token is added.

    Raises:
        Failure: a text gets the id that closes a document, or other ids than the tokenizer's reference implementation
            gives it. One short text of every call is compared; the reference is too slow for more.
    """
    ids, offsets = _bulk(encoder, texts)
    if (ids == encoder.eod).any():
        raise Failure("a document holds a text that becomes the tokenizer's end of a document; use another tokenizer")
    sample = next((number for number, text in enumerate(texts) if len(text) <= CHECKED_CHARACTERS), None)
    if sample is not None and encoder.fast is not None:
        expected = encoder.reference.encode(texts[sample], add_special_tokens=False).ids
        if ids[offsets[sample] : offsets[sample + 1]].tolist() != expected:
            raise Failure("the bulk encoder and the reference encode a document differently; use another tokenizer")
    return ids, offsets


def _bulk(encoder: Encoder, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
    apart = [encoder.fast is None or bool(encoder.apart and encoder.apart.search(text)) for text in texts]
    fast = [text for text, alone in zip(texts, apart, strict=True) if not alone]
    slow = [text for text, alone in zip(texts, apart, strict=True) if alone]
    ids, offsets = np.zeros(0, np.uint32), np.zeros(1, np.int64)
    if fast:
        flat, ends = encoder.fast.encode_batch_flat(fast, split_special_tokens=True)
        ids, offsets = np.frombuffer(flat, "<u4"), np.frombuffer(ends, "<u8").astype(np.int64)
    if not slow:
        return ids, offsets
    found = iter(
        [np.array(each.ids, np.uint32) for each in encoder.reference.encode_batch_fast(slow, add_special_tokens=False)]
    )
    rest = iter(np.split(ids, offsets[1:-1]))
    parts = [next(found) if alone else next(rest) for alone in apart]
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)], dtype=np.int64)


def with_eod(ids: Ids, offsets: npt.NDArray[np.int64], eod: int) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Close every document of `encode` with `eod`."""
    ends = offsets + np.arange(len(offsets))
    closed = np.empty(ends[-1], ids.dtype)
    for start, end, at in zip(offsets[:-1].tolist(), offsets[1:].tolist(), ends[:-1].tolist(), strict=True):
        closed[at : at + end - start] = ids[start:end]  # three times as fast as np.insert
    closed[ends[1:] - 1] = eod
    return closed, ends
