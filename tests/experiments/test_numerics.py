"""Golden losses: a change that moves results has to move NUMERICS_VERSION, so that old stages are not shared."""

import json
from pathlib import Path

import numpy as np

from models.recipe import NUMERICS_VERSION, AdamW
from models.schedules import Schedule, learning_rate
from models.step import init_state, train_step
from tests.experiments.tiny import study

GOLDEN = Path(__file__).parent.parent / "golden" / "losses.json"


def golden() -> dict:
    """Losses of 40 steps on made-up tokens, from initialisation through warm-up and decay."""
    model, steps = study().model, 40
    state, step = init_state(model, AdamW(), 0), train_step(model, AdamW())
    schedule = Schedule("cosine", 1e-2, 1e-3, 5, steps)
    # Arithmetic, not a generator: a golden value must not depend on a library's random numbers.
    tokens_TxBxS = np.cumsum(np.arange(steps * 4 * 33) % 7, dtype=np.int64).reshape(steps, 4, 33) % model.vocabulary
    losses = []
    for number in range(steps):
        state, metrics = step(state, tokens_TxBxS[number].astype(np.int32), learning_rate(schedule, number))
        losses.append(round(float(metrics.loss), 4))
    return {"numerics_version": NUMERICS_VERSION, "losses": losses}


def test_losses_have_not_drifted() -> None:
    """If this fails on purpose, bump NUMERICS_VERSION and run `python -m tests.golden.write`."""
    found, expected = golden(), json.loads(GOLDEN.read_text())
    assert found["numerics_version"] == expected["numerics_version"]
    # Other processors round otherwise; what a reader would call another result is larger.
    np.testing.assert_allclose(found["losses"], expected["losses"], atol=2e-3)
    assert expected["losses"][-1] < expected["losses"][0] - 0.3
