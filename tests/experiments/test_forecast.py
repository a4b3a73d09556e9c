"""What a plan says of its cost, against figures that can be had by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.records import StudyRecord, read_stage, write
from experiments import scales
from experiments.commands.options import chip_hour_price
from experiments.plan import forecast
from experiments.plan.check import check
from experiments.plan.detect import comparisons
from experiments.plan.find import find_study
from experiments.plan.make import lay_out, make_plan
from experiments.plan.stage import Plan
from experiments.plan.supply import expected
from experiments.show.dag import draw
from experiments.show.plans import PAGE, plan_json, print_plan
from experiments.show.studies import FIGURES, studies_json
from experiments.study import Cap, Study
from models.config import config, parameters
from store.errors import UserError
from tests.experiments.tiny import study as tiny

EMPTY = Path("there-is-nothing-here")


def laid_out(study: Study) -> Plan:
    return lay_out(study, expected(study))


@pytest.fixture(scope="module")
def whole_paper() -> Plan:
    return laid_out(find_study("paper", "paper"))


@pytest.fixture(scope="module")
def document(whole_paper: Plan) -> dict[str, Any]:
    return plan_json(whole_paper, EMPTY, price=1.2)


def test_chip_hours_are_steps_times_the_tables_seconds(document: dict[str, Any]) -> None:
    """benchmarks/fit.md: 200B tokens of the 470m take 1,887 chip-hours and of the 2.8b 11,853, at 60 % of the bound."""
    stages = {row["id"]: row for row in document["stages"]}
    for id, hours, gib in (("balanced+synth-s0", 1_887, 11.41), ("balanced+synth-2.8b-s0", 11_853, 14.25)):
        assert stages[id]["chip_hours"] == pytest.approx(hours, rel=1e-3)
        assert stages[id]["hours"] == pytest.approx(hours / 256, rel=1e-3)
        assert stages[id]["memory_fit"]["gib"] == gib and stages[id]["memory_fit"]["limit_gib"] == 14.96
    assert stages["text-s0"]["chip_hours"] == pytest.approx(2 * 1_887, rel=1e-3)
    cooldown = stages["text-to-cooldown+code-s0"]["chip_hours"]
    assert cooldown == pytest.approx(1_887 * 9_537 / 47_684, rel=1e-3)


def test_sums_and_price_are_those_of_the_stages(document: dict[str, Any]) -> None:
    totals, stages = document["totals"], document["stages"]
    assert totals["chip_hours"] == pytest.approx(sum(row["chip_hours"] for row in stages))
    assert totals["price"] == pytest.approx(1.2 * totals["chip_hours"])
    assert totals["hours"] == pytest.approx(totals["chip_hours"] / 256)
    assert totals["models"] == 29 * 3
    assert totals["utilisation"]["value"] == pytest.approx(0.54, abs=0.01)  # benchmarks/chip_hours.md, 60 %
    assert "60%" in totals["utilisation"]["basis"] and "2026-11-30" in totals["utilisation"]["basis"]
    # The paper's 4,736, 13,824 and 1,024 chip-hours for 200B, 200B and 40B tokens: small 2 x 400B and 15 x 200B, large
    # 2 x 400B and 4 x 200B, six cooldowns, all in three seeds.
    by_hand = 3 * (19 * 4_736 + 8 * 13_824 + 6 * 1_024)
    assert document["paper"]["chip_hours"] == pytest.approx(by_hand, rel=1e-4)


def test_checkpoints_hold_two_states_of_twelve_bytes_a_parameter(whole_paper: Plan) -> None:
    small, large = (parameters(config(name)).total for name in ("470m", "2.8b"))
    ends = [stage.model.name for stage in whole_paper.stages]
    by_hand = 24 * (ends.count("470m") * small + ends.count("2.8b") * large)
    assert forecast.checkpoint_bytes(whole_paper) == by_hand < forecast.store_bytes(whole_paper)


def test_a_cpu_has_minutes_and_no_chip_hours() -> None:
    document = plan_json(laid_out(find_study("proportion")), EMPTY, price=1.2)
    totals = document["totals"]
    assert totals["chip_hours"] is totals["price"] is totals["utilisation"]["value"] is None
    assert all(row["chip_hours"] is None and row["memory_fit"] is None for row in document["stages"])
    assert totals["hours"] == pytest.approx(totals["flops"] / totals["flops_per_second"] / 3600)
    assert 1 / 60 < totals["hours"] < 2  # 18 models of 1m parameters and 190 steps
    assert document["paper"]["chip_hours"] is None


def test_one_chain_is_no_faster_on_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "cores", lambda: list(range(64)))
    study = find_study("recipes")
    plan = laid_out(study)
    speeds = forecast.speeds(plan, EMPTY)
    chain = [plan.stage(id) for id in plan.runs["code+synth-to-text-to-cooldown", 0]]
    alone = sum(plan.flops(s) + forecast.evaluation_flops(plan, s) for s in chain) / forecast.CORE_FLOPS / 3600
    assert forecast.hours(plan, speeds, plan.stages) == pytest.approx(alone)


def test_what_is_measured_in_the_store_stands_before_the_assumption(finished_store: Path) -> None:
    plan = make_plan(tiny(), finished_store)
    of_model = forecast.speeds(plan, finished_store)["tiny"]
    assert of_model.basis.startswith("measured") and of_model.flops_per_second > 0
    assert forecast.speeds(laid_out(tiny()), EMPTY)["tiny"].basis.startswith("assumed")
    assert forecast.speeds(replace(plan, study=replace(plan.study, topology="gpu")), finished_store)[
        "tiny"
    ].basis.startswith("assumed")


def test_what_is_measured_on_another_slice_is_not_taken_for_this_one(finished_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    for folder in (store / "stages").iterdir():
        record = read_stage(folder)
        write(folder / "stage.json", replace(record, environment={"device": "4 x TPU v5 lite"}))
    for topology, basis in (("v5e:2x2", "measured on this store's stages, 4 x TPU"), ("v5e:2x4", "assumed, of 197")):
        plan = make_plan(tiny(topology=topology), store)
        assert forecast.speeds(plan, store)["tiny"].basis.startswith(basis)


def test_a_trunk_saves_nine_tenths_of_what_is_shorter(whole_paper: Plan) -> None:
    """Of text and of balanced there is a stage of 400B and one of 200B."""
    shorter = 47_684 * 512 * 8_192
    assert forecast.saved_by_a_trunk(whole_paper) == 2 * 3 * int(0.9 * shorter)


def test_a_source_over_its_cap_is_refused_before_anything_is_prepared() -> None:
    study = find_study("quality", "paper")
    tight = replace(study, max_epochs_of={"synthetic-python": Cap(6, "to try")})
    with pytest.raises(UserError, match=r"arm 'code\+synth', stages\[0\]: source 'synthetic-python' has 2,899,"):
        laid_out(tight)
    warnings = plan_json(laid_out(study), EMPTY)["warnings"]
    assert any("synthetic-python' is read 6.90 times" in line and "6.25" in line for line in warnings)


def test_simulated_epochs_are_the_papers() -> None:
    """Each source is cut to the paper's supply times unit / 200B: 0.8, 1.44, 0.22 and 6.25 epochs (section 2.1)."""
    plan = laid_out(find_study("paper", "workstation"))
    most: dict[str, float] = {}
    for stage in plan.stages:
        for source, epochs in stage.epochs.items():
            most[source] = max(epochs, most.get(source, 0.0))
    assert most["slimpajama"] == pytest.approx(400 / 503, rel=1e-3)
    assert most["stack-code"] == pytest.approx(200 / 139, rel=1e-3)
    assert most["synthetic-python"] == pytest.approx(20 / 3.2, rel=1e-3)
    assert most["github-issues"] == pytest.approx(30 / 21.4, rel=1e-3)


