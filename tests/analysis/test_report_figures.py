"""Figures in the paper's forms: what they draw is what the records say, with its origin at every point."""

import csv
import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare import Comparison, compare
from analysis.ledgers import Ledgers, read_ledgers, sweep
from analysis.records import EvalRecord, RunRecord, StudyRecord, eval_path, read_stage, read_study, stage_folder, write
from analysis.report.blocks import Figure
from analysis.report.build import build
from analysis.report.figures import drawing, panels, paper
from analysis.report.values import shown
from analysis.scores import evaluated, points
from tests.analysis import synthetic_store as synthetic

SHARES = {"zero": 0.0, "quarter": 0.25, "half": 0.5, "most": 0.75, "all": 1.0}


def sweep_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one stage that differ in their share of code alone."""
    monkeypatch.setattr(synthetic, "CODE_SHARE", SHARES)
    runs = []
    for arm in SHARES:
        for seed in (1, 2, 3):
            folder, fingerprint = synthetic.write_stage(store, arm, seed, 0, "pretrain", None)
            for task in ("heldout/text", "heldout/code"):
                items = synthetic.items(task, arm, seed, "pretrain", 40)
                record = EvalRecord(task, 1, "hash", fingerprint, synthetic.STEPS, items)
                write(eval_path(store / "stages" / folder, task, 1, synthetic.STEPS), record)
            runs.append(RunRecord(arm, seed, (folder,), ("pretrain",)))
    primary = ("heldout/code/bpb", "heldout/text/bpb")
    arms = dict.fromkeys(SHARES, "")
    study = StudyRecord("sweep", "How much?", "Much.", "zero", arms, tuple(runs), primary, "ablate run sweep", "data1")
    write(store / "studies" / "sweep" / "study.json", study)


def found(store: Path, study: str) -> tuple[Comparison, Ledgers]:
    comparison = compare(store, study)
    return comparison, read_ledgers(store, comparison.study)


def test_the_curve_names_its_optimum_and_what_cannot_be_told_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_store(tmp_path, monkeypatch)
    comparison, ledgers = found(tmp_path, "sweep")
    shares = sweep(comparison.study, ledgers)
    assert shares == pytest.approx(SHARES)
    figure = paper.curve(comparison, shown(comparison)[:2], shares)
    assert "Held-out code: all, beyond noise against each of the others." in figure.caption
    assert figure.caption.index("Held-out text: zero") > 0
    marks = {(mark.arm, mark.metric): mark for mark in figure.marks}
    assert len(marks) == 10
    row = next(r for r in comparison.last if (r.arm, r.metric.name) == ("half", "heldout/code/bpb"))
    mark = marks["half", "heldout/code/bpb"]
    assert (mark.x, mark.value, mark.n_seeds, mark.n_items) == (0.5, row.estimate.value, 3, 40)
    assert mark.high == pytest.approx(row.estimate.baseline_value + row.estimate.difference.high)
    for seed in (1, 2, 3):
        assert comparison.evaluated.stages["half", seed, "final"].fingerprint in mark.trace
    titles = [html.unescape(title) for title in re.findall(r"<title>(.*?)</title>", figure.svg)]
    assert any(title.startswith("half: ") and f"step {synthetic.STEPS}" in title for title in titles)


def test_arms_that_are_equally_good_are_not_told_from_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep_store(tmp_path, monkeypatch)
    comparison, _ = found(tmp_path, "sweep")
    (metric,) = [m for m in comparison.metrics if m.name == "heldout/code/bpb"]
    values = {arm: 1.0 for arm in SHARES} | {"quarter": 0.9}
    best, alike = paper.optimum(comparison, metric, values)
    assert best == "quarter" and set(alike) < set(SHARES) - {"quarter"}


def test_a_study_of_other_arms_has_no_curve(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1,), ("heldout/code",))
    comparison, ledgers = found(tmp_path, "small")
    assert sweep(comparison.study, ledgers) == {} and paper.sizes(comparison, ledgers) == {}


def test_sizes_of_a_recipe_share_a_line(tmp_path: Path) -> None:
    arms = {"text-only": "", "balanced-only": "", "code-to-text": ""}
    synthetic.write_store(tmp_path, (1, 2), ("heldout/code",), arms=arms)
    study = read_study(tmp_path, "small")
    large = [run for run in study.runs if run.arm == "code-to-text"]
    for run in large:
        for name in run.stages:
            path = stage_folder(tmp_path, name)
            write(path / "stage.json", replace(read_stage(path), model="2m"))
    runs = tuple(replace(run, arm="balanced-only-2m") if run in large else run for run in study.runs)
    named = {"text-only": "", "balanced-only": "", "balanced-only-2m": ""}
    write(tmp_path / "studies" / "small" / "study.json", replace(study, runs=runs, arms=named))
    comparison, ledgers = found(tmp_path, "small")
    recipes = paper.sizes(comparison, ledgers)
    assert recipes == {"balanced-only": {"1m": "balanced-only", "2m": "balanced-only-2m"}}
    figure = paper.scale(comparison, shown(comparison), recipes)
    values = {mark.arm: mark.value for mark in figure.marks if mark.metric == "heldout/code/bpb"}
    assert values.keys() == {"balanced-only", "balanced-only-2m"}


def test_scores_along_a_run_lie_at_their_tokens(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2), ("heldout/code",))
    comparison, _ = found(tmp_path, "small")
    study = comparison.study
    every = [at for at in points(study.runs[0]) if at != "before-cooldown"]
    look = drawing.styles(list(study.arms), study.baseline)
    figure = paper.along(evaluated(tmp_path, study, every)[0], shown(comparison), look)
    assert figure is not None
    per_stage = synthetic.STEPS * synthetic.TOKENS_PER_STEP
    of_code = [m for m in figure.marks if (m.arm, m.metric) == ("code-to-text", "heldout/code/bpb")]
    assert [m.x for m in of_code] == [per_stage, 2 * per_stage, 3 * per_stage]
    end = comparison.by_seed("code-to-text", "heldout/code/bpb", "final")
    assert of_code[-1].value == pytest.approx(sum(end.values()) / 2)


def test_the_papers_values_are_hollow_and_only_where_asked(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2), ("piqa", "triviaqa"), n_items=20)
    plain = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    asked = build(tmp_path, "small", synthetic.EXTRAS, paper_values=True).read_text(encoding="utf-8")
    assert "hollow diamond" not in plain and "hollow diamond" in asked
    with (tmp_path / "studies" / "small" / "figure-categories.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["at"] == panels.PUBLISHED]
    reasoning = {row["arm"]: row["value"] for row in rows if row["metric"] == "reasoning/acc"}
    # Table 2, after the cooldown, which is where this study's runs end.
    assert reasoning == {
        **{"text-only": "0.541", "balanced-only": "0.532"},
        **{"balanced-to-text": "0.549", "code-to-text": "0.521"},
    }


def test_an_arm_is_drawn_over_the_seeds_that_it_is_compared_by(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2, 3), ("heldout/code",))
    (stage,) = (tmp_path / "stages").glob("text-only-cooldown-s3-*")
    eval_path(stage, "heldout/code", 1, synthetic.STEPS).unlink()
    comparison, _ = found(tmp_path, "small")
    (metric,) = shown(comparison)
    look = drawing.styles(list(comparison.study.arms), comparison.study.baseline)
    figure = panels.panels(comparison, [metric], look, "k", "t")
    assert isinstance(figure, Figure)
    (mark,) = [mark for mark in figure.marks if mark.arm == "balanced-only"]
    seeds = comparison.by_seed("balanced-only", metric.name, "final")
    assert len(seeds) == 3 and mark.n_seeds == 2
    assert mark.value == pytest.approx((seeds[1] + seeds[2]) / 2)


def test_a_study_of_one_arm_is_shown_and_compares_nothing(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2), ("heldout/code",), arms={"text-only": "alone"})
    page = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert "No arm could be compared with text-only at the end of the runs yet." in page
    assert "<h2>All comparisons</h2>" not in page and "<h2>Declared and realised tokens</h2>" in page


def test_a_seed_that_diverged_stands_on_the_first_screen(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2, 3), ("heldout/code",))
    (stage,) = (tmp_path / "stages").glob("code-to-text-cooldown-s3-*")
    path = eval_path(stage, "heldout/code", 1, synthetic.STEPS)
    fingerprint = read_stage(stage).fingerprint
    gap = "3 of 40 items have no finite likelihood, so the model has diverged"
    write(path, EvalRecord("heldout/code", 1, "hash of heldout/code", fingerprint, synthetic.STEPS, (), gap))
    (stage,) = (tmp_path / "stages").glob("balanced-only-cooldown-s1-*")
    eval_path(stage, "heldout/code", 1, synthetic.STEPS).unlink()
    page = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    first = page[: page.index("<nav")]
    assert "<strong>code-to-text</strong>: seed 3 diverged, of 3" in first
    assert "<strong>balanced-only</strong>: seed 1 not scored, of 3" in first


def test_long_tables_are_folded_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = [f"arm-{number}" for number in range(30)]
    monkeypatch.setattr(synthetic, "CODE_SHARE", {"text-only": 0.0, **{arm: 0.3 for arm in arms}})
    synthetic.write_store(
        tmp_path, (1,), ("heldout/code", "heldout/text"), arms={"text-only": "", **dict.fromkeys(arms, "")}
    )
    page = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    first = page[: page.index("<nav")]
    assert first.index("<figure") < first.index("<table"), "with many arms the figure comes first"
    for arm in arms:
        assert f'<th scope="row" class="l">{arm}' in first
    assert page.count("<details>") >= 5 and page.count("<summary>") == page.count("<details>")
