"""How a training step is laid out on devices and in memory. Pure Python: planning reads it without jax.

Nothing here decides what is learnt: another layout gives the same losses to rounding.
"""

from dataclasses import dataclass

from models.config import ModelConfig
from store.errors import UserError

AXES = ("data", "fsdp", "tensor")
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
    """Devices along the three axes of parallelism.

    `data` repeats the weights, `fsdp` divides them and gathers a layer at a time, `tensor` divides heads and
    feed-forward. The batch is divided over data x fsdp.

    Raises:
        UserError: an axis is not positive.
    """

    data: int = 1
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self) -> None:
        if min(self.data, self.fsdp, self.tensor) < 1:
            raise UserError(f"mesh {self} has an axis below 1; give every axis at least one device")

    def __str__(self) -> str:
        return f"data {self.data} x fsdp {self.fsdp} x tensor {self.tensor}"

    @property
    def devices(self) -> int:
        return self.data * self.fsdp * self.tensor


@dataclass(frozen=True)
class Layout:
    """How one device's share of the batch goes through the model.

    Attributes:
        microbatches: parts of the batch whose gradients are added up before the update.
        remat: one of REMAT.
        scan: whether the layers are one loop; by default from 13 layers on.

    Raises:
        UserError: an unknown remat policy, or no microbatch.
    """

    microbatches: int = 1
    remat: str = "none"
    scan: bool | None = None

    def __post_init__(self) -> None:
        if self.remat not in REMAT:
            raise UserError(f"remat policy '{self.remat}' is unknown; choose one of {', '.join(REMAT)}")
        if self.microbatches < 1:
            raise UserError(f"the batch was to be cut into {self.microbatches} microbatches; ask for at least 1")

    def scans(self, config: ModelConfig) -> bool:
        return config.layers > _UNROLLED if self.scan is None else self.scan


def check(config: ModelConfig, mesh: MeshShape, batch: int, sequence: int, microbatches: int = 1) -> None:
    """Whether the mesh divides the model, and mesh and microbatches the batch.

    Raises:
        UserError: one of them does not divide; the line names it.
    """
    shards = mesh.fsdp * mesh.tensor
    for what, size, axes, parts in (
        ("width", config.width, "fsdp", mesh.fsdp),
        ("heads", config.heads, "tensor", mesh.tensor),
        ("width", config.width, "fsdp x tensor", shards),
        ("feed_forward", config.feed_forward, "fsdp x tensor", shards),
        ("vocabulary", config.vocabulary, "fsdp x tensor", shards),
    ):
        if size % parts:
            raise UserError(
                f"mesh ({mesh}) does not divide model '{config.name}': {what} {size} over {axes} {parts}; "
                f"choose {axes} from the divisors of {size}"
            )
    if sequence % mesh.tensor:
        raise UserError(f"sequence {sequence} cannot be divided over tensor {mesh.tensor}; the loss divides its tokens")
    parts = mesh.data * mesh.fsdp * microbatches
    if batch % parts:
        raise UserError(
            f"batch of {batch} sequences cannot be divided into {parts} "
            f"(data {mesh.data} x fsdp {mesh.fsdp} x {microbatches} microbatches); make the batch a multiple of {parts}"
        )


def accelerator_chunk(vocabulary: int) -> int:
    """Tokens of a chunk of the loss on an accelerator, a power of two: 2,048 for 256,000 words."""
    return 1 << ((_ACCELERATOR_LOGITS // vocabulary).bit_length() - 1)
