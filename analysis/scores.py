"""What was scored in a study, from its records: per arm, seed and point the tasks' scores, and what is missing."""

import math
import os
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.columns import (
    TEXTS,
    Columns,
    called,
    columns_of,
    corrupt,
    files,
    numbers,
    of_choices,
    read_columns,
    whole,
)
from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.metrics import KS, SCORES, TaskScores
from analysis.records import (
    MAX_SKIPPED,
    EvalRecord,
    RunRecord,
    StageRecord,
    StudyRecord,
    read_ledger,
    read_stage,
    stage_folder,
)
from analysis.statistics import Floats
from store.errors import Failure
from store.layout import DONE, EVALS, STAGE

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

    stages: Mapping[Point, StageRecord]
    scores: Mapping[Point, Mapping[str, TaskScores]]
    diverged: frozenset[Point]
    """Where there are no scores because the model has none."""


def points(run: RunRecord) -> dict[str, str]:
    """Where a run can be compared, and the stage's folder: {"stage-1": ..., "before-cooldown": ..., "final": ...}.

    "stage-1" and so on are the ends of all stages but the last.
    """
    found = {f"stage-{number}": stage for number, stage in enumerate(run.stages[:-1], 1)}
    if "cooldown" in run.kinds[1:]:
        found[BEFORE] = run.stages[run.kinds.index("cooldown", 1) - 1]
    if run.stages:
        found[FINAL] = run.stages[-1]
    return found


def evaluated(
    store: Path, record: StudyRecord, wanted: Collection[str] = (BEFORE, FINAL)
) -> tuple[Evaluated, list[str]]:
    """The scores of a study's runs at some of their points, and what is missing of them and why, one line each.

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
        store, list(dict.fromkeys(folder for its in places.values() for folder in its.values())), record
    )
    for run in runs:
        for at, folder in places[run.arm, run.seed].items():
            stage = read[folder]
            point = (run.arm, run.seed, at)
            stopped = [_stopped(store, name) for name in run.stages[: run.stages.index(folder) + 1]]
            lost = [why for why in (*stopped, *stage.lost) if why]
            gaps += [*stage.of_data, *(f"{run.arm}, seed {run.seed}, {at}: {why}" for why in [*lost, *stage.missing])]
            if lost:
                diverged.add(point)
            if stage.scores and stage.record:
                stages[point], scores[point] = stage.record, stage.scores
    return Evaluated(stages, scores, frozenset(diverged)), gaps


@dataclass(frozen=True)
class Frame:
    """What all records of a task share, so that a study of many runs holds it once: ids, their order, clusters."""

    columns: Columns
    """"id" and, where there are some, "cluster" and "source", as they were read."""
    order_N: NDArray[np.intp]
    ids: tuple[str, ...]
    cluster_N: NDArray[np.intp]
    parts: Mapping[str, NDArray[np.intp]]
    """The places of every source's items, where there are several sources."""


def _read_stages(store: Path, folders: Sequence[str], record: StudyRecord) -> "dict[str, _Stage]":
    """By folder, several at a time: pyarrow and numpy work beside one another, and there is little else to do."""
    frames: dict[str, Frame] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as pool:
        stages = list(pool.map(lambda folder: _read_stage(store, folder, record.asked, frames), folders))
    return dict(zip(folders, stages, strict=True))


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
    """The tasks scored at the end of one stage, as a study asks them (`StudyRecord.asked`).

    Raises:
        Failure: a record is corrupt.
    """
    return _read_stage(store, folder, asked, {}).scores


def _read_stage(store: Path, folder: str, asked: Mapping[str, str], frames: dict[str, Frame]) -> _Stage:
    path = stage_folder(store, folder)
    if not (path / STAGE).exists():
        return _Stage(None, {}, [f"stage {folder} was not started"], [], [])
    stage = read_stage(path)
    read = {file: read_columns(file, stage.fingerprint) for file in sorted((path / EVALS).glob("*.json"))}
    # Other studies may ask this stage the same task of other items, or what this one does not ask.
    records = [
        (record, columns)
        for file, (record, columns) in read.items()
        if record.step == stage.steps and (not asked or f"-{asked.get(record.task)}-" in file.name)
    ]
    newest = {record.task: (record, columns) for record, columns in sorted(records, key=lambda pair: pair[0].version)}
    found: dict[str, TaskScores] = {}
    missing, of_data, lost = [], [], []
    for task in sorted(newest):
        record, columns = newest[task]
        if why := _diverged(record, columns):
            lost.append(f"{task} was not scored: {why}")
        elif record.gap:
            of_data.append(f"{task} was not scored: {record.gap}")
        elif not columns:
            missing.append(f"{task} was not scored (the record has no items)")
        else:
            found |= _scores_of(record, columns, folder, frames)
    if not newest:
        state = "has no evaluation of its last step" if (path / DONE).exists() else "is not finished"
        missing.append(f"stage {folder} {state}")
    return _Stage(stage, found, missing, of_data, lost)


