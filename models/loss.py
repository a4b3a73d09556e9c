"""Cross-entropy over the vocabulary that never holds tokens x vocabulary logits. Float32, natural logarithm.

Suffixes: N tokens, C tokens of a chunk, D width, V vocabulary.
"""

import jax
import jax.numpy as jnp

_LOGITS = 1 << 22
"""Logits of one chunk, 16 MiB: they stay in the last-level cache between the passes over them."""
_FEWEST = 128
"""Tokens of a chunk at the least; a thinner matrix product runs below the machine's speed."""


Gradients = tuple[jax.Array, jax.Array]


@jax.custom_vjp
def cross_entropy(hidden_NxD: jax.Array, embedding_VxD: jax.Array, targets_N: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of `targets_N` under logits hidden·embeddingᵀ; a scalar.

    Differentiable once, in the states and the embedding.
    """
    return _forward(hidden_NxD, embedding_VxD, targets_N)[0]


def _forward(hidden_NxD: jax.Array, embedding_VxD: jax.Array, targets_N: jax.Array) -> tuple[jax.Array, Gradients]:
    """The loss with both gradients, formed chunk by chunk while the logits are at hand.

    With e = exp(logits - max) and z = sum(e), softmax's part of the gradient is e/z: 1/z is folded into the narrow
    operands, so that e goes to both products as it is. The target's part is a gather and a scatter.
    """
    tokens = targets_N.shape[0]
    gold_NxD = embedding_VxD[targets_N]

    def chunk(
        embedding_gradient_DxV: jax.Array, hidden_CxD: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        logits_CxV = hidden_CxD @ embedding_VxD.T
        highest_Cx1 = logits_CxV.max(axis=1, keepdims=True)
        e_CxV = jnp.exp(logits_CxV - highest_Cx1)
        z_Cx1 = e_CxV.sum(axis=1, keepdims=True)
        scale_Cx1 = 1 / (tokens * z_Cx1)
        return embedding_gradient_DxV + (hidden_CxD * scale_Cx1).T @ e_CxV, (
            (jnp.log(z_Cx1) + highest_Cx1)[:, 0],
            (e_CxV @ embedding_VxD) * scale_Cx1,
        )

    chunks = _chunks(hidden_NxD, embedding_VxD.shape[0])
    embedding_gradient_DxV, (normaliser, hidden_gradient) = jax.lax.scan(chunk, jnp.zeros_like(embedding_VxD.T), chunks)
    embedding_gradient_VxD = embedding_gradient_DxV.T.at[targets_N].add(-hidden_NxD / tokens)
    hidden_gradient_NxD = hidden_gradient.reshape(-1, hidden_NxD.shape[1])[:tokens] - gold_NxD / tokens
    gold_logit_N = (hidden_NxD * gold_NxD).sum(axis=1)
    loss = (normaliser.reshape(-1)[:tokens] - gold_logit_N).mean()
    return loss, (hidden_gradient_NxD, embedding_gradient_VxD)


def _backward(gradients: Gradients, cotangent: jax.Array) -> tuple[jax.Array, jax.Array, None]:
    hidden_gradient_NxD, embedding_gradient_VxD = gradients
    return cotangent * hidden_gradient_NxD, cotangent * embedding_gradient_VxD, None


cross_entropy.defvjp(_forward, _backward)


def _chunks(x_NxD: jax.Array, vocabulary: int) -> jax.Array:
    """[chunks, C, D], the last one filled up with zero rows, which add nothing to a gradient."""
    tokens, width = x_NxD.shape
    rows = min(max(_FEWEST, _LOGITS // vocabulary), tokens)
    padded = jnp.pad(x_NxD, ((0, -tokens % rows), (0, 0)))
    return padded.reshape(-1, rows, width)


def token_nats(hidden_NxD: jax.Array, embedding_VxD: jax.Array, targets_N: jax.Array) -> jax.Array:
    """Negative log-likelihood of every target, [N], chunk by chunk."""

    def chunk(_: None, hidden_CxD: jax.Array) -> tuple[None, jax.Array]:
        return None, jax.nn.logsumexp(hidden_CxD @ embedding_VxD.T, axis=1)

    tokens = targets_N.shape[0]
    _, normaliser = jax.lax.scan(chunk, None, _chunks(hidden_NxD, embedding_VxD.shape[0]))
    return normaliser.reshape(-1)[:tokens] - (hidden_NxD * embedding_VxD[targets_N]).sum(axis=1)
