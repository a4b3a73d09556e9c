"""Neither the machine's cores nor what a shell says of them decides what a model becomes on a CPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.devices.threads import accelerated, cores, environment
from tests.conftest import ROOT
from tests.models.digest import digest


def _digest(*threads: str, **environment: str) -> str:
    command = [sys.executable, "-m", "tests.models.digest", *threads]
    options = {"env": os.environ | environment, "capture_output": True, "text": True, "cwd": ROOT}
    done = subprocess.run(command, **options, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def _one_core() -> Iterator[None]:
    """Of all that this process may use, for those that it starts."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to a core")
@pytest.mark.soak
def test_any_number_of_cores_gives_the_same_bits_in_any_process() -> None:
    """And those of this process. With more threads they are others, or there would be nothing to hold."""
    here = digest()
    assert _digest(NPROC="8") == here
    with _one_core():
        assert _digest() == here
    assert _digest("8") != here


@pytest.mark.parametrize(
    ("platforms", "plugin", "device", "found"),
    [
        ("cpu", True, "null", False),
        ("CUDA,cpu", False, "none", True),
        ("", True, "null", True),
        ("", False, "null", False),
        ("", True, "none", False),
    ],
)
def test_the_platform_is_known_without_jax(
    platforms: str, plugin: bool, device: str, found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is named first counts; where nothing is, a plugin of jax's together with a device that is there."""
    # `make test` has the TPU compiler in a folder of its own, which another test puts on the path.
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path).name != "libtpu"])
    monkeypatch.delitem(sys.modules, "libtpu", raising=False)
    if plugin:
        (tmp_path / "libtpu.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("models.devices.threads._DEVICES", (device,))
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert accelerated() == found


def test_a_cpu_keeps_memory_and_what_the_user_says_of_the_allocator_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert "GLIBC_TUNABLES" not in environment()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "glibc.malloc.mmap_max=0" in environment()["GLIBC_TUNABLES"].split(":")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    assert environment()["GLIBC_TUNABLES"] == "glibc.malloc.check=3"


def test_the_cores_are_devices_of_one_thread_each_where_they_are_asked_for() -> None:
    program = (
        "import os; from models.devices.threads import a_device_a_core; a_device_a_core()\n"
        "import jax; print(jax.device_count(), os.environ['NPROC'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(cores())), "1"]