def _stopped(store: Path, folder: str) -> str:
    """Why a stage did not go on, if it has diverged: as many steps in a row were not finite as training stops at."""
    path, skipped = stage_folder(store, folder), 0
    for step in [] if (path / DONE).exists() else read_ledger(path):
        skipped = skipped + 1 if step.skipped else 0
        if skipped == MAX_SKIPPED:
            return f"stage {folder} has diverged: step {step.step} was not finite, nor were those before it"
    return ""


def _diverged(record: EvalRecord, columns: Columns) -> str:
    """Why the model of a record is known to have no scores, or nothing."""
    if record.gap.endswith(DIVERGED):
        return record.gap
    given = [columns[field] for field in ("nats", "correct") if field in columns]
    broken = sum(int((~np.isfinite(numbers(column))).sum()) - column.null_count for column in given)
    return f"{broken} of its scores are not finite{DIVERGED}" if broken else ""


def scores_of(record: EvalRecord, where: str) -> dict[str, TaskScores]:
    """The scores of a record by task, and those of held-out text by source too: "heldout/code/python".

    Raises:
        Failure: an item has no id or shares it, or a score is there for some items only or is not a finite number.
    """
    return _scores_of(record, columns_of(record.items, record.task, where), where, {})


def _frame(task: str, columns: Columns, where: str, frames: dict[str, Frame]) -> Frame:
    there = {field: columns[field] for field in TEXTS if field in columns}
    known = frames.get(task)
    if known is not None and known.columns == there:
        return known
    names = there["id"].to_pylist() if "id" in there else []
    if not names or None in names or len(set(names)) < len(names):
        raise corrupt(task, where, "has items without an id of their own")
    order = sorted(range(len(names)), key=names.__getitem__)
    clusters, sources = (there[f].to_pylist() if f in there else [None] * len(names) for f in ("cluster", "source"))
    keys = [(clusters[i] is None, names[i] if clusters[i] is None else clusters[i]) for i in order]
    by_source: dict[str, list[int]] = {}
    for place, i in enumerate(order):
        by_source.setdefault(sources[i] or "", []).append(place)
    parts = {source: np.asarray(places) for source, places in by_source.items()} if len(by_source) > 1 else {}
    ids = tuple(names[i] for i in order)
    frames[task] = Frame(there, np.asarray(order, dtype=np.intp), ids, _numbered(keys), parts)
    return frames[task]