def test_a_plan_warns_of_what_it_cannot_tell() -> None:
    study = find_study("recipes")
    alone = plan_json(laid_out(replace(study, seeds=(0,), primary=("reasoning/acc",))), EMPTY)["warnings"]
    assert any("one seed" in line for line in alone) and any("reasoning/acc" in line for line in alone)
    assert not any("unequal" in line for line in alone)
    unequal = plan_json(laid_out(find_study("initialisation")), EMPTY)["warnings"]
    assert any("balanced+synth 194,560 and balanced+synth-to-text 389,120" in line for line in unequal)


def test_many_stages_fold_into_a_page(whole_paper: Plan, document: dict[str, Any]) -> None:
    def printed(every_stage: bool) -> list[str]:
        console = Console(width=250, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        print_plan(document, console, every_stage)
        return console.export_text().splitlines()

    assert len(whole_paper.stages) == 102 > PAGE
    folded, everything = printed(False), printed(True)
    assert len(folded) < 60 and len(everything) > 102
    assert any("text-to-cooldown+code " in line for line in folded)
    assert any("text-to-cooldown+code-s2" in line for line in everything)


def test_the_picture_shows_every_stage_and_is_the_same_each_time(whole_paper: Plan) -> None:
    first = draw(whole_paper)
    assert first == draw(laid_out(find_study("paper", "paper")))
    assert first.count("<title>") == len(whole_paper.stages) // 3
    links = sum(stage.parent is not None for stage in whole_paper.stages)
    assert first.count("<path") == links // 3
    assert "&lt;" in draw(laid_out(tiny(name="tiny", arms=_hostile())))


def _hostile() -> tuple[Any, ...]:
    arm = tiny().arms[0]
    mixture = replace(arm.stages[0].mixture, name="<script>")
    return (replace(arm, stages=(replace(arm.stages[0], mixture=mixture),)),)


@pytest.mark.parametrize("typed", ["dear", "nan", "-1", "1e999"])
def test_a_price_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match=r"price .* is no number that a chip-hour could cost"):
        chip_hour_price(typed)


