"""Against the same sums in NumPy, and what they are for: any change shows, and no placement does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from models import checksums


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _sum(array: np.ndarray) -> str:
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = flat.view({1: np.uint8, 2: np.uint16}.get(array.itemsize, np.uint32)).astype(np.uint32)
    hashes = _mixed(bits ^ _mixed(np.arange(bits.size, dtype=np.uint64).astype(np.uint32)))
    first, second = (int(each.sum(dtype=np.uint64)) % 2**32 for each in (hashes, _mixed(hashes)))
    return f"{first:08x}{second:08x}"


def _found(*arrays: np.ndarray) -> list[str]:
    named = {str(number): jnp.asarray(array) for number, array in enumerate(arrays)}
    return list(checksums.texts(named, checksums.begin(named)).values())


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    "array",
    [
        _array(61, 24),
        _array(3, 5, 7).astype(ml_dtypes.bfloat16),
        np.array([0.0, -0.0, np.nan, np.inf, 1e-45], np.float32),
        np.int32(-7),
        np.arange(-9, 9, dtype=np.int8),
        np.zeros((0, 4), np.float32),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_they_are_those_of_numpy(array: np.ndarray) -> None:
    assert _found(array) == [_sum(np.asarray(array))]


def test_any_change_shows() -> None:
    base = _array(61, 24)
    changed = {name: base.copy() for name in ("bit", "signs", "elements", "rows", "chunk", "shift")}
    changed["bit"].view(np.uint32)[17, 3] ^= 1
    changed["signs"][[4, 50], [7, 9]] *= -1
    changed["elements"][0, [0, 1]] = base[0, [1, 0]]
    changed["rows"][[5, 6]] = base[[6, 5]]
    changed["chunk"][32:] = 0
    changed["shift"][1:] = base[:-1]
    sums = _found(base, *changed.values())
    assert len(set(sums)) == len(sums)
    # The two halves do not go together: one of them alone would do for 32 bits.
    assert len({text[:8] for text in sums}) == len({text[8:] for text in sums}) == len(sums)


_EIGHT = """
import json
import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from models import checksums

mesh = jax.make_mesh((2, 4), ("data", "fsdp"))
array = np.random.default_rng(0).standard_normal((64, 24), np.float32)
specs = [P(), P("fsdp"), P(None, "data"), P("fsdp", "data"), P(("data", "fsdp"))]
placed = {str(spec): jax.device_put(array, NamedSharding(mesh, spec)) for spec in specs}
for number in (0, 5):  # a copy that is not as the others
    parts = [jax.device_put(array * (1 if n != number else 2), device) for n, device in enumerate(mesh.devices.flat)]
    everywhere = NamedSharding(mesh, P())
    placed[f"copy {number}"] = jax.make_array_from_single_device_arrays(array.shape, everywhere, parts)
large = jax.ShapeDtypeStruct((4096, 1024), np.float32, sharding=NamedSharding(mesh, P("fsdp")))
compiled = checksums._part(large.sharding).lower(large).compile()
print(json.dumps({
    "sums": checksums.texts(placed, checksums.begin(placed)),
    "program": compiled.as_text(),
    "temporary": compiled.memory_analysis().temp_size_in_bytes,
}))
"""


def test_no_placement_shows_and_no_array_travels() -> None:
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", _EIGHT], cwd=root, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    other = [found["sums"].pop(f"copy {number}") for number in (0, 5)]
    assert set(found["sums"].values()) == {_sum(_array(64, 24))}
    assert len({*other, _sum(_array(64, 24))}) == 3
    assert found["temporary"] < 4_096
    assert " reduce(" in found["program"] and not any(word in found["program"] for word in (" all-", " collective-"))
