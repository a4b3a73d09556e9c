"""The last scored points of a run: which of them are of one kind, and their mean item by item.

Averaging the last checkpoints takes out what a score owes to the step at which training happens to stop. Points count
together only where nothing but training lies between them: of one kind of stage, by what this study calls it, and of
one mixture, model, length, order within documents and objective, by the stages' identities; with no point between them
that was not scored. A record that does not say its mixture is of no kind but its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.metrics import TaskScores
from analysis.records import RunRecord, StageRecord, StudyRecord
from analysis.scores import BEFORE, Evaluated, Point, points
from store.errors import UserError

SAME = ("mixture", "model", "sequence", "infilling", "objective")
"""Of an identity."""


def ends(run: RunRecord, at: str) -> list[str]:
    """The ends of a run's stages up to the point `at`, oldest first; [] where it does not have the point."""
    where = points(run)
    names = [name for name in where if name != BEFORE]
    return names[: [where[name] for name in names].index(where[at]) + 1] if at in where else []


def alike(run: RunRecord, found: Evaluated, at: str) -> list[str]:
    """The last of `ends` that are scored and of one kind, oldest first; [] where the last of them is not scored."""
    names = ends(run, at)
    kinds = [
        _kind(found.stages.get((run.arm, run.seed, name)), kind)
        for name, kind in zip(names, run.kinds, strict=False)  # up to the point
    ]
    if not names or not kinds[-1]:
        return []
    count = next((number for number, kind in enumerate(reversed(kinds)) if kind != kinds[-1]), len(kinds))
    return names[-count:]


def _kind(stage: StageRecord | None, kind: str) -> str:
    """What has to be equal; "" of a point that is not scored."""
    if stage is None:
        return ""
    if "mixture" not in stage.identity:
        return stage.fingerprint
    return str((kind, *(stage.identity.get(key) for key in SAME)))


def wanted(record: StudyRecord, at: Sequence[str], last: int) -> list[str]:
    """The points whose scores the mean of the last `last` up to each of `at` needs."""
    before = (name for point in at for run in record.runs for name in ends(run, point)[-last:])
    return list(dict.fromkeys([*before, *at]))


def averaged(record: StudyRecord, found: Evaluated, at: Sequence[str], last: int) -> tuple[Evaluated, list[str]]:
    """`found` with the mean of the last `last` points in place of each point of `at`; what is left out, a line each.

    Raises:
        UserError: a run has fewer such points.
    """
    scores: dict[Point, Mapping[str, TaskScores]] = {}
    gaps: list[str] = []
    for run in record.runs:
        for point in (point for point in at if (run.arm, run.seed, point) in found.scores):
            names = [*alike(run, found, point)[-last:]]
            if len(names) < last:
                _refuse(run, point, len(names), last)
            each = [found.scores[run.arm, run.seed, name] for name in names]
            scores[run.arm, run.seed, point] = {
                task: mean([of[task] for of in each]) for task in each[-1] if all(task in of for of in each)
            }
            lacking = [task for task in each[-1] if not all(task in of for of in each)]
            said = f"is not scored at all {last} last checkpoints, so it has no mean"
            gaps += [f"{run.arm}, seed {run.seed}, {point}: {task} {said}" for task in lacking]
    stages = {point: stage for point, stage in found.stages.items() if point in scores}
    return Evaluated(stages, scores, found.diverged), gaps


def _refuse(run: RunRecord, at: str, count: int, last: int) -> None:
    there = "1 scored checkpoint" if count == 1 else f"{count} scored checkpoints"
    raise UserError(
        f"the last {last} checkpoints cannot be averaged: {run.arm}, seed {run.seed}, has {there} of one kind of stage "
        f"and mixture up to {at}; ask for fewer, or cut the stage into scored pieces (`experiments.pieces.cut_every`)"
    )


def mean(scores: Sequence[TaskScores]) -> TaskScores:
    """Of one task on several checkpoints, item by item: the score of each item is its mean over the checkpoints."""
    kept = [name for name in scores[-1].columns if all(name in each.columns for each in scores)]
    columns = {name: np.mean([each.columns[name] for each in scores], axis=0) for name in kept}
    return replace(scores[-1], columns=columns)
