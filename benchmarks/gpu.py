"""Training speed of the paper's sizes on one GPU: python -m benchmarks.gpu

    [--models "470m 1b 2.8b"] [--sequences "2048 8192"] [--cpu-rehearsal]

bfloat16, vocabulary 256,000, TOKENS tokens a step. Every model and sequence is a process of its own: of every remat
policy it takes the layout with the fewest microbatches that fits the memory through STEPS steps. Rows come as JSON on
the standard error as soon as they are there, a Markdown table on the standard output at the end. A row takes some
minutes; name fewer models to make it shorter. `--cpu-rehearsal` takes a small model down the same path without a GPU.
"""

import itertools
import json
import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from benchmarks.rounds import NotMeasured, apart, print_table
from models.config import ModelConfig, config
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
    **dict.fromkeys(("NVIDIA H200", "NVIDIA H100 80GB HBM3"), 989.4e12),
    **dict.fromkeys(("NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB"), 312e12),
}
"""Dense bfloat16 a second, as the maker publishes it, by the device's name."""
SHARE = 0.92
"""Of the memory that the process may use, the part that a layout may need; the rest is for what libraries take."""


def measure(model: str, sequence: int, tokens: int, rehearsal: bool) -> list[dict[str, str]]:
    """A row for every remat policy. This process has the device for itself: who only imports jax takes none."""
    size, device = config(model), jax.devices()[0]
    if not rehearsal and device.platform != "gpu":
        raise SystemExit("no GPU: jax finds none here (its CUDA plugin is the extra `cuda`); try --cpu-rehearsal")
    if not rehearsal and device.device_kind not in PEAK_FLOPS:
        raise SystemExit(f"the peak of '{device.device_kind}' is unknown; add its FLOP/s to PEAK_FLOPS in gpu.py")
    peak = PEAK_FLOPS.get(device.device_kind, float("nan"))
    limit = SHARE * (4e9 if rehearsal else device.memory_stats()["bytes_limit"])
    rows = []
    for remat in REMAT[:3]:
        for microbatches in (1 << power for power in range((tokens // sequence).bit_length())):
            layout = Layout(microbatches, remat, scan=True)
            compiled, seconds, needed = _compile(size, layout, sequence, tokens)
            times = _times(compiled, size, sequence, tokens) if needed < limit else None
            if times is None:
                continue
            rate = tokens / statistics.median(times)
            row = {
                "device": device.device_kind,
                "microbatches x rows": f"{microbatches} x {tokens // sequence // microbatches}",
                "remat": remat,
                "tokens/s": f"{rate:,.0f}",
                "MFU": f"{rate * train_flops_per_token(size, sequence) / peak:.1%}",
                "s/step": f"{min(times):.3f}–{max(times):.3f}",
                "GiB by the compiler's count": f"{needed / 2**30:.1f}",
                "compile s": f"{seconds:.0f}",
            }
            rows.append({"model": model, "sequence": f"{sequence:,}"} | row)
            break
        if rows and layout == Layout(1, "none", scan=True):
            break  # nothing computes less in fewer passes
    if not rows:
        raise SystemExit("nothing fits")
    return rows


def _compile(size: ModelConfig, layout: Layout, sequence: int, tokens: int) -> tuple[Any, float, float]:
    """The step, the seconds it took, and the bytes that it needs."""
    step = train_step(size, AdamW(), "bfloat16", layout)
    batch = jax.ShapeDtypeStruct((tokens // sequence, sequence + 1), jnp.int32)
    began = time.perf_counter()
    compiled = step.lower(abstract_state(size, AdamW()), batch, jax.ShapeDtypeStruct((), jnp.float32)).compile()
    memory: Any = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return compiled, time.perf_counter() - began, needed + memory.temp_size_in_bytes


def _times(compiled: Any, size: ModelConfig, sequence: int, tokens: int) -> list[float] | None:
    """Seconds of each step after two that do not count; None when the memory does not suffice."""
    batch = np.random.default_rng(0).integers(0, size.vocabulary, (tokens // sequence, sequence + 1), np.int32)
    times = []
    try:
        state = init_state(size, AdamW(), 0)
        for _ in range(STEPS + 2):
            began = time.perf_counter()
            state, metrics = jax.block_until_ready(compiled(state, batch, jnp.float32(1e-4)))
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
            found = apart(measure, model, sequence, tokens, cpu_rehearsal, **environment)
        except NotMeasured as why:
            found = [{"model": model, "sequence": f"{sequence:,}", "failed": str(why)}]
        print(json.dumps(found), file=sys.stderr, flush=True)
        rows += found
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table(columns, [[row.get(column, "") for column in columns] for row in rows])


if __name__ == "__main__":
    typer.run(main)
