"""Which layout a stage is trained in, by the table or by arithmetic, on machines that are made up."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import pytest

from models.config import ModelConfig, config
from models.devices.fitted import fitted, keep, rows
from models.devices.layout import Layout, MeshShape
from models.devices.placement import V5E_KIND, Machine, enough_memory, place
from models.devices.roofline import GPUS
from store.errors import Failure, UserError
from tests.models.layouts import EMPTY, row_of, table_with
from tests.models.sharded import SMALL

H100 = "NVIDIA H100 80GB HBM3"
GIB = 2**30


def v5e(chips: int) -> Machine:
    return Machine("tpu", V5E_KIND, chips, 16 * GIB)


def test_a_slice_trains_in_the_row_of_its_shape_sequence_batch_and_precision(tmp_path: Path) -> None:
    renamed = replace(SMALL, name="of another name")
    table = table_with(
        tmp_path,
        row_of(SMALL, "v5e:2x4", 32, 16, data=2, fsdp=4, microbatches=2, remat="dots"),
        row_of(SMALL, "v5e:2x4", 64, 16, data=1, fsdp=8),
        row_of(SMALL, "v5e:2x2", 32, 16, data=1, fsdp=4),
        row_of(SMALL, "v5e:2x4", 32, 16, "float32", data=1, fsdp=8, microbatches=2),
    )
    assert place(renamed, v5e(8), "bfloat16", 16, 32, table) == (MeshShape(2, 4), Layout(2, "dots", scan=True))
    assert place(SMALL, v5e(8), "float32", 16, 32, table) == (MeshShape(1, 8), Layout(2, "full", scan=True))
    assert place(SMALL, v5e(4), "bfloat16", 16, 32, table) == (MeshShape(1, 4), Layout(1, "full", scan=True))


@pytest.mark.parametrize(
    ("model", "machine", "batch", "said"),
    [
        (
            config("470m"),
            v5e(64),
            512,
            r"no layout is known; `ablate fit 470m --topology v5e:8x8 --sequence 32 --batch 512`, on a machine with",
        ),
        (
            replace(config("470m"), layers=17),
            v5e(64),
            512,
            r"its shape is none of `ablate models`: add it to models/config.py under .*, then `ablate fit",
        ),
        (SMALL, v5e(4), 16, r"on v5e:2x2: it needs 18.8 GiB a chip and 14.96 may be used \(ablate fit, .*larger slice"),
        (SMALL, Machine("tpu", "TPU v6 lite", 8), 16, r"knows slices of TPU v5 lite \(v5e\) and these are TPU v6 lite"),
        (
            config("2.8b"),
            Machine("gpu", H100, 1, 40 * GIB),
            512,
            r"does not fit the memory of 1 x NVIDIA H.*`ablate fit 2.8b --topology gpu",
        ),
    ],
    ids=["no row", "another shape under a known name", "too small", "another chip", "gpu"],
)
def test_what_cannot_be_placed_is_said_in_one_line(
    model: ModelConfig, machine: Machine, batch: int, said: str, tmp_path: Path
) -> None:
    table = table_with(tmp_path, replace(row_of(SMALL, "v5e:2x2", 32, 16), fits=False, hbm_gib=18.81))
    with pytest.raises(Failure, match=said) as error:
        place(model, machine, "bfloat16", batch, 32, table)
    assert "\n" not in str(error.value)


def test_a_number_of_devices_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="no v5e slice of 3 chips; train on 4, 8, 16, 32, 64, 128, 256"):
        place(SMALL, v5e(3), "bfloat16", 9, 32)
    with pytest.raises(UserError, match="batch of 4 sequences cannot be divided into 8 "):
        place(SMALL, Machine("gpu", H100, 8, 60 * GIB), "bfloat16", 4, 32)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"rows": []}', EMPTY.replace("1", "2"), EMPTY.replace("[]", '[{"model": "470m"}]')],
    ids=["empty", "cut", "a list", "no version", "older", "a row of other columns"],
)
def test_a_table_that_is_damaged_or_older_is_named(text: str, tmp_path: Path) -> None:
    table = tmp_path / "layouts.json"
    table.write_text(text)
    with pytest.raises(Failure, match=r"table of layouts .*layouts.json cannot be read: .*check it out again"):
        fitted(SMALL, "v5e:2x4", 32, 16, "float32", table)


@pytest.mark.parametrize("change", [{"remat": "most"}, {"fsdp": None}, {"hbm_gib": "much"}], ids=str)
def test_a_row_that_is_no_layout_is_named(change: dict[str, object], tmp_path: Path) -> None:
    table = table_with(tmp_path, row_of(SMALL, "v5e:2x4", 32, 16))
    document = json.loads(table.read_text())
    document["rows"][0] |= change
    table.write_text(json.dumps(document))
    with pytest.raises(Failure, match="in the row of 'small' on v5e:2x4"):
        rows(table)


def test_a_row_takes_the_place_of_the_one_that_answers_the_same(tmp_path: Path) -> None:
    one, other = row_of(SMALL, "v5e:2x4", 32, 16), row_of(SMALL, "v5e:2x2", 32, 16)
    table = table_with(tmp_path, one, other)
    keep(replace(one, hbm_gib=2.0), table)
    assert rows(table) == [other, replace(one, hbm_gib=2.0)]
    assert len(table.read_text().splitlines()) == 4  # a row a line


def test_the_committed_table_has_the_papers_sizes() -> None:
    for model, slices in {"470m": ("16x16", "8x16", "8x8", "4x8"), "2.8b": ("16x16", "8x16", "8x8")}.items():
        for slice_ in slices:
            row = fitted(config(model), f"v5e:{slice_}", 8_192, 512, "bfloat16")
            assert row is not None and row.fits and row.hbm_gib <= 0.95 * 15.75
    small = fitted(config("2.8b"), "v5e:2x2", 8_192, 512, "bfloat16")
    assert small is not None and not small.fits and small.hbm_gib > 15.75


def test_cpus_and_one_chip_need_no_row(tmp_path: Path) -> None:
    none = table_with(tmp_path)
    assert place(SMALL, Machine("cpu", "cpu", 1), "float32", 16, 32, none) == (MeshShape(), Layout())
    assert place(SMALL, Machine("cpu", "cpu", 12), "float32", 24, 32, none) == (MeshShape(3, 4), Layout())
    assert place(SMALL, v5e(1), "bfloat16", 16, 32, none)[0] == MeshShape()


@pytest.mark.parametrize("share", [0.75, 0.95], ids="{:.0%} of the memory".format)
def test_the_470m_trains_on_one_gpu_of_80_gb_with_nothing_known(share: float, tmp_path: Path) -> None:
    """By default jax takes 75 % of a GPU's memory."""
    machine = Machine("gpu", H100, 1, int(share * GPUS[H100].hbm_gib * GIB))
    mesh, layout = place(config("470m"), machine, "bfloat16", 512, 8_192, table_with(tmp_path))
    assert mesh == MeshShape() and layout.microbatches == 64 and layout.remat == "dots"  # 8 sequences a pass


