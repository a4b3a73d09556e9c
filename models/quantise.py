"""Weights in fewer bits, for scoring and writing alone: how they are rounded, and how they reach the computation.

"int8" has a scale for every output of a product, "int4" one for every 64 of its inputs, both symmetric around zero: the
largest weight of a group is the largest integer, and no weight moves by more than half a scale. They are rounded
as they are, with no data to calibrate on. Products are those of float32, with weights that are made again where they
are used. "bfloat16" rounds the weights and computes in it as a training step does: float32 norms, softmax and logits.

Scales of norms stay float32. The tied embedding is rounded too: of the 2m it is half the bytes. A row of it is one
token's, for the head an output, so that the same scales serve the lookup. Why all this: benchmarks/quantised.md.

Suffixes: V vocabulary, D width, N tokens.
"""

import functools
import math
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

import jax
import jax.numpy as jnp

from models.setting import Exchange, Setting
from models.transformer import Params

GROUP = 64
"""Inputs that share a scale in four bits; fewer where their number is no multiple of it."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Quantised:
    """A matrix as integers times scales.

    Attributes:
        integers: int8 of the matrix's shape; four bits are uint8, half as long along `axis`, whose low halves are the
            first half of the inputs.
        scales: float32, as the matrix but for `axis`, along which there is one for each group.
        axis: that a product sums over.
        bits: 8 or 4.
    """

    integers: jax.Array
    scales: jax.Array
    axis: int = field(metadata={"static": True})
    bits: int = field(metadata={"static": True})

    def __getitem__(self, key: EllipsisType) -> "Quantised":
        """Itself, since a module of flax reads its parameters as `parameter[...]`."""
        return self

    def rows(self, tokens_N: jax.Array) -> "Quantised":
        """Some rows of an embedding."""
        return Quantised(self.integers[tokens_N], self.scales[tokens_N], self.axis, self.bits)

    def matrix(self) -> jax.Array:
        """In float32."""
        integers = self.integers
        if self.bits == 4:
            halves = (integers << 4, integers)  # the sign is the highest bit of each
            signed = [jax.lax.bitcast_convert_type(half, jnp.int8) >> 4 for half in halves]
            integers = jnp.concatenate(signed, self.axis)
        grouped = _grouped(integers, self.axis, self.scales.shape[self.axis])
        scaled = grouped.astype(jnp.float32) * jnp.expand_dims(self.scales, self.axis + 1)
        return scaled.reshape(integers.shape)


def quantise(params: Params, inference: str) -> Params:
    """The same parameters, each matrix as `inference` has it: an array of bfloat16, or `Quantised`.

    Args:
        params: float32.
        inference: "float32", "bfloat16", "int8" or "int4".
    """
    if inference == "float32":
        return params

    def of(name: str, array: jax.Array) -> Any:
        if array.ndim < 2:
            return array
        if inference == "bfloat16":
            return array.astype(jnp.bfloat16)
        return _rounded(array, axis=1 if name == "embedding" else 0, bits={"int8": 8, "int4": 4}[inference])

    return {name: of(name, array) for name, array in params.items()}


def in_fewer_bits(params: Params) -> bool:
    """Whether `quantise` has made them so."""
    return any(leaf.dtype != jnp.float32 for leaf in jax.tree.leaves(params))


def stored_bytes(params: Params) -> int:
    """That the parameters take."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params))


@functools.partial(jax.jit, static_argnames=("axis", "bits"))
def _rounded(matrix: jax.Array, axis: int, bits: int) -> Quantised:
    inputs = matrix.shape[axis]
    groups = 1 if bits == 8 else inputs // math.gcd(inputs, GROUP)
    most = 2 ** (bits - 1) - 1
    grouped = _grouped(matrix, axis, groups)
    scales = jnp.abs(grouped).max(axis + 1, keepdims=True) / most
    # A group of zeros has no scale; any will do.
    integers = jnp.round(grouped / jnp.where(scales > 0, scales, 1)).astype(jnp.int8).reshape(matrix.shape)
    if bits == 4:
        first, second = jnp.split(jax.lax.bitcast_convert_type(integers, jnp.uint8), 2, axis)
        integers = (first & 15) | (second << 4)
    return Quantised(integers, scales.squeeze(axis + 1), axis, bits)


def _grouped(matrix: jax.Array, axis: int, groups: int) -> jax.Array:
    """With `axis` as two, groups and their members."""
    return matrix.reshape(*matrix.shape[:axis], groups, -1, *matrix.shape[axis + 1 :])


def _weight(part: jax.Array | Quantised) -> jax.Array:
    return part.matrix() if isinstance(part, Quantised) else part


def _lookup(embedding_VxD: jax.Array | Quantised, tokens_N: jax.Array) -> jax.Array:
    if isinstance(embedding_VxD, Quantised):
        return embedding_VxD.rows(tokens_N).matrix()
    return embedding_VxD[tokens_N]


ANY_BITS = Setting(
    weight=_weight, lookup=_lookup, head=Exchange(gather=lambda whole: _weight(whole).astype(jnp.float32))
)
"""One device that computes with what `quantise` gives: float32 as `ONE_DEVICE` does, to the bit."""
