"""One thread computes on a CPU, whatever the machine, so that neither cores nor workers decide a bit. Loads no jax.

XLA divides a product among its threads, and another division adds up in another order: the quickstart's model becomes
another with 1, 2 and 8 of them. How many there are is decided once, where jax makes its CPU client: NPROC if that is
set, else the cores that the process may use (jax 0.10.2; `--xla_cpu_multi_thread_eigen=false` moves nothing any more).
The compiled program is the same for any number, so all processes share one compilation cache, and compiling itself goes
on on all cores. Several devices forced out of one CPU have a thread each.

More cores are used by more processes: on two cores, two of one thread train a quarter more tokens in a second or better
than one of two (benchmarks/training_loop.md).
"""

import os
import pkgutil
import platform
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

_DEVICES = ("nvidia0", "nvidiactl", "dxg", "kfd", "accel[0-9]*", "vfio/[0-9]*")
"""Of GPUs (NVIDIA's, under WSL, AMD's) and TPUs, as the kernel shows them in /dev."""
_ALLOCATOR = {"hugetlb": 1, "mmap_max": 0, "trim_threshold": 1 << 33, "top_pad": 1 << 28}
"""Of glibc. A step's temporary memory is one block of tens of megabytes; by default it is mapped anew for every step,
and each page cleared: 15,000 faults of the 1m, and a fifth of its time or more (benchmarks/training_loop.md). So memory
stays with the process, in large pages where the system has them. Other libraries of C ignore it."""


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def processor() -> str:
    """What this machine's CPU is called."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def accelerated() -> bool:
    """Whether jax computes on an accelerator: what JAX_PLATFORMS says, else whether a plugin and a device are here."""
    if named := os.environ.get("JAX_PLATFORMS", ""):
        return named.split(",")[0].strip().lower() != "cpu"
    return _plugin() and any(any(Path("/dev").glob(device)) for device in _DEVICES)


def _plugin() -> bool:
    plugins = find_spec("jax_plugins")
    found = [] if plugins is None else list(pkgutil.iter_modules(plugins.submodule_search_locations))
    return bool(found) or find_spec("libtpu") is not None


def one_thread() -> None:
    """Have the CPU client that jax makes later in this process compute with one thread; accelerators are left alone."""
    if not accelerated():
        os.environ["NPROC"] = "1"


def a_device_a_core() -> None:
    """Have jax see a CPU's cores, later in this process, as devices of one thread each; accelerators are left alone.

    For work that is no study's: how many rows a device has may move the last bits of a score.
    """
    one_thread()
    if not accelerated():
        import jax

        jax.config.update("jax_num_cpu_devices", len(cores()))


def environment() -> dict[str, str]:
    """Of a process that computes. On an accelerator it is this one's: its host copies of a state are not to be kept."""
    if accelerated():
        return dict(os.environ)
    tunables = ":".join(f"glibc.malloc.{name}={value}" for name, value in _ALLOCATOR.items())
    return {"GLIBC_TUNABLES": tunables, **os.environ}  # what the user says of the allocator stands
