"""The layouts that a step may have on its devices, from the fastest by arithmetic to the slowest. Pure Python.

A layout is mesh x microbatches x remat. Whoever looks for one takes the first that fits: `ablate fit` by the compiler,
a GPU of which nothing is known by an estimate of its memory.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.config import ModelConfig
from models.devices.layout import REMAT, Layout, MeshShape
from models.devices.roofline import Roofline, Topology, roofline
from store.errors import UserError

_ROWS = 8
"""Rows of a float32 register tile on TPU; a slice of a weight's width below that is padded."""


@dataclass(frozen=True)
class Asked:
    """A step that is to fit, and the chips that it is to fit on."""

    config: ModelConfig
    slice_: Topology
    sequence: int
    batch: int
    precision: str = "bfloat16"

    @property
    def rows(self) -> int:
        """Sequences of one chip."""
        return self.batch // self.slice_.chips


@dataclass(frozen=True)
class Candidate:
    mesh: MeshShape
    layout: Layout
    bound: Roofline

    def __str__(self) -> str:
        return f"{self.mesh}, {self.layout.microbatches} microbatches, remat {self.layout.remat}"


def candidates(asked: Asked, meshes: Sequence[MeshShape], remats: Sequence[str] = REMAT) -> list[Candidate]:
    """From the shortest bound up; of equals, the least work for the chip's slower sides, then fewer microbatches."""
    found = []
    divisors = [part for part in range(1, asked.rows + 1) if asked.rows % part == 0]
    for mesh, microbatches, remat in itertools.product(meshes, divisors, remats):
        layout = Layout(microbatches, remat, scan=True)
        bound = roofline(
            asked.config, asked.slice_, mesh, layout, asked.batch, asked.sequence, precision=asked.precision
        )
        found.append(Candidate(mesh, layout, bound))
    return sorted(
        found, key=lambda c: (c.bound.seconds, c.bound.hbm_seconds + c.bound.link_seconds, c.layout.microbatches)
    )


def meshes(config: ModelConfig, slice_: Topology) -> Iterator[MeshShape]:
    """Weights divided along one axis of the slice and repeated along the other, or divided over the whole slice."""
    for fsdp in sorted({slice_.columns, slice_.chips}):
        if config.width % (fsdp * _ROWS) == 0 and config.feed_forward % fsdp == 0 and config.vocabulary % fsdp == 0:
            yield MeshShape(slice_.chips // fsdp, fsdp)


def check_divides(config: ModelConfig, slice_: Topology, batch: int) -> None:
    """Whether the chips of a slice divide the batch and the model.

    Raises:
        UserError: they do not.
    """
    if batch % slice_.chips:
        raise UserError(
            f"batch of {batch} sequences cannot be divided over the {slice_.chips} chips of {slice_.name}; "
            f"make the batch a multiple of {slice_.chips} or choose a smaller topology"
        )
    if not any(meshes(config, slice_)):
        raise UserError(
            f"model '{config.name}' cannot be divided over {slice_.name}: its width {config.width} would leave "
            f"fewer than {_ROWS} rows of a weight a chip; choose a smaller topology"
        )
