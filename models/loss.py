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


Residuals = tuple[jax.Array, jax.Array]
Chunk = tuple[jax.Array, jax.Array | None]
"""States [C, D] of a chunk, and their weights [C, 1]."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def cross_entropy(
    hidden_NxD: jax.Array,
    embedding: jax.Array,
    targets_N: jax.Array,
    exchange: Exchange = Exchange(),  # noqa: B008 - immutable
    platform: str = "cpu",
    z_loss: float = 0.0,
    weights_N: jax.Array | None = None,
) -> jax.Array:
    """Mean cross-entropy in nats of `targets_N` under logits hidden·embeddingᵀ; a float32 scalar.

    With `weights_N`, float32, it is the sum of weight times nats: what they are normalised by is the caller's affair.

    Differentiable once, in the states and the embedding. The embedding [V, D] may be this device's part of it:
    it is gathered once, and the gradient of the whole is scattered once, after the last chunk.

    The gradients are those of the cross-entropy plus `z_loss` times the mean (the weighted sum) of log² of softmax's
    normaliser (PaLM, arXiv:2204.02311, section 5). The value leaves that out, so that losses compare whatever was
    added.
    """
    return _forward(hidden_NxD, embedding, targets_N, exchange, platform, z_loss, weights_N)[0]


def _forward(
    hidden_NxD: jax.Array,
    embedding: jax.Array,
    targets_N: jax.Array,
    exchange: Exchange,
    platform: str,
    z_loss: float,
    weights_N: jax.Array | None,
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
    weights_Nx1 = None if weights_N is None else weights_N[:, None]

    def weighted(x_NxD: jax.Array) -> jax.Array:
        return x_NxD / tokens if weights_Nx1 is None else x_NxD * weights_Nx1

    def chunk(total: jax.Array, rows: Chunk) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        hidden_CxD, weights_Cx1 = rows
        logits_CxV = _float32_product(hidden_CxD, embedding_VxD.T)
        highest_Cx1 = logits_CxV.max(axis=1, keepdims=True)
        e_CxV = jnp.exp(logits_CxV - highest_Cx1)
        z_Cx1 = e_CxV.sum(axis=1, keepdims=True)
        scale_Cx1 = 1 / (tokens * z_Cx1) if weights_Cx1 is None else weights_Cx1 / z_Cx1
        if z_loss:
            scale_Cx1 *= 1 + 2 * z_loss * (jnp.log(z_Cx1) + highest_Cx1)
        e_CxV = e_CxV.astype(kind)
        scaled_CxD = (hidden_CxD * scale_Cx1).astype(kind)
        part = _float32_product(scaled_CxD.T, e_CxV) if wide else _float32_product(e_CxV.T, scaled_CxD)
        return total + part, (
            (jnp.log(z_Cx1) + highest_Cx1)[:, 0],
            (_float32_product(e_CxV, embedding_VxD) * scale_Cx1).astype(hidden_NxD.dtype),
        )

    chunks = functools.partial(_chunks, vocabulary=embedding_VxD.shape[0], platform=platform)
    rows = chunks(hidden_NxD), None if weights_Nx1 is None else chunks(weights_Nx1)
    zeros = jnp.zeros((embedding_VxD.T if wide else embedding_VxD).shape, jnp.float32)
    total, (normaliser, hidden_gradient) = jax.lax.scan(chunk, zeros, rows)
    softmax_part_VxD = total.T if wide else total
    hidden32_NxD = hidden_NxD.astype(jnp.float32)
    embedding_gradient_VxD = softmax_part_VxD.at[targets_N].add(weighted(-hidden32_NxD))
    hidden_gradient_NxD = hidden_gradient.reshape(-1, hidden_NxD.shape[1])[:tokens] - weighted(gold_NxD)
    gold_logit_N = (hidden32_NxD * gold_NxD).sum(axis=1)
    nats_N = normaliser.reshape(-1)[:tokens] - gold_logit_N
    loss = nats_N.mean() if weights_N is None else (weights_N * nats_N).sum()
    return loss, (hidden_gradient_NxD.astype(hidden_NxD.dtype), exchange.scatter(embedding_gradient_VxD))


def _backward(
    exchange: Exchange, platform: str, z_loss: float, residuals: Residuals, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, None, None]:
    hidden_gradient_NxD, embedding_gradient = residuals
    hidden_gradient_NxD = (cotangent * hidden_gradient_NxD).astype(hidden_gradient_NxD.dtype)
    return hidden_gradient_NxD, cotangent * embedding_gradient, None, None


cross_entropy.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def token_nats(
    hidden_NxD: jax.Array,
    embedding: jax.Array,
    targets_N: jax.Array,
    exchange: Exchange = Exchange(),  # noqa: B008 - immutable
    platform: str = "cpu",
) -> jax.Array:
    """The negative log-likelihood in nats of each of `targets_N`, [N] float32, for losses that are no sum over tokens.

    Arguments are those of `cross_entropy`. Differentiable once, in the states and the embedding; the backward pass
    makes the logits again, chunk by chunk, since only then it is known what each token counts for.
    """
    return _nats_forward(hidden_NxD, embedding, targets_N, exchange, platform)[0]


def _nats_forward(
    hidden_NxD: jax.Array, embedding: jax.Array, targets_N: jax.Array, exchange: Exchange, platform: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    embedding_VxD = exchange.gather(embedding)

    def normaliser(hidden_CxD: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(_float32_product(hidden_CxD, embedding_VxD.T), axis=1)

    normaliser_N = jax.lax.map(normaliser, _chunks(hidden_NxD, len(embedding_VxD), platform)).reshape(-1)
    gold_logit_N = (hidden_NxD.astype(jnp.float32) * embedding_VxD[targets_N].astype(jnp.float32)).sum(axis=1)
    return normaliser_N[: len(targets_N)] - gold_logit_N, (hidden_NxD, embedding, targets_N)


def _nats_backward(
    exchange: Exchange, platform: str, residuals: tuple[jax.Array, jax.Array, jax.Array], cotangent_N: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    """The gradients of a cross-entropy that weighs each token by the derivative with respect to its nats."""
    _, gradients = _forward(*residuals, exchange, platform, 0.0, cotangent_N)
    return *gradients, None


token_nats.defvjp(_nats_forward, _nats_backward)


def _float32_product(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def _chunks(x_NxD: jax.Array, vocabulary: int, platform: str) -> jax.Array:
    """[chunks, C, D], the last one filled up with zero rows, which add nothing to a gradient."""
    tokens, width = x_NxD.shape
    fitting = _LOGITS // vocabulary if platform == "cpu" else accelerator_chunk(vocabulary)
    rows = min(max(_FEWEST, fitting), tokens)
    padded = jnp.pad(x_NxD, ((0, -tokens % rows), (0, 0)))
    return padded.reshape(-1, rows, width)
