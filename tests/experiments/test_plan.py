"""The plan: exact tokens, shared stages, and a document with stable keys."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.composite import Composite, declared
from experiments.pieces import cut, cut_every
from experiments.plan import status
from experiments.plan.check import check
from experiments.plan.find import find_study
from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan
from experiments.run.train import study_record
from experiments.show import rates
from experiments.show.plans import plan_json
from experiments.show.states import status_json
from experiments.study import Arm, Evaluation
from mixtures.mixture import mixture
from mixtures.order import ORDER_VERSION
from store.errors import UserError
from tests.experiments.tiny import CODE, HALF, STEPS, TEXT, stage, study


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    store = tmp_path_factory.mktemp("empty")
    return plan_json(make_plan(find_study("quickstart"), store), store)


def test_shared_halves_are_planned_once(document: dict) -> None:
    """7.8 T instead of 8.8 T: balanced-only and balanced-to-text share their first half, in each of three seeds."""
    train = [row for row in document["stages"] if row["kind"] != "evaluate"]
    unit = 409_600
    assert document["totals"]["tokens"] == pytest.approx(1.5 * 7.8 * unit)
    assert document["totals"]["tokens_without_sharing"] == pytest.approx(1.5 * 8.8 * unit)
    assert len(train) == 33
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
    asked = replace(study().evaluation, every_stage=("piqa",))
    counted = Composite({"piqa": 1}, centred=True, rescaled=True)
    assert fingerprints(evaluation=asked, composite=counted) == base
    plan = make_plan(study(evaluation=asked, composite=counted), finished_store)
    assert isinstance(plan, PreparedPlan) and declared(study_record(plan, finished_store)) == counted
    from models.recipe import AdamW

    assert set(fingerprints(optimizer=AdamW(b2=0.99))).isdisjoint(base)
    assert set(fingerprints(seeds=(2, 3))).isdisjoint(base)
    assert set(fingerprints(steps=STEPS + 1)).isdisjoint(base)
    assert set(fingerprints(precision="bfloat16")).isdisjoint(base)
    assert make_plan(study(), finished_store).stages[0].identity["order_version"] == ORDER_VERSION


def test_a_change_of_one_stage_leaves_its_parent_shared(finished_store: Path) -> None:
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


def test_the_plot_shows_every_arm_and_names_its_stages(tmp_path: Path) -> None:
    arms = (*study().arms, Arm("longer", "", (stage("pretrain", CODE, STEPS + 10), stage("cooldown", HALF, 4))))
    plan = make_plan(study(arms=arms), tmp_path)
    for name in ("one.svg", "two.svg", "one.png", "two.png"):
        rates.plot(plan, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "one.svg").read_text())
    # Arms with one learning rate share a row; where they differ in mixture, a stage is named by its kind.
    assert {"text-only, half-only, half-to-text", "longer", "pretrain", "pretrain code", "cooldown half"} <= set(drawn)
    (_, short), (_, longer) = rates.curves(plan)
    assert [segment.tokens_P[-1] for segment in short] == [STEPS * 256, (STEPS + 4) * 256]
    assert longer[0].rate_P[-1] == pytest.approx(3e-4) and longer[1].rate_P[-1] == pytest.approx(1e-6)
    assert max(longer[0].rate_P) == 3e-3


def test_an_unknown_precision_is_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match="precision 'float16' is unknown; choose one of float32, bfloat16"):
        check(study(precision="float16"))


def test_a_plot_of_another_kind_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot draw to '.*rates.pdf'; give a name that ends in .svg or .png"):
        rates.plot(make_plan(study(), tmp_path), tmp_path / "rates.pdf")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_go_where_the_hosts_share_a_disk(monkeypatch: pytest.MonkeyPatch, finished_store: Path) -> None:
    stage = make_plan(study(), finished_store).stages[0]
    assert status.checkpoints(finished_store, stage.folder) == finished_store / "stages" / stage.folder / "checkpoints"
    monkeypatch.setenv("ABLATE_CHECKPOINTS", "gs://bucket/runs/")
    assert status.checkpoints(finished_store, stage.folder) == f"gs://bucket/runs/{stage.folder}"


@pytest.mark.parametrize(
    ("warmup", "steps", "expected"),
    [
        (0.57, 100, 57),
        (0.29, 100, 29),
        (0.07, 100, 7),
        (0.1, 60, 6),
        (1 / 3, 100, 33),
        (0.0, 9, 0),
        (12, 100, 12),
        (1, 100, 1),
    ],
)
def test_a_warm_up_is_the_share_that_was_typed_or_a_number_of_steps(
    warmup: float, steps: int, expected: int, tmp_path: Path
) -> None:
    """0.57 of 100 is 57, and in binary arithmetic 56.99…; the steps that stay at the peak are counted alike."""
    flat = replace(stage("pretrain", TEXT, steps), decay="linear", end=1e-6)
    for field in ("warmup", "stable"):
        one = replace(flat, **({"warmup": 0.0} | {field: warmup}))
        (planned,) = make_plan(study(arms=(Arm("text-only", "", (one,)),), seeds=(0,)), tmp_path).stages
        found = {"warmup": planned.schedule.warmup_steps, "stable": planned.schedule.stable_steps}
        assert found[field] == expected and sum(found.values()) == expected


@pytest.mark.parametrize("warmup", [True, 100, 250, 1.0, 1.5, -0.001, -1, float("nan"), float("inf")])
def test_a_warm_up_that_is_no_part_of_the_stage_is_refused(warmup: float, tmp_path: Path) -> None:
    arms = (Arm("text-only", "", (replace(stage("pretrain", TEXT, 100), warmup=warmup),)),)
    with pytest.raises(UserError, match=rf"stages\[0\].*warmup is {warmup}"):
        make_plan(study(arms=arms, seeds=(0,)), tmp_path)


def test_a_stage_in_pieces_is_scored_after_each(tmp_path: Path) -> None:
    whole = stage("pretrain", HALF, STEPS)
    pieces = cut_every(whole, whole.tokens // 3)
    asked = Evaluation(heldout_bytes=2_000, every_stage=(), compared=("boolq",), items=5)
    plan = make_plan(study(arms=(Arm("text-only", "", pieces),), seeds=(0,), evaluation=asked), tmp_path)
    assert [row.steps for row in plan.stages] == [STEPS // 3] * 3
    assert all("boolq" in status.task_names(plan, row) for row in plan.stages)
    assert cut_every(whole, whole.tokens) == (replace(whole, scored=True),)
    with pytest.raises(UserError, match="cannot be cut at 0"):
        cut_every(whole, 0)


def test_a_source_too_rare_for_the_stage_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    """Of a stage in pieces the whole counts: a piece may have none of it."""
    rare = mixture("rare", {TEXT: 399, CODE: 1})
    whole, part = stage("pretrain", rare, STEPS), stage("pretrain", rare, STEPS // 3)
    pieces = cut(whole, part.tokens, 2 * part.tokens)
    plan = make_plan(study(arms=(Arm("text-only", "", pieces),), seeds=(0,)), tmp_path)
    assert sorted(row.sequences["program"] for row in plan.stages) == [0, 0, 1]
    with pytest.raises(UserError, match=r"stages\[0\].*'program' gets less than one sequence of 32 tokens"):
        make_plan(study(arms=(Arm("text-only", "", (part,)),), seeds=(0,)), tmp_path)
