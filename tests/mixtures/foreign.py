"""Tokenizers as others publish them, small: of the kinds of Llama, DeepSeek and SentencePiece."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "Pack my box with five dozen liquor jugs.\n\tdef f(x):\n    return x + 1  # </s> <eod>",
    "numbers and lines that only document one of plain has",
] * 20
BEGIN, END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"


def written(tokenizer: Tokenizer, path: Path, **changes: Any) -> Path:
    """Its tokenizer.json in the new file `path`, with other values."""
    path.write_text(json.dumps(json.loads(tokenizer.to_str()) | changes))
    return path


def llama() -> Tokenizer:
    """BPE with bytes to fall back on, blanks as a letter, one put in front of every text, and <s> in front of all."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    marks = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=marks + bytes_, limit_alphabet=30, show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # in training alone
    tokenizer.train_from_iterator(TEXTS, trainer)
    found = json.loads(tokenizer.to_str()) | {"pre_tokenizer": None}
    found["added_tokens"] = found["added_tokens"][: len(marks)]
    tokenizer = Tokenizer.from_str(json.dumps(found))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def deepseek() -> Tokenizer:
    """Byte-level BPE whose later tokens are not flagged as special; one of them swallows the blanks around it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=[BEGIN, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    later = ("<eod>", "<｜User｜>", "[BOX]", "    ", "covid")
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in later])
    tokenizer.add_tokens([AddedToken("hole", lstrip=True, rstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return tokenizer


def sentencepiece(compatible: bool = False) -> Tokenizer:
    """Unigram pieces; `compatible` folds what Unicode holds for the same, as most of them do."""
    tokenizer = Tokenizer(models.Unigram())
    if compatible:
        tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    marks = ["<pad>", "</s>", "<unk>", *(f"<0x{value:02X}>" for value in range(256))]
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=marks, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    found = json.loads(tokenizer.to_str())
    found["added_tokens"] = found["added_tokens"][:3]
    found["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(found))
