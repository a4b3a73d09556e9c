"""How long a training step must take at the least: work over the chip's peak, by arithmetic. Pure Python.

The bound is the largest of three times, as if everything overlapped: products at the peak of the matrix unit, bytes to
and from HBM at its bandwidth, bytes over the links between chips at theirs. Products and link bytes are counts of what
the step does; HBM bytes are an estimate from the tensors that must pass, since fusion is the compiler's choice.
"""

from dataclasses import dataclass

from models.config import ModelConfig, parameters
from models.devices.flops import train_flops_per_token
from models.devices.layout import Layout, MeshShape, accelerator_chunk
from store.errors import UserError, require_known


@dataclass(frozen=True)
class Chip:
    """Peaks of one chip, as its maker publishes them."""

    name: str
    flops_per_second: float
    """bfloat16."""
    hbm_bytes_per_second: float
    link_bytes_per_second: float
    """Of one link, in one direction; a torus axis has two links a chip."""
    hbm_gib: float
    """What the compiler lets a program use."""
    ring: int
    """Chips along an axis that closes to a ring; a shorter axis is a line, which halves a collective's speed."""

    @property
    def usable_gib(self) -> float:
        """Of HBM, what a layout may need: the runtime, and what the compiler does not count, take of the rest."""
        return (1 - FREE) * self.hbm_gib


FREE = 0.05
"""Share of a chip's HBM that a layout leaves free."""
V5E = Chip("v5e", 197e12, 819e9, 45e9, 15.75, 16)
H100 = Chip("H100", 989.4e12, 3.35e12, 450e9, 79.6, 1)
GPUS = {
    "NVIDIA H100 80GB HBM3": H100,
    "NVIDIA H200": Chip("H200", 989.4e12, 4.8e12, 450e9, 139.8, 1),
    "NVIDIA A100-SXM4-80GB": Chip("A100", 312e12, 2.039e12, 300e9, 79.3, 1),
    "NVIDIA A100-SXM4-40GB": Chip("A100", 312e12, 1.555e12, 300e9, 39.5, 1),
}
"""By the device's name. Its memory here is only what a plan can know; on the device itself it is asked."""
_PASSES = {"bfloat16": 1, "float32": 6}
"""Products of bfloat16 that one of a precision is made of (recipe.PRODUCTS)."""
ATTAINED = 0.6
"""Share of the bound's speed that chip-hours assume. Published steps of dense models on v5e slices reach 46 % (7B,
AXLearn) to 55-67 % (16B-128B, MaxText) of the peak before recomputation; a single figure for all sizes is a guess."""


@dataclass(frozen=True)
class Topology:
    """A slice of chips in a rectangle."""

    name: str
    chip: Chip
    rows: int
    columns: int

    @property
    def chips(self) -> int:
        return self.rows * self.columns


