"""Training speed of the paper's sizes on one GPU: python -m benchmarks.gpu

    [--models "470m 1b 2.8b"] [--sequences "2048 8192"] [--cpu-rehearsal]

bfloat16, vocabulary 256,000, TOKENS tokens a step. Every row is a process of its own: it looks for the layouts that fit
the memory, times the likeliest ones, and takes the fastest through STEPS steps. Rows come as JSON on the standard error
as soon as they are there, a Markdown table on the standard output at the end. A row takes some minutes; name fewer
models to make it shorter. `--cpu-rehearsal` takes a small model down the same path without a GPU.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from benchmarks.rounds import NotMeasured, apart, print_table
from models.config import ModelConfig, config, parameters
from models.devices.flops import train_flops_per_token
from models.devices.layout import REMAT, Layout
from models.recipe import AdamW
from models.step import abstract_state, init_state, train_step

TOKENS = 65_536
"""Of a step: what each of 64 chips would have of the paper's batch, so the optimizer weighs as much as there."""
REHEARSAL = ("2m", "64", 512)
"""Model, sequence and tokens of a step."""
STEPS = 12
PEAK_FLOPS = {
    "NVIDIA H200": 989.4e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
}
"""Dense bfloat16 a second, as the maker publishes it, by the device's name."""
SHARE = 0.92
"""Of the memory that the process may use, the part that a layout may need; the rest is for what libraries take."""


def measure(model: str, sequence: int, tokens: int, rehearsal: bool) -> dict[str, str]:
    """One row's cells by column. This process has the device for itself: who only imports jax takes none."""
    size, device = config(model), jax.devices()[0]
    if not rehearsal and device.platform != "gpu":
        raise SystemExit("no GPU: jax finds none here (its CUDA plugin is the extra `cuda`); try --cpu-rehearsal")
    if not rehearsal and device.device_kind not in PEAK_FLOPS:
        raise SystemExit(f"the peak of '{device.device_kind}' is unknown; add its FLOP/s to PEAK_FLOPS in gpu.py")
    limit = 4e9 if rehearsal else device.memory_stats()["bytes_limit"]
    found, tried = [], []
    for remat in REMAT[:3]:
        for layout in _layouts(size, sequence, tokens, remat, SHARE * limit):
            compiled, seconds, needed = _compile(size, layout, sequence, tokens)
            fits = needed < SHARE * limit
            times = _times(compiled, size, sequence, tokens, steps=4) if fits else None
            name = f"{layout.microbatches} x {tokens // sequence // layout.microbatches} {remat}"
            if times is not None:
                tried.append(f"{name}: {tokens / statistics.median(times):,.0f}/s")
                found.append((statistics.median(times), name, layout, compiled, seconds, needed))
                break
            tried.append(f"{name}: {needed / 2**30:.0f} GiB {'would not do' if fits else 'needed'}")
        if found and found[-1][2] == Layout(1, "none", scan=True):
            break  # nothing computes less in fewer passes
    if not found:
        raise SystemExit(f"nothing fits: {'; '.join(tried)}")
    _, name, _, compiled, seconds, needed = min(found, key=lambda each: each[0])
    times = _times(compiled, size, sequence, tokens, STEPS) or [float("nan")]
    rate = tokens / statistics.median(times)
    peak = float("nan") if rehearsal else PEAK_FLOPS[device.device_kind]
    highest = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    return {
        "device": device.device_kind,
        "microbatches x rows, remat": name,
        "tokens/s": f"{rate:,.0f}",
        "MFU": f"{rate * train_flops_per_token(size, sequence) / peak:.1%}",
        "s/step": f"{min(times):.3f}–{max(times):.3f}",
        "GiB by the compiler's count": f"{needed / 2**30:.1f}",
        "GiB at the highest, search included": f"{highest / 2**30:.1f}",
        "compile s": f"{seconds:.0f}",
        "tried: tokens/s": "; ".join(tried),
    }


def _layouts(size: ModelConfig, sequence: int, tokens: int, remat: str, limit: float) -> Iterator[Layout]:
    """From the fewest microbatches that could fit by arithmetic, which only spares compilations: state, gradients, a
    chunk of logits, and what the forward pass keeps."""
    width, wide = size.width, size.feed_forward
    kept = {"none": 10 * width + 4 * wide, "dots": 7 * width + 2 * wide, "attention": 3 * width}[remat]
    for microbatches in (1 << power for power in range((tokens // sequence).bit_length())):
        state = (16 if microbatches == 1 else 20) * parameters(size).total
        if state + (3 << 30) + 2 * size.layers * kept * tokens / microbatches < limit:
            yield Layout(microbatches, remat, scan=True)


def _compile(size: ModelConfig, layout: Layout, sequence: int, tokens: int) -> tuple[Any, float, float]:
    """The step, the seconds it took, and the bytes that it needs."""
    step = train_step(size, AdamW(), "bfloat16", layout)
    batch = jax.ShapeDtypeStruct((tokens // sequence, sequence + 1), jnp.int32)
    began = time.perf_counter()
    compiled = step.lower(abstract_state(size, AdamW()), batch, jax.ShapeDtypeStruct((), jnp.float32)).compile()
    memory: Any = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return compiled, time.perf_counter() - began, needed + memory.temp_size_in_bytes


def _times(compiled: Any, size: ModelConfig, sequence: int, tokens: int, steps: int) -> list[float] | None:
    """Seconds of each step after two that do not count; None when the memory does not suffice."""
    rows = np.random.default_rng(0).integers(0, size.vocabulary, (tokens // sequence, sequence + 1), np.int32)
    times = []
    try:
        state, batch, rate = init_state(size, AdamW(), 0), jnp.asarray(rows), jnp.float32(1e-4)
        for _ in range(steps + 2):
            began = time.perf_counter()
            state, metrics = jax.block_until_ready(compiled(state, batch, rate))
            times.append(time.perf_counter() - began)
            if not metrics.finite:
                raise SystemExit("a step was not finite; its time means nothing")
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return times[2:]


def main(models: str = "470m 1b 2.8b", sequences: str = "2048 8192", cpu_rehearsal: bool = False) -> None:
    rows, tokens = [], TOKENS
    environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}
    if cpu_rehearsal:
        models, sequences, tokens = REHEARSAL
        environment["JAX_PLATFORMS"] = "cpu"
    for model, sequence in itertools.product(models.split(), map(int, sequences.split())):
        try:
            cells = apart(measure, model, sequence, tokens, cpu_rehearsal, **environment)
        except NotMeasured as why:
            cells = {"failed": str(why)}
        rows.append({"model": model, "sequence": f"{sequence:,}"} | cells)
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table(columns, [[row.get(column, "") for column in columns] for row in rows])


if __name__ == "__main__":
    typer.run(main)
