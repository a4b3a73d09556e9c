"""Training speed of the paper's sizes on one GPU, and where the time goes: python benchmarks/gpu.py

    [--models 470m 1b 2.8b] [--sequences 2048 8192] [--cpu-rehearsal]

bfloat16, vocabulary 256,000, TOKENS tokens a step. Every row is a process of its own: it looks for the layouts that fit
the memory, times the likeliest ones, and takes the fastest through STEPS steps and a profile. Rows come as JSON on the
standard error as soon as they are there, two Markdown tables on the standard output at the end. A row takes some
minutes; name fewer models to make it shorter. `--cpu-rehearsal` takes a small model down the same path without a GPU.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from models.config import ModelConfig, config, parameters
from models.devices.flops import train_flops_per_token
from models.devices.layout import REMAT, Layout

MODELS, SEQUENCES = ("470m", "1b", "2.8b"), (2_048, 8_192)
TOKENS = 65_536
"""Of a step: what each of 64 chips would have of the paper's batch, so the optimizer weighs as much as there."""
REHEARSAL = ("2m", 64, 512)
"""Model, sequence and tokens of a step."""
STEPS, PROFILED = 12, 2
PEAK_FLOPS = {
    "NVIDIA H200": 989.4e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
}
"""Dense bfloat16 a second, as the maker publishes it, by the device's name."""
SHARE = 0.92
"""Of the memory that the process may use, the part that a layout may need; the rest is for what libraries take."""
ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
    # Launched as graphs, kernels cannot be told apart in the profile; kernels of this size gain nothing by it.
    "XLA_FLAGS": "--xla_gpu_enable_command_buffer=",
}
KINDS = ("products", "attention", "loss products", "loss, else", "update", "other", "unattributed", "idle")


