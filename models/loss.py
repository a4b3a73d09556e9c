"""Cross-entropy over the vocabulary that never holds tokens x vocabulary logits. Natural logarithm.

Logits, softmax and the sums over tokens are float32, whatever the type of the states.

Suffixes: N tokens, C tokens of a chunk, D width, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp

from models.devices.layout import accelerator_chunk
from models.setting import Exchange

_LOGITS = 1 << 22
"""Logits of one chunk on CPU, 16 MiB: they stay in the last-level cache between the passes over them."""
_FEWEST = 512
"""Tokens of a chunk at least, whatever the cache: 128 took a third longer at 256,000 words (benchmarks/training.md),
likely because every chunk reads the embedding twice and adds to a gradient of its size."""
_WIDE = 1 << 21
"""Entries of the embedding up to which its gradient is summed as [D, V] on CPU."""


Gradients = tuple[jax.Array, jax.Array]
Residuals = tuple[jax.Array, jax.Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def cross_entropy(
    hidden_NxD: jax.Array,
    embedding: jax.Array,
    targets_N: jax.Array,
    exchange: Exchange = Exchange(),  # noqa: B008 - immutable
    platform: str = "cpu",
    z_loss: float = 0.0,
) -> jax.Array:
    """Mean cross-entropy in nats of `targets_N` under logits hidden·embeddingᵀ; a float32 scalar.

    Differentiable once, in the states and the embedding. The embedding [V, D] may be this device's part of it:
    it is gathered once, and the gradient of the whole is scattered once, after the last chunk.

    The gradients are those of the cross-entropy plus `z_loss` times the mean of log² of softmax's normaliser (PaLM,
    arXiv:2204.02311, section 5). The value leaves that out, so that losses compare whatever was added.
    """
    return _forward(hidden_NxD, embedding, targets_N, exchange, platform, z_loss)[0]


def _forward(
    hidden_NxD: jax.Array, embedding: jax.Array, targets_N: jax.Array, exchange: Exchange, platform: str, z_loss: float
) -> tuple[jax.Array, Residuals]:
    """The loss with both gradients, formed chunk by chunk while the logits are at hand.

    With e = exp(logits - max) and z = sum(e), softmax's part of the gradient is e/z: 1/z is folded into the narrow
    operands, so that e goes to both products as it is. The target's part is a gather and a scatter. Z-loss is one more
    factor on softmax's part, 1 + 2 z_loss log(normaliser).
    """
    tokens = targets_N.shape[0]
    embedding_VxD = exchange.gather(embedding)
    kind = embedding_VxD.dtype
    gold_NxD = embedding_VxD[targets_N].astype(jnp.float32)

    # V in columns is the faster product on CPU where the embedding is small (8,192 x 96: by a sixth); from 32,768 x 256
    # on it is the slower one, and the transposed copy at the end would be among the largest arrays of the step.
    wide = platform == "cpu" and embedding_VxD.size <= _WIDE

    def chunk(total: jax.Array, hidden_CxD: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        logits_CxV = _float32_product(hidden_CxD, embedding_VxD.T)
        highest_Cx1 = logits_CxV.max(axis=1, keepdims=True)
        e_CxV = jnp.exp(logits_CxV - highest_Cx1)
        z_Cx1 = e_CxV.sum(axis=1, keepdims=True)
        scale_Cx1 = 1 / (tokens * z_Cx1)
        if z_loss:
            scale_Cx1 *= 1 + 2 * z_loss * (jnp.log(z_Cx1) + highest_Cx1)
        e_CxV = e_CxV.astype(kind)
        scaled_CxD = (hidden_CxD * scale_Cx1).astype(kind)
        part = _float32_product(scaled_CxD.T, e_CxV) if wide else _float32_product(e_CxV.T, scaled_CxD)
        return total + part, (
            (jnp.log(z_Cx1) + highest_Cx1)[:, 0],
            (_float32_product(e_CxV, embedding_VxD) * scale_Cx1).astype(hidden_NxD.dtype),
        )

    chunks = _chunks(hidden_NxD, embedding_VxD.shape[0], platform)
    zeros = jnp.zeros((embedding_VxD.T if wide else embedding_VxD).shape, jnp.float32)
    total, (normaliser, hidden_gradient) = jax.lax.scan(chunk, zeros, chunks)
    softmax_part_VxD = total.T if wide else total
    hidden32_NxD = hidden_NxD.astype(jnp.float32)
    embedding_gradient_VxD = softmax_part_VxD.at[targets_N].add(-hidden32_NxD / tokens)
    hidden_gradient_NxD = hidden_gradient.reshape(-1, hidden_NxD.shape[1])[:tokens] - gold_NxD / tokens
    gold_logit_N = (hidden32_NxD * gold_NxD).sum(axis=1)
    loss = (normaliser.reshape(-1)[:tokens] - gold_logit_N).mean()
    return loss, (hidden_gradient_NxD.astype(hidden_NxD.dtype), exchange.scatter(embedding_gradient_VxD))


def _backward(
    exchange: Exchange, platform: str, z_loss: float, residuals: Residuals, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    hidden_gradient_NxD, embedding_gradient = residuals
    return (cotangent * hidden_gradient_NxD).astype(hidden_gradient_NxD.dtype), cotangent * embedding_gradient, None


cross_entropy.defvjp(_forward, _backward)


def _float32_product(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def _chunks(x_NxD: jax.Array, vocabulary: int, platform: str) -> jax.Array:
    """[chunks, C, D], the last one filled up with zero rows, which add nothing to a gradient."""
    tokens, width = x_NxD.shape
    fitting = _LOGITS // vocabulary if platform == "cpu" else accelerator_chunk(vocabulary)
    rows = min(max(_FEWEST, fitting), tokens)
    padded = jnp.pad(x_NxD, ((0, -tokens % rows), (0, 0)))
    return padded.reshape(-1, rows, width)
