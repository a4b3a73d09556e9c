"""What was scored in a study, from its records: per arm, seed and point the tasks' scores, and what is missing."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.columns import files
from analysis.ledger_rows import MAX_SKIPPED, read_ledger
from analysis.metrics import TaskScores
from analysis.records import FLOAT32, RunRecord, StageRecord, StudyRecord, read_stage, stage_folder
from analysis.task_scores import Frame, read_scores
from store.errors import Failure
from store.layout import DONE, EVALS, STAGE
from store.paths import glob, together
from store.paths import missing as absent

BEFORE, FINAL = "before-cooldown", "final"
"""The two points at which arms are compared: the end of the stage before the cooldown, and the end of the run."""

SHOWN = 8
"""Ids in a note."""

Point = tuple[str, int, str]
"""(arm, seed, at)"""


@dataclass(frozen=True)
class Evaluated:
    """What was scored: per point the stage's record and its tasks' scores."""

    stages: Mapping[Point, StageRecord]
    scores: Mapping[Point, Mapping[str, TaskScores]]
    diverged: frozenset[Point]
    """Where there are no scores because the model has none."""


def points(run: RunRecord) -> dict[str, str]:
    """Where a run can be compared, and the stage's folder: {"stage-1": ..., "before-cooldown": ..., "final": ...}.

    "stage-1" and so on are the ends of all stages but the last. They are scored in float32 alone, so that a run of
    another inference has none of them.
    """
    if run.inference != FLOAT32:
        return {FINAL: run.stages[-1]} if run.stages else {}
    found = {f"stage-{number}": stage for number, stage in enumerate(run.stages[:-1], 1)}
    if "cooldown" in run.kinds[1:]:
        found[BEFORE] = run.stages[run.kinds.index("cooldown", 1) - 1]
    if run.stages:
        found[FINAL] = run.stages[-1]
    return found


def evaluated(
    store: Path, record: StudyRecord, wanted: Collection[str] = (BEFORE, FINAL)
) -> tuple[Evaluated, list[str]]:
    """The scores of a study's runs at some of their points, each run's in its inference; what is missing of them, and
    why, one line each.

    Raises:
        Failure: a record is corrupt.
    """
    stages: dict[Point, StageRecord] = {}
    scores: dict[Point, Mapping[str, TaskScores]] = {}
    diverged: set[Point] = set()
    gaps: list[str] = []
    runs = sorted(record.runs, key=lambda run: (list(record.arms).index(run.arm), run.seed))
    places = {(run.arm, run.seed): {at: folder for at, folder in points(run).items() if at in wanted} for run in runs}
    read = _read_stages(
        store,
        list(dict.fromkeys((each, run.inference) for run in runs for each in places[run.arm, run.seed].values())),
        record,
    )
    ends = {stage_folder(store, folder) / DONE for run in runs for folder in run.stages}
    unfinished = {path.parent.name for path in absent(ends)}
    for run in runs:
        for at, folder in places[run.arm, run.seed].items():
            stage = read[folder, run.inference]
            point = (run.arm, run.seed, at)
            before = run.stages[: run.stages.index(folder) + 1]
            stopped = [_stopped(store, name) for name in before if name in unfinished]
            lost = [why for why in (*stopped, *stage.lost) if why]
            gaps += [*stage.of_data, *(f"{run.arm}, seed {run.seed}, {at}: {why}" for why in [*lost, *stage.missing])]
            if lost:
                diverged.add(point)
            if stage.scores and stage.record:
                stages[point], scores[point] = stage.record, stage.scores
    return Evaluated(stages, scores, frozenset(diverged)), gaps


def _read_stages(
    store: Path, wanted: Sequence[tuple[str, str]], record: StudyRecord
) -> "dict[tuple[str, str], _Stage]":
    """By folder and inference, several at a time: pyarrow and numpy work beside one another, and do most of it."""
    frames: dict[str, Frame] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
        stages = pool.map(lambda each: _read_stage(store, each[0], each[1], record.asked, frames), wanted)
        return dict(zip(wanted, stages, strict=True))


@dataclass(frozen=True)
class _Stage:
    """The tasks scored at the exact last step of a stage, newest version each, and what is missing."""

    record: StageRecord | None
    scores: Mapping[str, TaskScores]
    missing: Sequence[str]
    of_data: Sequence[str]
    """Gaps of the data or the machine, not of the stage: to be told once."""
    lost: Sequence[str]
    """How its scores say that it diverged."""


def of_stage(store: Path, folder: str, asked: Mapping[str, str]) -> Mapping[str, TaskScores]:
    """The tasks scored in float32 at the end of one stage, as a study asks them (`StudyRecord.asked`).

    Raises:
        Failure: a record is corrupt.
    """
    return _read_stage(store, folder, FLOAT32, asked, {}).scores


def _read_stage(store: Path, folder: str, inference: str, asked: Mapping[str, str], frames: dict[str, Frame]) -> _Stage:
    path = stage_folder(store, folder)
    if not (path / STAGE).exists():
        return _Stage(None, {}, [f"stage {folder} was not started"], [], [])
    stage = read_stage(path)
    files = glob(path / EVALS, "*.json")
    read = [*zip(files, together(path, lambda file: read_scores(file, stage.fingerprint, frames), files), strict=True)]
    # Other studies may ask this stage the same task of other items, or what this one does not ask.
    ours = [
        each
        for file, each in read
        if each.record.step == stage.steps
        and each.record.inference == inference
        and (not asked or f"-{asked.get(each.record.task)}-" in file.name)
    ]
    newest = {each.record.task: each for each in sorted(ours, key=lambda each: each.record.version)}
    found: dict[str, TaskScores] = {}
    missing, of_data, lost = [], [], []
    for task, each in sorted(newest.items()):
        if each.diverged:
            lost.append(f"{task} was not scored: {each.diverged}")
        elif each.record.gap:
            of_data.append(f"{task} was not scored: {each.record.gap}")
        elif not each.scores:
            missing.append(f"{task} was not scored (the record has no items)")
        else:
            found |= each.scores
    if not newest:
        what = "evaluation" if inference == FLOAT32 else f"evaluation in {inference}"
        state = f"has no {what} of its last step" if (path / DONE).exists() else "is not finished"
        missing.append(f"stage {folder} {state}")
    return _Stage(stage, found, missing, of_data, lost)


def _stopped(store: Path, folder: str) -> str:
    """Why a stage did not go on, if it has diverged: as many steps in a row were not finite as training stops at."""
    skipped = 0
    for step in read_ledger(stage_folder(store, folder)):
        skipped = skipped + 1 if step.skipped else 0
        if skipped == MAX_SKIPPED:
            return f"stage {folder} has diverged: step {step.step} was not finite, nor were those before it"
    return ""


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
    """Refuse to compare unlike with like.

    Raises:
        Failure: the version, the prompts, the items or the gold texts of two records of a task differ.
    """
    for task, why in differing(evaluated.scores.values()).items():
        raise Failure(f"{why}; delete {files(task)} of both and run the study again")


def differing(scores: Iterable[Mapping[str, TaskScores]]) -> dict[str, str]:
    """The tasks of which two records are not alike, and how the first two such differ, in words."""
    first: dict[str, TaskScores] = {}
    found: dict[str, str] = {}
    for task, b in (pair for of in scores for pair in of.items()):
        a = first.setdefault(task, b)
        sizes = [each.columns.get("bytes", np.empty(0)) for each in (a, b)]
        ways = {
            "version": a.version == b.version,
            "prompts": a.prompt_hash == b.prompt_hash,
            "items": a.ids == b.ids,
            "clusters of items": a.ids != b.ids or np.array_equal(a.cluster_N, b.cluster_N),
            "bytes of the gold texts": np.array_equal(sizes[0], sizes[1]),
        }
        unlike = " and ".join(way for way, same in ways.items() if not same)
        if unlike:
            found.setdefault(task, f"task '{task}' differs in its {unlike} between {_described(a)} and {_described(b)}")
    return found


def _described(scores: TaskScores) -> str:
    return f"{scores.where} (version {scores.version}, prompts {scores.prompt_hash[:12]}, {len(scores.ids)} items)"
