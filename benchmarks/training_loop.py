"""What the training loop adds to its steps: python -m benchmarks.training_loop startup|input|checkpoint [--rounds 5]

startup: seconds from the start of a process to its first training step in the ledger, with an empty and with a filled
compilation cache. input: a step with batches from a store against a step with the same batch again and again. Both
train the quickstart's model on the tests' made-up text, so start it from the root. checkpoint [--model 15m]
[--seconds 100]: how long training stands still for checkpoints at the trainer's interval, and how much slower a step is
while one is written; in a temporary folder that needs three times the size of the state.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.commands import run
from experiments.plan.make import prepared_plan
from experiments.plan.prepared import data_plan
from experiments.run import trainer
from experiments.studies.quickstart import STUDY as QUICKSTART
from experiments.study import Study
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


def _study() -> Study:
    """The quickstart's model, batch and sequence on the tests' text, which is prepared in seconds."""
    same = {name: getattr(QUICKSTART, name) for name in ("model", "batch", "sequence", "optimizer", "precision")}
    return tiny.study(steps=100, name="startup", **same)


def startup(store: Path, rounds: int) -> None:
    _prepared(store)
    seconds: dict[str, list[float]] = {"empty": [], "filled": []}
    for _ in range(rounds):
        shutil.rmtree(store / "xla", ignore_errors=True)
        for cache in seconds:
            seconds[cache].append(_first_step(store))
    for cache, its in seconds.items():
        print(f"{cache} cache: first step after {statistics.median(its):.1f} s ({min(its):.1f}–{max(its):.1f})")


def _prepared(store: Path) -> None:
    prepare(_study().data, store, lambda *_: None)


def _first_step(store: Path) -> float:
    """From the start of a process that runs the study to the first row of its ledger."""
    shutil.rmtree(store / "stages", ignore_errors=True)
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.training_loop", "child", "--store", str(store)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size for path in store.glob("stages/*/ledger.jsonl")):
        if process.poll() is not None:
            raise SystemExit(f"the run ended before its first step: {process.communicate()[1]}")
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return seconds


def child(store: Path) -> None:
    trainer.FLUSH_STEPS = 1
    run.run_study(_study(), store)


def input_(store: Path, rounds: int) -> None:
    _prepared(store)
    plan = prepared_plan(_study(), store)
    stage = plan.stages[0]
    data, tokens = data_plan(plan, stage), open_tokens(plan.manifest)
    step = train_step(plan.study.model, plan.study.optimizer, plan.study.precision)
    state = init_state(plan.study.model, plan.study.optimizer, 0)
    fixed = jnp.asarray(load_batch(data, tokens, 0).tokens_BxS)

    def fed(number: int) -> jax.Array:
        batch = load_batch(data, tokens, number % stage.steps)
        _ = token_counts(data, batch), batch.digest  # for the ledger
        return jnp.asarray(batch.tokens_BxS)

    def seconds(feed: Callable[[int], jax.Array]) -> float:
        nonlocal state
        began = time.perf_counter()
        for number in range(STEPS):
            state, metrics = step(state, feed(number), 1e-3)
            if number % trainer.FLUSH_STEPS == trainer.FLUSH_STEPS - 1:
                jax.device_get(metrics)
        return (time.perf_counter() - began) / STEPS

    feeds: dict[str, Callable[[int], jax.Array]] = {"fed": fed, "constant": lambda _: fixed}
    times: dict[str, list[float]] = {name: [] for name in feeds}
    seconds(fed)
    for number in range(6 * rounds):
        for name in sorted(feeds, reverse=number % 2 == 1):
            times[name].append(seconds(feeds[name]))
    ratios = [fed / constant for fed, constant in zip(times["fed"], times["constant"], strict=True)]
    low, high = min(ratios), max(ratios)
    print(f"a step takes {1e3 * statistics.median(times['constant']):.1f} ms with one batch again and again,")
    print(f"{statistics.median(ratios):.3f} times that with batches from the store ({low:.3f}–{high:.3f})")
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
    print(f"training stood still {statistics.median(blocked):.3f} s a checkpoint (worst {max(blocked):.3f} s),")
    print(f"{sum(blocked) / total:.2%} of the time; each was complete after {statistics.median(written):.1f} s,")
    print(f"and a step took {beside / alone:.2f} times as long meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("startup", "input", "checkpoint", "child"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="15m")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "child":
        child(arguments.store)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "startup":
            startup(Path(folder), arguments.rounds)
        elif arguments.what == "input":
            input_(Path(folder), arguments.rounds)
        else:
            checkpoints(Path(folder), arguments.model, arguments.seconds)


if __name__ == "__main__":
    main()
