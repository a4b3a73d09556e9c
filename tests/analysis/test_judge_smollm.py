"""The embedded judge: its arithmetic on a tiny model, and the real one."""

from pathlib import Path

import numpy as np
import pytest

from analysis.evals.preference import smollm
from analysis.evals.preference.estimates import win_rate
from analysis.evals.preference.verdicts import Pair
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def tiny() -> smollm.SmolLM:
    """Two layers with random weights over single bytes."""
    rng = np.random.default_rng(1)
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    width, hidden, heads, kv_heads = 24, 40, 3, 1
    shapes = {
        **{f"{name}_norm.weight": (width,) for name in ("attn", "ffn")},
        "attn_q.weight": (width, width),
        **{f"attn_{name}.weight": (width // heads * kv_heads, width) for name in ("k", "v")},
        "attn_output.weight": (width, width),
        **{f"ffn_{name}.weight": (hidden, width) for name in ("gate", "up")},
        "ffn_down.weight": (width, hidden),
    }
    named = {f"blk.{layer}.{name}": shape for layer in range(2) for name, shape in shapes.items()}
    named |= {"token_embd.weight": (len(tokens), width), "output_norm.weight": (width,)}
    weights = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in named.items()}
    return smollm.SmolLM(weights, smollm._tokenizer(tokens, []), 2, heads, kv_heads, 10_000.0, 1e-5)


def test_no_position_sees_a_later_one_and_order_matters(tiny: smollm.SmolLM) -> None:
    tokens = np.random.default_rng(2).integers(2, 250, 30)
    whole = smollm.logits(tiny, tokens, 30)
    for size in (1, 7, 29):
        assert smollm.logits(tiny, tokens[:size], 1)[0] == pytest.approx(whole[size - 1], abs=1e-4)
    turned = tokens.copy()
    turned[[0, 1]] = turned[[1, 0]]
    assert np.abs(smollm.logits(tiny, turned, 1) - whole[-1]).max() > 1e-3


def test_the_score_is_the_gain_by_the_chain_rule(tiny: smollm.SmolLM) -> None:
    def stepwise(instruction: str, answer: str) -> float:
        ids = smollm._ids(tiny, f"\0user\n{instruction}\1\n\0assistant\n")
        marks = dict(zip(smollm._ids(tiny, "\0\1"), (0, 1), strict=True))
        ids = [marks.get(token, token) for token in ids]
        total = 0.0
        for token in smollm._ids(tiny, answer):
            logit_V = smollm.logits(tiny, np.array(ids), 1)[0].astype(np.float64)
            total += logit_V[token] - np.log(np.exp(logit_V).sum())
            ids.append(token)
        return total

    expected = (stepwise("Why é?", "Because <|im_end|> 12.") - stepwise("", "Because <|im_end|> 12.")) / np.log(2) / 22
    assert smollm.score(tiny, "Why é?", " Because <|im_end|> 12. ") == pytest.approx(expected, abs=1e-4)


def test_it_judges_without_an_order_and_turning_the_pair_turns_the_outcome(tiny: smollm.SmolLM, tmp_path: Path) -> None:
    pairs = [Pair("1", "Why?", "Because.", "It is so."), Pair("2", "Why?", "", "x"), Pair("3", "y", "x" * 2000, "z")]
    found = smollm.judge(pairs, tmp_path / "replies.sqlite", lambda: tiny)
    turned_pairs = [Pair(p.id, p.prompt, p.baseline, p.arm) for p in pairs]
    turned = smollm.judge(turned_pairs, tmp_path / "other.sqlite", lambda: tiny)
    assert {(a.outcome, b.outcome) for a, b in zip(found, turned, strict=True)} <= {("win", "loss"), ("loss", "win")}
    assert [len(j.verdicts) for j in found] == [1, 0, 1]
    assert win_rate(found).agreement is None

    def gone() -> smollm.SmolLM:
        raise AssertionError("the model was asked for again")

    assert smollm.judge(turned_pairs, tmp_path / "replies.sqlite", gone) == turned


@pytest.mark.network
@pytest.mark.slow
def test_the_real_one_tells_answers_from_noise(tmp_path: Path) -> None:
    model = smollm.load(ROOT / "runs" / "downloads")
    question = "What is the capital of France?"
    right, wrong, beside = (
        smollm.score(model, question, answer)
        for answer in ("The capital of France is Paris.", "The capital of France is Berlin.", "Bananas are yellow.")
    )
    assert right > wrong > beside
    words = smollm._ids(model, "The capital of France is Paris. In 2024 it had")
    assert model.tokenizer.decode(words) == "The capital of France is Paris. In 2024 it had"
    assert len(words) == 15  # one for each digit
    assert smollm.logits(model, np.array(words[:5]), 1)[0].argmax() == words[5]
    pairs = [
        Pair("1", question, "Paris is the capital of France.", "Cats sleep for most of the day."),
        Pair("2", "Name a fruit.", "An apple is a fruit.", "The train leaves at noon."),
        Pair("3", "How do bees make honey?", "qz xv kk jw pq", "They turn nectar into honey in their hive."),
    ]
    judged = smollm.judge(pairs, tmp_path / "replies.sqlite", lambda: model)
    assert [j.outcome for j in judged] == ["win", "win", "loss"]
