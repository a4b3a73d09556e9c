"""The plan: exact tokens, shared stages, and a document with stable keys."""

import json
from pathlib import Path

import pytest

from experiments.plan import make_plan
from experiments.study import find_study
from experiments.views import plan_json, status_json
from mixtures.order import ORDER_VERSION
from tests.experiments.tiny import CODE, HALF, STEPS, TEXT, stage, study


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    store = tmp_path_factory.mktemp("empty")
    return plan_json(make_plan(find_study("quickstart"), store), store)


def test_shared_halves_are_planned_once(document: dict) -> None:
    """7.8 T instead of 8.8 T: balanced-only and balanced-to-text share their first half, in each of two seeds."""
    train = [row for row in document["stages"] if row["kind"] != "evaluate"]
    unit = 409_600
    assert document["totals"]["tokens"] == pytest.approx(7.8 * unit)
    assert document["totals"]["tokens_without_sharing"] == pytest.approx(8.8 * unit)
    assert len(train) == 22
    shared = [row for row in train if len(row["arms"]) > 1]
    assert {tuple(row["arms"]) for row in shared} == {("balanced-only", "balanced-to-text")}
    assert {row["kind"] for row in shared} == {"pretrain"}


def test_tokens_of_every_stage_follow_its_mixture(document: dict) -> None:
    for row in document["stages"]:
        assert sum(row["tokens_by_source"].values()) == sum(row["tokens_by_kind"].values()) == row["tokens"]
        if row["kind"] == "cooldown":
            assert row["tokens_by_kind"]["text"] == pytest.approx(0.8 * row["tokens"], abs=3 * 256)
        if row["mixture"] == "balanced":
            assert row["tokens_by_kind"]["text"] == pytest.approx(0.5 * row["tokens"], abs=3 * 256)


def test_the_document_keeps_its_keys(document: dict) -> None:
    wanted = {"id", "arms", "kind", "model", "parent", "tokens", "tokens_by_source", "tokens_by_kind"}
    wanted |= {"epochs_by_source", "steps", "warmup_steps", "flops", "state"}
    assert set(document) >= {"study", "stages", "totals"}
    assert all(set(row) >= wanted for row in document["stages"])
    assert {row["kind"] for row in document["stages"]} == {"pretrain", "continue", "cooldown", "evaluate"}
    assert set(document["totals"]) >= {"tokens", "tokens_without_sharing", "flops", "hours"}
    ids = [row["id"] for row in document["stages"]]
    assert len(set(ids)) == len(ids)
    assert all(row["parent"] in ids for row in document["stages"] if row["parent"])
    json.dumps(document, allow_nan=False)


def test_a_fingerprint_moves_with_what_decides_the_result_and_with_nothing_else(finished_store: Path) -> None:
    def fingerprints(**changes: object) -> list[str | None]:
        return [stage.fingerprint for stage in make_plan(study(**changes), finished_store).stages]

    base = fingerprints()
    assert None not in base and len(set(base)) == len(base)
    assert fingerprints(name="renamed", question="other", baseline="half-only") == base
    from models.recipe import AdamW

    assert set(fingerprints(optimizer=AdamW(b2=0.99))).isdisjoint(base)
    assert set(fingerprints(seeds=(2, 3))).isdisjoint(base)
    assert set(fingerprints(steps=STEPS + 1)).isdisjoint(base)
    assert make_plan(study(), finished_store).stages[0].identity["order_version"] == ORDER_VERSION


def test_a_change_of_one_stage_leaves_its_parent_shared(finished_store: Path) -> None:
    from experiments.study import Arm

    two = (
        Arm("text-only", "", (stage("pretrain", HALF, STEPS), stage("continue", TEXT, 4))),
        Arm("other", "", (stage("pretrain", HALF, STEPS), stage("continue", CODE, 4))),
    )
    plan = make_plan(study(arms=two, seeds=(0,)), finished_store)
    assert [(row.id, row.arms) for row in plan.stages] == [
        ("half-s0", ("text-only", "other")),
        ("half-to-text-s0", ("text-only",)),
        ("half-to-code-s0", ("other",)),
    ]
    old = {stage.id: stage.fingerprint for stage in make_plan(study(), finished_store).stages}
    assert plan.stages[0].fingerprint == old["half-s0"]


def test_a_lineage_reads_on_where_its_parent_stopped(finished_store: Path) -> None:
    plan = make_plan(study(), finished_store)
    child = plan.stage("half-to-text-s0")
    assert child.starts["prose"] == plan.stage("half-s0").sequences["prose"] > 0


def test_status_counts_every_stage(finished_store: Path, tmp_path: Path) -> None:
    done = status_json(make_plan(study(), finished_store), finished_store)
    assert done["counts"] == {"done": len(done["stages"])}
    fresh = status_json(make_plan(study(), tmp_path), tmp_path)
    assert fresh["prepared"] is False and set(fresh["counts"]) == {"waiting"}
