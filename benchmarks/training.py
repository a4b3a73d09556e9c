"""Training speed on CPU beside peers, on the same work: python benchmarks/training.py > rows.jsonl

Work: width 256, 6 layers, 4 heads, SwiGLU of 768, tied embedding, 8 x 512 random tokens, float32, AdamW. Every
measurement is a process of its own; the programs take turns in an order that moves on by one each round, so that a
noisy machine is noisy for all. `gemm` is the machine's limit: the fastest float32 product of squares and of the work's
shapes.

Raw rows go to stdout as JSON lines, the summary to stderr. A run that was stopped goes on with --earlier rows.jsonl:
what stands there is not measured again. `transformers` needs a Python with torch and transformers, `maxtext` one with
MaxText; where none is given they are left out.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, LAYERS, HEADS, FEED_FORWARD, SEQUENCE, BATCH = 256, 6, 4, 768, 512, 8
TOKENS = BATCH * SEQUENCE
RATE = 3e-4
WARM_UP = 2
PROGRAMS = ("ours", "plain-jax", "transformers", "maxtext")
ROOT = Path(__file__).resolve().parents[1]

Row = dict[str, Any]
OneStep = Callable[[Any], float]
"""(tokens [BATCH, SEQUENCE + 1] int32) -> loss, when the whole update is there."""


def ours(vocabulary: int) -> OneStep:
    import jax

    from models.config import ModelConfig
    from models.recipe import AdamW
    from models.step import init_state, train_step

    config = ModelConfig("work", vocabulary, WIDTH, LAYERS, HEADS, FEED_FORWARD)
    state, step = init_state(config, AdamW(), 0), train_step(config, AdamW())

    def one(tokens: Any) -> float:
        nonlocal state
        state, metrics = step(state, tokens, RATE)
        jax.block_until_ready(state)
        return float(metrics.loss)

    return one


def plain_jax(vocabulary: int) -> OneStep:  # noqa: C901 - a program of its own, to be read from top to bottom
    """The same model as one would write it for speed alone: unrolled, joined projections, causal blocks of queries,
    cross-entropy in chunks that forms the gradient in the forward pass, AdamW by hand, no clipping and no checks."""
    import jax
    import jax.numpy as jnp
    import numpy as np

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

    def update(state: Any, tokens: jax.Array) -> tuple[Any, jax.Array]:
        params, first, second, count = state
        loss, gradients = jax.value_and_grad(loss_of)(params, tokens)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.95 * v + 0.05 * g * g, second, gradients)

        def moved(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            return p - RATE * (m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.95**count)) + 1e-8) + 0.1 * p)

        return (jax.tree.map(moved, params, first, second), first, second, count), loss

    state = (params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), jnp.zeros(()))
    step = jax.jit(update, donate_argnums=0)

    def one(tokens: Any) -> float:
        nonlocal state
        state, loss = step(state, tokens)
        jax.block_until_ready(state)
        return float(loss)

    return one


def transformers(vocabulary: int) -> OneStep:
    """The architecture that ours follows, eager, with PyTorch's attention."""
    import torch
    from transformers import CohereConfig, CohereForCausalLM

    torch.manual_seed(0)
    model = CohereForCausalLM(
        CohereConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=FEED_FORWARD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=SEQUENCE,
            logit_scale=1.0,
            use_cache=False,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            attn_implementation="sdpa",
        )
    )
    model = model.float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)

    def one(tokens: Any) -> float:
        ids = torch.from_numpy(tokens[:, :-1]).long()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss)

    return one


