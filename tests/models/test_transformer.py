from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.attention import causal_attention
from models.config import ModelConfig, parameters
from models.transformer import Params, bind, initial
from tests.models.reference import logits
from tests.models.tiny import TINY, tokens


def _lively(config: ModelConfig) -> Params:
    """Parameters far from their initial values, norm scales included, so that no part is nearly the identity."""
    params = initial(config, seed=3)
    keys = jax.random.split(jax.random.key(5), len(params))
    return {
        name: array + 0.3 * jax.random.normal(key, array.shape)
        for (name, array), key in zip(params.items(), keys, strict=True)
    }


@pytest.mark.parametrize("sequence", [1, 7, 150], ids=["one token", "one block", "blocks and a part"])
def test_logits_equal_an_independent_forward_pass(sequence: int) -> None:
    params, rows_BxS = _lively(TINY), tokens(2, sequence)
    logits_BxSxV = jax.jit(lambda p, t: bind(TINY, p).hidden(t) @ p["embedding"].T)(params, rows_BxS)
    expected = np.stack([logits(TINY, params, row) for row in rows_BxS])
    np.testing.assert_allclose(logits_BxSxV, expected, rtol=1e-4, atol=1e-4)


def test_attention_gradients_do_not_reach_later_positions() -> None:
    q, k, v = np.random.default_rng(0).standard_normal((3, 1, 130, 2, 4), np.float32)
    gradients_of = jax.jit(lambda cotangent: jax.vjp(causal_attention, q, k, v)[1](cotangent))
    for last in (0, 62, 63, 64, 127, 128):  # On both sides of the blocks' edges.
        cotangent = np.zeros_like(q)
        cotangent[:, last] = 1
        gradients = gradients_of(cotangent)
        for gradient in gradients:
            assert not np.asarray(gradient)[:, last + 1 :].any()
        assert np.asarray(gradients[2])[:, : last + 1].all()


def test_parameters_have_the_counted_size() -> None:
    assert sum(array.size for array in initial(TINY, 0).values()) == parameters(TINY).total


def test_equal_seeds_pair_models_of_other_shapes() -> None:
    base = initial(TINY, seed=7)
    deeper = initial(replace(TINY, layers=4, vocabulary=99), seed=7)
    shared = [name for name in base if base[name].shape == deeper[name].shape]
    assert set(base) - set(shared) == {"embedding"}
    for name in shared:
        np.testing.assert_array_equal(base[name], deeper[name])


def test_parameters_differ_by_seed_and_by_name() -> None:
    first, second = initial(TINY, 0), initial(TINY, 1)
    matrices = [name for name, array in first.items() if array.ndim == 2]
    assert len({np.asarray(params[name]).tobytes() for params in (first, second) for name in matrices}) == 2 * len(
        matrices
    )


def test_initial_spread_is_glorots() -> None:
    wide = initial(replace(TINY, width=96, feed_forward=256), seed=0)
    assert float(jnp.std(wide["blocks.0.up"])) == pytest.approx((2 / (96 + 256)) ** 0.5, rel=0.02)
    assert float(jnp.std(wide["embedding"])) == pytest.approx(0.02, rel=0.03)
