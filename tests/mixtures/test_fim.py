"""Fill-in-the-middle: nothing of a document is lost, its forms are drawn evenly, and no window cuts one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.fim import cut, permuted
from store.errors import UserError

TEXTS = [f"def f{n}(x):\n    return x * {n} + '{chr(65 + n % 26)}'\n" * (1 + n % 3) for n in range(200)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> bpe.Encoder:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    bpe.save(bpe.train(TEXTS, 400), path)
    return bpe.encoder(path)


def original(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The text of a permuted document, put back in order."""
    prefix_id, middle_id, suffix_id = (tokenizer.token_to_id(name) for name in bpe.SPECIALS[1:])
    suffix, middle = ids.index(suffix_id), ids.index(middle_id)
    assert ids[0] == prefix_id
    parts = (ids[1:suffix], ids[middle + 1 :], ids[suffix + 1 : middle])
    return "".join(tokenizer.decode(part, skip_special_tokens=False) for part in parts)


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=200), document=st.text(max_size=8), epoch=st.integers(0, 5))
def test_put_back_in_order_it_is_the_document_to_the_byte(
    encoder: bpe.Encoder, text: str, document: str, epoch: int
) -> None:
    text = text.encode("utf-8", "ignore").decode()
    pieces = cut(text, document, rate=1.0, seed=3, epoch=epoch)
    assert pieces is not None and pieces.prefix + pieces.middle + pieces.suffix == text
    (ids,) = permuted(encoder, [pieces])
    assert original(encoder.reference, ids.tolist()) == text


def test_shares_hold_and_cuts_are_uniform() -> None:
    drawn = [cut("x" * 99, f"doc/{n}", rate=0.9, seed=0) for n in range(4_000)]
    pieces = [p for p in drawn if p]
    assert abs(len(pieces) / len(drawn) - 0.9) < 0.02
    assert abs(np.mean([p.suffix_first for p in pieces]) - 0.5) < 0.03
    for part in ("prefix", "middle", "suffix"):  # two uniform cuts leave a third each
        assert abs(np.mean([len(getattr(p, part)) for p in pieces]) - 33) < 1.5


def test_the_draw_depends_on_document_epoch_and_seed_alone() -> None:
    text = TEXTS[0]
    assert cut(text, "a", 0.9, 0) == cut(text, "a", 0.9, 0, epoch=0)
    assert len({str(cut(text, "a", 1.0, seed, epoch)) for seed in range(5) for epoch in range(5)}) > 20


def test_both_orders_are_as_published(encoder: bpe.Encoder) -> None:
    def name(id: int) -> str:
        return str(encoder.reference.id_to_token(id))

    seen = set()
    for n, text in enumerate(TEXTS):
        pieces = cut(text, str(n), rate=1.0, seed=0)
        assert pieces
        (ids,) = permuted(encoder, [pieces])
        marks = [name(id) for id in ids if name(id) in bpe.SPECIALS]
        assert marks == ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"]
        if pieces.suffix_first:
            assert name(int(ids[1])) == "<fim-suffix>"
        seen.add(pieces.suffix_first)
    assert seen == {True, False}


def test_a_tokenizer_without_the_marks_is_refused(tmp_path: Path, encoder: bpe.Encoder) -> None:
    raw = encoder.reference.to_str().replace("<fim-middle>", "<other>")
    (tmp_path / "tokenizer.json").write_text(raw)
    pieces = cut(TEXTS[0], "a", 1.0, 0)
    assert pieces
    with pytest.raises(UserError, match="fim-middle"):
        permuted(bpe.encoder(tmp_path / "tokenizer.json"), [pieces])
