import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models import optimizer as adamw
from models.devices.layout import Layout
from models.optimizer import decays
from models.recipe import AdamW
from models.step import TrainState, init_state, train_step
from store.errors import UserError
from tests.models.tiny import TINY, tokens


def _train(state: TrainState, batches: list[np.ndarray], rate: float = 3e-3) -> tuple[TrainState, list[float]]:
    step, losses = train_step(TINY, AdamW()), []
    for batch in batches:
        state, metrics = step(state, batch, rate)
        losses.append(float(metrics.loss))
    return state, losses


def test_a_small_batch_is_learnt_by_heart() -> None:
    _, losses = _train(init_state(TINY, AdamW(), 0), [tokens(4, 17)] * 150, rate=1e-2)
    assert losses[0] == pytest.approx(np.log(TINY.vocabulary), abs=0.2)
    assert losses[-1] < 0.05


def test_updates_follow_adamw_by_hand() -> None:
    optimizer, rate = AdamW(), 1e-2
    params = {"matrix": jnp.array([[1.0, -2.0]]), "scale": jnp.array([1.0])}
    state = adamw.initial(optimizer, params)
    gradients = [{"matrix": jnp.array([[0.3, -0.1]]), "scale": jnp.array([g])} for g in (0.5, -0.2)]
    expected = {name: np.asarray(array, np.float64) for name, array in params.items()}
    moments = {name: (0.0, 0.0) for name in params}
    for count, gradient in enumerate(gradients, start=1):
        params, state, _ = adamw.update(optimizer, gradient, state, params, jnp.float32(rate))
        for name, decay in (("matrix", 0.1), ("scale", 0.0)):
            g, (m, v) = np.asarray(gradient[name], np.float64), moments[name]
            m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
            moments[name] = m, v
            change = m / (1 - 0.9**count) / (np.sqrt(v / (1 - 0.95**count)) + 1e-8)
            expected[name] = expected[name] - rate * (change + decay * expected[name])
    for name, array in params.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6)


def test_only_matrices_in_the_blocks_decay() -> None:
    mask = decays(init_state(TINY, AdamW(), 0).params)
    kept = {name for name, decayed in mask.items() if not decayed}
    assert kept == {"embedding", "norm.scale", "blocks.0.norm.scale", "blocks.1.norm.scale"}


def test_a_large_gradient_is_clipped_by_its_global_norm_and_a_small_one_is_not() -> None:
    params = {"matrix": jnp.ones((1, 2)), "scale": jnp.ones(1)}
    for size, factor in ((10.0, 0.1), (0.5, 1.0)):
        gradient = {"matrix": size * jnp.array([[0.6, 0.0]]), "scale": size * jnp.array([0.8])}
        optimizer = AdamW(clip=1.0)
        _, state, norm = adamw.update(optimizer, gradient, adamw.initial(optimizer, params), params, jnp.float32(0))
        assert float(norm) == pytest.approx(size)
        np.testing.assert_allclose(optax.tree.get(state, "mu")["scale"], 0.1 * factor * size * 0.8, rtol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_and_says_so() -> None:
    state = init_state(TINY, AdamW(), 0)
    params = dict(state.params)
    params["norm.scale"] = params["norm.scale"].at[0].set(np.inf)
    state = TrainState(params, state.optimizer)
    before = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]
    state, metrics = train_step(TINY, AdamW())(state, tokens(4, 17), 1e-3)
    assert not bool(metrics.finite)
    assert [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)] == before


def test_the_learning_rate_is_read_at_every_step() -> None:
    step = train_step(TINY, AdamW())
    state = init_state(TINY, AdamW(), 0)
    before = np.asarray(state.params["embedding"])
    state, metrics = step(state, tokens(4, 17), 0.0)
    assert bool(metrics.finite)
    np.testing.assert_array_equal(state.params["embedding"], before)
    state, _ = step(state, tokens(4, 17), 1e-3)
    assert (np.asarray(state.params["embedding"]) != before).any()


def test_accumulated_gradients_give_the_update_of_the_large_batch() -> None:
    whole, parts = (
        train_step(TINY, AdamW(), layout=Layout(count))(init_state(TINY, AdamW(), 0), tokens(8, 17), 1e-2)
        for count in (1, 4)
    )
    assert float(parts[1].loss) == pytest.approx(float(whole[1].loss), rel=1e-6)
    assert float(parts[1].grad_norm) == pytest.approx(float(whole[1].grad_norm), rel=1e-5)
    before = init_state(TINY, AdamW(), 0).params
    for name, expected in whole[0].params.items():
        moved, reference = parts[0].params[name] - before[name], expected - before[name]
        assert np.linalg.norm(moved - reference) < 1e-3 * np.linalg.norm(reference), name


@pytest.mark.parametrize("wrong", [{"b2": 1.0}, {"eps": 0.0}, {"clip": 0.0}, {"weight_decay": -0.1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        AdamW(**wrong)


_PROGRAM = """
from dataclasses import replace
import numpy as np
from models.config import config
from models.recipe import AdamW
from models.step import init_state, train_step
size = replace(config("1m"), layers=1)
state, step = init_state(size, AdamW(), 3), train_step(size, AdamW())
batches = np.random.default_rng(0).integers(0, 8192, (4, 4, 129), dtype=np.int32)
for batch in batches:
    state, metrics = step(state, batch, 1e-3)
    print(float(metrics.loss).hex(), float(metrics.grad_norm).hex())
"""


@pytest.mark.soak  # a whole run of two, stopped and carried on, is in tests/experiments/test_hosts.py
def test_two_processes_train_alike_to_the_bit() -> None:
    root = Path(__file__).parents[2]
    runs = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (run.communicate(timeout=120)[0] for run in runs)
    assert len(first.splitlines()) == 4
    assert first == second


def test_products_are_what_the_precision_says_on_any_device() -> None:
    """A product of float32 is by default a pass in bfloat16 on TPU and TensorFloat-32 on GPU."""
    state, batch = init_state(TINY, AdamW(), 0), tokens(4, 17)
    for precision, word in (("float32", "HIGHEST"), ("bfloat16", "DEFAULT")):
        program = train_step(TINY, AdamW(), precision).lower(state, batch, 1e-3).as_text()
        products = re.findall(r"stablehlo\.dot_general .*", program)
        assert len(products) > 20
        assert all(f"precision = [{word}, {word}]" in product for product in products)
