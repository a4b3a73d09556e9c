"""Causal self-attention behind one function: splash on TPU, cuDNN's flash kernel on GPU, blocks of queries elsewhere.

Softmax is in float32 everywhere. Suffixes: B batch, S sequence, H heads, K width of a head, Q and T a block's queries
and keys.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

_QUERIES = 64
_SPLASH_BLOCK, _SPLASH_KEYS = 1_024, 512
"""Queries and keys of a block of the TPU kernel, and keys that it computes with at a time, whose float32 scores take
2 MiB of the 16 MiB of scoped memory. Why these: benchmarks/fit.md."""
SAVED = "attention"
_CUDNN = "dot_product_attention_fwd_wrapper"
"""The primitive of cuDNN's forward kernel: it names nothing, and its backward pass needs the softmax statistics too."""
_named = jax.checkpoint_policies.save_only_these_names(SAVED)


def saved(primitive: Any, *arguments: Any, **parameters: Any) -> bool:
    """Remat policy that keeps the result, and what its backward pass needs, so that no kernel runs twice."""
    return primitive.name == _CUDNN or _named(primitive, *arguments, **parameters)


def causal_attention(
    q_BxSxHxK: jax.Array,
    k_BxSxHxK: jax.Array,
    v_BxSxHxK: jax.Array,
    segments_BxS: jax.Array | None = None,
    platform: str = "cpu",
    blocks: int | None = None,
) -> jax.Array:
    """Attention of every position to itself and those before it; returns [B, S, H, K] in the type of `v`.

    Args:
        q_BxSxHxK, k_BxSxHxK, v_BxSxHxK: queries, keys and values.
        segments_BxS: int32 number of each position's document; attention stops at their boundaries. None: it does not.
        platform: of the devices that run it, "tpu", "gpu" or "cpu".
        blocks: as `in_blocks` has it, where no kernel does it.
    """
    sequence, head = q_BxSxHxK.shape[1], q_BxSxHxK.shape[3]
    q_BxSxHxK = q_BxSxHxK * head**-0.5
    if platform == "tpu" and sequence % 128 == 0:
        return splash(q_BxSxHxK, k_BxSxHxK, v_BxSxHxK, segments_BxS)
    if platform == "gpu" and q_BxSxHxK.dtype == jnp.bfloat16 and head % 8 == 0 and head <= 128:
        return checkpoint_name(_flash(q_BxSxHxK, k_BxSxHxK, v_BxSxHxK, segments_BxS), SAVED)
    seen = functools.partial(_causal, segments_BxS)
    return checkpoint_name(in_blocks(q_BxSxHxK, k_BxSxHxK, v_BxSxHxK, seen, blocks), SAVED)


def in_blocks(
    q_BxSxHxK: jax.Array,
    k_BxSxHxK: jax.Array,
    v_BxSxHxK: jax.Array,
    seen: Callable[[int, int], jax.Array],
    blocks: int | None = None,
) -> jax.Array:
    """Plain XLA; queries come scaled, and `seen(start, end)` says which of the keys up to `end` the queries from
    `start` on see: [Q, T] or [B, 1, Q, T]. There are at most `blocks`, each of which is compiled.

    A block of queries reads only the keys up to its own end, so at S = 256 three eighths of the square are never
    computed.
    """
    q_BxHxSxK, k_BxHxSxK, v_BxHxSxK = (x.swapaxes(1, 2) for x in (q_BxSxHxK, k_BxSxHxK, v_BxSxHxK))
    sequence = q_BxHxSxK.shape[2]
    queries = max(_QUERIES, -(-sequence // blocks) if blocks else 0)
    mixed = []
    for start in range(0, sequence, queries):
        end = min(start + queries, sequence)
        scores_BxHxQxT = jnp.einsum(
            "bhqk,bhtk->bhqt",
            q_BxHxSxK[:, :, start:end],
            k_BxHxSxK[:, :, :end],
            preferred_element_type=jnp.float32,
        )
        masked_BxHxQxT = jnp.where(seen(start, end), scores_BxHxQxT, -jnp.inf)
        weights_BxHxQxT = jax.nn.softmax(masked_BxHxQxT, axis=-1).astype(v_BxHxSxK.dtype)
        mixed.append(jnp.einsum("bhqt,bhtk->bhqk", weights_BxHxQxT, v_BxHxSxK[:, :, :end]))
    return jnp.concatenate(mixed, axis=2).swapaxes(1, 2)


def _causal(segments_BxS: jax.Array | None, start: int, end: int) -> jax.Array:
    seen_QxT = jnp.arange(start, end)[:, None] >= jnp.arange(end)
    if segments_BxS is None:
        return seen_QxT
    return (seen_QxT & (segments_BxS[:, start:end, None] == segments_BxS[:, None, :end]))[:, None]


def _flash(
    q_BxSxHxK: jax.Array, k_BxSxHxK: jax.Array, v_BxSxHxK: jax.Array, segments_BxS: jax.Array | None
) -> jax.Array:
    # Through this interface cuDNN takes documents only as a mask [B, 1, S, S]; at S = 8,192 that is 128 MiB a row.
    mask = None if segments_BxS is None else (segments_BxS[:, :, None] == segments_BxS[:, None, :])[:, None]
    return jax.nn.dot_product_attention(
        q_BxSxHxK, k_BxSxHxK, v_BxSxHxK, mask=mask, is_causal=True, scale=1.0, implementation="cudnn"
    )


def splash(
    q_BxSxHxK: jax.Array,
    k_BxSxHxK: jax.Array,
    v_BxSxHxK: jax.Array,
    segments_BxS: jax.Array | None,
    interpret: bool = False,
) -> jax.Array:
    """The Pallas kernel for TPU, which skips the blocks above the diagonal; queries come scaled.

    `interpret` runs it on any machine, slowly. S must be a multiple of 128.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as kernels

    sequence, heads = q_BxSxHxK.shape[1:3]
    block = next(size for size in (_SPLASH_BLOCK, 512, 256, 128) if sequence % size == 0)
    keys = min(block, _SPLASH_KEYS)
    kernel = kernels.make_splash_mha(
        mask=kernels.MultiHeadMask([kernels.CausalMask((sequence, sequence))] * heads),
        block_sizes=kernels.BlockSizes(block, block, keys, block, block, keys, block, block),
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=SAVED,
        interpret=interpret,
    )
    q, k, v = (x.swapaxes(1, 2) for x in (q_BxSxHxK, k_BxSxHxK, v_BxSxHxK))
    if segments_BxS is None:
        return jax.vmap(kernel)(q, k, v).swapaxes(1, 2)
    segments = kernels.SegmentIds(segments_BxS, segments_BxS)
    return jax.vmap(kernel)(q, k, v, segments).swapaxes(1, 2)
