"""The programs of scoring and writing on shapes alone; here for a CPU, for TPU as benchmarks/scoring.md has it."""

from typing import Any

import jax
import pytest

from models import footprint
from models.config import config, parameters
from models.devices.layout import MeshShape
from models.devices.memory import step_gib
from models.devices.parallel import make_mesh
from models.devices.scoring import mesh_shape, slots, used
from tests.models.tiny import TINY


def test_what_a_chip_holds_is_counted_from_shapes() -> None:
    mesh = make_mesh(MeshShape(), jax.devices()[:1])
    scoring = footprint.likelihoods(TINY, mesh, 2, 64)
    weights = 4 * parameters(TINY).total / 2**30
    assert weights < step_gib(scoring.compile().memory_analysis()) < 0.1
    caches = [
        sum(leaf.size for leaf in jax.tree.leaves(program(TINY, mesh, 4, columns).in_avals))
        for program in (footprint.entering, footprint.advancing)
        for columns in (64, 128)
    ]
    more = 2 * TINY.layers * 4 * 64 * TINY.width
    assert caches[3] - caches[2] == more < caches[1] - caches[0]


def test_a_model_lies_whole_on_every_chip_that_has_room_for_it() -> None:
    """And a larger one in as few parts as the ring of a slice has chips, or as there are."""
    assert mesh_shape(config("470m"), 256) == MeshShape(data=256)
    assert [mesh_shape(config("2.8b"), chips) for chips in (256, 4)] == [MeshShape(16, 16), MeshShape(1, 4)]
    assert [slots(config("2.8b"), columns) for columns in (1_024, 2_048, 8_192, 1 << 17)] == [8, 4, 1, 1]
    assert [used(config(name)) for name in ("2.8b", "470m")] == [1, 4]


@pytest.mark.parametrize(
    ("refusal", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem",
            None,
        ),
        (
            "RESOURCE_EXHAUSTED: total memory required for HLO temporaries (18.81G) exceeds HBM",
            18.81,
        ),
    ],
)
def test_scoring_that_the_compiler_refuses_is_said_and_counted(
    refusal: str, needed: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise jax.errors.JaxRuntimeError(refusal)

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    said: list[str] = []
    assert footprint.scoring_gib(TINY, jax.devices()[:1], 64, said.append) == needed
    assert "likelihoods: needs more than there is" in said or "writing: needs 18.8 GiB" in said