def measure(model: str, sequence: int, tokens: int, rehearsal: bool) -> dict[str, Any]:
    """One row. This process has the device for itself."""
    import jax

    size, device = config(model), jax.devices()[0]
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
                found.append((statistics.median(times), layout, compiled, seconds, needed))
                break
            tried.append(f"{name}: {needed / 2**30:.0f} GiB {'would not do' if fits else 'needed'}")
        if found and found[-1][1] == Layout(1, "none", scan=True):
            break  # nothing computes less in fewer passes
    if not found:
        return {"failed": f"nothing fits: {'; '.join(tried)}"}
    _, layout, compiled, seconds, needed = min(found, key=lambda each: each[0])
    times = _times(compiled, size, sequence, tokens, STEPS) or [float("nan")]
    step = statistics.median(times)
    achieved = tokens / step * train_flops_per_token(size, sequence)
    return {
        "layout": f"{layout.microbatches} x {tokens // sequence // layout.microbatches}",
        "remat": layout.remat,
        "tokens_per_second": tokens / step,
        "mfu": float("nan") if rehearsal else achieved / _peak(device.device_kind),
        "seconds": [min(times), max(times)],
        "needed_gib": needed / 2**30,
        "peak_gib": (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30,
        "compile_seconds": seconds,
        "tried": "; ".join(tried),
    } | _profile(compiled, size, sequence, tokens)


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
    import jax
    import jax.numpy as jnp

    from models.recipe import AdamW
    from models.step import abstract_state, train_step

    step = train_step(size, AdamW(), "bfloat16", layout)
    batch = jax.ShapeDtypeStruct((tokens // sequence, sequence + 1), jnp.int32)
    began = time.perf_counter()
    compiled = step.lower(abstract_state(size, AdamW()), batch, jax.ShapeDtypeStruct((), jnp.float32)).compile()
    memory: Any = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return compiled, time.perf_counter() - began, needed + memory.temp_size_in_bytes


def _times(compiled: Any, size: ModelConfig, sequence: int, tokens: int, steps: int) -> list[float] | None:
    """Seconds of each step after two that do not count; None when the memory does not suffice."""
    import jax

    try:
        run, times = _runner(compiled, size, sequence, tokens), []
        for number in range(steps + 2):
            began = time.perf_counter()
            next(run)
            if number > 1:
                times.append(time.perf_counter() - began)
        return times
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None


def _runner(compiled: Any, size: ModelConfig, sequence: int, tokens: int) -> Iterator[None]:
    """Every `next` takes one step and waits for it."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from models.recipe import AdamW
    from models.step import init_state

    state = init_state(size, AdamW(), 0)
    rows = np.random.default_rng(0).integers(0, size.vocabulary, (tokens // sequence, sequence + 1), np.int32)
    batch, rate = jnp.asarray(rows), jnp.float32(1e-4)
    while True:
        state, metrics = jax.block_until_ready(compiled(state, batch, rate))
        if not metrics.finite:
            raise SystemExit("a step was not finite; its time means nothing")
        yield


def _profile(compiled: Any, size: ModelConfig, sequence: int, tokens: int) -> dict[str, Any]:
    """Shares of a step's time by KINDS, and the longest operations; a row is not lost to a profile that fails."""
    import jax

    run, options = _runner(compiled, size, sequence, tokens), jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    next(run)
    try:
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, profiler_options=options):
                began = time.perf_counter()
                for _ in range(PROFILED):
                    next(run)
                wall = (time.perf_counter() - began) * 1e9
            (path,) = Path(folder).rglob("*.xplane.pb")
            spent = _spent(jax.profiler.ProfileData.from_file(str(path)))
        kinds, shares = _kinds_of(compiled.as_text()), dict.fromkeys(KINDS, 0.0)
        for operation in list(spent):
            if kinds.get(operation) == "control":
                del spent[operation]  # its parts are counted
        # Kernels of a GPU do not overlap, operations of CPU threads do.
        whole = max(wall, sum(spent.values()))
        for operation, nanoseconds in spent.items():
            shares[kinds.get(operation, "unattributed")] += nanoseconds / whole
        shares["idle"] = 1 - sum(shares.values())
        longest = [(name, kinds.get(name), round(time / whole, 4)) for name, time in spent.most_common(12)]
        return {"shares": shares, "longest": longest}
    except Exception:
        traceback.print_exc()
        return {"shares": {}, "longest": []}


def _spent(profile: Any) -> Counter[str]:
    """Nanoseconds by instruction; by kernel where the profile does not say which instruction it is of."""
    spent = Counter[str]()
    for plane in profile.planes:
        gpu = plane.name.startswith("/device:GPU")
        for line in plane.lines:
            # Besides its streams, a device may have lines with the same kernels grouped otherwise.
            for event in line.events if not gpu or line.name.startswith("Stream") else ():
                name = dict(event.stats).get("hlo_op")
                if name is not None or gpu:
                    spent[str(name or event.name)] += event.duration_ns
    return spent


_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = .*? ([a-z][\w\-]*)\(")


def _kinds_of(hlo: str) -> dict[str, str]:
    """Of every instruction of a compiled module its kind, from its opcode and the source file that it comes from.

    The module's head holds the source as tables: stack frames -> (location, parent), locations -> file, files.
    """
    files = {number: name for number, name in re.findall(r'^(\d+) "([^"]*\.py)"$', hlo, re.MULTILINE)}
    places = dict(re.findall(r"^(\d+) \{file_name_id=(\d+)", hlo, re.MULTILINE))
    frames = re.findall(r"^(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?", hlo, re.MULTILINE)
    parents = {number: (files.get(places[place], ""), parent) for number, place, parent in frames}
    products = _products(hlo)
    kinds = {}
    for line in hlo.splitlines():
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        name, opcode = match.groups()
        frame = re.search(r"stack_frame_id=(\d+)", line)
        source = _source(frame[1], parents) if frame else "other"
        called = re.search(r"calls=%([\w.\-]+)", line)
        product = opcode == "dot" or "cublas" in line or (called is not None and called[1] in products)
        if opcode in ("while", "call", "conditional"):
            kinds[name] = "control"  # its parts are counted
        elif source == "loss":
            kinds[name] = "loss products" if product else "loss, else"
        elif source == "attention":
            kinds[name] = source
        elif source in ("optimizer", "step"):
            kinds[name] = "update"
        else:
            kinds[name] = "products" if product else "other"
    return kinds


def _source(frame: str, parents: dict[str, tuple[str, str]]) -> str:
    """The innermost of the model's files in a stack: "loss", "step" or the like; "other" outside them."""
    while frame in parents and frame:
        file, parent = parents[frame]
        if "/models/" in file:
            return Path(file).stem
        frame = "" if parent == frame else parent
    return "other"


def _products(hlo: str) -> set[str]:
    """Names of the computations that hold a matrix product."""
    found, current = set(), ""
    for line in hlo.splitlines():
        if header := re.match(r"%?([\w.\-]+) \(.*\{$", line.removeprefix("ENTRY ")):
            current = header[1]
        elif " dot(" in line:
            found.add(current)
    return found


def _peak(kind: str) -> float:
    if kind not in PEAK_FLOPS:
        raise SystemExit(f"the peak of '{kind}' is unknown; add its dense bfloat16 FLOP/s to PEAK_FLOPS in {__file__}")
    return PEAK_FLOPS[kind]


def _child(*what: str, rehearsal: bool) -> dict[str, Any]:
    """The JSON that this script prints in a process of its own."""
    forced = {"JAX_PLATFORMS": "cpu"} if rehearsal else {}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *what]
    done = subprocess.run(
        command, env=ENVIRONMENT | dict(os.environ) | forced, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        return {"failed": f"the process ended with {done.returncode}; its message is above"}
    return json.loads(done.stdout.splitlines()[-1])


def _answer(what: list[str]) -> dict[str, Any]:
    if what == ["device"]:
        import jax

        device = jax.devices()[0]
        return {"kind": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    model, sequence, tokens, rehearsal = what
    return measure(model, int(sequence), int(tokens), rehearsal == "True")


def _row(row: dict[str, Any]) -> str:
    head = f"| {row['model']} | {row['sequence']:,} |"
    if "failed" in row:
        return f"{head} {row['failed']} |"
    return (
        f"{head} {row['layout']} | {row['remat']} | {row['tokens_per_second']:,.0f} | {row['mfu']:.1%} | "
        f"{row['seconds'][0]:.3f}–{row['seconds'][1]:.3f} | {row['needed_gib']:.1f} | {row['peak_gib']:.1f} | "
        f"{row['compile_seconds']:.0f} | {row['tried']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sequences", nargs="+", type=int, default=SEQUENCES)
    parser.add_argument("--cpu-rehearsal", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(_answer(arguments.child)))
        return
    rehearsal = arguments.cpu_rehearsal
    device = _child("device", rehearsal=rehearsal)
    if not rehearsal:
        if device.get("platform") != "gpu":
            raise SystemExit("no GPU: jax finds none here (its CUDA plugin is the extra `cuda`); try --cpu-rehearsal")
        _peak(device["kind"])
    model, sequence, tokens = REHEARSAL
    wanted = [(model, sequence)] if rehearsal else [(m, s) for m in arguments.models for s in arguments.sequences]
    rows = []
    for model, sequence in wanted:
        what = (model, str(sequence), str(tokens if rehearsal else TOKENS), str(rehearsal))
        rows.append({"model": model, "sequence": sequence} | _child(*what, rehearsal=rehearsal))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    _print(rows, device)


def _print(rows: list[dict[str, Any]], device: dict[str, Any]) -> None:
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    print(f"{date.today()}, commit {commit}, {device['kind']}, jax {device['jax']}; medians of {STEPS} steps.\n")
    columns = "model | sequence | microbatches x rows | remat | tokens/s | MFU | s/step | GiB by the compiler's count"
    print(f"| {columns} | GiB at the highest, search included | compile s | tried: tokens/s |")
    print("|---|---:|---|---|---:|---:|---:|---:|---:|---:|---|")
    print(*map(_row, rows), sep="\n")
    print("\n| share of a step |", *(f"{row['model']} {row['sequence']:,} |" for row in rows))
    print(f"|---|{'---:|' * len(rows)}")
    for kind in KINDS:
        print(f"| {kind} |", *(f"{row.get('shares', {}).get(kind, 0):.1%} |" for row in rows))


if __name__ == "__main__":
    main()
