import importlib.util
import json
import sys
from dataclasses import asdict, replace

import pytest

from models.config import ModelConfig, config, parameters
from models.devices.flops import train_flops_per_token
from models.devices.layout import Layout, MeshShape
from models.devices.roofline import ATTAINED, V5E, chip_hours, link_bytes, repeated_flops_per_token, roofline, topology
from models.fit import Fit, described, fit, place
from models.recipe import AdamW
from store.errors import Failure, UserError
from tests.conftest import ROOT

sys.path.append(str(ROOT / ".venv" / "libtpu"))  # where `make test` puts it

_TWO_LAYERS = ModelConfig("two layers", vocabulary=4_096, width=256, layers=2, heads=2, feed_forward=512)
"""Small, since the compiler takes a minute for two layers of the 470m."""
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed; install the extra tpu-fit"
)


def test_the_bound_is_the_work_over_the_peak() -> None:
    """470m, two sequences of 8,192 a chip, nothing computed twice but what the attention kernel does."""
    size, slice_, mesh = config("470m"), topology("v5e:16x16"), MeshShape(16, 16)
    bound = roofline(size, slice_, mesh, Layout(), 512, 8_192, 2_048)
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
def row() -> Fit:
    return fit(_TWO_LAYERS, "v5e:2x2", sequence=256, batch=8)


@needs_libtpu
def test_two_layers_fit_four_chips(row: Fit) -> None:
    found = json.loads(json.dumps(asdict(row)))
    assert found["fits"] and found["remat"] == "none" and found["microbatch"] == 2
    # At the least the state, 12 bytes a parameter over the chips that divide it.
    assert 12 * parameters(_TWO_LAYERS).total / 4 / 2**30 < found["hbm_gib"] < V5E.hbm_gib
    assert found["step_seconds_bound"] > 0 and found["chip_hours"] > 0
    assert {entry["kind"] for entry in found["collectives"]} >= {"all_gather", "reduce_scatter"}


@needs_libtpu
@pytest.mark.soak
def test_training_on_chips_that_are_there_finds_the_same_layout(row: Fit) -> None:
    """The devices are described ones; a pod's are asked in the same way."""
    assert row.mesh is not None and row.microbatches is not None and row.remat is not None
    placed = place(_TWO_LAYERS, described("v5e:2x2"), 256, 8, AdamW(), "bfloat16")
    assert placed == (row.mesh, Layout(row.microbatches, row.remat, scan=True))


def test_a_number_of_chips_that_no_slice_has_is_refused() -> None:
    with pytest.raises(UserError, match="no v5e slice of 3 chips; train on 4, 8, 16, 32, 64, 128, 256"):
        place(_TWO_LAYERS, [None] * 3, 256, 9, AdamW(), "bfloat16")


@needs_libtpu
def test_what_does_not_fit_is_a_row_with_the_way_out() -> None:
    row = fit(replace(config("2.8b"), name="deep", layers=70), "v5e:2x2", batch=4)
    assert not row.fits and row.remat is None and row.step_seconds_bound is None
    assert row.hbm_gib > V5E.hbm_gib
    assert row.way_out is not None and "more chips" in row.way_out
    assert len(row.tried) == 8  # Two meshes and four remat policies; all refused by arithmetic.


@needs_libtpu
@pytest.mark.tpu_fit
@pytest.mark.parametrize(
    ("model", "name"),
    [
        *(("470m", f"v5e:{shape}") for shape in ("16x16", "8x16", "8x8", "4x8")),
        *(("2.8b", f"v5e:{shape}") for shape in ("16x16", "8x16", "8x8")),
    ],
)
def test_the_papers_sizes_fit_at_its_sequence_and_batch(model: str, name: str) -> None:
    row = fit(config(model), name)
    assert row.fits, row.way_out
    assert row.hbm_gib <= V5E.hbm_gib
