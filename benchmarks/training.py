"""Training speed on CPU beside peers, on the same work: python -m benchmarks.training

    [--vocabularies "32768 256000"] [--rounds 5] [--steps 5] [--torch-python PYTHON]

Work: width 256, 6 layers, 4 heads, SwiGLU of 768, tied embedding, 8 x 512 random tokens, float32, AdamW. A table for
each vocabulary; every measurement is a process of its own. `transformers` is run by a Python that has it and torch, and
left out where none is given.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.rounds import Figures, apart, race

WIDTH, LAYERS, HEADS, FEED_FORWARD, SEQUENCE, BATCH = 256, 6, 4, 768, 512, 8
TOKENS = BATCH * SEQUENCE
RATE = 3e-4
WARM_UP = 2

Program = tuple[Any, Callable[[Any, Any], tuple[Any, Any]]]
"""A state, and (state, tokens [BATCH, SEQUENCE + 1] int32) -> (state, loss) that returns when all of them are there."""


def ours(vocabulary: int) -> Program:
    import jax

    from models.config import ModelConfig
    from models.recipe import AdamW
    from models.step import init_state, train_step

    config = ModelConfig("work", vocabulary, WIDTH, LAYERS, HEADS, FEED_FORWARD)
    step = train_step(config, AdamW())
    return init_state(config, AdamW(), 0), lambda state, tokens: jax.block_until_ready(step(state, tokens, RATE))


def plain_jax(vocabulary: int) -> Program:  # noqa: C901 - a program of its own, to be read from top to bottom
    """The same model as one would write it for speed alone: unrolled, joined projections, causal blocks of queries,
    cross-entropy in chunks that forms the gradient in the forward pass, no clipping and no checks of gradients."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    head, queries, chunk = WIDTH // HEADS, 128, 512
    keys = iter(jax.random.split(jax.random.key(0), 1 + 4 * LAYERS))

    def matrix(*shape: int) -> jax.Array:
        return 0.02 * jax.random.normal(next(keys), shape)

    params = {
        "embedding": matrix(vocabulary, WIDTH),
        "scale": jnp.ones(WIDTH),
        "blocks": [
            {
                "scale": jnp.ones(WIDTH),
                "qkv": matrix(WIDTH, 3 * WIDTH),
                "gate_up": matrix(WIDTH, 2 * FEED_FORWARD),
                "output": matrix(WIDTH, WIDTH),
                "down": matrix(FEED_FORWARD, WIDTH),
            }
            for _ in range(LAYERS)
        ],
    }
    angles = np.arange(SEQUENCE)[:, None] / 10_000 ** (np.arange(0, head, 2) / head)
    cosine, sine = (table(angles).astype(np.float32)[:, None] for table in (np.cos, np.sin))
    seen = np.tril(np.ones((SEQUENCE, SEQUENCE), bool))

    def norm(x: jax.Array, scale: jax.Array) -> jax.Array:
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale

    def rotate(x: jax.Array) -> jax.Array:
        a, b = jnp.split(x.reshape(BATCH, SEQUENCE, HEADS, head), 2, -1)
        return jnp.concatenate([a * cosine - b * sine, b * cosine + a * sine], -1)

    def attention(*qkv: jax.Array) -> jax.Array:
        q, k, v = (x.transpose(0, 2, 1, 3).reshape(BATCH * HEADS, SEQUENCE, head) for x in qkv)
        mixed = []
        for start in range(0, SEQUENCE, queries):
            end = start + queries
            scores = jnp.einsum("bqd,bkd->bqk", q[:, start:end] * head**-0.5, k[:, :end])
            weights = jax.nn.softmax(jnp.where(seen[start:end, :end], scores, -1e30), -1)
            mixed.append(jnp.einsum("bqk,bkd->bqd", weights, v[:, :end]))
        joined = jnp.concatenate(mixed, 1).reshape(BATCH, HEADS, SEQUENCE, head)
        return joined.transpose(0, 2, 1, 3).reshape(TOKENS, WIDTH)

    def block(x: jax.Array, weights: dict[str, jax.Array]) -> jax.Array:
        y = norm(x, weights["scale"])
        q, k, v = jnp.split(y @ weights["qkv"], 3, -1)
        gate, up = jnp.split(y @ weights["gate_up"], 2, -1)
        mixed = attention(rotate(q), rotate(k), v.reshape(BATCH, SEQUENCE, HEADS, head))
        return x + mixed @ weights["output"] + (jax.nn.silu(gate) * up) @ weights["down"]

    def with_gradients(x: jax.Array, embedding: jax.Array, targets: jax.Array) -> tuple[jax.Array, tuple]:
        gold = embedding[targets]

        def part(total: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            logits = x @ embedding.T
            highest = logits.max(-1, keepdims=True)
            e = jnp.exp(logits - highest)
            z = e.sum(-1, keepdims=True)
            scale = 1 / (TOKENS * z)
            return total + e.T @ (x * scale), ((jnp.log(z) + highest)[:, 0], (e @ embedding) * scale)

        total, (normaliser, dx) = jax.lax.scan(part, jnp.zeros_like(embedding), x.reshape(-1, chunk, WIDTH))
        loss = (normaliser.reshape(-1) - (x * gold).sum(-1)).mean()
        return loss, (dx.reshape(x.shape) - gold / TOKENS, total.at[targets].add(-x / TOKENS))

    cross_entropy = jax.custom_vjp(lambda *inputs: with_gradients(*inputs)[0])
    cross_entropy.defvjp(with_gradients, lambda kept, g: (g * kept[0], g * kept[1], None))

    def loss_of(params: Any, tokens: jax.Array) -> jax.Array:
        x = params["embedding"][tokens[:, :-1].reshape(-1)]
        for weights in params["blocks"]:
            x = block(x, weights)
        return cross_entropy(norm(x, params["scale"]), params["embedding"], tokens[:, 1:].reshape(-1))

    adamw = optax.adamw(RATE, b2=0.95, weight_decay=0.1)

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, tokens: jax.Array) -> tuple[Any, jax.Array]:
        params, moments = state
        loss, gradients = jax.value_and_grad(loss_of)(params, tokens)
        updates, moments = adamw.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    return (params, adamw.init(params)), lambda state, tokens: jax.block_until_ready(update(state, tokens))


