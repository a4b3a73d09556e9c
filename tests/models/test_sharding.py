import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.devices.layout import Layout, MeshShape, check
from models.devices.parallel import setting
from models.devices.roofline import link_bytes
from models.objectives import Rows
from models.recipe import AdamW
from models.step import init_state, loss_and_gradients, train_step
from store.errors import UserError
from tests.models.layouts import row_of, table_with
from tests.models.sharded import SMALL
from tests.models.tiny import TINY, tokens


def _start(devices: int, *arguments: str) -> subprocess.Popen[str]:
    # Programs that run for three steps are not worth what LLVM would make of them.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.models.sharded", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _result(process: subprocess.Popen[str]) -> object:
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error[-2_000:]
    return json.loads(out.splitlines()[-1])


Gradient = tuple[float, dict[str, np.ndarray]]
"""Loss, and gradient by parameter."""


def _gradient(precision: str, layout: Layout) -> Gradient:
    params = init_state(TINY, AdamW(), 0).params
    loss, gradients = jax.jit(loss_and_gradients(TINY, precision, layout, None))(params, Rows(tokens(4, 33)))
    return float(loss), jax.device_get(gradients)


@pytest.fixture(scope="module")
def plain() -> Gradient:
    return _gradient("float32", Layout())


@pytest.fixture(scope="module")
def seen() -> dict[str, list]:
    """Loss and gradient norm of every step on every mesh, from one process with eight devices."""
    return _result(_start(8))


@pytest.mark.parametrize(
    ("mesh", "one"),
    [
        ("data", "one"),
        ("fsdp", "one"),
        ("crossed", "one"),
        ("all weighted", "one weighted"),
        ("all ranked", "one ranked"),
    ],
    ids=["8,1", "1,8", "2,4 in another order", "2,4 masked and weighted", "2,4 ranked"],
)
def test_every_mesh_trains_as_one_device_does(seen: dict[str, list], mesh: str, one: str) -> None:
    """Under a mesh of (2, 4) and two microbatches every part has one row: weights and answers are very uneven."""
    np.testing.assert_allclose(seen[mesh], seen[one], rtol=1e-5)


def test_a_document_mask_counts(seen: dict[str, list]) -> None:
    assert np.abs(np.subtract(seen["one masked"], seen["one"])).max() > 1e-3


def test_weights_and_gradients_travel_once_per_microbatch_and_never_per_chunk(seen: dict[str, list]) -> None:
    found = {(entry["kind"], entry["axes"]): entry for entry in seen["exchanged"]}
    layout, mesh = Layout(2, "full"), MeshShape(2, 4)
    # Seven matrices a layer, gathered for both passes, and the embedding for the lookup and the loss.
    assert found["all_gather", "fsdp"]["count"] == 2 * (2 * 7 * SMALL.layers + 2)
    assert found["reduce_scatter", "fsdp"]["count"] == 2 * (7 * SMALL.layers + 2)
    over_fsdp, over_data = link_bytes(SMALL, mesh, layout)
    assert sum(e["gib"] for (_, axes), e in found.items() if axes == "fsdp") * 2**30 == pytest.approx(over_fsdp)
    assert found["psum", "data"]["gib"] * 2**30 == pytest.approx(over_data)


def test_two_processes_train_in_the_tables_layout_as_one(seen: dict[str, list], tmp_path: Path) -> None:
    """Each holds chips of both rows of the mesh, and feeds its half of the batch: of the answers, the second has more
    than twice the first's."""
    table = table_with(tmp_path, row_of(SMALL, "v5e:2x4", 32, 16, "float32", data=2, fsdp=4, microbatches=2))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = map(_result, [_start(4, address, "2", str(number), str(table)) for number in range(2)])
    assert first == second
    assert first["layout"] == str((MeshShape(2, 4), Layout(2, "full", scan=True)))
    for name, found in first["seen"].items():
        np.testing.assert_allclose(found, seen[name], rtol=1e-5, err_msg=name)
    assert len(first["seen"]) == 3
    assert first["said"].startswith("process 1 would train model 'small' in another layout than process 0; give all")


@pytest.mark.parametrize(
    "layout",
    [Layout(2), Layout(4, "full", scan=True), Layout(remat="dots", scan=True), Layout(remat="attention")],
    ids=str,
)
def test_microbatches_remat_and_scan_leave_the_gradient_as_it_is(layout: Layout, plain: Gradient) -> None:
    loss, gradients = _gradient("float32", layout)
    np.testing.assert_allclose(loss, plain[0], rtol=1e-6)
    for name, expected in plain[1].items():
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-4, atol=1e-7, err_msg=name)


def test_bfloat16_computes_near_float32_and_returns_float32(plain: Gradient) -> None:
    loss, gradients = _gradient("bfloat16", Layout())
    assert loss != plain[0]
    assert loss == pytest.approx(plain[0], rel=1e-3)
    for name, exact in plain[1].items():
        assert gradients[name].dtype == np.float32
        assert np.linalg.norm(gradients[name] - exact) < 0.05 * np.linalg.norm(exact), name


def test_a_frequent_tokens_gradient_is_added_up_in_float32() -> None:
    lookup = setting(None, jnp.dtype("bfloat16"), Layout(), False).lookup
    places = np.zeros(4_096, np.int32)  # bfloat16 ones would stop adding up at 256.
    gradient = jax.grad(lambda embedding: lookup(embedding, places).astype(jnp.float32).sum())(jnp.ones((3, 2)))
    np.testing.assert_array_equal(gradient, [[4_096, 4_096], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("mesh", "batch", "microbatches", "named"),
    [
        (MeshShape(4, 2), 12, 1, "batch of 12 sequences cannot be divided into 8 "),
        (MeshShape(4, 2), 16, 4, "make the batch a multiple of 32"),
    ],
)
def test_a_mesh_that_does_not_divide_is_refused(mesh: MeshShape, batch: int, microbatches: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        check(mesh, batch, microbatches)


def test_a_batch_that_the_step_cannot_cut_is_refused() -> None:
    with pytest.raises(UserError, match="batch of 4 sequences"):
        train_step(TINY, AdamW(), layout=Layout(3))(init_state(TINY, AdamW(), 0), tokens(4, 17), 1e-3)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UserError, match="'float16' is unknown"):
        train_step(TINY, AdamW(), "float16")
