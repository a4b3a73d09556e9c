from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import loss

Example = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Hidden states, embedding, targets."""


def _plain(hidden_NxD: jax.Array, embedding_VxD: jax.Array, targets_N: jax.Array) -> jax.Array:
    logits_NxV = hidden_NxD @ embedding_VxD.T
    return -jnp.take_along_axis(jax.nn.log_softmax(logits_NxV), targets_N[:, None], axis=1)[:, 0]


def _example(tokens: int) -> Example:
    random = np.random.default_rng(0)
    hidden_NxD = 3 * random.standard_normal((tokens, 16), np.float32)
    return hidden_NxD, random.standard_normal((50, 16), np.float32), random.integers(0, 50, tokens, np.int32)


@pytest.fixture(params=[128, 300, 1_000], ids=["whole chunks", "a part left over", "one chunk"])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Example:
    """An example cut into chunks of 64 tokens, except the last, which is smaller than one chunk."""
    monkeypatch.setattr(loss, "_FEWEST", 64 if request.param < 1_000 else 2_000)
    monkeypatch.setattr(loss, "_LOGITS", 1)
    return _example(request.param)


def test_loss_and_gradients_equal_the_plain_form(chunked: Example) -> None:
    hidden, embedding, targets = chunked
    # A factor after the loss, so that an incoming cotangent other than 1 matters.
    ours, plain = (
        jax.jit(jax.value_and_grad(lambda h, e, form=form: 3 * form(h, e, targets), argnums=(0, 1)))(hidden, embedding)
        for form in (loss.cross_entropy, lambda h, e, t: _plain(h, e, t).mean())
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, plain)


def test_accelerators_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "_FEWEST", 64)
    monkeypatch.setattr(loss, "accelerator_chunk", lambda vocabulary: 64)
    hidden, embedding, targets = _example(300)
    cpu, tpu = (
        jax.jit(
            jax.value_and_grad(
                lambda h, e, kind=kind: loss.cross_entropy(h, e, targets, loss.Exchange(), kind), argnums=(0, 1)
            )
        )(hidden, embedding)
        for kind in ("cpu", "tpu")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), tpu, cpu)


def test_z_loss_pulls_the_normaliser_and_stays_out_of_the_value(chunked: Example) -> None:
    hidden, embedding, targets = chunked

    def plain(h: jax.Array, e: jax.Array) -> jax.Array:
        return _plain(h, e, targets).mean() + 0.1 * jnp.square(jax.nn.logsumexp(h @ e.T, axis=1)).mean()

    value, ours = jax.jit(
        jax.value_and_grad(lambda h, e: loss.cross_entropy(h, e, targets, loss.Exchange(), "cpu", 0.1), argnums=(0, 1))
    )(hidden, embedding)
    assert float(value) == pytest.approx(float(_plain(hidden, embedding, targets).mean()), rel=1e-5)
    expected = jax.jit(jax.grad(plain, argnums=(0, 1)))(hidden, embedding)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, expected)


def test_weights_sum_the_loss_and_its_gradients(chunked: Example) -> None:
    """Of any sign, and of the z-loss too."""
    hidden, embedding, targets = chunked
    weights = np.random.default_rng(1).standard_normal(len(targets)).astype(np.float32)
    weights[::3] = 0

    def plain(h: jax.Array, e: jax.Array) -> jax.Array:
        return (weights * (_plain(h, e, targets) + 0.1 * jnp.square(jax.nn.logsumexp(h @ e.T, axis=1)))).sum()

    value, ours = jax.jit(
        jax.value_and_grad(
            lambda h, e: loss.cross_entropy(h, e, targets, loss.Exchange(), "cpu", 0.1, weights), argnums=(0, 1)
        )
    )(hidden, embedding)
    assert float(value) == pytest.approx(float((weights * _plain(hidden, embedding, targets)).sum()), rel=1e-4)
    expected = jax.jit(jax.grad(plain, argnums=(0, 1)))(hidden, embedding)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4), ours, expected)


def test_a_target_of_weight_0_is_no_target() -> None:
    hidden, embedding, targets = _example(32)
    weights = np.repeat(np.float32([0, 0.1]), 16)
    of = jax.jit(jax.value_and_grad(lambda *x: loss.cross_entropy(*x, weights_N=weights), argnums=(0, 1)))
    other = np.where(weights > 0, targets, (targets + 1) % 50)
    jax.tree.map(np.testing.assert_array_equal, of(hidden, embedding, other), of(hidden, embedding, targets))


def test_nats_of_tokens_and_their_gradients_equal_the_plain_form(chunked: Example) -> None:
    """Under a function of them that is no sum."""
    hidden, embedding, targets = chunked
    ours, plain = (
        jax.jit(jax.value_and_grad(lambda h, e, form=form: jnp.sin(form(h, e, targets)).sum(), argnums=(0, 1)))
        for form in (loss.token_nats, _plain)
    )
    np.testing.assert_allclose(loss.token_nats(*chunked), _plain(*chunked), rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        ours(hidden, embedding),
        plain(hidden, embedding),
    )


def test_huge_logits_do_not_overflow() -> None:
    hidden, embedding, targets = _example(32)
    value, gradients = jax.jit(jax.value_and_grad(loss.cross_entropy, argnums=(0, 1)))(100 * hidden, embedding, targets)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("form", [loss.cross_entropy, lambda *x: loss.token_nats(*x).max()], ids=["loss", "nats"])
def test_no_array_holds_tokens_times_vocabulary(form: Callable[..., jax.Array]) -> None:
    tokens, vocabulary = 2_048, 8_192
    shapes = (jax.ShapeDtypeStruct((n, 32), jnp.float32) for n in (tokens, vocabulary))
    targets = jax.ShapeDtypeStruct((tokens,), jnp.int32)
    compiled = jax.jit(jax.grad(form, argnums=(0, 1))).lower(*shapes, targets).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * tokens * vocabulary
