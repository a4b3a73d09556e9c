"""How long training stands still for checkpoints, and how much slower a step is while one is written.

    python -m benchmarks.training_loop [--model 15m] [--seconds 100]

At the trainer's interval, in a temporary folder that needs three times the size of the state.
"""

import statistics
import tempfile
import time

import jax
import numpy as np
import typer

from benchmarks.rounds import spread
from experiments.run.interval import interval
from models import checkpoint
from models.config import config
from models.recipe import AdamW
from models.step import init_state, train_step


def main(model: str = "15m", seconds: float = 100.0) -> None:
    size = config(model)
    state, step = init_state(size, AdamW(), 0), train_step(size, AdamW())
    tokens_BxS = np.random.default_rng(0).integers(0, size.vocabulary, (4, 257), dtype=np.int32)
    state, metrics = step(state, tokens_BxS, 1e-3)
    jax.block_until_ready(metrics)
    blocked: list[float] = []
    written: list[float] = []
    times: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as store, checkpoint.Writer(store) as writer:
        started = saved_at = time.perf_counter()
        writing, number, saved = False, 0, 0
        while time.perf_counter() - started < seconds:
            begin = time.perf_counter()
            state, metrics = step(state, tokens_BxS, 1e-3)
            jax.block_until_ready(metrics)
            number += 1
            end = time.perf_counter()
            times[writing].append(end - begin)
            if writing and checkpoint.steps(store)[-1:] == [saved]:
                writing = False
                written.append(end - saved_at)
            if end - saved_at > interval(blocked):
                writer.save(number, state)
                saved, saved_at, writing = number, time.perf_counter(), True
                blocked.append(saved_at - end)
        total = time.perf_counter() - started
    alone, beside = (statistics.median(times[key]) for key in (False, True))
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    print(f"{model}: state of {megabytes:,.0f} MB, {number} steps in {total:.0f} s, {len(blocked)} checkpoints")
    print(f"training stood still {spread(blocked)} s a checkpoint, {sum(blocked) / total:.2%} of the time;")
    print(f"each was complete after {spread(written)} s; a step took {beside / alone:.2f} times as long meanwhile")


if __name__ == "__main__":
    typer.run(main)
