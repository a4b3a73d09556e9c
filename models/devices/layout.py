"""How a training step is laid out on devices and in memory. Pure Python: planning reads it without jax.

Nothing here decides what is learnt: another layout gives the same losses to rounding.
"""

from dataclasses import dataclass

from models.config import ModelConfig
from store.errors import UserError

AXES = ("data", "fsdp")
REMAT = ("none", "dots", "attention", "full")
"""What the backward pass recomputes of every block, from the least to the most: nothing; all but the matrix products
and attention; all but attention; everything."""
_UNROLLED = 12
"""Layers up to which a loop costs more (it is slower on CPU) than it saves in compilation."""
_ACCELERATOR_LOGITS = 1 << 29
"""Logits of one chunk of the loss on an accelerator, 2 GiB. A chunk must be thick to be worth it: each reads and writes
the embedding's gradient, 1 GiB for 256,000 x 1,024."""


@dataclass(frozen=True)
class MeshShape:
    """Devices along the two axes of parallelism: `data` repeats the weights, `fsdp` divides them and gathers a layer at
    a time. The batch is divided over both."""

    data: int = 1
    fsdp: int = 1

    def __str__(self) -> str:
        return f"data {self.data} x fsdp {self.fsdp}"

    @property
    def devices(self) -> int:
        return self.data * self.fsdp


@dataclass(frozen=True)
class Layout:
    """How one device's share of the batch goes through the model.

    Attributes:
        microbatches: parts of the batch whose gradients are added up before the update.
        remat: one of REMAT.
        scan: whether the layers are one loop; by default from 13 layers on.
    """

    microbatches: int = 1
    remat: str = "none"
    scan: bool | None = None

    def scans(self, config: ModelConfig) -> bool:
        return config.layers > _UNROLLED if self.scan is None else self.scan


def check(mesh: MeshShape, batch: int, microbatches: int = 1) -> None:
    """Whether mesh and microbatches divide the batch.

    Raises:
        UserError: they do not.
    """
    parts = mesh.devices * microbatches
    if batch % parts:
        raise UserError(
            f"batch of {batch} sequences cannot be divided into {parts} "
            f"({mesh} x {microbatches} microbatches); make the batch a multiple of {parts}"
        )


def accelerator_chunk(vocabulary: int) -> int:
    """Tokens of a chunk of the loss on an accelerator, a power of two: 2,048 for 256,000 words."""
    return 1 << ((_ACCELERATOR_LOGITS // vocabulary).bit_length() - 1)
