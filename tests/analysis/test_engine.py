"""Answers equal plain passes over single texts, and do not depend on what is asked beside, in what order and where."""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from analysis.evals import engine, packing, writing
from analysis.evals.engine import Ask, Likelihood, generate, likelihoods
from analysis.evals.packing import Span, batches, trees
from analysis.evals.questions import exact_match
from mixtures.tokens import tokenizer as bpe
from models.config import config
from tests.analysis.language import (
    ASKS,
    PAIRS,
    TEXT,
    WINDOW,
    asked,
    encode,
    log_probabilities,
    model,
    plain_answer,
    plain_nats,
)
from tests.mixtures.foreign import deepseek, llama, sentencepiece, written


@pytest.fixture(scope="module")
def found() -> dict[str, list]:
    return asked(model())


def test_likelihoods_and_greediness_equal_plain_passes(found: dict[str, list]) -> None:
    for (context, continuation), nats, greedy in zip(PAIRS, found["nats"], found["greedy"], strict=True):
        if 0 < len(encode(continuation)) <= WINDOW:
            expected, mostly = plain_nats(context, continuation)
            assert (nats, greedy) == (pytest.approx(expected, abs=1e-4), mostly)
    prompt = ASKS[2].prompt
    said = plain_answer(ASKS[2])
    (_, likely), (_, other) = sorted(likelihoods(model(), [(prompt, said), (prompt, said + "z")]))
    assert plain_nats(prompt, said)[1] == likely.greedy
    assert not other.greedy


def test_an_empty_continuation_costs_nothing(found: dict[str, list]) -> None:
    empty = [n for n, (_, continuation) in enumerate(PAIRS) if not continuation]
    assert [found["nats"][n] for n in empty] == [0.0, 0.0]
    assert dict(likelihoods(model(), [("nothing", "")])) == {0: Likelihood(0.0, True)}


def test_a_long_text_is_scored_whole_each_token_once_with_all_context_there_is() -> None:
    """The harness's windows: the last one is filled up with context."""
    ids, expected = encode(TEXT * 3), 0.0
    assert len(ids) % WINDOW and len(ids) > 2 * WINDOW
    for start in range(0, len(ids), WINDOW):
        end = min(start + WINDOW, len(ids))
        window = [bpe.EOD_ID, *ids][end - WINDOW : end + 1]
        logs = log_probabilities(window[:-1])[start - end :]
        expected -= float(logs[np.arange(end - start), window[start - end :]].sum())
    assert dict(likelihoods(model(), [("", TEXT * 3)]))[0].nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [192, 4_096])
def test_nothing_depends_on_batches_order_or_neighbours(
    found: dict[str, list], batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BATCH_TOKENS", batch_tokens)
    monkeypatch.setattr(writing, "_SLOTS", (3,))
    monkeypatch.setattr(writing, "_STEPS", 5)
    order = list(range(len(PAIRS)))
    random.Random(0).shuffle(order)
    shuffled = dict(likelihoods(model(), [PAIRS[n] for n in order]))
    np.testing.assert_allclose([shuffled[order.index(n)].nats for n in range(len(PAIRS))], found["nats"], atol=1e-4)
    for n in (0, 7, 20):
        assert dict(likelihoods(model(), [PAIRS[n]]))[0].nats == pytest.approx(found["nats"][n], abs=1e-4)
    backwards = dict(generate(model(), ASKS[::-1]))
    assert [backwards[len(ASKS) - 1 - n] for n in range(len(ASKS))] == found["texts"]


def _asked_by_others(*arguments: str, devices: int, **environment: str) -> "subprocess.Popen[str]":
    # Programs that run a few times are not worth what LLVM would make of them.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    settings = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, "-m", "tests.analysis.language", *arguments]
    root = Path(__file__).parents[2]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, env={**os.environ, **settings}, **pipes)  # type: ignore[call-overload]


def _same(process: "subprocess.Popen[str]", found: dict[str, list]) -> int:
    """Of how many meshes the process says what one device does."""
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error[-2_000:]
    meshes = json.loads(out.splitlines()[-1])
    for each in meshes:
        for key in ("nats", "whole"):
            np.testing.assert_allclose(each[key], found[key], atol=1e-4)
        assert (each["texts"], each["greedy"]) == (found["texts"], found["greedy"])
    return len(meshes)


def test_devices_share_the_work_and_the_weights_and_change_nothing(found: dict[str, list]) -> None:
    assert _same(_asked_by_others("3x1", "2x4", devices=8), found) == 2


@pytest.mark.soak
def test_two_processes_say_what_one_device_does(found: dict[str, list]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = (
        _asked_by_others("2x4", devices=4, JAX_COORDINATOR_ADDRESS=address, JAX_PROCESS_ID=rank) for rank in "01"
    )
    assert _same(first, found) == 1
    assert second.wait(60) == 0


def test_greedy_answers_equal_plain_passes_up_to_the_first_stop(found: dict[str, list]) -> None:
    for ask, text in zip(ASKS[:5], found["texts"], strict=False):
        assert text == plain_answer(ask)
    assert found["texts"][5] != found["texts"][6]


def test_an_accelerator_has_as_many_slots_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "platform", lambda mesh: "tpu")

    def slots(size: str, prompt: int, texts: int = 1_000) -> int:
        large = replace(model(), config=config(size))
        return writing._sizes(large, [writing._Text(0, ASKS[0], (0,) * prompt, 512)] * texts)[0]

    assert (slots("2.8b", 400), slots("2.8b", 8_192 - 512), slots("470m", 400)) == (8, 1, 32)
    assert slots("470m", 400, texts=3) == 4


