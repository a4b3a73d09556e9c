"""Causal self-attention behind one function. On CPU: plain XLA over blocks of queries."""

import jax
import jax.numpy as jnp

_QUERIES = 64


def causal_attention(q_BxSxHxK: jax.Array, k_BxSxHxK: jax.Array, v_BxSxHxK: jax.Array) -> jax.Array:
    """Attention of every position to itself and those before it, in float32; returns [B, S, H, K].

    A block of queries reads only the keys up to its own end, so at S = 256 three eighths of the
    square are never computed.
    """
    q_BxHxSxK, k_BxHxSxK, v_BxHxSxK = (x.swapaxes(1, 2) for x in (q_BxSxHxK, k_BxSxHxK, v_BxSxHxK))
    q_BxHxSxK = q_BxHxSxK * q_BxHxSxK.shape[-1] ** -0.5
    sequence = q_BxHxSxK.shape[2]
    blocks = []
    for start in range(0, sequence, _QUERIES):
        end = min(start + _QUERIES, sequence)
        scores_BxHxQxT = jnp.einsum("bhqk,bhtk->bhqt", q_BxHxSxK[:, :, start:end], k_BxHxSxK[:, :, :end])
        seen_QxT = jnp.arange(start, end)[:, None] >= jnp.arange(end)
        weights_BxHxQxT = jax.nn.softmax(jnp.where(seen_QxT, scores_BxHxQxT, -jnp.inf), axis=-1)
        blocks.append(jnp.einsum("bhqt,bhtk->bhqk", weights_BxHxQxT, v_BxHxSxK[:, :, :end]))
    return jnp.concatenate(blocks, axis=2).swapaxes(1, 2)
