"""How the next token is chosen from logits: the most likely one, or one drawn from the likeliest, so many of them or
those that hold most probability.

Suffixes: B texts, V vocabulary.
"""

from typing import Any

import jax
import jax.numpy as jnp

_HALVINGS = 24
"""Of the search for the least likely token of a nucleus: to 1e-6 of a logit."""


def drawn(logits_BxV: jax.Array, at: Any) -> jax.Array:
    """The next token of every slot, a function of its logits, its seed and how much it has said; `at` are its Seats."""
    greedy_Bx1 = at.temperature_B[:, None] <= 0
    scaled_BxV = logits_BxV / jnp.where(greedy_Bx1, 1, at.temperature_B[:, None])
    first_BxV = jax.lax.cond((at.top_k_B <= 0).all(), lambda: scaled_BxV, lambda: _first(scaled_BxV, at.top_k_B))
    whole = (at.top_p_B >= 1).all()
    kept_BxV = jax.lax.cond(whole, lambda: first_BxV, lambda: _nucleus(first_BxV, at.top_p_B))
    keys_B = jax.vmap(lambda seed, said: jax.random.fold_in(jax.random.key(seed), said))(at.seed_B, at.said_B)
    noise_BxV = jax.vmap(lambda key: jax.random.gumbel(key, logits_BxV.shape[1:]))(keys_B)
    return first_highest(jnp.where(greedy_Bx1, logits_BxV, kept_BxV + noise_BxV))


def first_highest(x_BxV: jax.Array) -> jax.Array:
    """As argmax, which runs one number at a time on CPU."""
    highest_Bx1 = x_BxV.max(axis=1, keepdims=True)
    return jnp.where(x_BxV == highest_Bx1, jnp.arange(x_BxV.shape[1], dtype=jnp.int32), x_BxV.shape[1] - 1).min(axis=1)


def _first(logits_BxV: jax.Array, top_k_B: jax.Array) -> jax.Array:
    """Logits without the tokens outside the `top_k` likeliest, if that is above 0; those as likely as the last stay.

    The last one inside is found bit by bit, in whole numbers that are in the order of the logits.
    """
    bits_BxV = jax.lax.bitcast_convert_type(logits_BxV, jnp.uint32)
    sign = jnp.uint32(1 << 31)
    order_BxV = jnp.where(bits_BxV >= sign, ~bits_BxV, bits_BxV | sign)

    def settle(number: jax.Array, last_Bx1: jax.Array) -> jax.Array:
        higher_Bx1 = last_Bx1 | (sign >> number.astype(jnp.uint32))
        enough_Bx1 = (order_BxV >= higher_Bx1).sum(axis=1, keepdims=True) >= top_k_B[:, None]
        return jnp.where(enough_Bx1, higher_Bx1, last_Bx1)

    last_Bx1 = jax.lax.fori_loop(0, 32, settle, jnp.zeros((len(logits_BxV), 1), jnp.uint32))
    return jnp.where((order_BxV >= last_Bx1) | (top_k_B[:, None] <= 0), logits_BxV, -jnp.inf)


def _nucleus(logits_BxV: jax.Array, top_p_B: jax.Array) -> jax.Array:
    """Logits without the tokens outside the fewest that hold `top_p` of the probability (arXiv:1904.09751, 3.1).

    The least likely token inside is found by halving; sorting the vocabulary takes longer than the model.
    """
    shifted_BxV = logits_BxV - logits_BxV.max(axis=1, keepdims=True)
    weights_BxV = jnp.exp(shifted_BxV)
    enough_Bx1 = top_p_B[:, None] * weights_BxV.sum(axis=1, keepdims=True)

    def halve(_: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low_Bx1, high_Bx1 = bounds  # The tokens from `low` on hold enough.
        middle_Bx1 = (low_Bx1 + high_Bx1) / 2
        held_Bx1 = jnp.where(shifted_BxV >= middle_Bx1, weights_BxV, 0).sum(axis=1, keepdims=True)
        holds = held_Bx1 >= enough_Bx1
        return jnp.where(holds, middle_Bx1, low_Bx1), jnp.where(holds, high_Bx1, middle_Bx1)

    low_Bx1 = jnp.full_like(enough_Bx1, -32.0)  # Below it a token has a weight of 1e-14.
    low_Bx1, _ = jax.lax.fori_loop(0, _HALVINGS, halve, (low_Bx1, jnp.zeros_like(low_Bx1)))
    return jnp.where((shifted_BxV >= low_Bx1) | (top_p_B[:, None] >= 1), logits_BxV, -jnp.inf)
