"""Loss by the place in a long context."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare import compare
from analysis.evals.lengths import place, places
from analysis.records import EvalRecord, eval_path, read_stage, read_study, stage_folder, write
from analysis.report.build import build
from analysis.report.figures import drawing
from analysis.report.figures.places import by_place, trained
from tests.analysis import synthetic_store as synthetic

TASK = "longcontext/code:512"
SLOPE = {"text-only": 0.1, "code-to-text": -0.1}
"""Bits per byte that the last place adds: one arm can use the context, the other is lost in it."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    synthetic.write_store(tmp_path, (1, 2), ("heldout/code",), arms=dict.fromkeys(SLOPE, ""))
    for run in read_study(tmp_path, "small").runs:
        folder = stage_folder(tmp_path, run.stages[-1])
        stage = read_stage(folder)
        length = 128 if run.arm == "text-only" else 512
        write(folder / "stage.json", replace(stage, identity={"sequence": length}))
        items = tuple(
            {
                "id": f"file-{n}/{place(ends)}",
                "source": place(ends),
                "cluster": f"file-{n}",
                "nats": 0.6931471805599453 * 100 * (2 + (SLOPE[run.arm] if ends[1] == 512 else 0) + run.seed / 100),
                "bytes": 100,
            }
            for n in range(4)
            for ends in places(512)
        )
        write(
            eval_path(folder, TASK, 1, synthetic.STEPS),
            EvalRecord(TASK, 1, "hash", stage.fingerprint, synthetic.STEPS, items),
        )
    return tmp_path


def test_a_line_is_the_arms_means_at_their_places(store: Path) -> None:
    comparison = compare(store, "small")
    look = drawing.styles(list(comparison.study.arms), comparison.study.baseline)
    (figure,) = by_place(comparison, look)
    marks = {(mark.arm, mark.x): mark.value for mark in figure.marks}
    assert sorted({x for _, x in marks if x}) == [64, 128, 256, 512]
    assert marks["text-only", 256] == pytest.approx(2.015)
    assert marks["text-only", 512] == pytest.approx(2.115)
    assert marks["code-to-text", 512] == pytest.approx(1.915)
    assert trained(comparison) == {"text-only": 128, "code-to-text": 512}
    assert "128 (text-only); 512 (code-to-text)" in figure.caption


def test_the_report_has_it_and_one_without_such_a_task_has_not(store: Path, tmp_path: Path) -> None:
    assert "Bits per byte by the place in the context" in build(store, "small", synthetic.EXTRAS).read_text("utf-8")
    other = tmp_path / "other"
    synthetic.write_store(other, (1,), ("heldout/code",))
    assert "Long contexts" not in build(other, "small", synthetic.EXTRAS).read_text("utf-8")
