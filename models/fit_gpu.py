"""Which layout trains a model on the GPU that is here, and how fast: compiled, and then run.

Unlike a slice of TPU (models/fit.py) the device is there, so what fits is what ran. Candidates come from the shortest
bound up; the first whose count by the compiler is within the memory, and whose steps end, is the answer.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from models.config import ModelConfig
from models.devices.candidates import Asked, Candidate, candidates
from models.devices.flops import train_flops_per_token
from models.devices.layout import REMAT, MeshShape
from models.devices.memory import GIB, SHARE, gave_out, needed_gib, step_gib
from models.devices.roofline import GPUS, gpu
from models.fit import Z_LOSS, Fit, Said, first_fitting
from models.recipe import AdamW
from models.step import abstract_state, init_state, train_step
from store.errors import Failure

_WARM = 1
"""Steps that do not count: the first allocates."""


def fit_gpu(
    config: ModelConfig,
    sequence: int,
    batch: int,
    tokens: float = 200e9,
    precision: str = "bfloat16",
    say: Said = lambda line: None,
    remats: Sequence[str] = REMAT,
    steps: int = 3,
    masked: bool = True,
) -> Fit:
    """Whether and how the model trains on one GPU of this machine.

    Args:
        config: the model.
        sequence, batch: tokens of a sequence, sequences of a step.
        tokens: the budget that chip-hours are for.
        precision: a name of recipe.PRECISIONS.
        say: told the candidates.
        remats: of which policies a layout is looked for.
        steps: that are timed, after one.
        masked: with document masks and z-loss; without, the step is faster and needs less memory.

    Raises:
        Failure: there is no GPU; or a step was not finite.
    """
    device = jax.local_devices()[0]
    if device.platform != "gpu":
        raise Failure(
            "no GPU: jax finds none here (its CUDA plugin is the extra `cuda`); name a slice such as v5e:16x16"
        )
    asked = Asked(config, gpu(device.device_kind), sequence, batch, precision)
    found = replace(search(asked, device.memory_stats()["bytes_limit"], say, remats, steps, masked), tokens=tokens)
    if device.device_kind not in GPUS:  # an H100's peaks put the candidates in order, and say nothing of this one
        found = replace(found, step_seconds_bound=None, bound_by=None, roofline=None)
    if found.tokens_per_second is None:
        return found
    flops = found.tokens_per_second * train_flops_per_token(config, sequence)
    mfu = flops / GPUS[device.device_kind].flops_per_second if device.device_kind in GPUS else None
    return replace(found, mfu=mfu, chip_hours=tokens / found.tokens_per_second / 3600)


def search(
    asked: Asked, memory: int, say: Said, remats: Sequence[str] = REMAT, steps: int = 3, masked: bool = True
) -> Fit:
    """The first candidate that runs on the device that is here, within SHARE of so many bytes of its `memory`."""
    limit = SHARE * memory / GIB
    all_ = candidates(asked, [MeshShape()], remats)
    found, seconds = first_fitting(asked, limit, all_, say, lambda each: _run(asked, each, limit, steps, masked))
    if seconds is None:
        return found
    rate = asked.batch * asked.sequence / statistics.median(seconds)
    return replace(found, step_seconds=tuple(seconds), tokens_per_second=round(rate, 1))


def _run(
    asked: Asked, candidate: Candidate, limit: float, steps: int, masked: bool
) -> tuple[float | None, list[float] | None]:
    """GiB by the compiler's count, and seconds of each step; None where it does not say, and where memory gave out."""
    z_loss = Z_LOSS if masked else 0.0
    step = train_step(asked.config, AdamW(), asked.precision, candidate.layout, None, z_loss)
    drawn = np.random.default_rng(0).integers(0, asked.config.vocabulary, (asked.batch, asked.sequence + 1), np.int32)
    # Two documents a row.
    two = np.repeat(np.arange(asked.sequence, dtype=np.int32)[None] * 2 // asked.sequence, asked.batch, axis=0)
    batch = (drawn, jnp.float32(1e-4), two if masked else None)
    needed = None
    try:
        compiled = step.lower(abstract_state(asked.config, AdamW()), *batch).compile()
        needed = step_gib(compiled.memory_analysis())
        return needed, _seconds(compiled, asked.config, batch, steps) if needed <= limit else None
    except jax.errors.JaxRuntimeError as error:
        if not gave_out(str(error)):
            raise
        return needed_gib(str(error)) or needed, None


def _seconds(compiled: Any, config: ModelConfig, batch: tuple[Any, ...], steps: int) -> list[float]:
    """Of each step, waited for."""
    state, seconds = init_state(config, AdamW(), 0), []
    for _ in range(steps + _WARM):
        began = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled(state, *batch))
        seconds.append(time.perf_counter() - began)
        if not metrics.finite:
            raise Failure("a step was not finite; its time means nothing")
    return seconds[_WARM:]
