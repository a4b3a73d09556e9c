"""From one evaluation record to scores by item: columns in the order of the ids, clusters, and the parts of a task."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis import score_cache
from analysis.columns import TEXTS, Columns, called, columns_of, corrupt, numbers, of_choices, read_columns, whole
from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.metrics import KS, SCORES, TaskScores
from analysis.records import EvalRecord, read_eval
from analysis.statistics import Floats, numbered

if TYPE_CHECKING:
    import pyarrow as pa

DIVERGED = ", so the model has diverged"
"""How the gap of a record ends that says so."""
FLAGS = ("cut", "alike")


@dataclass(frozen=True)
class Frame:
    """What all records of a task share, so that a study of many runs holds it once: ids, their order, clusters."""

    columns: Columns
    """"id" and, where there are some, "cluster" and "source", as they were read."""
    order_N: NDArray[np.intp]
    ids: tuple[str, ...]
    cluster_N: NDArray[np.intp]
    parts: Mapping[str, "Part"]
    """The items of every source, where there are several sources."""


@dataclass(frozen=True)
class Part:
    """Some items of a frame: their places in it, and what is told of them alone."""

    places: NDArray[np.intp]
    ids: tuple[str, ...]
    cluster_N: NDArray[np.intp]


@dataclass(frozen=True)
class Read:
    """A record without its items, its scores by task, and why its model is known to have none, or ""."""

    record: EvalRecord
    scores: Mapping[str, TaskScores]
    diverged: str = ""


def read_scores(path: Path, fingerprint: str, frames: dict[str, Frame]) -> Read:
    """Of a record; `frames` hold what records of a task share, for those that are read after it.

    Raises:
        Failure: the record is corrupt, or of another checkpoint.
    """
    where = path.parent.parent.name
    kept = score_cache.read(path)
    if kept is not None:
        head, made = kept
        record = read_eval(path, fingerprint, head | {"items": ()})
        return Read(record, _scores_of(record, made, where, frames))
    record, columns = read_columns(path, fingerprint)
    if why := _diverged(record, columns):
        return Read(record, {}, why)
    if record.gap or not columns:
        return Read(record, {})
    made = _made(record, columns, where)
    score_cache.keep(path, asdict(record) | {"items": None}, made)
    return Read(record, _scores_of(record, made, where, frames))


def scores_of(record: EvalRecord, where: str) -> dict[str, TaskScores]:
    """The scores of a record by task, and those of held-out text by source too: "heldout/code/python".

    Raises:
        Failure: an item has no id or shares it, or a score is there for some items only or is not a finite number.
    """
    return _scores_of(record, _made(record, columns_of(record.items, record.task, where), where), where, {})


def _diverged(record: EvalRecord, columns: Columns) -> str:
    """Why the model of a record is known to have no scores, or nothing."""
    if record.gap.endswith(DIVERGED):
        return record.gap
    given = [columns[field] for field in ("nats", "correct") if field in columns]
    broken = sum(int((~np.isfinite(numbers(column))).sum()) - column.null_count for column in given)
    return f"{broken} of its scores are not finite{DIVERGED}" if broken else ""


def _made(record: EvalRecord, columns: Columns, where: str) -> "dict[str, pa.Array]":
    """What scores are made of: the texts of the items, their numbers, and their flags, in the record's order."""
    import pyarrow as pa

    task = record.task
    found = {
        field: numbers(columns[field])
        for field in ("nats", "bytes", "correct", "exact", "score")
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
    found |= {flag: np.nan_to_num(numbers(columns[flag])) for flag in FLAGS if flag in columns}
    texts = {field: columns[field] for field in TEXTS if field in columns}
    return texts | {field: pa.array(column_N) for field, column_N in found.items()}


def _scores_of(record: EvalRecord, made: Columns, where: str, frames: dict[str, Frame]) -> dict[str, TaskScores]:
    """Of what `_made` made: the whole task and, of held-out text, every source."""
    task, frame = record.task, _frame(record.task, made, where, frames)
    ordered = {field: numbers(made[field])[frame.order_N] for field in made if field not in TEXTS}
    for said in ("pass@1", "matched"):  # what stands for a task that is no choice
        if said in ordered:
            ordered.setdefault("lead", ordered[said])
    flags = {flag: ordered.pop(flag, np.zeros(0)) for flag in FLAGS}
    flagged = {flag: tuple(frame.ids[i] for i in np.flatnonzero(flag_N)) for flag, flag_N in flags.items()}
    whole = TaskScores(task, record.version, record.prompt_hash, where, frame.ids, ordered, frame.cluster_N, flagged)
    return {task: whole} | {
        f"{task}/{source}": _part(whole, f"{task}/{source}", part) for source, part in frame.parts.items()
    }


def _part(whole: TaskScores, task: str, part: Part) -> TaskScores:
    """The scores of some of the items."""
    columns = {field: column_N[part.places] for field, column_N in whole.columns.items()}
    if "bits" in columns and columns["bytes"].sum() <= 0:
        del columns["bits"]
    flagged = {
        flag: tuple(id_ for id_ in found if id_ in frozenset(part.ids)) if found else ()
        for flag, found in whole.flagged.items()
    }
    return replace(whole, task=task, ids=part.ids, columns=columns, cluster_N=part.cluster_N, flagged=flagged)


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
    ids, cluster_N = tuple(names[i] for i in order), numbered(keys)
    parts = {
        source: Part(np.asarray(its), tuple(ids[i] for i in its), numbered(cluster_N[its].tolist()))
        for source, its in by_source.items()
        if len(by_source) > 1
    }
    frames[task] = Frame(there, np.asarray(order, dtype=np.intp), ids, cluster_N, parts)
    return frames[task]


def _shares(columns: dict[str, Floats], task: str) -> dict[str, Floats]:
    """The columns that tell a right answer to be said ("matched") from a right choice, and the one that leads."""
    known = TASKS.get(benchmark_of(task))
    found = {}
    if "exact" in columns:
        found["matched"] = columns.pop("exact")
    elif "correct" in columns and "correct_norm" not in columns:
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
