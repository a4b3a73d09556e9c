"""What a step needs by arithmetic, and the wordings in which memory gives out."""

import pytest

from models.config import config
from models.devices.candidates import Asked, candidates
from models.devices.layout import MeshShape
from models.devices.memory import GIB, estimated_bytes, gave_out, least_gib, needed_gib
from models.devices.roofline import gpu, topology

HBM = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries ({}) exceeds available"
)
USED = (
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used {} of 15.75G hbm. Exceeded hbm capacity by 2.05G."
)
VMEM = (
    "RESOURCE_EXHAUSTED: E1001: CompileTimeScopedVmemOom: Ran out of memory in memory space vmem while allocating on "
    "stack for %splash_mha_dq. Scoped allocation with size 17.20M and limit 16.00M exceeded scoped vmem limit by 1.20M."
)
BUFFERS = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4770354232 bytes.\n  total allocation:   14.44GiB"


@pytest.mark.parametrize(
    ("text", "gib"),
    [
        (HBM.format("18.81G"), 18.81),
        (HBM.format("512.00M"), 0.5),
        (HBM.format("1048576.0K"), 1.0),
        (HBM.format("2147483648"), 2.0),
        (USED.format("17.80G"), 17.8),
        ("RESOURCE_EXHAUSTED: Program hbm requirement 16.51G: reserved 258.00M", 16.51),
        (VMEM, None),  # another memory
        (BUFFERS, 14.44),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes.", None),  # one array of many
        ("RESOURCE_EXHAUSTED: Failed to allocate request for 12.00GiB (12884901888B) on device ordinal 0", None),
        ("INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory", None),
        ("Resource exhausted: Out of memory", None),
        ("RESOURCE_EXHAUSTED", None),
    ],
)
def test_memory_that_gives_out_is_known_in_any_wording(text: str, gib: float | None) -> None:
    assert gave_out(text)
    assert needed_gib(text) == (None if gib is None else pytest.approx(gib))


@pytest.mark.parametrize("text", ["INVALID_ARGUMENT: dimension 16.00M", "INTERNAL: Mosaic failed to compile", ""])
def test_other_errors_are_not_taken_for_it(text: str) -> None:
    assert not gave_out(text)


@pytest.mark.parametrize(
    ("model", "slice_", "fsdp", "microbatches", "remat", "counted"),
    [
        ("470m", "16x16", 16, 1, "dots", 11.41),
        ("470m", "16x16", 16, 1, "none", 18.5),
        ("470m", "4x8", 32, 8, "dots", 11.31),
        ("2.8b", "16x16", 16, 1, "attention", 15.28),
        ("2.8b", "8x16", 16, 4, "attention", 14.25),
        ("2.8b", "8x8", 64, 4, "attention", 14.88),
    ],
)
def test_the_compilers_count_lies_between_the_least_and_the_estimate(
    model: str, slice_: str, fsdp: int, microbatches: int, remat: str, counted: float
) -> None:
    """Of layouts in benchmarks/fit.md. Document masks, which have a square on GPU, have none on TPU."""
    slice_of = topology(f"v5e:{slice_}")
    asked = Asked(config(model), slice_of, 8_192, 512)
    mesh = MeshShape(slice_of.chips // fsdp, fsdp)
    candidate = next(c for c in candidates(asked, [mesh], [remat]) if c.layout.microbatches == microbatches)
    square = 4 * (asked.rows // microbatches) * 8_192**2
    assert least_gib(asked, candidate) < counted < estimated_bytes(asked, candidate) / GIB
    assert (estimated_bytes(asked, candidate) - square) / GIB < 1.2 * counted


def test_float32_attention_on_gpu_has_the_square_of_every_head() -> None:
    """No kernel takes it; 8 heads, causal half, three arrays of four bytes, 16 layers where nothing is recomputed."""
    by_remat = {}
    for remat in ("none", "full"):
        asked = Asked(config("470m"), gpu("x"), 8_192, 1, "float32")
        (candidate,) = candidates(asked, [MeshShape()], [remat])
        by_remat[remat] = estimated_bytes(asked, candidate)
    assert by_remat["none"] - by_remat["full"] > 15 * 3 * 4 * 8 * 8_192**2 / 2
