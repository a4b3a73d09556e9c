"""Figures of fine-tuning: by epoch, by the size of the data, and the sets of problems that arms solve."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.compare import Comparison, compare
from analysis.ledgers import read_ledgers
from analysis.records import EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, read_stage, write
from analysis.report.build import build
from analysis.report.figures import drawing, solved, tuning
from analysis.report.values import shown
from analysis.scores import evaluated, points
from tests.analysis import synthetic_store as synthetic

TASK = "humaneval_exec"
SOLVED = {"base": "ab", "tuned": "abcd", "half": "cde", "tiny": ""}
"""By arm, the problems that it solves at the end, of a to f; the tests of f do not run."""
SIZES = {"tuned": 40_000, "half": 20_000, "tiny": 10_000}
"""Tokens of one epoch."""


def rows(passed: Mapping[str, int], samples: int = 2) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"id": id, "runs": id != "f", "samples": samples, "passed": passed.get(id, 0), "weak": False, "reasons": {}}
        for id in "abcdef"
    )


def store_with_tuning(store: Path, monkeypatch: pytest.MonkeyPatch, seeds: Sequence[int] = (1, 2)) -> None:
    """A base, and three arms that go on from it for two epochs, scored after each."""
    monkeypatch.setattr(synthetic, "CODE_SHARE", dict.fromkeys(SOLVED, 0.5))
    runs = []
    for seed in seeds:
        for arm, theirs in SOLVED.items():
            kinds = ("pretrain",) if arm == "base" else ("pretrain", "finetune", "finetune")
            folders, parent = [], None
            for number, kind in enumerate(kinds):
                folder, parent = synthetic.write_stage(store, arm, seed, number, kind, parent)
                folders.append(folder)
                _tune(store / "stages" / folder, number, SIZES.get(arm, 0))
                record = EvalRecord(TASK, 2, "hash", parent, synthetic.STEPS, rows(_passed(theirs, number, seed)))
                write(eval_path(store / "stages" / folder, TASK, 2, synthetic.STEPS), record)
            runs.append(RunRecord(arm, seed, tuple(folders), kinds))
    study = StudyRecord(
        *("tune", "Does it help?", "It does.", "base", dict.fromkeys(SOLVED, ""), tuple(runs)),
        *((f"{TASK}/pass@1",), "ablate run tune", "data1"),
    )
    write(store / "studies" / "tune" / "study.json", study)


def _tune(folder: Path, number: int, size: int) -> None:
    """Make a stage read its mixture in the first stage, and then `size` tokens of pairs in each, which is an epoch."""
    stage = read_stage(folder)
    if number:
        tokens = {"pairs": size, "python": size // 10}
        epochs = {"pairs": float(number), "python": 0.5}
        stage = replace(stage, tokens_by_source=tokens, epochs_by_source=epochs, tokens=sum(tokens.values()))
    write(folder / "stage.json", stage)


def _passed(theirs: str, number: int, seed: int) -> dict[str, int]:
    """Both programs of what is solved pass; of e one does in one seed alone, which is less than half."""
    found = dict.fromkeys(theirs[: 1 + number] if number < 2 else theirs, 2)
    return found | ({"e": 1} if seed == 1 and "e" not in theirs else {})


def compared(store: Path) -> Comparison:
    return compare(store, "tune")


def test_sets_of_solved_problems_are_told_apart_and_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with_tuning(tmp_path, monkeypatch)
    comparison = compared(tmp_path)
    (metric,) = [each for each in comparison.metrics if each.name == f"{TASK}/pass@1"]
    its, of = solved.solved_by(comparison, metric)
    # A base has one stage, of which the first problem alone is solved here.
    assert {arm: "".join(sorted(ids)) for arm, ids in its.items()} == {**SOLVED, "base": "a"}
    assert of == 5  # f does not run
    found = dict(solved.combinations(its))
    assert found == {("base", "tuned"): 1, ("tuned",): 1, ("tuned", "half"): 2, ("half",): 1}
    assert sum(found.values()) == len(set().union(*its.values()))
    look = drawing.styles(list(comparison.study.arms), comparison.study.baseline)
    figure = solved.overlap(comparison, metric, look)
    assert figure is not None and "nobody solves 0" in figure.caption
    assert {(mark.arm, mark.value) for mark in figure.marks if mark.at == "in all"} == {
        *(("base", 1), ("tuned", 4), ("half", 3), ("tiny", 0))
    }


def test_nothing_is_drawn_where_nobody_solves_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVED, "tuned", "")
    for arm in SOLVED:
        monkeypatch.setitem(SOLVED, arm, "")
    store_with_tuning(tmp_path, monkeypatch)
    comparison = compared(tmp_path)
    (metric,) = [each for each in comparison.metrics if each.name == f"{TASK}/pass@1"]
    look = drawing.styles(list(comparison.study.arms), comparison.study.baseline)
    assert solved.overlap(comparison, metric, look) is None


def stages_of(store: Path, comparison: Comparison) -> dict[str, StageRecord]:
    return {folder: stage for folder, (stage, _) in read_ledgers(store, comparison.study).items()}


def test_checkpoints_lie_at_their_epochs_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with_tuning(tmp_path, monkeypatch)
    comparison = compared(tmp_path)
    study, stages = comparison.study, stages_of(tmp_path, comparison)
    places = {(run.arm, run.seed): tuning.spots(run, stages) for run in study.runs}
    assert places["base", 1] == {}  # it is not tuned
    assert places["half", 2] == {
        "stage-1": tuning.Spot(0.0, 0),
        "stage-2": tuning.Spot(1.0, 20_000),
        "final": tuning.Spot(2.0, 20_000),
    }
    every = list(dict.fromkeys(at for run in study.runs for at in points(run)))
    look = drawing.styles(list(study.arms), study.baseline)
    drawn = tuning.by_epoch(evaluated(tmp_path, study, every)[0], places, shown(comparison), look)
    assert drawn is not None
    marks = {(mark.arm, mark.x): mark.value for mark in drawn.marks}
    assert marks["tuned", 0.0] == pytest.approx((1 + 0.25) / 5)  # a, and one of two programs for e in one seed of two
    assert marks["tuned", 2.0] == pytest.approx((4 + 0.25) / 5)
    sizes = tuning.by_size(comparison, places, shown(comparison), look)
    assert sizes is not None and {mark.arm: mark.x for mark in sizes.marks} == SIZES
    del places["tiny", 1], places["tiny", 2]
    assert tuning.by_size(comparison, places, shown(comparison), look) is None  # two sizes make no curve


def test_the_report_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with_tuning(tmp_path, monkeypatch)
    synthetic.write_sealed(tmp_path / "prepared" / "data1" / "manifest.json", synthetic.manifest())
    page = build(tmp_path, "tune", synthetic.EXTRAS).read_text(encoding="utf-8")
    for title in ("Epoch by epoch", "By the size of the fine-tuning data", "Problems solved, by whom"):
        assert title in page
    assert page == build(tmp_path, "tune", synthetic.EXTRAS).read_text(encoding="utf-8")
