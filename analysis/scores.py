"""What was scored in a study, from its records: per arm, seed and point the tasks' scores, and what is missing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import metrics
from analysis.metrics import TaskScores
from analysis.records import (
    MAX_SKIPPED,
    EvalRecord,
    RunRecord,
    StudyRecord,
    read_eval,
    read_ledger,
    read_stage,
    stage_folder,
)

BEFORE, FINAL = "before-cooldown", "final"
"""The two points at which arms are compared: the end of the stage before the cooldown, and the end of the run."""

DIVERGED = ", so the model has diverged"
"""How the gap of a record ends that says so."""
SHOWN = 8
"""Ids in a note."""

Point = tuple[str, int, str]
"""(arm, seed, at)"""


@dataclass(frozen=True)
class Evaluated:
    """What was scored: per point the stage's folder and its tasks."""

    folder: Mapping[Point, str]
    scores: Mapping[Point, Mapping[str, TaskScores]]
    diverged: frozenset[Point]
    """Where there are no scores because the model has none."""


def points(run: RunRecord) -> dict[str, str]:
    """Where a run is compared: {"before-cooldown": stage folder, "final": stage folder}."""
    found = {}
    if "cooldown" in run.kinds[1:]:
        found[BEFORE] = run.stages[run.kinds.index("cooldown", 1) - 1]
    if run.stages:
        found[FINAL] = run.stages[-1]
    return found


def evaluated(store: Path, record: StudyRecord) -> tuple[Evaluated, list[str]]:
    """The scores of a study's runs, and what is missing of them and why, one line each.

    Raises:
        Failure: a record is corrupt.
    """
    folders: dict[Point, str] = {}
    scores: dict[Point, Mapping[str, TaskScores]] = {}
    diverged: set[Point] = set()
    gaps: list[str] = []
    read: dict[str, _Stage] = {}
    for run in sorted(record.runs, key=lambda run: (list(record.arms).index(run.arm), run.seed)):
        for at, folder in points(run).items():
            stage = read[folder] = read.get(folder) or _read_stage(store, folder, record.asked)
            point = (run.arm, run.seed, at)
            stopped = [_stopped(store, name) for name in run.stages[: run.stages.index(folder) + 1]]
            lost = [why for why in (*stopped, *stage.lost) if why]
            gaps += [*stage.of_data, *(f"{run.arm}, seed {run.seed}, {at}: {why}" for why in [*lost, *stage.missing])]
            if lost:
                diverged.add(point)
            if stage.scores:
                folders[point], scores[point] = folder, stage.scores
    return Evaluated(folders, scores, frozenset(diverged)), gaps


@dataclass(frozen=True)
class _Stage:
    """The tasks scored at the exact last step of a stage, newest version each, and what is missing."""

    scores: Mapping[str, TaskScores]
    missing: Sequence[str]
    of_data: Sequence[str]
    """Gaps of the data or the machine, not of the stage: to be told once."""
    lost: Sequence[str]
    """How its scores say that it diverged."""


def _read_stage(store: Path, folder: str, asked: Mapping[str, str]) -> _Stage:
    path = stage_folder(store, folder)
    if not (path / "stage.json").exists():
        return _Stage({}, [f"stage {folder} was not started"], [], [])
    stage = read_stage(path)
    files = {file: read_eval(file, stage.fingerprint) for file in sorted((path / "evals").glob("*.json"))}
    # Other studies may ask this stage the same task of other items, or what this one does not ask.
    records = [
        record
        for file, record in files.items()
        if record.step == stage.steps and (not asked or f"-{asked.get(record.task)}-" in file.name)
    ]
    newest = {record.task: record for record in sorted(records, key=lambda record: record.version)}
    found: dict[str, TaskScores] = {}
    missing, of_data, lost = [], [], []
    for task in sorted(newest):
        record = newest[task]
        if why := _diverged(record):
            lost.append(f"{task} was not scored: {why}")
        elif record.gap:
            of_data.append(f"{task} was not scored: {record.gap}")
        elif not record.items:
            missing.append(f"{task} was not scored (the record has no items)")
        else:
            found |= metrics.scores_of(record, folder)
    if not newest:
        state = "has no evaluation of its last step" if (path / "done.json").exists() else "is not finished"
        missing.append(f"stage {folder} {state}")
    return _Stage(found, missing, of_data, lost)


def _stopped(store: Path, folder: str) -> str:
    """Why a stage did not go on, if it has diverged: as many steps in a row were not finite as training stops at."""
    path, skipped = stage_folder(store, folder), 0
    for step in [] if (path / "done.json").exists() else read_ledger(path):
        skipped = skipped + 1 if step.skipped else 0
        if skipped == MAX_SKIPPED:
            return f"stage {folder} has diverged: step {step.step} was not finite, nor were those before it"
    return ""


def _diverged(record: EvalRecord) -> str:
    """Why the model of a record is known to have no scores, or nothing."""
    if record.gap.endswith(DIVERGED):
        return record.gap
    given = [item[field] for item in record.items for field in ("nats", "correct") if field in item]
    broken = sum(value is None or not math.isfinite(value) for value in given)
    return f"{broken} of its scores are not finite{DIVERGED}" if broken else ""


def item_notes(scores: TaskScores) -> list[str]:
    """What a reader should know of a task's items before comparing it with results from elsewhere, a line each."""
    said = {
        "cut": "{} of {} contexts are longer than the window and lost their beginning",
        "alike": "{} of {} items have choices that are the same, which share the credit ({})",
    }
    return [
        f"{scores.task}: " + said[flag].format(f"{len(ids):,}", f"{len(scores.ids):,}", ", ".join(ids[:SHOWN]))
        for flag, ids in scores.flagged.items()
        if ids
    ]


def require_same_items(evaluated: Evaluated) -> None:
    """Raises Failure where two records of a task differ in items, prompts, gold texts or versions."""
    first: dict[str, TaskScores] = {}
    for scores in evaluated.scores.values():
        for task, found in scores.items():
            metrics.require_same_items(first.setdefault(task, found), found)
