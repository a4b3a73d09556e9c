"""AdamW with gradient clipping. The learning rate is an argument, so that every schedule runs one compiled step."""

import jax
import jax.numpy as jnp
import optax

from models.recipe import AdamW
from models.transformer import Params


def decays(params: Params) -> dict[str, bool]:
    """Which parameters weight decay applies to."""
    return {name: array.ndim == 2 and name != "embedding" for name, array in params.items()}


def _transformation(optimizer: AdamW) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(optimizer.b1, optimizer.b2, optimizer.eps),
        optax.add_decayed_weights(optimizer.weight_decay, mask=decays),
    )


def initial(optimizer: AdamW, params: Params) -> optax.OptState:
    """First and second moments of zero, and the count of updates."""
    return _transformation(optimizer).init(params)


def reset(state: optax.OptState) -> optax.OptState:
    """`state` as it was before the first update, on the same devices."""
    return jax.tree.map(jnp.zeros_like, state)


def update(
    optimizer: AdamW, gradients: Params, state: optax.OptState, params: Params, learning_rate: jax.Array
) -> tuple[Params, optax.OptState, jax.Array]:
    """Parameters and state after one update, and the gradient's global norm before clipping."""
    norm = optax.tree.norm(gradients)
    factor = jnp.minimum(1.0, optimizer.clip / jnp.maximum(norm, 1e-12))
    clipped = jax.tree.map(lambda gradient: gradient * factor, gradients)
    direction, state = _transformation(optimizer).update(clipped, state, params)
    return jax.tree.map(lambda array, change: array - learning_rate * change, params, direction), state, norm
