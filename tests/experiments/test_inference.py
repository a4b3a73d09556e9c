"""Arms of one run that differ in what it is scored in: records of their own, compared as any two arms."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.compare import compare
from analysis.records import read_eval, read_speed, read_study, write
from analysis.scores import points
from experiments.commands.evaluate import evaluate_target
from experiments.plan import status
from experiments.plan.check import check
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.run.train import study_record
from experiments.show.report import write_report
from experiments.study import Arm, Study
from store.errors import UserError
from tests.experiments.run_worker import again
from tests.experiments.tiny import HALF, STEPS, stage, study

RUN = (stage("pretrain", HALF, STEPS), stage("cooldown", HALF, 4))
"""Of the tiny study's arm half-only, so that its stages are there."""


def inferences(*names: str, **changes: object) -> Study:
    arms = tuple(Arm(name, name, RUN, inference=name) for name in names)
    return study(name="inferences", arms=arms, baseline=names[0], seeds=(0,), margins={"bpb": 0.05}, **changes)


@pytest.fixture(scope="module")
def scored(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PreparedPlan, Path]]:
    store = tmp_path_factory.mktemp("inference") / "store"
    shutil.copytree(finished_store, store)
    plan = prepared_plan(inferences("float32", "int8"), store)
    write(store / "studies" / "inferences" / "study.json", study_record(plan, store))
    again(plan, store)
    yield plan, store


def contents(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.glob("stages/*/*/*.json")}


def test_such_arms_share_their_stages_and_the_records_in_float32_stay(finished_store, scored):
    plan, store = scored
    assert plan.runs["float32", 0] == plan.runs["int8", 0] and len(plan.stages) == 2
    before, after = contents(finished_store), contents(store)
    assert {path.relative_to(store) for path in after} - {path.relative_to(finished_store) for path in before} == {
        path.relative_to(store)
        for name, path in status.records(plan, store)[plan.runs["int8", 0][-1]].items()
        if "+" in name
    }
    assert all(after[store / path.relative_to(finished_store)] == kept for path, kept in before.items())


def test_the_midst_of_a_run_is_scored_in_float32_alone(scored):
    plan, store = scored
    first, last = plan.runs["int8", 0]
    wanted = status.records(plan, store)
    kinds = {"heldout/text", "heldout/code"}
    assert set(wanted[first]) == kinds
    assert set(wanted[last]) == {f"{name}{how}" for name in kinds for how in ("", "+int8")} | {
        "decoding_speed+float32",
        "decoding_speed+int8",
    }
    alone = prepared_plan(inferences("int8"), store)
    assert set(status.records(alone, store)[last]) == {f"{name}+int8" for name in kinds}


def test_what_is_scored_is_not_scored_again(scored):
    plan, store = scored
    before = contents(store)
    again(plan, store)
    assert contents(store) == before
    assert set(status.scoring(plan, store, status.states(plan, store)).values()) == {"done"}


def test_arms_pair_by_item_and_seed_and_are_near(scored):
    plan, store = scored
    found = compare(store, "inferences")
    assert not found.gaps and {row.at for row in found.rows} == {"final"}
    rows = [row for row in found.last if row.metric.name == "heldout/code/bpb"]
    (row,) = rows
    assert 0 < abs(row.estimate.difference.centre) < 0.01 and row.n_seeds == 1
    assert not row.judged.same  # one checkpoint, and yet two models
    runs = {run.arm: run for run in read_study(store, "inferences").runs}
    assert list(points(runs["int8"])) == ["final"] and "before-cooldown" in points(runs["float32"])
    record = read_eval(status.records(plan, store)[plan.runs["int8", 0][-1]]["heldout/code+int8"])
    assert (record.task, record.inference) == ("heldout/code", "int8")


def test_the_report_has_a_table_of_bytes_and_milliseconds(scored):
    plan, store = scored
    paths = status.records(plan, store)[plan.runs["int8", 0][-1]]
    fingerprint = plan.stage(plan.runs["int8", 0][-1]).fingerprint
    whole, small = (read_speed(paths[f"decoding_speed+{how}"], fingerprint) for how in ("float32", "int8"))
    assert whole.bytes > 3 * small.bytes
    assert all(each > 0 for each in (*whole.milliseconds, *small.milliseconds))

    write_report(plan, store)
    text = (store / "studies" / "inferences" / "report.html").read_text()
    assert "MB of weights" in text and "ms a token" in text and f"{small.bytes / 1e6:,.2f}" in text


def test_one_stage_is_scored_in_fewer_bits_outside_a_study(scored, tmp_path):
    plan, store = scored
    folder = plan.stage(plan.runs["int8", 0][0]).folder
    found = {
        how: evaluate_target(folder, store, "heldout/code", 5, 0, tmp_path / f"{how}.json", how)
        for how in ("float32", "int4")
    }
    values = [
        next(row["value"] for row in each["scores"] if row["metric"] == "heldout/code/bpb") for each in found.values()
    ]
    assert 0 < abs(values[1] - values[0]) < 0.1 and found["int4"]["inference"] == "int4"
    assert len(list((store / "evaluations" / folder).glob("*-int4.json"))) == 1
    items = {how: json.loads((tmp_path / f"{how}.json").read_text())["items"]["heldout/code"] for how in found}
    assert [row["id"] for row in items["int4"]] == [row["id"] for row in items["float32"]]


def test_an_inference_that_there_is_not_is_refused(scored):
    with pytest.raises(UserError, match="arm 'int3': inference 'int3' is unknown; choose one of float32, bf"):
        check(inferences("float32", "int3"))
    with pytest.raises(UserError, match="inference 'fp4' is unknown; choose one of float32, bfloat16, int8, int4"):
        evaluate_target("half", scored[1], "", 5, 0, None, "fp4")
