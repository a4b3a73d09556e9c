"""How fast a checkpoint writes in each inference that a study compares. It has a clock in it: nothing hangs on it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from analysis.evals.model import LanguageModel
from analysis.records import SpeedRecord, write
from models import decode
from models.devices.parallel import platform
from models.devices.threads import processor
from models.quantise import stored_bytes

TOKENS, REPEATS = 128, 7
_STEPS = 16
"""Tokens of a call, as evaluations have it."""


def measure(fingerprint: str, step: int, models: Mapping[Path, tuple[str, LanguageModel]]) -> None:
    """Write a record of each model to its path: milliseconds for a token of one text (on each device), greedily.

    The models take turns, and each one's first turn is not counted: it compiles.

    Args:
        fingerprint, step: the checkpoint's.
        models: by the paths of their records, each with its inference.

    Raises:
        Failure: the disk is full.
    """
    writers = {path: _writer(model) for path, (_, model) in models.items()}
    found: dict[Path, list[float]] = {path: [] for path in models}
    for repeat in range(1 + REPEATS):
        for path, write_tokens in writers.items():
            started = time.perf_counter()
            tokens = write_tokens()
            seconds = time.perf_counter() - started
            found[path] += [1e3 * seconds / tokens] if repeat else []
    for path, (inference, model) in models.items():
        device = processor() if platform(model.mesh) == "cpu" else jax.devices()[0].device_kind
        milliseconds = tuple(round(each, 4) for each in found[path])
        size = stored_bytes(model.params)
        write(path, SpeedRecord(fingerprint, step, inference, size, milliseconds, TOKENS, device))


def _writer(model: LanguageModel) -> Callable[[], int]:
    """Writes one text and gives its tokens, `TOKENS` or as many as the window holds."""
    calls = max(1, min(TOKENS, model.window) // _STEPS)
    texts = decode.devices(model.mesh)
    # No model says a token beyond its vocabulary, so that no text ends early.
    advance = decode.advancer(model.config, _STEPS, model.config.vocabulary, False, model.mesh)

    def begin(value: float, kind: str) -> np.ndarray:
        return np.full(texts, value, kind)

    token, zero, left = (begin(value, "i4") for value in (model.eod, 0, 1 << 20))
    at = decode.Seats(token, zero, zero, left, zero, begin(0, "f4"), begin(1, "f4"), zero)

    def once() -> int:
        slots = decode.empty_slots(model.config, texts, calls * _STEPS, model.mesh)._replace(at=at)
        for _ in range(calls):
            slots, said_BxC = advance(model.params, slots, np.ones(texts, bool))
        np.asarray(said_BxC)
        return calls * _STEPS

    return once
