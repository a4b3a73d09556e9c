"""What was scored in a study, from its records: per arm, seed and point the tasks' scores, and what is missing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.evals.scoring import credit
from analysis.metrics import KS, SCORES, TaskScores
from analysis.records import (
    MAX_SKIPPED,
    EvalRecord,
    Item,
    RunRecord,
    StudyRecord,
    read_eval,
    read_ledger,
    read_stage,
    stage_folder,
)
from analysis.statistics import Floats
from store.errors import Failure, UserError
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
    if not (path / STAGE).exists():
        return _Stage({}, [f"stage {folder} was not started"], [], [])
    stage = read_stage(path)
    files = {file: read_eval(file, stage.fingerprint) for file in sorted((path / EVALS).glob("*.json"))}
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
            found |= scores_of(record, folder)
    if not newest:
        state = "has no evaluation of its last step" if (path / DONE).exists() else "is not finished"
        missing.append(f"stage {folder} {state}")
    return _Stage(found, missing, of_data, lost)


def _stopped(store: Path, folder: str) -> str:
    """Why a stage did not go on, if it has diverged: as many steps in a row were not finite as training stops at."""
    path, skipped = stage_folder(store, folder), 0
    for step in [] if (path / DONE).exists() else read_ledger(path):
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


def task_scores(record: EvalRecord, where: str) -> TaskScores:
    """The scores of a record as arrays.

    Raises:
        Failure: an item has no id or shares it, or a score is there for some items only or is not a finite number.
    """
    items = sorted(record.items, key=lambda item: str(item.get("id")))
    ids = tuple(str(item.get("id")) for item in items)
    if len(set(ids)) < len(ids) or any("id" not in item for item in items):
        raise _corrupt(record.task, where, "has items without an id of their own")
    columns = {
        field: np.asarray([float(item[field]) for item in items])
        for field in ("nats", "bytes", "correct", "score")
        if _in_all(items, field, record.task, where)
    }
    if "nats" in columns and columns.get("bytes", np.zeros(1)).sum() > 0:
        columns["bits"] = columns["nats"] / math.log(2)
    if _in_all(items, "passed", record.task, where):
        try:
            columns |= executed_columns(items)
        except (KeyError, ValueError, TypeError, AttributeError, UserError) as error:
            raise _corrupt(record.task, where, f"has counts that are not whole ({error!r})") from error
    if _in_all(items, "choice_nats", record.task, where):
        try:
            rows_NxC = np.asarray([_of_choices(item) for item in items])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise _corrupt(record.task, where, f"has choices that are not whole ({error!r})") from error
        columns |= dict(zip(("correct_norm", "correct_prob", "margin"), rows_NxC.T, strict=True))
    columns |= _shares(columns, record.task)
    for field, column_N in columns.items():
        if not np.isfinite(column_N).all():
            raise _corrupt(record.task, where, f"has a '{field}' that is not a finite number")
    number: dict[tuple[str, str], int] = {}
    names = [("cluster", str(item["cluster"])) if "cluster" in item else ("id", str(item["id"])) for item in items]
    cluster_N = np.asarray([number.setdefault(name, len(number)) for name in names], dtype=np.intp)
    flagged = {flag: tuple(str(item["id"]) for item in items if item.get(flag)) for flag in ("cut", "alike")}
    return TaskScores(record.task, record.version, record.prompt_hash, where, ids, columns, cluster_N, flagged)


def _shares(columns: dict[str, Floats], task: str) -> dict[str, Floats]:
    """The columns that tell a right answer to be said ("matched") from a right choice, and the one that leads."""
    known = TASKS.get(benchmark_of(task))
    found = {}
    if "correct" in columns and "correct_norm" not in columns:
        found["matched"] = columns["correct"] if known else columns.pop("correct")
    if "correct" in columns:
        found["lead"] = (columns | found).get(SCORES[known.lead].column if known else "correct", columns["correct"])
    return found


def scores_of(record: EvalRecord, where: str) -> dict[str, TaskScores]:
    """The scores of a record by task, and those of held-out text by source too: "heldout/code/python".

    Raises:
        Failure: as `task_scores`.
    """
    found = {record.task: task_scores(record, where)}
    by_source: dict[str, list[Item]] = {}
    for item in record.items:
        by_source.setdefault(str(item.get("source", "")), []).append(item)
    if len(by_source) > 1:
        parts = (replace(record, task=f"{record.task}/{name}", items=tuple(its)) for name, its in by_source.items())
        found |= {part.task: task_scores(part, where) for part in parts}
    return found


def _in_all(items: Sequence[Item], field: str, task: str, where: str) -> bool:
    present = [field in item for item in items]
    if any(present) and not all(present):
        raise _corrupt(task, where, f"has '{field}' for some items only")
    return any(present)


def _of_choices(item: Item) -> tuple[float, float, float]:
    """What acc_norm, correct_prob and margin sum of one item."""
    gold = item["gold"]
    of_choices = list(zip(item["choice_nats"], item["choice_bytes"], item["choice_chars"], strict=True))
    per_character = [nats / max(1, characters) for nats, _, characters in of_choices]
    per_byte = [nats / max(1, size) for nats, size, _ in of_choices]
    best_wrong = min(per_byte[:gold] + per_byte[gold + 1 :])
    return credit(per_character, gold), math.exp(-per_character[gold]), best_wrong - per_byte[gold]


def pass_at(n: int, c: int, k: int) -> float:
    """The unbiased estimate of pass@k when c of n samples pass: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021, 2.1).

    Raises:
        UserError: fewer samples than k.
    """
    if not 0 < k <= n:
        raise UserError(f"pass@{k} needs at least {k} samples a problem and k of 1 or more; there are {n}")
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1)) if n - c >= k else 1.0


def executed_columns(rows: Sequence[Item]) -> dict[str, Floats]:
    """Of rows of `analysis.evals.code.executed.items`, each of shape N: "runs", "weak" (1 or 0), and "pass@k".

    Every k of KS is there that all problems have samples for. A problem whose tests do not run here says nothing of the
    model: it has 0 in "runs" and in all others. Whether they do is the problem's and the machine's, never a sample's.
    """
    runs_N = np.asarray([float(row.get("runs", True)) for row in rows])
    found = {"runs": runs_N, "weak": runs_N * [float(row["weak"]) for row in rows]}
    most = min(row["samples"] for row in rows)
    for k in KS:
        if k <= most and runs_N.any():
            found[f"pass@{k}"] = runs_N * np.asarray([pass_at(row["samples"], row["passed"], k) for row in rows])
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
    first: dict[str, TaskScores] = {}
    for scores in evaluated.scores.values():
        for task, b in scores.items():
            a = first.setdefault(task, b)
            sizes = [each.columns.get("bytes", np.empty(0)) for each in (a, b)]
            ways = {
                "version": a.version == b.version,
                "prompts": a.prompt_hash == b.prompt_hash,
                "items": a.ids == b.ids,
                "bytes of the gold texts": np.array_equal(sizes[0], sizes[1]),
            }
            unlike = [way for way, same in ways.items() if not same]
            if unlike:
                raise Failure(
                    f"task '{task}' differs in its {' and '.join(unlike)} between {_described(a)} and {_described(b)}; "
                    f"delete {_files(task)} of both and run the study again"
                )


def _described(scores: TaskScores) -> str:
    return f"{scores.where} (version {scores.version}, prompts {scores.prompt_hash[:12]}, {len(scores.ids)} items)"


def _corrupt(task: str, where: str, problem: str) -> Failure:
    return Failure(f"evaluation of '{task}' in {where} {problem}; delete {_files(task)} there and score it again")


def _files(task: str) -> str:
    """The record of a task, of whatever version and prompts, as it is called on disk."""
    return f"{task.replace('/', '.')}@*.json"
