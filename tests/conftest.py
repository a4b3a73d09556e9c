"""Fixtures that several rooms share."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from tests import bucket as buckets

ROOT = Path(__file__).parent.parent
# Results are those of a CPU, and no test should take a machine's accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Read once in a process, and some tests load TensorFlow.
os.environ.setdefault("EPATH_USE_TF", "false")
# No run of a test goes to the W&B of whoever runs it.
os.environ["WANDB_MODE"] = "disabled"
# One for all tests and the processes that they start: most of them compile the same few programs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def run_tiny(store: Path, seeds: int = 2) -> subprocess.CompletedProcess[str]:
    """Run the tiny study to its end in a process of its own, all but its report."""
    return subprocess.run(tiny_command(store, seeds=seeds), **tiny_options(), timeout=300, check=False)


def tiny_command(store: Path, checkpoint_seconds: float = 30.0, workers: int = 1, seeds: int = 2) -> list[str]:
    numbers = map(str, (checkpoint_seconds, workers, seeds))
    return [sys.executable, "-m", "tests.experiments.run_tiny", str(store), *numbers]


def tiny_options() -> dict:
    return {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.fixture(scope="session", autouse=True)
def ahead(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where several workers share the tests, one begins at once with what a third of them wait for."""
    wanted = any("finished_store" in getattr(item, "fixturenames", ()) for item in request.session.items)
    if wanted and os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
        Thread(target=_finished, args=(tmp_path_factory.getbasetemp(),), daemon=True).start()


@pytest.fixture(scope="session")
def finished_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny study was run to its end, by one of pytest's workers for all; do not change it."""
    return _finished(tmp_path_factory.getbasetemp())


def _finished(base: Path) -> Path:
    store = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished" / "store"
    with FileLock(store.parent.with_suffix(".lock")):
        if not (store.parent / "done").exists():
            options = tiny_options() | {"env": os.environ | {"TINY_REPORT": "1"}}
            done = subprocess.run(tiny_command(store), **options, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            (store.parent / "done").touch()
    return store


@pytest.fixture(scope="session")
def served_bucket() -> Iterator[buckets.Bucket]:
    """One server for all tests of a process, for clients keep its address and connections."""
    with buckets.served() as bucket:
        yield bucket


@pytest.fixture
def bucket(served_bucket: buckets.Bucket, monkeypatch: pytest.MonkeyPatch) -> buckets.Bucket:
    """An empty one, at gs://bucket for this process and those that it starts."""
    served_bucket.empty()
    for name, value in buckets.environment(served_bucket).items():
        monkeypatch.setenv(name, value)
    return served_bucket


@functools.cache
def boxes() -> bool:
    """Whether this machine lets an ordinary user start a bubblewrap box at all; some containers do not."""
    command = ["/usr/bin/bwrap", "--unshare-all", "--ro-bind", "/", "/", "/bin/true"]
    try:
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.run(command, capture_output=True, check=False, **user).returncode == 0
    except OSError:
        return False
