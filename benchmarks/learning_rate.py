"""Sweep the peak learning rate of the quickstart's model: python -m benchmarks.learning_rate [STORE]

Trains one half-stage of the balanced mixture per peak and prints the mean loss of its last fifth with the speed. Needs
the quickstart's prepared data (`ablate prepare quickstart`).
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments.plan.make import prepared_plan
from experiments.plan.prepared import data_plan
from experiments.studies.quickstart import STUDY
from mixtures.loader import load_batch
from mixtures.tokens.arrays import open_tokens
from models.schedules import learning_rate
from models.step import init_state, train_step

PEAKS = (2e-3, 3.5e-3, 5e-3, 7e-3, 1e-2, 1.4e-2)


def main() -> None:
    store = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    plan = prepared_plan(STUDY, store)
    stage = next(stage for stage in plan.stages if stage.id == "balanced-s0")
    data = data_plan(plan, stage)
    tokens = open_tokens(plan.manifest)
    step = train_step(STUDY.model, STUDY.optimizer)
    print(f"{stage.steps} steps of {data.batch} x {data.sequence} tokens, model {STUDY.model.name}")
    for peak in PEAKS:
        schedule = replace(stage.schedule, peak=peak, end=peak / 10)
        state, losses, seconds = init_state(STUDY.model, STUDY.optimizer, 0), [], []
        for number in range(stage.steps):
            batch = load_batch(data, tokens, number)
            started = time.perf_counter()
            state, metrics = step(state, jnp.asarray(batch.tokens_BxS), learning_rate(schedule, number))
            losses.append(float(metrics.loss))
            seconds.append(time.perf_counter() - started)
        speed = data.batch * data.sequence / np.median(seconds)
        print(f"peak {peak:.1e}: loss {np.mean(losses[-stage.steps // 5 :]):.4f}, {speed:,.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
