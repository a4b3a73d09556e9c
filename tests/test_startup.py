"""Planning and reading results start without jax and TensorFlow, and the rooms are this project's."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("jax", "flax", "optax", "tensorflow", "seqio", "torch", "orbax", "wandb")

PROBE = f"""
import sys
from experiments import cli, studies
studies.__path__.append({str(ROOT / "tests" / "experiments")!r})
sys.argv = ["ablate", *sys.argv[1:]]
cli.app(standalone_mode=False)
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


LAUNCH = "launch --engine jobset --slice v5litepod-4 --dry-run"


@pytest.mark.parametrize(
    "command", ["plan", "status", "compare", "signal", "check-claims", "report", "audit", "run", LAUNCH]
)
def test_reading_commands_load_no_jax_and_no_tensorflow(command: str, finished_store: Path) -> None:
    """On a store that was run, so that every command goes its whole way."""
    arguments = [sys.executable, "-c", PROBE, *command.split(), "tiny", "--store", str(finished_store)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("room", ["store", "mixtures", "models", "experiments", "analysis"])
def test_the_flat_package_names_are_ours(room: str) -> None:
    """Another installed package could shadow a name as plain as `models`."""
    file = importlib.import_module(room).__file__
    assert file is not None and Path(file).is_relative_to(ROOT)
