"""What is compared with what: a study as it declares, or any two arms as somebody asks, of two stores too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis import last_points
from analysis.metrics import TaskScores
from analysis.records import StudyRecord, read_study
from analysis.scores import BEFORE, FINAL, Evaluated, differing, evaluated, points, require_same_items
from store import layout
from store.errors import UserError
from store.paths import glob


@dataclass(frozen=True)
class Choice:
    """What is asked other than a study declares it.

    Attributes:
        baseline: the arm that all others are compared with.
        arms: A and B: A against B alone. An arm of another study of the store is "STUDY:ARM", of another store
            "FOLDER/STUDY:ARM".
        at: the point at which arms are compared: "final", "before-cooldown", or "stage-1", the end of the first stage.
        margins: by metric or kind of score ("bpb", "acc"), in the metric's unit: how far apart two arms may be and
            still be called equivalent; instead of those that the study declares.
        last: so many scored checkpoints of a run, up to the point, are averaged item by item. Beyond 1 that is nothing
            that the study declared, and arms are compared at the end of the runs alone, if no point is named.
    """

    baseline: str = ""
    arms: tuple[str, str] | None = None
    at: str = ""
    margins: Mapping[str, float] = field(default_factory=dict)
    last: int = 1

    @property
    def points(self) -> tuple[str, ...]:
        if self.at:
            return (self.at,)
        return (BEFORE, FINAL) if self.last == 1 else (FINAL,)


DECLARED = Choice()
"""Everything as the study has it."""


@dataclass(frozen=True)
class Found:
    """The study as it is compared, its scores, and what is missing and why, one line each."""

    study: StudyRecord
    evaluated: Evaluated
    gaps: Sequence[str]
    declared: bool
    """Whether arms are compared as the study declares, so that its family is one."""


def find(store: Path, study: str, choice: Choice) -> Found:
    """The records that `choice` asks for.

    Raises:
        UserError: there is no such study, arm or point, two arms share no seed or task, or a run has fewer checkpoints
            than are to be averaged.
        Failure: a record is corrupt, or two records of a task hold different items, prompts or versions.
    """
    if choice.last < 1:
        raise UserError(f"the last {choice.last} checkpoints cannot be averaged; ask for 2 or more, or leave it out")
    if choice.arms is not None:
        return _two(store, study, choice, choice.arms)
    record = read_study(store, study)
    if choice.baseline:
        _require_arm(record, choice.baseline)
        record = replace(record, baseline=choice.baseline, baselines={}, expected=())
    _require_point(record, choice.at)
    found, gaps = _scored(store, record, choice)
    return Found(record, found, gaps, not choice.baseline and choice.last == 1)


def _scored(store: Path, record: StudyRecord, choice: Choice) -> tuple[Evaluated, list[str]]:
    """The scores at the points of `choice`, and what is missing."""
    averaged = choice.last > 1
    wanted = last_points.wanted(record, choice.points, choice.last) if averaged else choice.points
    found, gaps = evaluated(store, record, wanted)
    require_same_items(found)
    if not averaged:
        return found, gaps
    means, lacking = last_points.averaged(record, found, choice.points, choice.last)
    return means, [*gaps, *lacking]


def _two(store: Path, study: str, choice: Choice, arms: tuple[str, str]) -> Found:
    """Two arms under the names that they were asked by; of tasks only those that both were asked alike."""
    if arms[0] == arms[1]:
        raise UserError(f"'{arms[0]}' cannot be compared with itself; name two arms")
    if choice.baseline:
        raise UserError("the second of two arms is the baseline; leave one of the two options out")
    one, other = (_arm(store, study, name, choice) for name in arms)
    shared = {run.seed for run in one.study.runs} & {run.seed for run in other.study.runs}
    if not shared:
        seeds = [", ".join(str(run.seed) for run in each.study.runs) for each in (one, other)]
        raise UserError(
            f"'{arms[0]}' has seeds {seeds[0]} and '{arms[1]}' {seeds[1]}; arms pair on equal seeds, and these share "
            "none"
        )
    scores = dict(one.evaluated.scores) | dict(other.evaluated.scores)
    unlike = differing(scores.values())
    merged = Evaluated(
        dict(one.evaluated.stages) | dict(other.evaluated.stages),
        {point: _without(of, unlike) for point, of in scores.items()},
        one.evaluated.diverged | other.evaluated.diverged,
    )
    record = replace(
        one.study,
        baseline=arms[1],
        baselines={},
        arms=dict(one.study.arms) | dict(other.study.arms),
        runs=(*one.study.runs, *other.study.runs),
        expected=(),
    )
    return Found(record, merged, [*one.gaps, *other.gaps, *unlike.values()], declared=False)


def _arm(store: Path, study: str, typed: str, choice: Choice) -> Found:
    """One arm with its runs, called as it was typed."""
    of, colon, arm = typed.rpartition(":")
    folder, _, name = of.rpartition("/")
    where = Path(folder) if folder else store
    record = read_study(where, _key(where, name) if colon else study)
    _require_arm(record, arm)
    runs = tuple(replace(run, arm=typed) for run in record.runs if run.arm == arm)
    record = replace(record, arms={typed: record.arms[arm]}, runs=runs, baseline=typed)
    _require_point(record, choice.at)
    found, gaps = _scored(where, record, choice)
    return Found(record, found, gaps, declared=False)


def _key(store: Path, name: str) -> str:
    """What a store calls the study of a name: with its scale, where that is to be guessed and can be."""
    there = [path.parent.name for path in glob(store / layout.STUDIES, f"*/{layout.STUDY}")]
    alike = [key for key in there if key.rpartition("-")[0] == name]
    return alike[0] if name not in there and len(alike) == 1 else name


def _require_arm(record: StudyRecord, arm: str) -> None:
    if arm not in record.arms:
        raise UserError(f"study '{record.name}' has no arm '{arm}'; its arms are {', '.join(record.arms)}")


def _require_point(record: StudyRecord, at: str) -> None:
    known = list(dict.fromkeys(place for run in record.runs for place in points(run)))
    if at and at not in known:
        raise UserError(f"study '{record.name}' has no point '{at}'; its runs have {', '.join(known)}")


def _without(scores: Mapping[str, TaskScores], tasks: Mapping[str, str]) -> Mapping[str, TaskScores]:
    return {task: its for task, its in scores.items() if task not in tasks}
