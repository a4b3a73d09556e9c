"""Checksums of arrays, computed on the devices that hold them: what was saved is told from what was restored.

Of every element its bits and its position in the whole array are hashed, and the hashes are summed modulo 2^32, twice.
Such a sum has no order, so neither the number of devices and hosts nor the division of an array among them shows in it,
and nothing travels but a few numbers. A sum of elements times odd weights would be cheaper, and blind to two changed
signs: each changes it by 2^31, whatever its weight.

It finds damage (missed with a probability of 2^-64 an array), and no forgery.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

Sums = tuple[jax.Array, jax.Array]
"""Two uint32 scalars, on all devices of their array."""

_UNSIGNED = {1: jnp.uint8, 2: jnp.uint16}


def begin(arrays: Mapping[str, jax.Array]) -> dict[str, Sums]:
    """The sums of arrays of 1, 2, 4 or 8 bytes an element, by the same names, as soon as the devices have them.

    Compiled once a shape, type and sharding. Of several processes all have to call, with the same arrays.
    """
    return {name: _sums(array) for name, array in arrays.items()}


def texts(sums: Mapping[str, Sums]) -> dict[str, str]:
    """Each as 16 hexadecimal digits. Waits for the devices."""
    return {name: f"{int(first):08x}{int(second):08x}" for name, (first, second) in jax.device_get(dict(sums)).items()}


@jax.jit
def _sums(array: jax.Array) -> Sums:
    kind = _UNSIGNED.get(array.dtype.itemsize, jnp.uint32)
    bits = jax.lax.bitcast_convert_type(array, kind).astype(jnp.uint32)
    hashes = _mixed(bits ^ _mixed(_positions(bits.shape)))
    zero = np.uint32(0)
    # One reduction of two operands: of two, XLA would write the hashes down between them.
    first, second = jax.lax.reduce(
        (hashes, _mixed(hashes)), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), tuple(range(bits.ndim))
    )
    return first, second


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """Of every element its number, row by row, modulo 2^32."""
    position, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        position += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * np.uint32(stride % 2**32)
        stride *= shape[axis]
    return position


def _mixed(x: jax.Array) -> jax.Array:
    """A bijection of uint32 whose every bit depends on every other: lowbias32 of nullprogram.com/blog/2018/07/31."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)
