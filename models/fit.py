"""Does a model fit a TPU slice, and how fast could it be: the real train step, compiled ahead of time with no TPU.

The compiler is libtpu's own (extra `tpu-fit`, Linux), and it counts arguments, results, temporaries and code against
the chip's HBM. Nothing is run, so speed is a bound from arithmetic (models/devices/roofline.py) and not a measurement;
the compiler's own FLOPs are of no use, since they count a loop's body once.

Candidates are mesh x microbatches x remat, tried from the shortest bound up. One that cannot fit by arithmetic costs
nothing, one that the compiler refuses costs seconds, and the first that compiles is the answer.
"""

import functools
import importlib.util
import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.config import ModelConfig, parameters
from models.devices.layout import REMAT, Layout, MeshShape, accelerator_chunk
from models.devices.roofline import Roofline, Topology, chip_hours, roofline, slice_of, topology
from models.recipe import AdamW
from store.errors import Failure, UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

_GIB = 2**30
_ROWS = 8
"""Rows of a float32 register tile on TPU; a slice of a weight's width below that is padded."""


@dataclass(frozen=True)
class Collective:
    """Exchanges of one kind along one group of axes, in one step."""

    kind: str
    axes: str
    count: int
    gib: float
    """Bytes that one chip receives, 2**30 each."""


@dataclass(frozen=True)
class Fit:
    """One row: a model on a slice.

    Attributes:
        model, topology, sequence, batch: what was asked.
        fits: whether a layout was found.
        hbm_gib: of one chip, in the layout found; else the least that any layout needed.
        limit_gib: what a chip has.
        remat, microbatch: the layout found; sequences of one chip in one pass. None when nothing fits.
        microbatches, mesh: the same layout in full.
        step_seconds_bound: the roofline's bound on a step.
        bound_by: compute, hbm or links.
        roofline: one chip's work in a step, and its seconds by kind.
        chip_hours: of `tokens`, at roofline.ATTAINED of the bound's speed.
        tokens: the budget.
        collectives: what the step exchanges, from its trace.
        tried: candidates refused before, with the reason.
        way_out: what to change when nothing fits.
    """

    model: str
    topology: str
    sequence: int
    batch: int
    fits: bool
    hbm_gib: float
    limit_gib: float
    remat: str | None = None
    microbatch: int | None = None
    microbatches: int | None = None
    mesh: MeshShape | None = None
    step_seconds_bound: float | None = None
    bound_by: str | None = None
    roofline: Roofline | None = None
    chip_hours: float | None = None
    tokens: float | None = None
    collectives: tuple[Collective, ...] = ()
    tried: tuple[str, ...] = ()
    way_out: str | None = None


@dataclass(frozen=True)
class _Asked:
    """A step that is to fit, and the chips of a slice."""

    config: ModelConfig
    slice_: Topology
    devices: Sequence[Any]
    sequence: int
    batch: int
    optimizer: AdamW
    precision: str

    @property
    def rows(self) -> int:
        """Sequences of one chip."""
        return self.batch // self.slice_.chips


@dataclass(frozen=True)
class _Candidate:
    mesh: MeshShape
    layout: Layout
    bound: Roofline
    least_gib: float

    def __str__(self) -> str:
        return f"{self.mesh}, {self.layout.microbatches} microbatches, remat {self.layout.remat}"


def fit(
    config: ModelConfig,
    name: str,
    sequence: int = 8_192,
    batch: int = 512,
    tokens: float = 200e9,
    optimizer: AdamW = AdamW(),  # noqa: B008 - immutable
) -> Fit:
    """Whether and how the model trains on a slice, in bfloat16.

    Args:
        config: the model.
        name: of the topology, such as v5e:16x16.
        sequence, batch: tokens of a sequence, sequences of a step.
        tokens: the budget that chip-hours are for.
        optimizer: part of the step.

    Raises:
        UserError: an unknown topology, or one whose chips divide neither the batch nor the model.
        Failure: libtpu is not installed.
    """
    slice_ = topology(name)
    check_divides(config, slice_, batch)
    if importlib.util.find_spec("libtpu") is None:
        raise Failure("libtpu, the TPU compiler, is not installed; on Linux: pip install -e '.[tpu-fit]' (700 MB)")
    found = _search(_Asked(config, slice_, described(name), sequence, batch, optimizer, "bfloat16"))
    if found.roofline is None:
        return replace(found, tokens=tokens)
    hours = chip_hours(found.roofline.seconds, slice_.chips, batch, sequence, tokens)
    return replace(found, tokens=tokens, chip_hours=hours)