_SIDES = ((2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
TOPOLOGIES = {
    f"v5e:{rows}x{columns}": Topology(f"v5e:{rows}x{columns}", V5E, rows, columns) for rows, columns in _SIDES
}


def topology(name: str) -> Topology:
    """The slice called `name`, such as v5e:16x16.

    Raises:
        UserError: there is no such slice.
    """
    require_known("topology", name, TOPOLOGIES)
    return TOPOLOGIES[name]


def slice_of(chips: int) -> Topology:
    """The slice with so many chips.

    Raises:
        UserError: there is none.
    """
    by_chips = {slice_.chips: slice_ for slice_ in TOPOLOGIES.values()}
    if chips not in by_chips:
        raise UserError(f"there is no {V5E.name} slice of {chips} chips; train on {', '.join(map(str, by_chips))}")
    return by_chips[chips]


def gpu(kind: str, devices: int = 1) -> Topology:
    """GPUs of one kind; of a kind that is not known, with an H100's peaks, by which layouts are put in order."""
    return Topology(f"gpu:{kind}", GPUS.get(kind, H100), 1, devices)


@dataclass(frozen=True)
class Roofline:
    """One chip's work in a step, and the seconds that each kind takes at the least."""

    flops: float
    """With what is computed twice."""
    hbm_bytes: float
    link_bytes: float
    compute_seconds: float
    hbm_seconds: float
    link_seconds: float

    @property
    def seconds(self) -> float:
        return max(self.compute_seconds, self.hbm_seconds, self.link_seconds)

    @property
    def bound_by(self) -> str:
        return {self.compute_seconds: "compute", self.hbm_seconds: "hbm", self.link_seconds: "links"}[self.seconds]


def roofline(
    config: ModelConfig,
    slice_: Topology,
    mesh: MeshShape,
    layout: Layout,
    batch: int,
    sequence: int,
    precision: str = "bfloat16",
) -> Roofline:
    """The bound of one step. Bytes of HBM are those of bfloat16 in any precision, so of float32 too few."""
    chip = slice_.chip
    chunk = min(accelerator_chunk(config.vocabulary), batch // slice_.chips * sequence // layout.microbatches)
    tokens = batch * sequence / slice_.chips
    flops = tokens * (train_flops_per_token(config, sequence) + repeated_flops_per_token(config, sequence, layout))
    hbm = _hbm_bytes(config, mesh, layout, tokens, chunk)
    fsdp_bytes, data_bytes = link_bytes(config, mesh, layout)
    # As `parallel.make_mesh` lays them: fsdp along the columns, or all over the slice; data along the rows.
    over_fsdp = (slice_.rows, slice_.columns) if mesh.fsdp > slice_.columns else (slice_.columns,)
    links = fsdp_bytes / _bandwidth(slice_, *over_fsdp) + data_bytes / _bandwidth(slice_, slice_.rows)
    return Roofline(
        flops,
        hbm,
        fsdp_bytes + data_bytes,
        _PASSES[precision] * flops / chip.flops_per_second,
        hbm / chip.hbm_bytes_per_second,
        links,
    )


def chip_hours(seconds: float, chips: int, batch: int, sequence: int, tokens: float) -> float:
    """Of a budget of `tokens`, at ATTAINED of the speed that `seconds` a step would be."""
    steps = -(-tokens // (batch * sequence))
    return steps * seconds * chips / 3600 / ATTAINED


def repeated_flops_per_token(config: ModelConfig, sequence: int, layout: Layout) -> float:
    """What the backward pass computes again.

    Of a block's products, those that its other products need: not `output` and `down`. The attention kernel's backward
    pass makes seven products of the square where the formula of training counts four, whatever the policy.
    """
    square = config.layers * config.width * sequence  # One product of the causal half, a multiply-add being two.
    products = 2 * config.layers * (3 * config.width**2 + 2 * config.width * config.feed_forward)
    again = {"none": 0, "dots": 0, "attention": products, "full": products + 2 * square}[layout.remat]
    return again + 3 * square


def link_bytes(config: ModelConfig, mesh: MeshShape, layout: Layout) -> tuple[float, float]:
    """Bytes that one chip receives in a step, along fsdp and along data.

    Per microbatch a block's weights are gathered in bfloat16 for the forward pass, again for the backward pass unless
    everything is kept, and their gradients scattered in float32; the embedding's twice each, for the lookup and for the
    loss (which the compiler may gather once). Gradients are summed over data once a step, in float32.
    """
    count = parameters(config)
    scales = (config.layers + 1) * config.width
    gathers = 1 if layout.remat == "none" else 2
    blocks = (count.non_embedding - scales) * (2 * gathers + 4)
    embedding = count.embedding * (2 * 2 + 2 * 4)
    over_fsdp = layout.microbatches * (blocks + embedding + 2 * 4 * scales) * (1 - 1 / mesh.fsdp)
    held = (count.total - scales) / mesh.fsdp + scales
    return over_fsdp, 2 * 4 * held * (1 - 1 / mesh.data)


def _bandwidth(slice_: Topology, *axes: int) -> float:
    """Of a collective along axes of the slice with so many chips each: a ring has two links, a line's end has one."""
    return slice_.chip.link_bytes_per_second * sum(2 if axis >= slice_.chip.ring else 1 for axis in axes)


def _hbm_bytes(config: ModelConfig, mesh: MeshShape, layout: Layout, tokens: float, chunk: int) -> float:
    """Reads and writes of one chip.

    Block weights: each gather is written and read, a bfloat16 gradient written and read. Embedding: its gradient, read
    and written by every chunk of the loss. Logits: float32 written and read twice, their exponentials in bfloat16
    written and read twice. States: about 20 widths and 6 feed-forward widths a layer and pass, two passes' worth
    backward, one more where the block is computed again. Optimizer: parameter, moments and gradient read, all but the
    gradient written.
    """
    count = parameters(config)
    passes = layout.microbatches
    gathers = 1 if layout.remat == "none" else 2
    weights = passes * count.non_embedding * (2 * gathers + 2 * (gathers + 1) + 4)
    chunks = passes * -(-tokens / passes // chunk)
    embedding = count.embedding * (chunks * (8 + 2 * 2) + passes * (2 * 2 + 2 * 8))
    logits = tokens * config.vocabulary * (4 + 2 * 4 + 2 + 2 * 2)
    repeats = 3 if layout.remat in ("none", "dots") else 4
    states = repeats * tokens * config.layers * 2 * (20 * config.width + 6 * config.feed_forward)
    optimizer = count.total / mesh.fsdp * (4 * 4 + 3 * 4)
    return weights + embedding + logits + states + optimizer