def _numbered(keys: Sequence[Hashable]) -> NDArray[np.intp]:
    """The number of each key in the order in which they first come."""
    number: dict[Hashable, int] = {}
    return np.asarray([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)


def _scores_of(record: EvalRecord, columns: Columns, where: str, frames: dict[str, Frame]) -> dict[str, TaskScores]:
    whole = _task_scores(record, columns, where, frames)
    parts = frames[record.task].parts
    return {record.task: whole} | {
        f"{record.task}/{source}": _part(whole, f"{record.task}/{source}", places) for source, places in parts.items()
    }


def _part(whole: TaskScores, task: str, places: NDArray[np.intp]) -> TaskScores:
    """The scores of some of the items."""
    columns = {field: column_N[places] for field, column_N in whole.columns.items()}
    if "bits" in columns and columns["bytes"].sum() <= 0:
        del columns["bits"]
    ids = tuple(whole.ids[place] for place in places)
    of_part = frozenset(ids)
    flagged = {flag: tuple(id_ for id_ in found if id_ in of_part) for flag, found in whole.flagged.items()}
    cluster_N = _numbered(whole.cluster_N[places].tolist())
    return replace(whole, task=task, ids=ids, columns=columns, cluster_N=cluster_N, flagged=flagged)


def _task_scores(record: EvalRecord, columns: Columns, where: str, frames: dict[str, Frame]) -> TaskScores:
    task, frame = record.task, _frame(record.task, columns, where, frames)
    found = {
        field: numbers(columns[field])
        for field in ("nats", "bytes", "correct", "score")
        if _in_all(columns, field, task, where)
    }
    if "nats" in found and found.get("bytes", np.zeros(1)).sum() > 0:
        found["bits"] = found["nats"] / math.log(2)
    for field, made in (("passed", _executed), ("choice_nats", of_choices)):
        if _in_all(columns, field, task, where):
            try:
                found |= made(columns)
            except (KeyError, ValueError) as error:
                raise corrupt(task, where, f"has {called(field)} that are not whole ({error!r})") from error
    found |= _shares(found, task)
    for field, column_N in found.items():
        if not np.isfinite(column_N).all():
            raise corrupt(task, where, f"has a '{field}' that is not a finite number")
    flagged = {flag: _flagged(columns, flag, frame) for flag in ("cut", "alike")}
    ordered = {field: column_N[frame.order_N] for field, column_N in found.items()}
    return TaskScores(task, record.version, record.prompt_hash, where, frame.ids, ordered, frame.cluster_N, flagged)


def _flagged(columns: Columns, flag: str, frame: Frame) -> tuple[str, ...]:
    """The ids of the items that have a flag."""
    if flag not in columns:
        return ()
    flag_N = np.nan_to_num(numbers(columns[flag]))[frame.order_N]
    return tuple(frame.ids[i] for i in np.flatnonzero(flag_N))


def _shares(columns: dict[str, Floats], task: str) -> dict[str, Floats]:
    """The columns that tell a right answer to be said ("matched") from a right choice, and the one that leads."""
    known = TASKS.get(benchmark_of(task))
    found = {}
    if "correct" in columns and "correct_norm" not in columns:
        found["matched"] = columns["correct"] if known else columns.pop("correct")
    if "correct" in columns:
        found["lead"] = (columns | found).get(SCORES[known.lead].column if known else "correct", columns["correct"])
    return found


def _in_all(columns: Columns, field: str, task: str, where: str) -> bool:
    column = columns.get(field)
    if column is None or column.null_count == len(column):
        return False
    if column.null_count:
        raise corrupt(task, where, f"has '{field}' for some items only")
    return True


def pass_at(n: int, c: int, k: int) -> float:
    """The unbiased estimate of pass@k when c of n ≥ k samples pass, 1 − C(n−c, k) / C(n, k) (Chen et al. 2021, 2.1)."""
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1)) if n - c >= k else 1.0


def _executed(columns: Columns) -> dict[str, Floats]:
    """Of rows of `analysis.evals.code.executed.items`, each of shape N: "runs", "weak" (1 or 0), and "pass@k".

    Every k of KS is there that all problems have samples for. A problem whose tests do not run here says nothing of the
    model: it has 0 in "runs" and in all others. Whether they do is the problem's and the machine's, never a sample's.
    """
    samples_N, passed_N, weak_N = (whole(columns, field) for field in ("samples", "passed", "weak"))
    runs_N = whole(columns, "runs") if "runs" in columns else np.ones(samples_N.size)
    found = {"runs": runs_N, "weak": runs_N * weak_N}
    pairs, number_N = np.unique(np.stack([samples_N, passed_N]), axis=1, return_inverse=True)
    for k in KS:
        if k <= samples_N.min() and runs_N.any():
            value_P = np.asarray([pass_at(int(n), int(c), k) for n, c in pairs.T])
            found[f"pass@{k}"] = runs_N * value_P[number_N.ravel()]
    return found


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
            "clusters of items": np.array_equal(a.cluster_N, b.cluster_N),
            "bytes of the gold texts": np.array_equal(sizes[0], sizes[1]),
        }
        unlike = " and ".join(way for way, same in ways.items() if not same)
        if unlike:
            found.setdefault(task, f"task '{task}' differs in its {unlike} between {_described(a)} and {_described(b)}")
    return found


def _described(scores: TaskScores) -> str:
    return f"{scores.where} (version {scores.version}, prompts {scores.prompt_hash[:12]}, {len(scores.ids)} items)"
