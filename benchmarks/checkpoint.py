"""How long training stands still for checkpoints, and how much slower a step is while one is written.

    python benchmarks/checkpoint.py [--model 15m] [--seconds 100] [--every 30]

Trains on made-up tokens with a checkpoint at the trainer's interval, into a temporary folder that needs three times the
size of the state. On 2 shared cores (2026-11): 15m, 178 MB of state: 0.12 s a checkpoint, 0.31 % of the time; 60m,
720 MB: 0.23 s, 0.54 %; complete after 4 and 11 s, while a step took 1.4 and 1.7 times as long.
"""

import argparse
import statistics
import tempfile
import time

import jax
import numpy as np

from experiments.trainer import CHECKPOINT_SECONDS
from models import checkpoint
from models.config import config
from models.recipe import AdamW
from models.step import init_state, train_step

BATCH, SEQUENCE = 4, 256


def measure(model: str, seconds: float, every: float) -> None:
    size = config(model)
    state, step = init_state(size, AdamW(), 0), train_step(size, AdamW())
    tokens_BxS = np.random.default_rng(0).integers(0, size.vocabulary, (BATCH, SEQUENCE + 1), dtype=np.int32)
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    state, metrics = step(state, tokens_BxS, 1e-3)
    jax.block_until_ready(metrics)
    blocked: list[float] = []
    written: list[float] = []
    times: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder, checkpoint.Writer(folder) as writer:
        started = saved_at = time.perf_counter()
        writing, number, saved = False, 0, 0
        while time.perf_counter() - started < seconds:
            begin = time.perf_counter()
            state, metrics = step(state, tokens_BxS, 1e-3)
            jax.block_until_ready(metrics)
            number += 1
            end = time.perf_counter()
            times[writing].append(end - begin)
            if writing and checkpoint.steps(folder)[-1:] == [saved]:
                writing = False
                written.append(end - saved_at)
            if end - saved_at > every:
                writer.save(number, state)
                saved, saved_at, writing = number, time.perf_counter(), True
                blocked.append(saved_at - end)
        total = time.perf_counter() - started
    alone, beside = (statistics.median(times[key]) for key in (False, True))
    print(f"{model}: state of {megabytes:,.0f} MB, {number} steps in {total:.0f} s, {len(blocked)} checkpoints")
    print(f"training stood still {statistics.median(blocked):.3f} s a checkpoint (worst {max(blocked):.3f} s),")
    print(f"{sum(blocked) / total:.2%} of the time with one every {every:g} s; each was complete after")
    print(f"{statistics.median(written):.1f} s, and a step took {beside / alone:.2f} times as long meanwhile")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="15m")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--every", type=float, default=CHECKPOINT_SECONDS)
    arguments = parser.parse_args()
    measure(arguments.model, arguments.seconds, arguments.every)
