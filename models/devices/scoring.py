"""How a model lies on the devices that score it, and how much goes through each at once. Pure Python.

The figures are for a v5e's 15.75 GiB; benchmarks/scoring.md has what the compiler counts with them.
"""

import math

from models.config import ModelConfig, parameters
from models.devices.layout import MeshShape

WHOLE_BYTES = 4e9
"""Of float32 weights that every device holds whole: a quarter of a v5e's memory. The 470m and the 1b are below it, and
gather nothing."""
DIVIDED = 16
"""Devices at most that hold a model's weights in parts: the ring of a v5e slice. More would save little and gather no
faster."""
_COPIES_BYTES = 8e9
"""Of all copies of a model's weights in a machine's memory, where its cores are devices."""
TOKENS = {False: 32_768, True: 8_192}
"""That go through an accelerator at once; fewer where they are several: what is asked at once would not fill them, and
8,192 take five times as long as to gather the weights that are divided."""
_CACHE_BYTES = 6 << 30
"""Of an accelerator's memory for keys and values; while the cache grows it is there one and a half times."""


def mesh_shape(config: ModelConfig, devices: int) -> MeshShape:
    """Each device has rows of its own and, of a model too large for more, a part of the weights."""
    large = 4 * parameters(config).total > WHOLE_BYTES
    fsdp = math.gcd(devices, config.width, config.feed_forward, config.vocabulary, DIVIDED) if large else 1
    return MeshShape(data=devices // fsdp, fsdp=fsdp)


def used(config: ModelConfig) -> int:
    """Of a machine's cores, as many as hold a copy of the weights each."""
    return max(1, int(_COPIES_BYTES // (4 * parameters(config).total)))


def slots(config: ModelConfig, columns: int) -> int:
    """Texts of so many `columns` that an accelerator writes at once: as many as it has memory for, a power of two."""
    fitting = _CACHE_BYTES // (8 * config.layers * config.width * columns)
    return 1 << max(0, fitting.bit_length() - 1)
