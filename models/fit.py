"""Does a model fit a TPU slice, and how fast could it be: the real train step, compiled ahead of time with no TPU.

The compiler is libtpu's own (extra `tpu-fit`, Linux), and it counts arguments, results, temporaries and code against
the chip's HBM. Nothing is run, so speed is a bound from arithmetic (models/devices/roofline.py) and not a measurement;
the compiler's own FLOPs are of no use, since they count a loop's body once.

Candidates are mesh x microbatches x remat, tried from the shortest bound up. One that cannot fit by arithmetic costs
nothing, one that the compiler refuses costs seconds, and the first that compiles is the answer.
"""

import functools
import importlib.metadata
import importlib.util
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from models.config import ModelConfig
from models.devices.candidates import Asked, Candidate, candidates, check_divides, meshes
from models.devices.fitted import Fitted
from models.devices.layout import MeshShape
from models.devices.memory import GIB, gave_out, least_gib, needed_gib, step_gib
from models.devices.roofline import Roofline, chip_hours, topology
from models.recipe import AdamW
from store.errors import Failure

Z_LOSS = 1e-4
"""That the step is compiled with, and with document masks: whoever trains without either needs no more memory."""


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
    """A model on its devices, and how it was found.

    Attributes:
        model, topology, sequence, batch, precision: what was asked.
        fits: whether a layout was found.
        hbm_gib: of one chip, in the layout found; else the least that any layout needed.
        scoring_gib: of one chip, what scoring needs there (models/footprint.py); None where it is not known.
        limit_gib: what a layout may need of a chip.
        remat, microbatch: the layout found; sequences of one chip in one pass. None when nothing fits.
        microbatches, mesh: the same layout in full.
        step_seconds_bound: the roofline's bound on a step; None where the device's peaks are not known.
        bound_by: compute, hbm or links.
        roofline: one chip's work in a step, and its seconds by kind.
        step_seconds: of the steps that were run.
        tokens_per_second, mfu: by their median; the model's own FLOPs over the device's peak.
        chip_hours: of `tokens`, at the speed measured, else at roofline.ATTAINED of the bound's.
        tokens: the budget.
        collectives: what the step exchanges, from its trace.
        tried: candidates refused before, with the reason.
        way_out: what to change when nothing fits.
    """

    model: str
    topology: str
    sequence: int
    batch: int
    precision: str
    fits: bool
    hbm_gib: float
    limit_gib: float
    scoring_gib: float | None = None
    remat: str | None = None
    microbatch: int | None = None
    microbatches: int | None = None
    mesh: MeshShape | None = None
    step_seconds_bound: float | None = None
    bound_by: str | None = None
    roofline: Roofline | None = None
    step_seconds: tuple[float, ...] = ()
    tokens_per_second: float | None = None
    mfu: float | None = None
    chip_hours: float | None = None
    tokens: float | None = None
    collectives: tuple[Collective, ...] = ()
    tried: tuple[str, ...] = ()
    way_out: str | None = None


Said = Callable[[str], None]
"""Told what is tried, and what became of it."""
T = TypeVar("T")


def fit(
    config: ModelConfig,
    name: str,
    sequence: int = 8_192,
    batch: int = 512,
    tokens: float = 200e9,
    precision: str = "bfloat16",
    say: Said = lambda line: None,
) -> Fit:
    """Whether and how the model trains on a slice.

    Args:
        config: the model.
        name: of the topology, such as v5e:16x16.
        sequence, batch: tokens of a sequence, sequences of a step.
        tokens: the budget that chip-hours are for.
        precision: a name of recipe.PRECISIONS.
        say: told the candidates.

    Raises:
        UserError: an unknown topology, or one whose chips divide neither the batch nor the model.
        Failure: libtpu is not installed.
    """
    slice_ = topology(name)
    check_divides(config, slice_, batch)
    if importlib.util.find_spec("libtpu") is None:
        raise Failure("libtpu, the TPU compiler, is not installed; on Linux: pip install -e '.[tpu-fit]' (700 MB)")
    asked = Asked(config, slice_, sequence, batch, precision)
    found = replace(_search(asked, say), tokens=tokens)
    if found.roofline is None:
        return found
    return replace(found, chip_hours=chip_hours(found.roofline.seconds, slice_.chips, batch, sequence, tokens))


