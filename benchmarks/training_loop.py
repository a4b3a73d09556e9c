"""What the training loop adds to its steps: python -m benchmarks.training_loop startup|input|checkpoint

    [--rounds 5] [--model 15m] [--seconds 100]

startup: seconds from the start of a process to its first training step in the ledger, with an empty and with a filled
compilation cache. input: a step with batches from a store against a step with the same batch again and again. Both
train the quickstart's model on the tests' made-up text. checkpoint: how long training stands still for checkpoints at
the trainer's interval, and how much slower a step is while one is written; in a temporary folder that needs three times
the size of the state.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import typer

from benchmarks.rounds import Figures, race, spread
from experiments.commands import run
from experiments.plan.make import prepared_plan
from experiments.plan.prepared import data_plan
from experiments.run import trainer
from experiments.studies.quickstart import STUDY as QUICKSTART
from mixtures.loader import load_batch, token_counts
from mixtures.prepare import prepare
from mixtures.tokens.arrays import open_tokens
from models import checkpoint
from models.config import config
from models.recipe import AdamW
from models.step import init_state, train_step
from tests.experiments import tiny

STEPS = 10
"""Of a measurement of `input`, of which a round has six: short ones, since a noisy machine changes within seconds."""
STUDY = tiny.study(
    steps=100,
    name="startup",
    **{name: getattr(QUICKSTART, name) for name in ("model", "batch", "sequence", "optimizer", "precision")},
)
"""The quickstart's model, batch and sequence on the tests' text, which is prepared in seconds."""


def startup(store: Path, rounds: int) -> None:
    prepare(STUDY.data, store, lambda *_: None)
    programs = {cache: partial(first_step, store, cache) for cache in ("empty cache", "filled cache")}
    race(programs, rounds, base="empty cache")


def first_step(store: Path, cache: str) -> Figures:
    """From the start of a process that runs the study to the first row of its ledger."""
    for folder in ("stages", "xla") if cache == "empty cache" else ("stages",):
        shutil.rmtree(store / folder, ignore_errors=True)
    began = time.perf_counter()
    command = [sys.executable, "-c", "import sys, benchmarks.training_loop as t; t.child(sys.argv[1])", str(store)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size for path in store.glob("stages/*/ledger.jsonl")):
        if process.poll() is not None:
            raise SystemExit(f"the run ended before its first step: {process.communicate()[1]}")
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return {"s": seconds}


def child(store: str) -> None:
    trainer.FLUSH_STEPS = 1
    run.run_study(STUDY, Path(store))


def input_(store: Path, rounds: int) -> None:
    prepare(STUDY.data, store, lambda *_: None)
    plan = prepared_plan(STUDY, store)
    stage = plan.stages[0]
    data, tokens = data_plan(plan, stage), open_tokens(plan.manifest)
    step = train_step(STUDY.model, STUDY.optimizer, STUDY.precision)
    state = init_state(STUDY.model, STUDY.optimizer, 0)
    fixed = jnp.asarray(load_batch(data, tokens, 0).tokens_BxS)

    def fed(number: int) -> jax.Array:
        batch = load_batch(data, tokens, number % stage.steps)
        _ = token_counts(data, batch), batch.digest  # for the ledger
        return jnp.asarray(batch.tokens_BxS)

    def measure(feed: Callable[[int], jax.Array]) -> Figures:
        nonlocal state
        began = time.perf_counter()
        for number in range(STEPS):
            state, metrics = step(state, feed(number), 1e-3)
            if number % trainer.FLUSH_STEPS == trainer.FLUSH_STEPS - 1:
                jax.device_get(metrics)
        return {"ms a step": 1e3 * (time.perf_counter() - began) / STEPS}

    feeds = {"from the store": partial(measure, fed), "the same batch": partial(measure, lambda _: fixed)}
    race(feeds, 6 * rounds, base="from the store", warm=1)
    began = time.perf_counter()
    for number in range(200):
        fed(number)
    print(f"a batch alone takes {(time.perf_counter() - began) * 5:.2f} ms")


def checkpoints(store: Path, model: str, seconds: float) -> None:
    size = config(model)
    state, step = init_state(size, AdamW(), 0), train_step(size, AdamW())
    tokens_BxS = np.random.default_rng(0).integers(0, size.vocabulary, (4, 257), dtype=np.int32)
    state, metrics = step(state, tokens_BxS, 1e-3)
    jax.block_until_ready(metrics)
    blocked: list[float] = []
    written: list[float] = []
    times: dict[bool, list[float]] = {False: [], True: []}
    with checkpoint.Writer(store) as writer:
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
            if end - saved_at > trainer.CHECKPOINT_SECONDS:
                writer.save(number, state)
                saved, saved_at, writing = number, time.perf_counter(), True
                blocked.append(saved_at - end)
        total = time.perf_counter() - started
    alone, beside = (statistics.median(times[key]) for key in (False, True))
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    print(f"{model}: state of {megabytes:,.0f} MB, {number} steps in {total:.0f} s, {len(blocked)} checkpoints")
    print(f"training stood still {spread(blocked)} s a checkpoint, {sum(blocked) / total:.2%} of the time;")
    print(f"each was complete after {spread(written)} s; a step took {beside / alone:.2f} times as long meanwhile")


def main(what: str, rounds: int = 5, model: str = "15m", seconds: float = 100.0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if what == "startup":
            startup(Path(folder), rounds)
        elif what == "input":
            input_(Path(folder), rounds)
        else:
            checkpoints(Path(folder), model, seconds)


if __name__ == "__main__":
    typer.run(main)