def timed(program: str, vocabulary: int, steps: int) -> Row:
    """One process's measurement of a program that runs in it."""
    import numpy as np

    shape = (WARM_UP + steps, BATCH, SEQUENCE + 1)
    batches = np.random.default_rng(0).integers(3, vocabulary, shape, dtype=np.int32)
    started = time.perf_counter()
    one = {"ours": ours, "plain-jax": plain_jax, "transformers": transformers}[program](vocabulary)
    seconds, cpu = [], []
    for batch in batches:
        before, cpu_before = time.perf_counter(), time.process_time()
        loss = one(batch)
        seconds.append(time.perf_counter() - before)
        cpu.append(time.process_time() - cpu_before)
        if len(seconds) == WARM_UP:
            start_up = time.perf_counter() - started
    return {
        "step_seconds": [round(s, 4) for s in seconds[WARM_UP:]],
        "cpu_seconds": [round(s, 4) for s in cpu[WARM_UP:]],
        "start_up_seconds": round(start_up, 1),
        "loss": round(loss, 4),
        "peak_mib": peak_mib(resource.RUSAGE_SELF),
    }


def maxtext(vocabulary: int, steps: int) -> Row:
    """Its own training loop as a command, on its synthetic tokens; read from what it prints."""
    import importlib.util

    package = importlib.util.find_spec("maxtext")
    if package is None or package.origin is None:
        raise SystemExit("this Python has no maxtext")
    settings = {
        "run_name": "speed",
        "hardware": "cpu",
        "dataset_type": "synthetic",
        "steps": WARM_UP + 1 + steps,
        "base_emb_dim": WIDTH,
        "base_num_query_heads": HEADS,
        "base_num_kv_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "base_mlp_dim": FEED_FORWARD,
        "base_num_decoder_layers": LAYERS,
        "vocab_size": vocabulary,
        "max_target_length": SEQUENCE,
        "per_device_batch_size": BATCH,
        "dtype": "float32",
        "weight_dtype": "float32",
        "logits_via_embedding": "true",
        "attention": "dot_product",
        "remat_policy": "none",
        "opt_type": "adamw",
        "matmul_precision": "default",
        "enable_checkpointing": "false",
        "skip_jax_distributed_system": "true",
        "log_config": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [sys.executable, "-m", "maxtext.trainers.pre_train.train", Path(package.origin).parent / "configs/base.yml"]
            + [f"{key}={value}" for key, value in settings.items()]
            + [f"base_output_directory={folder}"],
            env={**os.environ, "DECOUPLE_GCLOUD": "TRUE", "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout
    seconds = [float(found) for found in re.findall(r"completed step: \d+, seconds: ([\d.]+)", said)]
    if len(seconds) < WARM_UP + 1 + steps:
        raise SystemExit(f"maxtext printed {len(seconds)} steps; its last lines:\n{said[-1500:]}")
    return {"step_seconds": seconds[WARM_UP + 1 :], "peak_mib": peak_mib(resource.RUSAGE_CHILDREN)}


def gemm() -> Row:
    """Best and median GFLOP/s of XLA's float32 product, on squares and on this model's shapes, a second each."""
    import jax
    import jax.numpy as jnp

    shapes = [(2_048,) * 3, (4_096,) * 3, (TOKENS, WIDTH, WIDTH), (TOKENS, WIDTH, FEED_FORWARD)]
    shapes += [(TOKENS, WIDTH, 32_768), (WIDTH, TOKENS, 32_768), (TOKENS, 32_768, WIDTH)]
    product, rates = jax.jit(jnp.dot), {}
    for rows, inner, columns in shapes:
        left, right = jax.random.normal(jax.random.key(0), (rows, inner)), jnp.ones((inner, columns))
        product(left, right).block_until_ready()
        seconds: list[float] = []
        while sum(seconds) < 1 or len(seconds) < 4:
            before = time.perf_counter()
            product(left, right).block_until_ready()
            seconds.append(time.perf_counter() - before)
        work = 2e-9 * rows * inner * columns
        rates[f"{rows}x{inner}x{columns}"] = [round(work / s, 1) for s in (min(seconds), statistics.median(seconds))]
    return {"gflops_best_median": rates, "limit": max(best for best, _ in rates.values())}


def peak_mib(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(who).ru_maxrss * unit >> 20


def measured(python: str, program: str, vocabulary: int, steps: int) -> Row:
    """One row by a process of its own; `failed` instead of figures if it gives none."""
    command = [python, __file__, "--child", program, "--vocabulary", str(vocabulary), "--steps", str(steps)]
    # Idle threads of an OpenMP program sleep, else they take the cores from the ones that work.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {"failed": (run.stderr + run.stdout)[-500:]}


def summary(rows: list[Row]) -> str:
    """A table for each vocabulary: medians over rounds of a round's median step, and ours / peer within each round."""
    limit = max((row["limit"] for row in rows if "limit" in row), default=float("nan"))
    lines = [f"limit of this machine: {limit:.0f} GFLOP/s, the fastest float32 product seen"]
    for vocabulary in sorted({row["vocabulary"] for row in rows if "step_seconds" in row}):
        lines += table([row for row in rows if row["vocabulary"] == vocabulary and "step_seconds" in row], limit)
    return "\n".join(lines)


def table(rows: list[Row], limit: float) -> list[str]:
    from models.config import ModelConfig
    from models.devices.flops import train_flops_per_token

    config = ModelConfig("work", rows[0]["vocabulary"], WIDTH, LAYERS, HEADS, FEED_FORWARD)
    gflop = train_flops_per_token(config, SEQUENCE) / 1e9
    lines = ["", f"vocabulary {config.vocabulary:,}, {1e3 * gflop:.1f} MFLOP a token, attention counted causally"]
    lines += ["| program | rounds | tokens/s | GFLOP/s | of the limit | tokens a core-second | peak MiB | ours is |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    speeds = {
        program: {r["round"]: TOKENS / statistics.median(r["step_seconds"]) for r in rows if r["program"] == program}
        for program in PROGRAMS
    }
    for program, by_round in speeds.items():
        if by_round:
            mine = [row for row in rows if row["program"] == program]
            speed = statistics.median(by_round.values())
            a_core = [TOKENS / statistics.median(row["cpu_seconds"]) for row in mine if "cpu_seconds" in row]
            ratios = [speeds["ours"][r] / by_round[r] for r in by_round if r in speeds["ours"] and program != "ours"]
            cells = [program, str(len(mine)), spread(list(by_round.values()), ",.0f"), f"{speed * gflop:.0f}"]
            cells += [f"{speed * gflop / limit:.0%}", spread(a_core, ",.0f")]
            cells += [f"{max(row['peak_mib'] for row in mine):,}", spread(ratios, ".2f")]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values: list[float], form: str) -> str:
    """Median (lowest to highest)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})" if values else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--vocabulary", nargs="+", type=int, default=[32_768, 256_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--torch-python", help="a Python that has torch and transformers")
    parser.add_argument("--maxtext-python", help="a Python that has MaxText")
    parser.add_argument("--earlier", type=Path, help="rows of a run that was stopped")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        vocabulary = asked.vocabulary[0]
        own = {"gemm": gemm, "maxtext": lambda: maxtext(vocabulary, asked.steps)}
        print(json.dumps(own[asked.child]() if asked.child in own else timed(asked.child, vocabulary, asked.steps)))
        return
    pythons = {"ours": sys.executable, "plain-jax": sys.executable, "gemm": sys.executable}
    pythons |= {"transformers": asked.torch_python, "maxtext": asked.maxtext_python}
    programs = [program for program in asked.programs if pythons[program]]
    rows = [json.loads(line) for line in asked.earlier.read_text().splitlines()] if asked.earlier else []
    for row in rows:
        print(json.dumps(row), flush=True)
    done = {(row["round"], row["vocabulary"], row["program"]) for row in rows if "failed" not in row}
    for number in range(asked.rounds):
        turn = number % len(programs)
        work = [(0, "gemm")] + [(v, p) for v in asked.vocabulary for p in programs[turn:] + programs[:turn]]
        for vocabulary, program in work:
            if (number, vocabulary, program) not in done:
                row = {"round": number, "vocabulary": vocabulary, "program": program}
                row["load"] = round(os.getloadavg()[0], 1)
                rows.append(row | measured(pythons[program], program, vocabulary, asked.steps))
                print(json.dumps(rows[-1]), flush=True)
    print(summary(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