def test_a_stop_inside_a_token_or_across_two_ends_the_text_where_it_begins() -> None:
    whole = plain_answer(ASKS[0])
    assert len(whole) > 6
    for stop in {whole[at : at + 2] for at in range(2, len(whole) - 2)}:
        ask = Ask(ASKS[0].prompt, ("\x00\x00", stop), 20)
        assert dict(generate(model(), [ask]))[0] == whole[: whole.find(stop)]


def test_a_cut_character_is_not_in_the_text() -> None:
    snowman = Tokenizer.from_str(model().tokenizer.to_str()).encode("snow ☃").ids
    text = writing._Text(0, Ask("", (), 99), (0,), 99, snowman[:-1])
    assert writing._finished(model().tokenizer, text, 0) is None
    cut = writing._Text(0, Ask("", (), 0), (0,), len(snowman) - 1, snowman[:-1])
    assert writing._finished(model().tokenizer, cut, 0) == "snow "


def test_impossible_lengths_are_no_crash() -> None:
    huge = "bird and answer " * 40_000
    asks = [Ask(huge, (), 4), Ask("a", (), 0), Ask(huge, (), 10 * WINDOW), Ask("", (), 4)]
    texts = dict(generate(model(), asks))
    assert texts[1] == ""
    assert texts[0] == dict(generate(model(), [Ask(huge[-600:], (), 4)]))[0]
    assert dict(likelihoods(model(), [(huge, " a")]))[0].nats == pytest.approx(
        plain_nats(huge[-600:], " a")[0], abs=1e-4
    )
    assert list(likelihoods(model(), [])) == list(generate(model(), [])) == []


def test_no_prefix_is_computed_twice_and_every_token_is_scored_once() -> None:
    stem = tuple(range(1, 31))
    spans = [Span(n, (*stem, 40 + n % 2, 50 + n, 60), 30) for n in range(4)]
    spans += [Span(4, (*stem, 40), 30), Span(5, (*stem, 40), 30), Span(6, (99, 98, 97), 1)]
    made = list(trees(spans, 192))
    assert sorted(len(tree.tokens) for tree in made) == [2, len(stem) + 2 + 4]
    edges = {owner: [(t.tokens[t.places[e]], t.targets[e]) for e in path] for t in made for owner, path in t.paths}
    assert edges == {
        **{n: [(30, 40 + n % 2), (40 + n % 2, 50 + n), (50 + n, 60)] for n in range(4)},
        4: [(30, 40)],
        5: [(30, 40)],
        6: [(99, 98), (98, 97)],
    }
    assert sorted(len(tree.places) for tree in made) == [2, 2 + 4 + 4]


def test_rows_of_few_lengths_hold_every_tree_once() -> None:
    sizes = random.Random(1).choices(range(1, 700), k=300)
    made = [tree for n, size in enumerate(sizes) for tree in trees([Span(n, (n, *range(size)), 1)], 192)]
    packed = list(batches(made, 4_096, 2))
    assert sorted(owner for batch in packed for owner, _ in batch.owners) == list(range(300))
    shapes = {batch.trees.tokens_BxS.shape for batch in packed}
    assert {length for _, length in shapes} <= {packing.row_length(size) for size in range(1, 700)}
    assert sum(rows * length for rows, length in (b.trees.tokens_BxS.shape for b in packed)) < 1.15 * sum(sizes)


@pytest.mark.parametrize(
    ("said", "right"),
    [(" The Rook.\nand more", True), ("a crow", True), ("rooks", False), ("", False), ("\n\n", False), ("...", False)],
)
def test_exact_match_is_of_the_first_line_without_articles_and_punctuation(said: str, right: bool) -> None:
    assert exact_match(said, ("rook", "The Crow")) is right


@pytest.mark.parametrize("made", [llama, deepseek, sentencepiece])
@pytest.mark.parametrize("answer", [" jumps over", "\n  the lazy dog", "!", " 北京 é", ""])
def test_an_answer_keeps_the_blank_it_begins_with(made: Callable[[], Tokenizer], answer: str, tmp_path: Path) -> None:
    """Tokenizers of Llama's kind drop the first blank of what they decode."""
    encoder = bpe.encoder(written(made(), tmp_path / "tokenizer.json"))
    prompt = "the quick brown fox"
    begun, whole = (bpe.encode(encoder, [text])[0].tolist() for text in (prompt, prompt + answer))
    assert whole[: len(begun)] == begun, "the answer must not melt into the prompt"
    said = whole[len(begun) :]
    for near in (prompt, "pack my box " * 20 + prompt):
        asked = (encoder.eod, *bpe.encode(encoder, [near])[0].tolist())
        text = writing._Text(0, Ask(near, (), 50), asked, len(said) + 1, [*said, encoder.eod])
        assert writing._finished(encoder.reference, text, encoder.eod) == answer
