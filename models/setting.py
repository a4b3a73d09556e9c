"""What stands around the model: devices, precision and memory. models/devices/parallel.py makes one for a mesh.

Shape suffixes: N tokens, D width, V vocabulary, S sequence.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from models.attention import causal_attention


def _whole(array: jax.Array) -> jax.Array:
    return array


class Exchange(NamedTuple):
    """How a parameter reaches the computation, and its gradient the parameter; the default is one device, float32."""

    gather: Callable[[jax.Array], jax.Array] = _whole
    """From the part that this device keeps to the whole array, in the type to compute in."""
    scatter: Callable[[jax.Array], jax.Array] = _whole
    """From the gradient of the whole array to the float32 gradient of the part, summed over the devices that share."""


def one_by_one(blocks: Sequence[Any], apply: Callable[[Any, jax.Array], jax.Array], x_NxD: jax.Array) -> jax.Array:
    return functools.reduce(lambda x_NxD, block: apply(block, x_NxD), blocks, x_NxD)


@dataclass(frozen=True)
class Setting:
    """The default is one CPU, float32, nothing saved.

    Attributes:
        attention: (queries, keys, values, segments), as `causal_attention`.
        positions: (S) -> int32 [S] from 0.
        weight: this device's part of a parameter -> what to compute with.
        lookup: (embedding, tokens [N]) -> their rows [N, D].
        layers: applies the blocks one after the other, as (blocks, apply, x) -> x.
        head: how the embedding goes to the loss and back.
    """

    attention: Callable[..., jax.Array] = causal_attention
    positions: Callable[[int], Any] = np.arange
    weight: Callable[[jax.Array], jax.Array] = _whole
    lookup: Callable[[jax.Array, jax.Array], jax.Array] = lambda embedding_VxD, tokens_N: embedding_VxD[tokens_N]
    layers: Callable[[Sequence[Any], Callable[[Any, jax.Array], jax.Array], jax.Array], jax.Array] = one_by_one
    head: Exchange = Exchange()  # noqa: RUF009 - immutable


ONE_DEVICE = Setting()
