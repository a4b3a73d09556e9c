"""A language model small enough for a test, and asking it by whole passes without batches, trees or caches.

`python -m tests.analysis.language 3x1 2x4` asks it on meshes, data x fsdp, of the devices that XLA_FLAGS makes up, and
prints what each says as JSON. With JAX_COORDINATOR_ADDRESS it is one of two processes that share one mesh.
"""

import functools
import json
import os
import sys

import jax
import numpy as np

from analysis.evals import together, writing
from analysis.evals.engine import Ask, generate, likelihoods
from analysis.evals.model import LanguageModel
from mixtures.tokens import tokenizer as bpe
from models.config import ModelConfig
from models.devices import layout
from models.devices.layout import MeshShape
from models.devices.parallel import make_mesh, shardings
from models.transformer import bind, initial

CONFIG = ModelConfig("tiny", vocabulary=300, width=16, layers=2, heads=2, feed_forward=32)
WINDOW = 48
TEXT = "question about birds, an answer, a long document that fills windows and a naïve café"
PAIRS = [
    *((f"question {n % 5} about {'birds ' * (n % 4)}".rstrip(), f" answer {k * n}") for n in range(9) for k in (1, 2)),
    ("", "a bird with no context"),
    ("question about birds ", "and a blank before the answer"),
    ("def f():\n    ", "return 1"),
    ("bird " * 200, " answer"),
    ("a", " continuation that is longer than the window of the model" * 3),
    ("nothing", ""),
    ("", ""),
    (" \n", "blanks alone"),
]
ASKS = [
    Ask("question about birds", (), 20),
    Ask("a long document", ("e",), 20),
    Ask("a long document", (), 5),
    Ask("", (), 12),
    Ask("bird " * 200, ("z",), 30),
    Ask("an answer", (), 20, temperature=1.0, top_p=0.9, seed=1),
    Ask("an answer", (), 20, temperature=1.0, top_p=0.9, seed=2),
]


@functools.cache
def model(data: int = 1, fsdp: int = 1) -> LanguageModel:
    """Random, with weights large enough to prefer some tokens clearly."""
    trained = bpe.train([TEXT] * 3, 300)
    trained.encode_special_tokens = True
    params = {name: array * (1 if name.endswith("scale") else 3) for name, array in initial(CONFIG, 3).items()}
    mesh = make_mesh(MeshShape(data, fsdp), jax.devices()[: data * fsdp]) if data * fsdp > 1 else None
    if mesh is not None:
        params = jax.device_put(params, shardings(mesh, params))
    return LanguageModel(CONFIG, params, trained, bpe.EOD_ID, WINDOW, mesh)


def log_probabilities(ids: list[int]) -> np.ndarray:
    """Of every token [V] after each of `ids`, which are no more than the window."""
    tokens = np.zeros((1, WINDOW), np.int32)
    tokens[0, : len(ids)] = ids
    return np.asarray(_logs()(model().params, tokens))[: len(ids)]


@functools.cache
def _logs():
    return jax.jit(
        lambda params, tokens: jax.nn.log_softmax(bind(CONFIG, params).hidden(tokens)[0] @ params["embedding"].T)
    )


def encode(text: str) -> list[int]:
    return model().tokenizer.encode(text, add_special_tokens=False).ids


def plain_nats(context: str, continuation: str) -> tuple[float, bool]:
    """Of a pair that fits the window but for the beginning of its context, by definition."""
    whole = [bpe.EOD_ID, *encode(context + continuation)]
    scored = len(whole) - 1 - len(encode(context.rstrip()))
    ids = whole[-(WINDOW + 1) :]
    logs = log_probabilities(ids[:-1])[-scored:]
    return float(-logs[np.arange(scored), ids[-scored:]].sum()), logs.argmax(axis=1).tolist() == ids[-scored:]


def plain_answer(ask: Ask) -> str:
    """Greedy, token by token."""
    ids = [bpe.EOD_ID, *encode(ask.prompt)][-(WINDOW - ask.max_tokens) :]
    said: list[int] = []
    while len(said) < ask.max_tokens and bpe.EOD_ID not in said:
        said.append(int(log_probabilities(ids + said)[-1].argmax()))
    text = model().tokenizer.decode(said).rstrip("\ufffd")
    return text[: min((text.find(stop) for stop in ask.stops if stop in text), default=len(text))]


def asked(model: LanguageModel) -> dict[str, list]:
    """Everything, in the order of the requests."""
    found, whole = (dict(likelihoods(model, pairs)) for pairs in (PAIRS, [("", TEXT), ("", TEXT * 3), ("", "")]))
    return {
        "nats": [found[n].nats for n in range(len(PAIRS))],
        "greedy": [found[n].greedy for n in range(len(PAIRS))],
        "texts": [text for _, text in sorted(generate(model, ASKS))],
        "whole": [found.nats for _, found in sorted(whole.items())],
    }


def _one_of_two(data: int, fsdp: int) -> None:
    jax.distributed.initialize(num_processes=2, process_id=int(os.environ["JAX_PROCESS_ID"]))
    if jax.process_index():
        together.follow(lambda: model(data, fsdp))
        return
    with together.leading(lambda: model(data, fsdp)) as opened:
        print(json.dumps([asked(opened())]))


if __name__ == "__main__":
    layout._UNROLLED = 1  # as if this were a deep model: its layers are one loop
    writing._COLUMNS = 32  # so that the cache grows
    meshes = [tuple(map(int, mesh.split("x"))) for mesh in sys.argv[1:]]
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        _one_of_two(*meshes[0])
    else:
        print(json.dumps([asked(model(*mesh)) for mesh in meshes]))
