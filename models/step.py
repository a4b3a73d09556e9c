"""One training step, compiled once per model and optimizer."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from models import optimizer as adamw
from models import transformer
from models.config import ModelConfig
from models.loss import cross_entropy
from models.recipe import AdamW
from models.transformer import Params


class TrainState(NamedTuple):
    """All that training carries from step to step."""

    params: Params
    optimizer: optax.OptState


class Metrics(NamedTuple):
    """Scalars of one step."""

    loss: jax.Array
    """Mean cross-entropy of the batch before the update, nats per token."""
    grad_norm: jax.Array
    """Global norm of the gradient before clipping."""
    finite: jax.Array
    """False when loss or gradient is not finite; the update was then skipped."""


Step = Callable[[TrainState, jax.Array, float], tuple[TrainState, Metrics]]


def init_state(config: ModelConfig, optimizer: AdamW, seed: int) -> TrainState:
    """Parameters drawn from (seed, name, shape), and a fresh optimizer state."""
    params = transformer.initial(config, seed)
    return TrainState(params, adamw.initial(optimizer, params))


@functools.cache
def train_step(config: ModelConfig, optimizer: AdamW) -> Step:
    """The jitted function (state, tokens [B, S+1] int32, learning rate) -> (state, Metrics); it consumes the state."""

    def loss_of(params: Params, tokens_BxS1: jax.Array) -> jax.Array:
        hidden_BxSxD = transformer.bind(config, params).hidden(tokens_BxS1[:, :-1])
        return cross_entropy(
            hidden_BxSxD.reshape(-1, config.width), params["embedding"], tokens_BxS1[:, 1:].reshape(-1)
        )

    def step(state: TrainState, tokens_BxS1: jax.Array, learning_rate: jax.Array) -> tuple[TrainState, Metrics]:
        loss, gradients = jax.value_and_grad(loss_of)(state.params, tokens_BxS1)
        params, opt_state, grad_norm = adamw.update(optimizer, gradients, state.optimizer, state.params, learning_rate)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), TrainState(params, opt_state), state)
        return kept, Metrics(loss, grad_norm, finite)

    return jax.jit(step, donate_argnums=0)