def transformers(vocabulary: int) -> Program:
    """The architecture that ours follows, eager, with PyTorch's attention."""
    import torch
    from transformers import CohereConfig, CohereForCausalLM

    torch.manual_seed(0)
    sizes = {
        **{"vocab_size": vocabulary, "hidden_size": WIDTH, "intermediate_size": FEED_FORWARD},
        **{"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS},
        **{"max_position_embeddings": SEQUENCE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    }
    settings = CohereConfig(**sizes, logit_scale=1.0, use_cache=False, attn_implementation="sdpa")
    model = CohereForCausalLM(settings).float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)

    def one(state: None, tokens: Any) -> tuple[None, Any]:
        ids = torch.from_numpy(tokens[:, :-1]).long()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return state, loss

    return None, one


def measure(program: str, vocabulary: int, steps: int, gflop: float) -> Figures:
    """Of the median step, which computes `gflop` a token."""
    import numpy as np

    shape = (WARM_UP + steps, BATCH, SEQUENCE + 1)
    batches = np.random.default_rng(0).integers(3, vocabulary, shape, dtype=np.int32)
    state, one = {"ours": ours, "plain_jax": plain_jax, "transformers": transformers}[program](vocabulary)
    seconds, cores = [], []
    for batch in batches:
        before, before_cores = time.perf_counter(), time.process_time()
        state, _ = one(state, batch)
        seconds.append(time.perf_counter() - before)
        cores.append(time.process_time() - before_cores)
    rate, a_core = (TOKENS / statistics.median(each[WARM_UP:]) for each in (seconds, cores))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10) >> 20
    return {"GFLOP/s": rate * gflop, "tokens/s": rate, "tokens a core-second": a_core, "peak MiB": peak}


def limit() -> Figures:
    """The machine's: XLA's fastest float32 product of squares and of the work's shapes, a second each."""
    import jax
    import jax.numpy as jnp

    best, product = 0.0, jax.jit(jnp.dot)
    for rows, inner, columns in ((2_048, 2_048, 2_048), (TOKENS, WIDTH, WIDTH), (TOKENS, WIDTH, 32_768)):
        left, right = jnp.ones((rows, inner)), jnp.ones((inner, columns))
        product(left, right).block_until_ready()
        started = time.perf_counter()
        while (before := time.perf_counter()) < started + 1:
            product(left, right).block_until_ready()
            best = max(best, 2e-9 * rows * inner * columns / (time.perf_counter() - before))
    return {"GFLOP/s": best}


def main(vocabularies: str = "32768 256000", rounds: int = 5, steps: int = 5, torch_python: str = "") -> None:
    from models.config import ModelConfig
    from models.devices.flops import train_flops_per_token

    pythons = {"ours": sys.executable, "plain_jax": sys.executable, "transformers": torch_python}
    for vocabulary in map(int, vocabularies.split()):
        config = ModelConfig("work", vocabulary, WIDTH, LAYERS, HEADS, FEED_FORWARD)
        gflop = train_flops_per_token(config, SEQUENCE) / 1e9
        print(f"\nvocabulary {vocabulary:,}, {1e3 * gflop:.1f} MFLOP a token, attention counted causally\n")
        programs = {
            name: partial(apart, measure, name, vocabulary, steps, gflop, python=python)
            for name, python in pythons.items()
            if python
        }
        race(programs | {"matrix product": partial(apart, limit)}, rounds, base="ours")


if __name__ == "__main__":
    import typer  # which the Python of the peers may lack

    typer.run(main)