def row(found: Fit, config: ModelConfig, compiler: str) -> Fitted:
    """What the table keeps; `compiler` is the package that compiled."""
    its = {name: getattr(config, name) for name in ("vocabulary", "width", "layers", "heads", "feed_forward")}
    asked = {name: getattr(found, name) for name in ("model", "topology", "sequence", "batch", "precision")}
    layout = {name: getattr(found, name) for name in ("fits", "hbm_gib", "microbatches", "remat")}
    return Fitted(
        **its,
        **asked,
        **layout,
        data=found.mesh.data if found.mesh else None,
        fsdp=found.mesh.fsdp if found.mesh else None,
        scoring_gib=found.scoring_gib,
        tokens_per_second=found.tokens_per_second,
        mfu=found.mfu,
        made=datetime.now(UTC).date().isoformat(),
        jax=importlib.metadata.version("jax"),
        compiler=f"{compiler} {importlib.metadata.version(compiler)}",
    )


def first_fitting(
    asked: Asked, limit: float, all_: list[Candidate], say: Said, attempt: Callable[[Candidate], tuple[float | None, T]]
) -> tuple[Fit, T | None]:
    """The first of all candidates that needs no more than `limit` GiB, or that none fits, and what came of it.

    Args:
        asked: of the layout.
        limit: GiB of a chip.
        all_: in the order in which they are tried.
        say: told them.
        attempt: compiles a candidate: GiB, None where they are not known, and what comes of it, None where memory gave
            out.
    """
    tried: list[str] = []
    counted: list[float] = []
    for candidate in all_:
        needed: float | None = least_gib(asked, candidate)
        came = None
        if needed is not None and needed <= limit:
            say(f"compiling {candidate}")
            needed, came = attempt(candidate)
            counted += [] if needed is None else [needed]
        # The compiler lets some temporaries share space and may accept a little more than there is; we do not.
        if needed is not None and came is not None and needed <= limit:
            return _found(asked, limit, candidate, needed, tried), came
        tried.append(f"{candidate}: needs {'more than there is' if needed is None else f'{needed:.1f} GiB'}")
        say(tried[-1])
    # What was counted of one, else what any needs by arithmetic.
    least = min(counted or [least_gib(asked, candidate) for candidate in all_])
    way_out = (
        f"the leanest layout needs {least:.1f} GiB a chip and {limit:.2f} of {asked.slice_.name} may be used; "
        "choose a topology with more chips, a shorter sequence or a smaller model"
    )
    return replace(_asked(asked, limit), hbm_gib=round(least, 2), tried=tuple(tried), way_out=way_out), None


def _found(asked: Asked, limit: float, candidate: Candidate, gib: float, tried: list[str]) -> Fit:
    """That a candidate fits, with its bound."""
    return replace(
        _asked(asked, limit),
        fits=True,
        hbm_gib=round(gib, 2),
        remat=candidate.layout.remat,
        microbatch=asked.rows // candidate.layout.microbatches,
        microbatches=candidate.layout.microbatches,
        mesh=candidate.mesh,
        step_seconds_bound=candidate.bound.seconds,
        bound_by=candidate.bound.bound_by,
        roofline=candidate.bound,
        tried=tuple(tried),
    )


def _asked(asked: Asked, limit: float) -> Fit:
    its = (asked.config.name, asked.slice_.name, asked.sequence, asked.batch, asked.precision)
    return Fit(*its, fits=False, hbm_gib=0.0, limit_gib=round(limit, 2))


def _search(asked: Asked, say: Said) -> Fit:
    all_ = candidates(asked, list(meshes(asked.config, asked.slice_)))
    attempt = functools.partial(_compiled, asked)
    found, exchanged = first_fitting(asked, asked.slice_.chip.usable_gib, all_, say, attempt)
    return found if exchanged is None else replace(found, collectives=exchanged)


def _compiled(asked: Asked, candidate: Candidate) -> tuple[float | None, tuple[Collective, ...] | None]:
    """GiB a chip, where they are known, and the collectives; None for those when the compiler refuses the step."""
    import jax
    import jax.numpy as jnp

    from models.devices import parallel
    from models.step import abstract_state, train_step

    mesh = parallel.make_mesh(candidate.mesh, described(asked.slice_.name))
    rows = jax.sharding.NamedSharding(mesh, parallel.BATCH)
    tokens, segments = (
        jax.ShapeDtypeStruct((asked.batch, asked.sequence + more), jnp.int32, sharding=rows) for more in (1, 0)
    )
    step = train_step(asked.config, AdamW(), asked.precision, candidate.layout, mesh, Z_LOSS)
    state = abstract_state(asked.config, AdamW(), mesh)
    traced = step.trace(state, tokens, jax.ShapeDtypeStruct((), jnp.float32), segments)
    try:
        memory = traced.lower().compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if not gave_out(str(error)):
            raise
        return needed_gib(str(error)), None
    return step_gib(memory), collectives(traced.jaxpr.jaxpr, dict(mesh.shape))


@functools.cache
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
        Collective(kind, axes, int(count), size / GIB) for (kind, axes), (count, size) in sorted(counts.items())
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