@functools.cache
def placement(
    model: ModelConfig, optimizer: AdamW, precision: str, batch: int, sequence: int
) -> tuple["Mesh | None", Layout]:
    """All devices of all processes (None for one alone), and how their rows go through the model.

    It decides memory and speed, not the result. On TPU it is what `fit` finds. Elsewhere the weights are divided over
    as many devices as divide every matrix, and the others repeat them.

    Raises:
        UserError, Failure: as `place`.
    """
    import jax

    from models.devices import parallel

    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if len(devices) == 1:
        return None, Layout()
    if devices[0].platform == "tpu":
        shape, layout = place(model, devices, sequence, batch, optimizer, precision)
        return parallel.make_mesh(shape, devices), layout
    fsdp = math.gcd(len(devices), model.width, model.feed_forward, model.vocabulary)
    return parallel.make_mesh(MeshShape(data=len(devices) // fsdp, fsdp=fsdp), devices), Layout()


def place(
    config: ModelConfig, devices: Sequence[Any], sequence: int, batch: int, optimizer: AdamW, precision: str
) -> tuple[MeshShape, Layout]:
    """How to train on TPU chips that are there: what `fit` finds for a slice of them, the same in every process.

    Raises:
        UserError: no slice has so many chips, or they divide neither the batch nor the model.
        Failure: no layout fits.
    """
    slice_ = slice_of(len(devices))
    check_divides(config, slice_, batch)
    found = _search(_Asked(config, slice_, devices, sequence, batch, optimizer, precision))
    if found.mesh is None or found.microbatches is None or found.remat is None:
        raise Failure(f"model '{config.name}', {batch} sequences of {sequence:,} tokens: {found.way_out}")
    return found.mesh, Layout(found.microbatches, found.remat, scan=True)


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
    if not any(_meshes(config, slice_)):
        raise UserError(
            f"model '{config.name}' cannot be divided over {slice_.name}: its width {config.width} would leave "
            f"fewer than {_ROWS} rows of a weight a chip; choose a smaller topology"
        )


def _search(asked: _Asked) -> Fit:
    limit = asked.slice_.chip.hbm_gib
    base = Fit(asked.config.name, asked.slice_.name, asked.sequence, asked.batch, False, 0.0, limit)
    tried, needs = [], []
    for candidate in _candidates(asked):
        needed, step = candidate.least_gib, None
        if needed <= limit:
            needed, step = _compile(asked, candidate)
        needs.append(needed)
        # The compiler lets some temporaries share space and may accept a little more than there is; we do not.
        if step is None or needed > limit:
            tried.append(f"{candidate}: needs {needed:.1f} GiB")
            continue
        return replace(
            base,
            fits=True,
            hbm_gib=round(needed, 2),
            remat=candidate.layout.remat,
            microbatch=asked.rows // candidate.layout.microbatches,
            microbatches=candidate.layout.microbatches,
            mesh=candidate.mesh,
            step_seconds_bound=candidate.bound.seconds,
            bound_by=candidate.bound.bound_by,
            roofline=candidate.bound,
            collectives=step,
            tried=tuple(tried),
        )
    return replace(base, hbm_gib=round(min(needs), 2), tried=tuple(tried), way_out=_way_out(needs, asked.slice_))


def _way_out(needs: list[float], slice_: Topology) -> str:
    return (
        f"the leanest layout needs {min(needs):.1f} GiB a chip and {slice_.name} has {slice_.chip.hbm_gib}; "
        "choose a topology with more chips, a shorter sequence or a smaller model"
    )


def _candidates(asked: _Asked) -> list[_Candidate]:
    """From the shortest bound up; of equals, the least work for the chip's slower sides, then fewer microbatches."""
    found, config, slice_ = [], asked.config, asked.slice_
    for mesh, microbatches, remat in itertools.product(_meshes(config, slice_), _divisors(asked.rows), REMAT):
        layout, tokens = Layout(microbatches, remat, scan=True), asked.rows * asked.sequence // microbatches
        chunk = min(accelerator_chunk(config.vocabulary), tokens)
        bound = roofline(config, slice_, mesh, layout, asked.batch, asked.sequence, chunk)
        found.append(_Candidate(mesh, layout, bound, _least_gib(config, mesh, layout, tokens)))
    return sorted(
        found, key=lambda c: (c.bound.seconds, c.bound.hbm_seconds + c.bound.link_seconds, c.layout.microbatches)
    )


def _meshes(config: ModelConfig, slice_: Topology) -> Iterator[MeshShape]:
    """Weights divided along one axis of the slice and repeated along the other, or divided over the whole slice."""
    for fsdp in sorted({slice_.columns, slice_.chips}):
        if config.width % (fsdp * _ROWS) == 0 and config.feed_forward % fsdp == 0 and config.vocabulary % fsdp == 0:
            yield MeshShape(slice_.chips // fsdp, fsdp)


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


def _least_gib(config: ModelConfig, mesh: MeshShape, layout: Layout, tokens: int) -> float:
    """Arrays that must be there at once in the middle of the step: the state, and what the forward pass keeps."""
    kept = {
        "full": config.width,
        "attention": 2 * config.width,
        "dots": 7 * config.width + 2 * config.feed_forward,
        "none": 8 * config.width + 3 * config.feed_forward,
    }[layout.remat]
    state = 12 * parameters(config).total / mesh.fsdp
    return (state + 2 * tokens * config.layers * kept) / _GIB


def _compile(asked: _Asked, candidate: _Candidate) -> tuple[float, tuple[Collective, ...] | None]:
    """GiB a chip and the collectives; None for those when the compiler says that it does not fit."""
    import jax
    import jax.numpy as jnp

    from models.devices import parallel
    from models.step import abstract_state, train_step

    mesh = parallel.make_mesh(candidate.mesh, asked.devices)
    state = abstract_state(asked.config, asked.optimizer, mesh)
    rows = jax.sharding.NamedSharding(mesh, parallel.BATCH)
    tokens = jax.ShapeDtypeStruct((asked.batch, asked.sequence + 1), jnp.int32, sharding=rows)
    step = train_step(asked.config, asked.optimizer, asked.precision, candidate.layout, mesh)
    traced = step.trace(state, tokens, jax.ShapeDtypeStruct((), jnp.float32))
    try:
        memory = traced.lower().compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        needed = re.search(r"temporaries \(([\d.]+)([GM])\)", str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or needed is None:
            raise
        return float(needed[1]) / (1 if needed[2] == "G" else 1024), None
    total = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return total / _GIB, collectives(traced.jaxpr.jaxpr, dict(mesh.shape))


def described(name: str) -> list[Any]:
    """The slice's chips, as libtpu describes them on a machine that has none."""
    # Before libtpu is loaded: ask no metadata server and no other worker, and let several processes compile at once.
    for variable, value in {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }.items():
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies

    return topologies.get_topology_desc(platform="tpu", topology_name=name).devices


_SHARE = {"all_gather": lambda n: 1 - 1 / n, "reduce_scatter": lambda n: 1 - 1 / n, "psum": lambda n: 2 * (1 - 1 / n)}
"""Bytes that a device receives, of the whole array's."""


def collectives(jaxpr: Any, sizes: dict[str, int]) -> tuple[Collective, ...]:
    """What a traced step exchanges, loops counted as often as they run; `sizes` are those of the mesh's axes.

    The compiler adds scalars for the gradient's norm, and may gather the embedding once instead of twice.
    """
    counts: dict[tuple[str, str], list[float]] = {}
    for kind, axes, size, times in _exchanges(jaxpr, 1):
        devices = math.prod(sizes[axis] for axis in axes)
        if devices > 1:
            entry = counts.setdefault((kind, "+".join(axes)), [0, 0.0])
            entry[0] += times
            entry[1] += times * size * _SHARE[kind](devices)
    return tuple(
        Collective(kind, axes, int(count), size / _GIB) for (kind, axes), (count, size) in sorted(counts.items())
    )


def _exchanges(jaxpr: Any, times: int) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Kind, axes, bytes of the whole array, and how often, of every collective in a jaxpr and those inside it."""
    for equation in jaxpr.eqns:
        kind, parameters = equation.primitive.name, equation.params
        if kind in _SHARE:
            axes = parameters["axes"] if kind == "psum" else parameters["axis_name"]
            axes = (axes,) if isinstance(axes, str) else tuple(axes)
            arrays = equation.outvars if kind == "all_gather" else equation.invars
            for array in arrays:
                yield kind, axes, array.aval.size * array.aval.dtype.itemsize, times
        inside = times * parameters["length"] if kind == "scan" else times
        for inner in _inner(parameters.values()):
            yield from _exchanges(inner, inside)


def _inner(values: Any) -> Iterator[Any]:
    for value in values:
        if hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr
        elif isinstance(value, (tuple, list)):
            yield from _inner(value)