def test_less_memory_takes_more_passes_and_then_recomputes(tmp_path: Path) -> None:
    def of(gib: int, devices: int = 1) -> Layout:
        machine = Machine("gpu", "a GPU that nobody knows", devices, gib * GIB)
        return place(config("470m"), machine, "bfloat16", 512, 8_192, table_with(tmp_path))[1]

    roomy, tight, tightest = of(180), of(40), of(18)
    assert roomy.microbatches < tight.microbatches and {roomy.remat, tight.remat} <= {"none", "dots"}
    assert tightest.microbatches > tight.microbatches and tightest.remat in ("attention", "full")
    assert of(40, devices=8).microbatches < tight.microbatches  # of a share of the batch, and an eighth of the state


def test_a_row_of_the_gpus_kind_goes_before_arithmetic(tmp_path: Path) -> None:
    table = table_with(tmp_path, row_of(config("470m"), f"gpu:{H100}", 8_192, 512, microbatches=32, remat="dots"))
    machine = Machine("gpu", H100, 1, 60 * GIB)
    assert place(config("470m"), machine, "bfloat16", 512, 8_192, table)[1] == Layout(32, "dots", scan=True)
    other = replace(machine, kind="NVIDIA H200")
    assert place(config("470m"), other, "bfloat16", 512, 8_192, table)[1] != Layout(32, "dots", scan=True)


def test_memory_that_gives_out_while_training_is_said_in_one_line() -> None:
    text = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes.\nBufferAssignment OOM"
    said = r"gave out in training model 'small' \(RESOURCE_EXHAUSTED: .*; choose a smaller"
    with pytest.raises(Failure, match=said) as error, enough_memory(SMALL, "float32", 16, 32):
        raise jax.errors.JaxRuntimeError(text)
    assert "\n" not in str(error.value)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), enough_memory(SMALL, "float32", 16, 32):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
