"""What a study's inferences take and what they lose, in the shape of PanGu-Coder2's Table 4 (arXiv:2307.14936)."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from analysis.compare import Comparison
from analysis.records import SpeedRecord, StudyRecord, read_speed, read_stage, speed_path, stage_folder
from analysis.report.blocks import Block, Cell, Table, Text
from analysis.report.results import value_cell
from analysis.report.values import shown
from store.layout import STAGE

_SCORES = ("bpb", "pass@1")


def read_speeds(store: Path, study: StudyRecord) -> dict[str, list[SpeedRecord]]:
    """By arm, how fast the ends of its runs write, where that was measured.

    Raises:
        Failure: a record is corrupt.
    """
    found: dict[str, list[SpeedRecord]] = {}
    if len({run.inference for run in study.runs}) < 2:
        return found
    for run in study.runs:
        folder = stage_folder(store, run.stages[-1])
        if not (folder / STAGE).exists():
            continue
        stage = read_stage(folder)
        path = speed_path(folder, stage.steps, run.inference)
        if path.exists():
            found.setdefault(run.arm, []).append(read_speed(path, stage.fingerprint))
    return found


def table(comparison: Comparison, speeds: Mapping[str, list[SpeedRecord]]) -> list[Block]:
    """Nothing where no speed was measured."""
    if not speeds:
        return []
    study = comparison.study
    inferences = {run.arm: run.inference for run in study.runs}
    rows = {(row.arm, row.metric): row for row in comparison.last}
    metrics = [metric for metric in shown(comparison) if metric.score.name in _SCORES]
    body: list[tuple[Cell | str, ...]] = []
    for arm in study.arms:
        its = speeds.get(arm, [])
        scores = (value_cell(comparison, arm, metric, rows.get((arm, metric))) for metric in metrics)
        size = f"{its[0].bytes / 1e6:,.2f}" if its else "–"
        body.append((arm, inferences[arm], size, _milliseconds(its), *scores))
    head: tuple[Cell | str, ...] = (
        "arm",
        "inference",
        "MB of weights",
        "ms a token",
        *(Cell(m.subject, m.score.unit) for m in metrics),
    )
    devices = ", ".join(sorted({each.device for its in speeds.values() for each in its}))
    said = (
        f"Milliseconds are a measurement on {devices}, with whatever else ran there: a text at a time, greedily, the "
        "median and the range over repeats and seeds. They are in no verdict and no digest, and a second measurement "
        "differs."
    )
    caption = "What inference takes and loses; below each score the paired difference and its 95 % interval"
    return [Table(caption, head, tuple(body), words=2), Text(said, "note")]


def _milliseconds(speeds: list[SpeedRecord]) -> Cell | str:
    found = [each for speed in speeds for each in speed.milliseconds]
    if not found:
        return "–"
    return Cell(f"{median(found):.3g}", f"{min(found):.3g} to {max(found):.3g}")