def test_a_price_may_stand_in_a_dated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "offer.json").write_text(json.dumps({"date": "2026-11-29", "per_chip_hour": 0.84}))
    assert chip_hour_price(str(tmp_path / "offer.json")) == 0.84
    assert "2026-11-29" in capsys.readouterr().err
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(UserError, match=r"odd\.json holds no price"):
        chip_hour_price(str(tmp_path / "odd.json"))
    assert chip_hour_price("") is None


def test_the_list_of_studies_keeps_its_keys() -> None:
    rows = {row["name"]: row for row in studies_json()}
    assert {"paper", "initialisation", "scale", "proportion", "quality", "cooldown", "recipes", "quickstart"} <= set(
        rows
    )
    assert all(set(row) >= {"name", "question", "scales", *FIGURES} for row in rows.values())
    assert rows["paper"]["scales"] == list(scales.SCALES)
    assert rows["paper"]["models"]["laptop"] >= 64
    assert rows["quickstart"]["scales"] == [] and rows["quickstart"]["arms"] == {"": 4}
    json.dumps(list(rows.values()), allow_nan=False)


def test_a_study_that_is_not_scored_yet_says_nothing_of_noise(tmp_path: Path) -> None:
    """`ablate run` writes its record first; a plan made then is not to fail, and has what was measured elsewhere."""
    study = replace(find_study("proportion"), primary=("heldout/code/bpb", "reasoning/acc"))
    arms = {arm.name: arm.description for arm in study.arms}
    record = StudyRecord("proportion-laptop", "", "", study.baseline, arms, (), study.primary, "", "")
    write(tmp_path / "studies" / "proportion-laptop" / "study.json", record)
    rows = comparisons(study, tmp_path)
    known, unknown = (rows[start::2] for start in (0, 1))
    assert len(rows) == 5 * 2 and all(row["detectable"] is None and row["basis"] == "unknown" for row in unknown)
    assert all(0.05 < row["detectable"] < 1 and "of paper-laptop, 2026" in row["basis"] for row in known)


def test_what_a_finished_study_shows_is_what_a_plan_can_find(finished_store: Path) -> None:
    rows = comparisons(tiny(), finished_store)
    assert {row["basis"] for row in rows} == {"the noise of tiny in this store"}
    assert all(row["detectable"] > 0 for row in rows)


def test_a_place_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UserError, match="topology 'v5e:9x9' is unknown; choose one of cpu, gpu, v5e:2x2"):
        check(replace(find_study("proportion"), topology="v5e:9x9"))
