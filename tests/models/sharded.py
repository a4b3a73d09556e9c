"""Trains a small model on meshes of made-up CPU devices and prints what it saw as JSON.

`python -m tests.models.sharded` needs XLA_FLAGS=--xla_force_host_platform_device_count=8. With four arguments, address,
number of processes, own number and a table of layouts, it is one of several that train as that says of eight v5e chips.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from models import loss
from models.config import ModelConfig
from models.devices import parallel
from models.devices.layout import Layout, MeshShape
from models.devices.placement import V5E_KIND, Machine, agree, place
from models.fit import collectives
from models.objectives import Objective, Rows
from models.recipe import AdamW, NextToken, Ranking
from models.step import abstract_state, init_state, train_step
from store.errors import Failure
from tests.models.answers import packed

SMALL = ModelConfig("small", vocabulary=64, width=32, layers=2, heads=4, feed_forward=48)
STEPS, BATCH, SEQUENCE = 3, 16, 32
_END = 3
"""The token that ends a document."""


def batches() -> np.ndarray:
    return np.random.default_rng(0).integers(0, SMALL.vocabulary, (STEPS, BATCH, SEQUENCE + 1), dtype=np.int32)


def crossed(devices: Sequence[Any]) -> list[Any]:
    """As on a torus, where the chips of a host lie in two rows: neighbours along `fsdp` belong to different hosts."""
    return [
        device
        for pair in zip(devices[: len(devices) // 2], devices[len(devices) // 2 :], strict=True)
        for device in pair
    ]


def masked() -> list[Rows]:
    return [Rows(each, np.cumsum(each[:, :-1] == _END, axis=1, dtype=np.int32)) for each in batches()]


def answers() -> list[Rows]:
    """Examples: some rows have ten times the weight and the answers of others, some have none."""
    return [packed(BATCH, SMALL.vocabulary, seed) for seed in range(STEPS)]


def train(
    shape: tuple[int, int] | None,
    layout: Layout,
    fed: Sequence[Rows] = (),
    devices: Sequence[Any] | None = None,
    objective: Objective = NextToken(),  # noqa: B008 - immutable
) -> list[list[float]]:
    """Loss and gradient norm of every step, by default of plain batches."""
    mesh = parallel.make_mesh(MeshShape(*shape), devices) if shape else None
    state = init_state(SMALL, AdamW(), 0)
    if mesh is not None:
        state = jax.device_put(state, parallel.shardings(mesh, state))
    step, seen = train_step(SMALL, AdamW(), "float32", layout, mesh, 0.0, objective), []
    for tokens, *marks in fed or map(Rows, batches()):
        state, metrics = step(state, tokens, 3e-3, *marks)
        seen.append([float(metrics.loss), float(metrics.grad_norm)])
    return seen


def exchanged(shape: tuple[int, int], layout: Layout) -> list[dict]:
    mesh = parallel.make_mesh(MeshShape(*shape))
    state = abstract_state(SMALL, AdamW())
    traced = train_step(SMALL, AdamW(), "bfloat16", layout, mesh).trace(state, batches()[0], 1e-3)
    return [asdict(collective) for collective in collectives(traced.jaxpr.jaxpr, dict(mesh.shape))]


def _one_of_several(address: str, processes: int, number: int, table: Path) -> dict[str, Any]:
    """What is seen of plain tokens, weighted ones and ranked answers, and what is said where the last process would
    take another layout."""
    jax.distributed.initialize(address, processes, number)
    shape, layout = place(SMALL, Machine("tpu", V5E_KIND, 8), "float32", BATCH, SEQUENCE, table)
    agree(SMALL, shape, layout)
    mesh = parallel.make_mesh(shape, crossed(jax.devices()))
    put = partial(parallel.global_batch, mesh)
    plain, weighed = [Rows(each) for each in batches()], answers()
    seen = {}
    for name, fed, objective in (
        ("one", plain, NextToken()),
        ("one weighted", weighed, NextToken()),
        ("one ranked", weighed, Ranking()),
    ):
        state = init_state(SMALL, AdamW(), 0, mesh)
        step = train_step(SMALL, AdamW(), "float32", layout, mesh, 0.0, objective)
        seen[name] = []
        for rows in fed:
            mine = jax.tree.map(lambda array: put(np.split(array, processes)[number]), rows)
            tokens, *marks = mine
            state, metrics = step(state, tokens, 3e-3, *marks)
            seen[name].append([float(metrics.loss), float(metrics.grad_norm)])
    try:
        agree(SMALL, shape, replace(layout, remat="none") if number else layout)
    except Failure as error:
        said = str(error)
    jax.distributed.shutdown()
    return {"layout": str((shape, layout)), "seen": seen, "said": said}


if __name__ == "__main__":
    # Chunks of 16 tokens, so that every device's loss takes several.
    loss._FEWEST, loss._LOGITS = 16, 1
    if len(sys.argv) > 1:
        print(json.dumps(_one_of_several(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
    else:
        cut = Layout(2, "full", scan=True)
        print(
            json.dumps(
                {
                    "one": train(None, Layout()),
                    "data": train((8, 1), Layout()),
                    "fsdp": train((1, 8), cut),
                    "one masked": train(None, Layout(), masked()),
                    "one weighted": train(None, Layout(), answers()),
                    "all weighted": train((2, 4), cut, answers()),
                    "one ranked": train(None, Layout(), answers(), objective=Ranking()),
                    "all ranked": train((2, 4), cut, answers(), objective=Ranking()),
                    "crossed": train((2, 4), cut, devices=crossed(jax.devices())),
                    "exchanged": exchanged((2, 4), cut),
                }
            )
        )
