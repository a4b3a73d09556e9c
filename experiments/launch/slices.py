"""The slices of TPU v5e that can be launched on: a list of ours, since SkyPilot 0.14.1 takes any name for one.

Machines and hosts are those that xpk 1.16.0 has for GKE: 4 chips a machine from 2x4 on. A slice of one chip is left
out: libtpu 0.0.42.1 does not describe it, so nothing could be said of what fits.
"""

from dataclasses import dataclass, replace

from models.devices.roofline import TOPOLOGIES
from store.errors import UserError

ACCELERATOR = "tpu-v5-lite-podslice"
"""What GKE calls TPU v5e."""
MACHINE = "ct5lp-hightpu-4t"
"""Named wherever it can be: 2x4 is two of these or one ct5lp-hightpu-8t."""
_CHIPS_A_HOST = 4


@dataclass(frozen=True)
class Slice:
    """What one worker of a launch runs on.

    Attributes:
        name: as Google's TPU API calls it, such as v5litepod-256; or cpu:2, two processes of this machine.
        topology: as a plan calls it, such as v5e:16x16; or cpu.
        chips: 0 of a CPU.
        hosts: machines, or processes.
    """

    name: str
    topology: str
    chips: int
    hosts: int

    @property
    def grid(self) -> str:
        """As GKE calls the topology, such as 16x16."""
        return self.topology.removeprefix("v5e:")


SLICES = {
    slice_.name: slice_
    for slice_ in (
        Slice(f"v5litepod-{each.chips}", each.name, each.chips, each.chips // _CHIPS_A_HOST)
        for each in TOPOLOGIES.values()
    )
}
_MOST_PROCESSES = 64


def find_slice(name: str, tpu_vm: bool = False) -> Slice:
    """The slice of a name, on GKE; or as a TPU VM, where eight chips are one machine.

    Raises:
        UserError: there is none.
    """
    if name not in SLICES:
        raise UserError(f"slice '{name[:60]}' is unknown; choose one of {', '.join(SLICES)}")
    found = SLICES[name]
    return replace(found, hosts=1) if tpu_vm and found.chips == 8 else found


def find_processes(name: str) -> Slice:
    """Of `cpu:N`, N processes of this machine that train together.

    Raises:
        UserError: it is not of that form.
    """
    kind, _, number = name.partition(":")
    if kind != "cpu" or not number.isascii() or not number.isdigit() or not 1 <= int(number) <= _MOST_PROCESSES:
        raise UserError(
            f"slice '{name[:60]}' is none of this machine; the local engine takes cpu:N, N processes that train "
            f"together, up to {_MOST_PROCESSES}"
        )
    return Slice(f"cpu:{int(number)}", "cpu", 0, int(number))
