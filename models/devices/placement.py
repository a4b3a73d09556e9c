"""Where and in which layout a model is trained: what the table says of these devices, else arithmetic. No search.

It decides memory and speed, not the result.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh

from models.config import SIZES, ModelConfig
from models.devices import hosts, parallel
from models.devices.candidates import Asked, check_divides
from models.devices.fitted import TABLE, command, fitted, shape
from models.devices.layout import Layout, MeshShape, check
from models.devices.memory import estimated, gave_out
from models.devices.roofline import V5E, gpu, slice_of
from store.errors import Failure

V5E_KIND = "TPU v5 lite"
"""What jax calls the chip that the table's slices are made of."""


@dataclass(frozen=True)
class Machine:
    """All devices of all processes.

    Attributes:
        platform, kind: what jax calls them.
        devices: how many.
        memory: bytes of one that the process may use; None of a CPU.
    """

    platform: str
    kind: str
    devices: int
    memory: int | None = None


@functools.cache
def placement(model: ModelConfig, precision: str, batch: int, sequence: int) -> tuple[Mesh | None, Layout]:
    """All devices of all processes (None for one alone), and how their rows go through the model: as `place` says.

    Every process has to ask, at the same point of the program.

    Raises:
        UserError, Failure: as `place`; or a process would take another layout.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    with hosts.together():
        chosen = place(model, _machine(len(devices)), precision, batch, sequence)
    agree(model, *chosen)
    return (parallel.make_mesh(chosen[0], devices) if len(devices) > 1 else None), chosen[1]


def _machine(devices: int) -> Machine:
    device = jax.local_devices()[0]
    stats = None if device.platform == "cpu" else device.memory_stats()
    return Machine(device.platform, device.device_kind, devices, stats and stats.get("bytes_limit"))


def agree(model: ModelConfig, mesh: MeshShape, layout: Layout) -> None:
    """Have all processes compare what they would train in with the first's.

    Raises:
        Failure: one has another.
    """
    if (other := hosts.unlike(f"{mesh}, {layout}")) is not None:
        raise Failure(
            f"process {other} would train model '{model.name}' in another layout than process 0; "
            "give all hosts the same code, with the same table of layouts"
        )


def place(
    model: ModelConfig, machine: Machine, precision: str, batch: int, sequence: int, table: Path = TABLE
) -> tuple[MeshShape, Layout]:
    """The mesh of a machine's devices, and the layout of a step.

    On a slice of TPU the table's. Elsewhere the weights are divided over as many devices as divide every matrix, and
    the others repeat them; a GPU's layout is the table's for one of its kind, else the fastest that by an estimate fits
    its memory.

    Raises:
        UserError: no slice has so many chips, or the devices do not divide the batch or the model.
        Failure: the table has no row for this, or one that says that it does not fit, or the estimate says so.
    """
    if machine.platform == "tpu" and machine.devices > 1:
        return _on_slice(model, machine, precision, batch, sequence, table)
    fsdp = math.gcd(machine.devices, model.width, model.feed_forward, model.vocabulary)
    mesh = MeshShape(data=machine.devices // fsdp, fsdp=fsdp)
    check(mesh, batch)
    if machine.memory is None:
        return mesh, Layout()
    devices = gpu(machine.kind, machine.devices)
    row = fitted(model, devices.name, sequence, batch, precision, table) if machine.devices == 1 else None
    if row is not None and row.fits:
        return row.mesh, row.layout
    asked = Asked(model, devices, sequence, batch, precision)
    layout = estimated(asked, mesh, machine.memory)
    if layout is None:
        way_out = _looked_for(model, machine, precision, batch, sequence)
        raise Failure(
            f"model '{model.name}', {batch} sequences of {sequence:,} tokens in {precision}, does not fit the memory "
            f"of {machine.devices} x {machine.kind} by an estimate; {way_out}"
        )
    return mesh, layout


def _on_slice(
    model: ModelConfig, machine: Machine, precision: str, batch: int, sequence: int, table: Path
) -> tuple[MeshShape, Layout]:
    if machine.kind != V5E_KIND:
        raise Failure(
            f"the table of layouts knows slices of {V5E_KIND} ({V5E.name}) and these are {machine.kind}; train on v5e, "
            "on GPUs, or on one chip"
        )
    slice_ = slice_of(machine.devices)
    check_divides(model, slice_, batch)
    row = fitted(model, slice_.name, sequence, batch, precision, table)
    what = f"model '{model.name}', {batch} sequences of {sequence:,} tokens in {precision}, on {slice_.name}"
    if row is None:
        raise Failure(f"{what}: no layout is known; {_way_out(model, slice_.name, precision, batch, sequence, table)}")
    if not row.fits:
        raise Failure(
            f"{what}: it needs {row.hbm_gib:.1f} GiB a chip and {V5E.usable_gib:.2f} may be used ({row.basis}); "
            "choose a larger slice"
        )
    return row.mesh, row.layout


def _way_out(model: ModelConfig, topology: str, precision: str, batch: int, sequence: int, table: Path) -> str:
    asked = command(model, topology, precision, batch, sequence)
    if model.name in SIZES and shape(SIZES[model.name]) == shape(model):
        return f"`{asked}`, on a machine with libtpu, writes it into {table.name}"
    return f"its shape is none of `ablate models`: add it to models/config.py under a name of its own, then `{asked}`"


@contextmanager
def enough_memory(model: ModelConfig, precision: str, batch: int, sequence: int) -> Iterator[None]:
    """While a stage trains: a device whose memory gives out is said in one line.

    Raises:
        Failure: it did.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not gave_out(str(error)):
            raise
        machine, said = _machine(jax.device_count()), str(error).splitlines()[0][:200]
        raise Failure(
            f"memory of {machine.kind} gave out in training model '{model.name}' ({said}); "
            f"{_looked_for(model, machine, precision, batch, sequence)}"
        ) from error


def _looked_for(model: ModelConfig, machine: Machine, precision: str, batch: int, sequence: int) -> str:
    """The way out where memory does not suffice."""
    if machine.platform == "gpu" and machine.devices == 1:
        asked = command(model, "gpu", precision, batch, sequence)
        return f"`{asked}` looks for a layout that runs here, and the next run takes it"
    return "choose a smaller batch, sequence or model, or devices with more memory"
