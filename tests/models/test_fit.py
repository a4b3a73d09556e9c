import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import pytest
from rich.console import Console

from experiments.show.models import print_fit
from models.config import SIZES, ModelConfig, config, parameters
from models.devices import parallel
from models.devices.candidates import Asked
from models.devices.fitted import Fitted, fitted, keep, rows
from models.devices.flops import train_flops_per_token
from models.devices.layout import Layout, MeshShape
from models.devices.roofline import (
    ATTAINED,
    TOPOLOGIES,
    V5E,
    chip_hours,
    gpu,
    link_bytes,
    repeated_flops_per_token,
    roofline,
    topology,
)
from models.fit import Fit, described, fit, row
from models.fit_gpu import fit_gpu, search
from store.errors import Failure, UserError
from tests.conftest import ROOT
from tests.models.layouts import table_with
from tests.models.sharded import SMALL

sys.path.append(str(ROOT / ".venv" / "libtpu"))  # where `make test` puts it

_TWO_LAYERS = ModelConfig("two layers", vocabulary=1_024, width=256, layers=2, heads=2, feed_forward=256)
"""Small, since the compiler takes a minute for two layers of the 470m."""
_VMEM = "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem while allocating on stack: exceeded by 1.20M"
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed; install the extra tpu-fit"
)


def test_the_bound_is_the_work_over_the_peak() -> None:
    """470m, two sequences of 8,192 a chip, nothing computed twice but what the attention kernel does."""
    size, slice_, mesh = config("470m"), topology("v5e:16x16"), MeshShape(16, 16)
    bound = roofline(size, slice_, mesh, Layout(), 512, 8_192)
    kernel = 3 * 16 * 1_024 * 8_192
    assert bound.flops == 2 * 8_192 * (train_flops_per_token(size, 8_192) + kernel)
    assert bound.seconds == bound.compute_seconds == pytest.approx(bound.flops / 197e12)
    assert bound.bound_by == "compute"


def test_recomputation_counts_the_products_that_are_made_again() -> None:
    size = config("470m")
    none, dots, attention, full = (
        repeated_flops_per_token(size, 8_192, Layout(remat=remat)) for remat in ("none", "dots", "attention", "full")
    )
    assert none == dots
    assert attention - none == 2 * 16 * (3 * 1_024 * 1_024 + 2 * 1_024 * 2_816)
    assert full - attention == 2 * 16 * 1_024 * 8_192


def test_links_carry_weights_and_gradients_once_per_microbatch() -> None:
    size, mesh = config("470m"), MeshShape(16, 16)
    once, data = link_bytes(size, mesh, Layout(1, "full"))
    four, same_data = link_bytes(size, mesh, Layout(4, "full"))
    assert four == 4 * once and same_data == data
    count = parameters(size)
    assert once == pytest.approx((8 * count.non_embedding + 12 * count.embedding) * 15 / 16, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "mesh", "fsdp_links", "data_links"),
    [
        ("v5e:16x16", MeshShape(16, 16), 2, 2),
        ("v5e:8x16", MeshShape(8, 16), 2, 1),  # data lies along the 8, which is a line
        ("v5e:8x16", MeshShape(1, 128), 3, 1),
        ("v5e:8x8", MeshShape(8, 8), 1, 1),
    ],
)
def test_links_are_those_of_the_side_along_which_an_axis_lies(
    name: str, mesh: MeshShape, fsdp_links: int, data_links: int
) -> None:
    size = config("470m")
    over_fsdp, over_data = link_bytes(size, mesh, Layout())
    bound = roofline(size, topology(name), mesh, Layout(), 512, 8_192)
    assert bound.link_seconds == pytest.approx((over_fsdp / fsdp_links + over_data / data_links) / 45e9)


def test_float32_is_six_products_of_bfloat16() -> None:
    asked = (config("470m"), topology("v5e:16x16"), MeshShape(16, 16), Layout(), 512, 8_192)
    assert roofline(*asked, "float32").compute_seconds == 6 * roofline(*asked, "bfloat16").compute_seconds


def test_chip_hours_of_a_budget() -> None:
    # 47,684 steps of 512 x 8,192 tokens hold 200B; one second each on 256 chips.
    assert chip_hours(1.0, 256, 512, 8_192, 200e9) == pytest.approx(47_684 * 256 / 3_600 / ATTAINED)


@pytest.mark.parametrize("name", ["v5e:3x3", "v5e", "h100:8", "16x16"])
def test_an_unknown_topology_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match=rf"topology '{name}' is unknown; choose one of v5e:2x2, .*v5e:16x16$"):
        fit(config("470m"), name)


def test_a_batch_that_the_chips_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="batch of 100 sequences cannot be divided over the 256 chips of v5e:16x16"):
        fit(config("470m"), "v5e:16x16", batch=100)


def test_a_model_too_small_for_the_slice_is_refused() -> None:
    with pytest.raises(UserError, match="model '1m' cannot be divided over v5e:16x16: its width 96"):
        fit(config("1m"), "v5e:16x16")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_a_machine_without_the_compiler_is_told_how_to_get_it() -> None:
    with pytest.raises(Failure, match=r"libtpu.*tpu-fit"):
        fit(config("470m"), "v5e:2x2")


