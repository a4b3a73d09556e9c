"""What `ablate fit` found, as a table: a plan reads it, since compiling takes minutes and a compiler. Pure Python.

benchmarks/fit.md says how it was made; `pytest -m tpu_fit` makes it again and compares.
"""

from dataclasses import dataclass

from models.config import config
from models.devices.layout import Layout, MeshShape, accelerator_chunk
from models.devices.roofline import ATTAINED, Topology, roofline, topology

MADE = "ablate fit, 2026-11-21"
SEQUENCE, BATCH = 8_192, 512


@dataclass(frozen=True)
class Fitted:
    """A model on a slice, in bfloat16: the layout that fits, and the HBM of a chip that the step needs there."""

    model: str
    topology: str
    hbm_gib: float
    mesh: MeshShape
    layout: Layout

    @property
    def slice_(self) -> Topology:
        return topology(self.topology)

    @property
    def step_seconds(self) -> float:
        """Of one step, at the share of the bound's speed that is assumed (`roofline.ATTAINED`)."""
        model, slice_ = config(self.model), self.slice_
        tokens = BATCH // slice_.chips * SEQUENCE // self.layout.microbatches
        chunk = min(accelerator_chunk(model.vocabulary), tokens)
        return roofline(model, slice_, self.mesh, self.layout, BATCH, SEQUENCE, chunk).seconds / ATTAINED


def _row(model: str, slice_: str, gib: float, data: int, fsdp: int, microbatches: int, remat: str) -> Fitted:
    return Fitted(model, slice_, gib, MeshShape(data=data, fsdp=fsdp), Layout(microbatches, remat, scan=True))


TABLE = (
    _row("470m", "v5e:16x16", 11.41, 16, 16, 1, "dots"),
    _row("470m", "v5e:8x16", 11.09, 1, 128, 2, "dots"),
    _row("470m", "v5e:8x8", 11.16, 1, 64, 4, "dots"),
    _row("470m", "v5e:4x8", 11.31, 1, 32, 8, "dots"),
    _row("2.8b", "v5e:16x16", 15.28, 16, 16, 1, "attention"),
    _row("2.8b", "v5e:8x16", 14.25, 8, 16, 4, "attention"),
    _row("2.8b", "v5e:8x8", 14.88, 1, 64, 4, "attention"),
)


TOO_SMALL = {("2.8b", "v5e:2x2"): 18.81}
"""By model and slice, GiB of a chip that its leanest layout needs where that is more than there is (2026-11-30)."""


def too_large(model: str, slice_: str, sequence: int, batch: int) -> float | None:
    """The GiB of a chip that a model needs on a slice which it is known not to fit; None where nobody has tried."""
    return TOO_SMALL.get((model, slice_)) if (sequence, batch) == (SEQUENCE, BATCH) else None


def fitted(model: str, slice_: str, sequence: int, batch: int) -> Fitted | None:
    """The row of a model on a slice; None where there is none for this sequence and batch."""
    rows = [row for row in TABLE if (row.model, row.topology) == (model, slice_)]
    return rows[0] if rows and (sequence, batch) == (SEQUENCE, BATCH) else None
