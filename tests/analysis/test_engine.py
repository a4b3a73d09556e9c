"""Scores do not depend on batching, and equal a plain computation from the full logits."""

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer

from analysis.evals.engine import encode, score
from analysis.evals.questions import Question, exact_match
from mixtures import tokenizer as bpe
from models.config import ModelConfig
from models.recipe import AdamW
from models.step import init_state
from models.transformer import bind

CONFIG = ModelConfig("tiny", vocabulary=300, width=16, layers=1, heads=2, feed_forward=32)
SEQUENCE = 32
CHOICES = tuple(
    Question(f"c{n}", tuple((f"question {n} about {'birds ' * (n % 4)}", f" answer {k * n}") for k in (1, 2, 3)), n % 3)
    for n in range(9)
)
LONG = (Question("long", (("", "a long document that fills more than one window of the model " * 4),), 0),)
ASKED = (Question("asked", (("what bird is it?", " rook"),), 0, answers=("rook", "a crow")),)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    trained = bpe.train(["question about birds, an answer, a long document that fills windows"] * 3, 300)
    trained.encode_special_tokens = True
    return trained


@pytest.fixture(scope="module")
def params():
    return init_state(CONFIG, AdamW(), 3).params


def plain_nats(params, tokenizer: Tokenizer, context: str, continuation: str) -> float:
    """One text in one pass, in no batch: the window is as long as the text."""
    ids = [bpe.EOD_ID, *tokenizer.encode(context + continuation, add_special_tokens=False).ids]
    start = 1 + len(tokenizer.encode(context, add_special_tokens=False).ids)
    hidden = bind(CONFIG, params).hidden(np.array([ids[:-1]]))[0]
    logs = np.asarray(jax.nn.log_softmax(hidden @ params["embedding"].T))
    return float(-sum(logs[i - 1, ids[i]] for i in range(start, len(ids))))


def test_scores_equal_a_plain_computation(params, tokenizer: Tokenizer) -> None:
    (items,) = score(CONFIG, params, [encode(tokenizer, CHOICES, 128)], tokenizer)
    for question, item in zip(CHOICES, items, strict=True):
        nats = [plain_nats(params, tokenizer, *candidate) for candidate in question.candidates]
        assert item["nats"] == pytest.approx(nats[question.gold], abs=1e-3)
        assert item["correct"] == int(np.argmin(nats) == question.gold)
        assert item["bytes"] == len(question.candidates[question.gold][1].encode())


def test_scores_do_not_depend_on_what_is_scored_with_them(params, tokenizer: Tokenizer) -> None:
    works = [encode(tokenizer, questions, SEQUENCE) for questions in (CHOICES, LONG, ASKED)]
    together = score(CONFIG, params, works, tokenizer)
    for work, items in zip(works, together, strict=True):
        (alone,) = score(CONFIG, params, [work], tokenizer)
        assert [i["id"] for i in alone] == [i["id"] for i in items]
        np.testing.assert_allclose([i["nats"] for i in alone], [i["nats"] for i in items], atol=1e-4)


def test_a_long_text_is_scored_whole_in_windows(params, tokenizer: Tokenizer) -> None:
    encoded = encode(tokenizer, LONG, SEQUENCE)
    ids = tokenizer.encode(LONG[0].candidates[0][1], add_special_tokens=False).ids
    assert len(encoded.spans) > 1
    assert sum(span.count for span in encoded.spans) == len(ids)
    scored = [id for span in encoded.spans for id in span.ids[span.first + 1 : span.first + 1 + span.count]]
    assert scored == ids


def test_windows_longer_than_any_listed_length_are_scored(params, tokenizer: Tokenizer) -> None:
    question = Question("wide", (("", "a bird and a bird " * 60),), 0)
    ((item,),) = score(CONFIG, params, [encode(tokenizer, [question], 2_048)], tokenizer)
    assert item["nats"] == pytest.approx(plain_nats(params, tokenizer, *question.candidates[0]), rel=1e-4)


def test_a_long_context_loses_its_oldest_tokens_and_no_answer(params, tokenizer: Tokenizer) -> None:
    question = Question("far", (("bird " * 200, " answer"),), 0)
    (span,) = encode(tokenizer, [question], SEQUENCE).spans
    answer = tokenizer.encode("bird " * 200 + " answer", add_special_tokens=False).ids
    assert len(span.ids) == SEQUENCE + 1
    assert list(span.ids) == answer[-(SEQUENCE + 1) :]
    assert span.first + span.count == SEQUENCE


def test_an_empty_continuation_is_no_crash(params, tokenizer: Tokenizer) -> None:
    ((item,),) = score(CONFIG, params, [encode(tokenizer, [Question("e", (("", ""),), 0)], SEQUENCE)], tokenizer)
    assert item["bytes"] == 0 and np.isfinite(item["nats"])


def test_generation_is_asked_only_where_there_are_answers(params, tokenizer: Tokenizer) -> None:
    choices, asked = score(CONFIG, params, [encode(tokenizer, q, SEQUENCE) for q in (CHOICES, ASKED)], tokenizer)
    assert "said" in asked[0] and asked[0]["correct"] in (0, 1)
    assert all("said" not in item for item in choices)


@pytest.mark.parametrize(
    ("said", "right"),
    [(" The Rook.\nand more", True), ("a crow", True), ("rooks", False), ("", False), ("\n\n", False), ("...", False)],
)
def test_exact_match_is_of_the_first_line_without_articles_and_punctuation(said: str, right: bool) -> None:
    assert exact_match(said, ("rook", "The Crow")) is right