@pytest.fixture(scope="module")
def found() -> Iterator[Fit]:
    """Of the second candidate: the compiler says of the first that a kernel's own memory does not suffice."""
    real, refusals = jax.stages.Lowered.compile, [_VMEM]

    def compile_(self: Any, *arguments: Any) -> Any:
        if refusals:
            raise jax.errors.JaxRuntimeError(refusals.pop())
        return real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", compile_)
        yield fit(_TWO_LAYERS, "v5e:2x2", sequence=128, batch=4)


@needs_libtpu
def test_two_layers_fit_four_chips(found: Fit) -> None:
    document = json.loads(json.dumps(asdict(found)))
    assert document["fits"] and document["remat"] == "dots" and document["microbatch"] == 1
    assert document["tried"] == ["data 1 x fsdp 4, 1 microbatches, remat none: needs more than there is"]
    # At the least the state, 12 bytes a parameter over the chips that divide it.
    assert 12 * parameters(_TWO_LAYERS).total / 4 / 2**30 <= document["hbm_gib"] + 0.005 < V5E.usable_gib
    assert document["step_seconds_bound"] > 0 and document["chip_hours"] > 0
    assert {entry["kind"] for entry in document["collectives"]} >= {"all_gather", "reduce_scatter"}


@needs_libtpu
def test_what_was_found_is_a_row_of_the_table(found: Fit, tmp_path: Path) -> None:
    table = table_with(tmp_path)
    keep(row(found, _TWO_LAYERS, "libtpu"), table)
    kept = fitted(_TWO_LAYERS, "v5e:2x2", 128, 4, "bfloat16", table)
    assert kept is not None and (kept.mesh, kept.layout) == (found.mesh, Layout(1, "dots", scan=True))
    assert kept.hbm_gib == found.hbm_gib and kept.compiler.startswith("libtpu 0.") and kept.scoring_gib is None
    print_fit(asdict(found), console := Console(record=True, width=200))
    assert "1 layouts with a shorter bound refused" in console.export_text()


@needs_libtpu
def test_neighbours_of_a_mesh_are_neighbours_on_the_torus() -> None:
    """An axis of the mesh lies along one side of the slice; over the whole slice it goes row by row."""
    for name, shape in (("v5e:16x16", (16, 16)), ("v5e:8x16", (8, 16)), ("v5e:8x16", (1, 128)), ("v5e:8x8", (1, 64))):
        slice_, grid = topology(name), parallel.make_mesh(MeshShape(*shape), described(name)).devices
        assert len(set(grid.flat)) == slice_.chips
        for line in grid.reshape(-1, slice_.columns):
            assert all(_apart(one, other) == 1 for one, other in itertools.pairwise(line))
        for line in grid.T if shape[0] > 1 else ():
            assert all(_apart(one, other) == 1 for one, other in itertools.pairwise(line))


def _apart(one: Any, other: Any) -> int:
    return sum(abs(a - b) for a, b in zip(one.coords, other.coords, strict=True))


@needs_libtpu
def test_what_does_not_fit_is_a_row_with_the_way_out() -> None:
    deep = replace(config("2.8b"), name="deep", layers=70)
    found = fit(deep, "v5e:2x2", batch=4)
    assert not found.fits and found.remat is None and found.step_seconds_bound is None
    assert found.hbm_gib > V5E.hbm_gib
    assert found.way_out is not None and "more chips" in found.way_out
    assert len(found.tried) == 8  # Two meshes and four remat policies; all refused by arithmetic.
    kept = row(found, deep, "libtpu")
    assert not kept.fits and kept.hbm_gib == found.hbm_gib and kept.remat is kept.fsdp is None


def test_a_gpus_layout_is_the_first_that_runs() -> None:
    """On the device that is here, with so little memory the second time that arithmetic refuses everything."""
    one = ModelConfig("one layer", vocabulary=64, width=16, layers=1, heads=1, feed_forward=16)
    asked, said = Asked(one, gpu("made up"), 16, 2, "float32"), []
    roomy = search(asked, 1 << 30, said.append, steps=2)
    assert roomy.fits and roomy.microbatches == 1 and len(roomy.step_seconds) == 2 and roomy.topology == "gpu:made up"
    assert roomy.tokens_per_second == pytest.approx(2 * 16 / (sum(roomy.step_seconds) / 2), rel=0.01)
    assert said == ["compiling data 1 x fsdp 1, 1 microbatches, remat none"]
    none = search(asked, 1_000, said.append)
    assert not none.fits and none.tokens_per_second is None and none.way_out is not None and len(none.tried) == 8


def test_without_a_gpu_there_is_no_search_on_one() -> None:
    with pytest.raises(Failure, match=r"no GPU: jax finds none here .*; name a slice such as v5e:16x16"):
        fit_gpu(SMALL, 32, 16)


@needs_libtpu
@pytest.mark.tpu_fit
@pytest.mark.parametrize(
    "kept", [kept for kept in rows() if kept.topology in TOPOLOGIES], ids=lambda kept: f"{kept.model}-{kept.topology}"
)
def test_the_tables_rows_are_what_is_found(kept: Fitted) -> None:
    size = SIZES[kept.model]
    again = row(fit(size, kept.topology, kept.sequence, kept.batch, precision=kept.precision), size, "libtpu")
    its = ("made", "jax", "compiler", "scoring_gib")
    assert replace(again, **{name: getattr(kept, name) for name in its}) == kept
