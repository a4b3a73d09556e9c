"""Sweep the peak learning rate of the quickstart's model: python -m benchmarks.learning_rate [STORE]

Trains one half-stage of the balanced mixture per peak and prints the mean loss of its last fifth. Needs the
quickstart's prepared data (`ablate prepare quickstart`).
"""

import sys
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


def main(store: str = "runs") -> None:
    plan = prepared_plan(STUDY, Path(store))
    stage = next(stage for stage in plan.stages if stage.id == "balanced-s0")
    data = data_plan(plan, stage)
    tokens = open_tokens(plan.manifest, data.sequence)
    step = train_step(STUDY.model, STUDY.optimizer)
    print(f"{stage.steps} steps of {data.batch} x {data.sequence} tokens, model {STUDY.model.name}")
    for peak in PEAKS:
        schedule = replace(stage.schedule, peak=peak, end=peak / 10)
        state, losses = init_state(STUDY.model, STUDY.optimizer, 0), []
        for number in range(stage.steps):
            batch = load_batch(data, tokens, number)
            state, metrics = step(state, jnp.asarray(batch.tokens_BxS), learning_rate(schedule, number))
            losses.append(float(metrics.loss))
        print(f"peak {peak:.1e}: loss {np.mean(losses[-stage.steps // 5 :]):.4f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
