"""Any arm against any other: within a study, of two studies, of two stores, at any point, and equivalence."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.choice import Choice
from analysis.compare import Comparison, Row, compare, contrast, notes, to_json
from analysis.records import eval_path, read_eval, read_stage, read_study, stage_folder, write
from analysis.statistics import Interval, Spread, interval, p_equivalent, reach
from analysis.verdict import CANNOT_TELL, EQUIVALENT
from store.errors import UserError
from tests.analysis import synthetic_store as synthetic

TASKS = ("heldout/text", "heldout/code", "piqa")
PRIMARY = ("heldout/text/bpb", "heldout/code/bpb")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("choice")
    synthetic.write_store(store, (1, 2, 3), TASKS, primary=PRIMARY)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    synthetic.write_store(tmp_path, (1, 2, 3), TASKS, primary=PRIMARY)
    return tmp_path


def row(found: Comparison, arm: str, metric: str = "heldout/code/bpb", at: str = "final") -> Row:
    (one,) = [r for r in found.rows if (r.arm, r.metric.name, r.at) == (arm, metric, at)]
    return one


def test_two_arms_are_compared_as_either_is_with_the_baseline(shared: Path) -> None:
    """A − B is (A − baseline) − (B − baseline), and the same the other way round with its sign turned."""
    declared = compare(shared, "small")
    one = compare(shared, "small", Choice(arms=("code-to-text", "balanced-only")))
    other = compare(shared, "small", Choice(arms=("balanced-only", "code-to-text")))
    a, b = (row(declared, arm).estimate.difference.centre for arm in ("code-to-text", "balanced-only"))
    there, back = row(one, "code-to-text").estimate, row(other, "balanced-only").estimate
    assert there.difference.centre == pytest.approx(a - b)
    assert (back.difference.low, back.difference.high) == pytest.approx((-there.difference.high, -there.difference.low))
    assert {r.arm for r in one.rows} == {"code-to-text"} and {r.baseline for r in one.rows} == {"balanced-only"}
    metric = row(one, "code-to-text").metric
    alone = contrast(declared, "code-to-text", "balanced-only", metric, "final")
    assert alone is not None and alone.estimate == there


def test_what_was_not_declared_is_exploratory(shared: Path) -> None:
    for choice in (Choice(baseline="balanced-only"), Choice(arms=("code-to-text", "balanced-only"))):
        found = compare(shared, "small", choice)
        assert found.family == () and {r.judged.strength for r in found.rows} <= {"exploratory", "items only"}
        assert all(r.adjustment == f"bh of {len(found.rows)}" for r in found.rows)
    rebased = compare(shared, "small", Choice(baseline="balanced-only"))
    assert {r.baseline for r in rebased.rows} == {"balanced-only"}
    assert {r.arm for r in rebased.rows} == set(synthetic.ARMS) - {"balanced-only"}


def test_an_arm_of_another_study_and_store(shared: Path, tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2), TASKS, primary=PRIMARY)
    record = read_study(tmp_path, "small")
    write(tmp_path / "studies" / "other-laptop" / "study.json", replace(record, name="other-laptop"))
    here = compare(shared, "small", Choice(arms=("code-to-text", "balanced-only")))
    names = ("code-to-text", f"{tmp_path}/other:balanced-only")
    there = compare(shared, "small", Choice(arms=names))
    (found,) = [r for r in there.last if r.metric.name == "heldout/code/bpb"]
    assert (found.baseline, found.n_seeds, found.n_declared) == (names[1], 2, 2), "the seeds that both have"
    first = [here.by_seed("code-to-text", "heldout/code/bpb", "final")[seed] for seed in (1, 2)]
    assert found.estimate.value == pytest.approx(np.mean(first))
    assert found.estimate.baseline_value == pytest.approx(
        np.mean(list(compare(tmp_path, "small").by_seed("balanced-only", "heldout/code/bpb", "final").values()))
    )


def test_tasks_that_two_studies_asked_otherwise_are_named_and_left_out(shared: Path, store: Path) -> None:
    for path in sorted((store / "stages").glob("balanced-only-*/evals/piqa@1-*.json")):
        write(path, replace(read_eval(path), prompt_hash="another"))
    found = compare(shared, "small", Choice(arms=("code-to-text", f"{store}/small:balanced-only")))
    assert not [r for r in found.rows if "piqa" in r.metric.name or r.metric.name.startswith("reasoning")]
    assert any("task 'piqa' differs in its prompts between" in gap for gap in found.gaps)
    assert [r for r in found.rows if r.metric.name == "heldout/code/bpb"]


def test_every_point_of_a_run_can_be_compared(shared: Path) -> None:
    found = compare(shared, "small", Choice(at="stage-1"))
    assert {r.at for r in found.rows} == {"stage-1"} and found.gaps == ()
    stage = found.evaluated.stages["code-to-text", 1, "stage-1"]
    assert (stage.kind, stage.tokens_before) == ("pretrain", 0)
    before = compare(shared, "small", Choice(at="before-cooldown"))
    same = compare(shared, "small", Choice(at="stage-2"))
    assert [r.estimate for r in before.rows] == [r.estimate for r in same.rows]


def test_unequal_token_totals_are_told(store: Path) -> None:
    for path in (store / "stages").glob("code-to-text-cooldown-s*"):
        stage = read_stage(stage_folder(store, path.name))
        write(path / "stage.json", replace(stage, tokens_before=stage.tokens_before - 1_000))
    said = [line for line in notes(compare(store, "small")) if "may be of tokens" in line]
    assert said == [
        "code-to-text, final: it has read 367,640 tokens and text-only 368,640, so what they differ by may be of tokens"
    ]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(baseline="text"), "has no arm 'text'; its arms are text-only, balanced-only"),
        (Choice(arms=("code-to-text", "code-to-text")), "cannot be compared with itself"),
        (Choice(arms=("code-to-text", "nowhere:text-only")), "study 'nowhere' has no records in store"),
        (Choice(arms=("code-to-text", "small:none")), "study 'small' has no arm 'none'"),
        (Choice(baseline="text-only", arms=("code-to-text", "text-only")), "leave one of the two options out"),
        (Choice(at="end"), "has no point 'end'; its runs have stage-1, stage-2, before-cooldown, final"),
        (Choice(margins={"bits": 0.1}), "a margin is given for 'bits', which was not scored; name a metric, or one of"),
        (Choice(margins={"bpb": 0.0}), "the margin of 'bpb' is 0.0; give a number above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(shared: Path, choice: Choice, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        compare(shared, "small", choice)


def test_arms_without_a_seed_in_common_are_refused(shared: Path, tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (7, 8), TASKS, primary=PRIMARY)
    with pytest.raises(UserError, match=r"has seeds 1, 2, 3 and .* 7, 8; arms pair on equal seeds"):
        compare(shared, "small", Choice(arms=("text-only", f"{tmp_path}/small:text-only")))


# Equivalence


@pytest.mark.parametrize(
    "spread", [Spread(0.3, 0.2, 0.05, 3, 40.0), Spread(0.5, 0, 0, 2, 40.0), Spread(0, 0.4, 0, 1, 9.0)]
)
@pytest.mark.parametrize("centre", [0.0, 0.7, -0.7])
def test_two_one_sided_tests_are_the_90_per_cent_interval(spread: Spread, centre: float) -> None:
    found = interval(centre, spread)
    half = reach(spread, 0.10)
    for off, equivalent in ((-1e-6, False), (1e-6, True)):
        p = p_equivalent(found, spread, abs(centre) + half + off)
        assert (p < 0.05) == equivalent and p == pytest.approx(0.05, abs=1e-3)
    assert p_equivalent(found, spread, abs(centre) / 2 + 1e-9) > 0.5 or centre == 0
    assert p_equivalent(Interval(0, 0, 0, 1), Spread(0, 0, 0, 3, 9), 1.0) == 1.0, "nothing varies to go by"


def test_equivalence_is_a_verdict_of_its_own(shared: Path) -> None:
    found = compare(shared, "small", Choice(margins={"bpb": 0.5, "heldout/code/bpb": 1e-6}))
    text, code = (row(found, "balanced-to-text", f"heldout/{kind}/bpb") for kind in ("text", "code"))
    assert (text.margin, code.margin) == (0.5, 1e-6)
    assert text.judged.side == "worse" and text.judged.text == "worse, by less than 0.5 bits/byte"
    assert code.judged.side == "better" and "less than" not in code.judged.text
    document = {(r["arm"], r["metric"], r["at"]): r for r in to_json(found)["rows"]}
    one = document["balanced-to-text", "heldout/text/bpb", "final"]
    assert one["margin"] == 0.5 and 0 < one["p_equivalent"] < 0.05
    assert document["balanced-to-text", "piqa/acc", "final"]["p_equivalent"] is None
    # Two arms of one recipe: the planted difference is nothing.
    quiet = compare(shared, "small", Choice(arms=("balanced-only", "balanced-to-text"), margins={"piqa/gold_bpb": 0.3}))
    (same,) = [r for r in quiet.last if r.metric.name == "piqa/gold_bpb"]
    assert (same.judged.side, same.judged.mark) == (EQUIVALENT, "≈")
    assert same.judged.text == "equivalent, within 0.3 bits/byte"


def test_a_lost_seed_forbids_equivalence(store: Path) -> None:
    choice = Choice(arms=("balanced-only", "balanced-to-text"), margins={"piqa/gold_bpb": 0.3})
    (stage,) = (store / "stages").glob("balanced-only-cooldown-s3-*")
    eval_path(stage, "piqa", 1, synthetic.STEPS).unlink()
    (found,) = [r for r in compare(store, "small", choice).last if r.metric.name == "piqa/gold_bpb"]
    assert (found.judged.side, found.p_equivalent) == (CANNOT_TELL, 1.0)


def test_a_study_declares_its_margins(store: Path) -> None:
    study = read_study(store, "small")
    write(store / "studies" / "small" / "study.json", replace(study, margins={"bpb": 0.5}))
    assert row(compare(store, "small"), "balanced-to-text", "heldout/text/bpb").judged.side == "worse"
    assert {r.margin for r in compare(store, "small").rows if r.metric.score.name == "bpb"} == {0.5}


# The command


def test_the_command_answers_on_one_screen_and_shows_all_when_asked(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments import cli
    from experiments.commands import results

    monkeypatch.setattr(results, "asked", lambda name, scale: type("Asked", (), {"key": name}))
    runner, base = CliRunner(), ["compare", "small", "--store", str(store)]
    short = runner.invoke(cli.app, base, catch_exceptions=False).stdout
    assert len(short.splitlines()) < 24
    assert "Of 6 declared primary comparisons with text-only at the end of the runs" in short
    assert "code-to-text" in short and "▲" in short
    every = runner.invoke(cli.app, [*base, "--all"], catch_exceptions=False).stdout
    assert "before-cooldown, against text-only" in every and len(every.splitlines()) > 40
    asked = ["--arms", "code-to-text", "balanced-only", "--at", "stage-1", "--margin", "bpb=0.1", "--json"]
    document = json.loads(runner.invoke(cli.app, [*base, *asked], catch_exceptions=False).stdout)
    assert {(r["arm"], r["baseline"], r["at"]) for r in document["rows"]} == {
        ("code-to-text", "balanced-only", "stage-1")
    }
    assert all(set(r["verdict"]) == {"side", "strength", "why"} for r in document["rows"])
    with pytest.raises(UserError, match="margin 'bpb' is not NAME=NUMBER"):
        runner.invoke(cli.app, [*base, "--margin", "bpb"], catch_exceptions=False)
