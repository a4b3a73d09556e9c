"""Arms against the baseline of a study: every metric, with its uncertainty and a verdict in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import metrics as metric_definitions
from analysis import statistics
from analysis.metrics import Metric, TaskScores, difference_text, interval_text, percent_text, value_text
from analysis.records import RunRecord, StudyRecord, read_eval, read_stage, read_study, stage_folder
from mixtures.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

BEFORE, FINAL = "before-cooldown", "final"
"""The two points at which arms are compared: the end of the stage before the cooldown, and the end of the run."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Row:
    """One arm against the baseline in one metric at one point. Values are means over the `n_seeds` paired seeds."""

    arm: str
    metric: str
    n_items: int
    n_seeds: int
    value: float
    baseline_value: float
    difference: float
    interval: tuple[float, float]
    relative: float | None
    relative_interval: tuple[float, float] | None
    p: float
    p_holm: float | None
    """Adjusted within the primary family; None outside it."""
    higher_is_better: bool
    at: str
    interval_kind: str
    verdict: str
    sd: float | None
    """Standard deviation of the per-seed paired differences: what `statistics.detectable` asks for."""


@dataclass(frozen=True)
class Score:
    """One metric of one run at one point."""

    arm: str
    seed: int
    at: str
    metric: str
    n_items: int
    value: float


@dataclass(frozen=True)
class Comparison:
    study: StudyRecord
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    scores: tuple[Score, ...]
    gaps: tuple[str, ...]
    """What could not be compared and why, one line each."""
    evaluated: "Evaluated"

    def at(self, point: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.at == point)

    def by_seed(self, arm: str, metric: str, at: str) -> dict[int, float]:
        """The metric of an arm at one point, per seed."""
        return {s.seed: s.value for s in self.scores if (s.arm, s.metric, s.at) == (arm, metric, at)}


Point = tuple[str, int, str]
"""(arm, seed, at)"""


@dataclass(frozen=True)
class Evaluated:
    """What was scored: per point the stage's folder and its tasks."""

    folder: Mapping[Point, str]
    scores: Mapping[Point, Mapping[str, TaskScores]]


def compare(store: Path, study: str) -> Comparison:
    """Compare every arm of a study with its baseline, paired by seed and item.

    Raises:
        UserError: the study was never run in this store, nothing of it is evaluated, or it declares a primary metric
            that does not exist.
        Failure: a record is corrupt, or two records of a task hold different items, prompts or versions.
    """
    record = read_study(store, study)
    evaluated, gaps = _evaluated(store, record)
    tasks = {task for scores in evaluated.scores.values() for task in scores}
    if not tasks:
        raise UserError(f"nothing of study '{study}' is evaluated in store {store}; run `ablate run {study}` first")
    _require_same_items(evaluated)
    metrics = metric_definitions.metrics_for(tasks)
    _require_known_primary(record, metrics, gaps)
    rows = [
        row
        for at in (BEFORE, FINAL)
        for metric in metrics
        for arm in record.arms
        if arm != record.baseline and (row := _row(record, evaluated, metric, arm, at)) is not None
    ]
    scores = tuple(
        Score(*point, metric.name, sum(len(of[task].ids) for task, _ in metric.parts), number)
        for point, of in evaluated.scores.items()
        for metric in metrics
        if (number := metric_definitions.value(metric, of)) is not None
    )
    gaps += _missing(record, evaluated, tasks)
    return Comparison(record, metrics, tuple(_with_holm(record, rows)), scores, tuple(dict.fromkeys(gaps)), evaluated)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    rows = [
        {key: list(cell) if isinstance(cell, tuple) else cell for key, cell in asdict(row).items()}
        for row in comparison.rows
    ]
    study = comparison.study
    return {"study": study.name, "baseline": study.baseline, "rows": rows, "gaps": list(comparison.gaps)}


def points(run: RunRecord) -> dict[str, str]:
    """Where a run is compared: {"before-cooldown": stage folder, "final": stage folder}."""
    found = {}
    if "cooldown" in run.kinds[1:]:
        found[BEFORE] = run.stages[run.kinds.index("cooldown", 1) - 1]
    if run.stages:
        found[FINAL] = run.stages[-1]
    return found


def print_table(comparison: Comparison, console: "Console") -> None:
    """Print the comparison, one block for each point and group of metrics."""
    from rich.table import Table
    from rich.text import Text

    colours = {"better": "green", "worse": "red"}
    study = comparison.study
    for at in (BEFORE, FINAL):
        for group in dict.fromkeys(_group(row.metric) for row in comparison.at(at)):
            table = Table(title=Text(f"{group}, {at}, against {study.baseline}"), title_justify="left")
            table.add_column("metric")
            table.add_column("arm")
            for column in ("value", "baseline", "difference", "95 % interval", "relative"):
                table.add_column(column, justify="right", no_wrap=True)
            table.add_column("verdict")
            for row in (row for row in comparison.at(at) if _group(row.metric) == group):
                table.add_row(
                    Text(metric_definitions.label(row.metric)),
                    Text(row.arm),
                    value_text(row.metric, row.value),
                    value_text(row.metric, row.baseline_value),
                    difference_text(row.metric, row.difference),
                    interval_text(row.metric, row.interval),
                    percent_text(row.relative),
                    Text(row.verdict, style=colours.get(row.verdict, "")),
                )
            console.print(table)
    for kind in dict.fromkeys(row.interval_kind for row in comparison.rows):
        console.print(Text(f"intervals: {kind}"))
    for line in metric_definitions.coverage(comparison.metrics):
        console.print(Text(line))
    for gap in comparison.gaps:
        console.print(Text(f"missing: {gap}"))


def _group(metric: str) -> str:
    head, _, score = metric.rpartition("/")
    if score.endswith("bpb"):
        return "held-out bits per byte" if head.startswith("heldout/") else "bits per byte of the gold answer"
    return "accuracy and exact match" if metric_definitions.is_share(metric) else "probability of the right choice"


def _evaluated(store: Path, record: StudyRecord) -> tuple[Evaluated, list[str]]:
    folders: dict[Point, str] = {}
    scores: dict[Point, Mapping[str, TaskScores]] = {}
    gaps: list[str] = []
    read: dict[str, tuple[dict[str, TaskScores], list[str], list[str]]] = {}
    for run in sorted(record.runs, key=lambda run: (list(record.arms).index(run.arm), run.seed)):
        for at, folder in points(run).items():
            if folder not in read:
                read[folder] = _read_stage_scores(store, folder)
            found, why_not, of_data = read[folder]
            where = f"{run.arm}, seed {run.seed}, {at}"
            gaps += [*of_data, *(f"{where}: {reason}" for reason in why_not)]
            if found:
                folders[run.arm, run.seed, at], scores[run.arm, run.seed, at] = folder, found
    return Evaluated(folders, scores), gaps


def _read_stage_scores(store: Path, folder: str) -> tuple[dict[str, TaskScores], list[str], list[str]]:
    """The tasks scored at the exact last step of a stage, newest version each; what is missing, and what has gaps.

    A gap is of the data or the machine, not of the stage, so it is to be told once.
    """
    path = stage_folder(store, folder)
    if not (path / "stage.json").exists():
        return {}, [f"stage {folder} was not started"], []
    steps = read_stage(path).steps
    records = [read_eval(file) for file in sorted((path / "evals").glob("*.json"))]
    records = [record for record in records if record.step == steps]
    newest = {record.task: record for record in sorted(records, key=lambda record: record.version)}
    found: dict[str, TaskScores] = {}
    reasons, of_data = [], []
    for task in sorted(newest):
        record = newest[task]
        if record.gap:
            of_data.append(f"{task} was not scored: {record.gap}")
        elif not record.items:
            reasons.append(f"{task} was not scored (the record has no items)")
        elif not metric_definitions.known_task(task):
            reasons.append(f"{task} is a task that this version has no metric for")
        else:
            found |= metric_definitions.scores_of(record, folder)
    if not newest:
        state = "has no evaluation of its last step" if (path / "done.json").exists() else "is not finished"
        reasons.append(f"stage {folder} {state}")
    return found, reasons, of_data


def _require_same_items(evaluated: Evaluated) -> None:
    first: dict[str, TaskScores] = {}
    for scores in evaluated.scores.values():
        for task, found in scores.items():
            metric_definitions.require_same_items(first.setdefault(task, found), found)


def _require_known_primary(record: StudyRecord, metrics: Sequence[Metric], gaps: list[str]) -> None:
    there = {metric.name for metric in metrics}
    possible = {metric.name for metric in metric_definitions.metrics_for(metric_definitions.ALL_TASKS)}
    for name in record.primary:
        if name in there:
            continue
        if name not in possible:
            raise UserError(
                f"study '{record.name}' declares the primary metric '{name}', which does not exist; "
                f"name one of {', '.join(sorted(possible))}"
            )
        gaps.append(f"primary metric {name} was not scored in any run")


def _row(record: StudyRecord, evaluated: Evaluated, metric: Metric, arm: str, at: str) -> Row | None:
    def has(name: str, seed: int) -> bool:
        scores = evaluated.scores.get((name, seed, at))
        return scores is not None and metric_definitions.value(metric, scores) is not None

    seeds = sorted({run.seed for run in record.runs})
    seeds = [seed for seed in seeds if has(arm, seed) and has(record.baseline, seed)]
    if not seeds:
        return None
    found = statistics.estimate(
        [_paired(metric, task, weight, evaluated, seeds, arm, record.baseline, at) for task, weight in metric.parts]
    )
    items = {task: len(evaluated.scores[arm, seeds[0], at][task].ids) for task, _ in metric.parts}
    same = all(evaluated.folder[arm, seed, at] == evaluated.folder[record.baseline, seed, at] for seed in seeds)
    above = any(metric_definitions.above_chance(metric, v, items) for v in (found.value, found.baseline_value))
    verdict = "same checkpoint" if same else _verdict(found, metric.higher_is_better) if above else "at chance"
    relative = None if metric.score == "margin" else found.relative  # a margin may be negative
    return Row(
        arm=arm,
        metric=metric.name,
        n_items=sum(items.values()),
        n_seeds=len(seeds),
        value=found.value,
        baseline_value=found.baseline_value,
        difference=found.difference.centre,
        interval=(found.difference.low, found.difference.high),
        relative=relative.centre if relative else None,
        relative_interval=(relative.low, relative.high) if relative else None,
        p=found.difference.p,
        p_holm=None,
        higher_is_better=metric.higher_is_better,
        at=at,
        interval_kind=found.kind,
        verdict=verdict,
        sd=found.sd,
    )


def _paired(
    metric: Metric, task: str, weight: float, evaluated: Evaluated, seeds: list[int], arm: str, baseline: str, at: str
) -> statistics.PairedTask:
    def stacked(name: str) -> tuple[statistics.Floats, statistics.Floats]:
        pairs = [metric_definitions.score_and_size(metric, evaluated.scores[name, seed, at][task]) for seed in seeds]
        there = [pair for pair in pairs if pair is not None]
        return np.stack([score for score, _ in there]), there[0][1]

    arm_SxN, size_N = stacked(arm)
    return statistics.PairedTask(weight, arm_SxN, stacked(baseline)[0], size_N)


def _verdict(found: statistics.Estimate, higher_is_better: bool) -> str:
    if found.difference.low <= 0 <= found.difference.high:
        return "no difference shown"
    word = "better" if (found.difference.centre > 0) == higher_is_better else "worse"
    return f"{word}, on this seed only" if found.kind == statistics.ITEMS_ONLY else word


def _with_holm(record: StudyRecord, rows: Sequence[Row]) -> list[Row]:
    """Adjust within the declared family: the primary metrics at the end, of all arms but the baseline.

    The family has its declared size whatever is missing yet, so that a p-value does not rise as results come in.
    """
    family = [
        (arm, metric) for arm in record.arms if arm != record.baseline for metric in dict.fromkeys(record.primary)
    ]
    p = {(row.arm, row.metric): row.p for row in rows if row.at == FINAL}
    adjusted = dict(zip(family, statistics.holm([p.get(member, 1.0) for member in family]), strict=True))
    done = []
    for row in rows:
        p_holm = adjusted.get((row.arm, row.metric)) if row.at == FINAL else None
        lost = p_holm is not None and p_holm > SIGNIFICANT and row.verdict in ("better", "worse")
        done.append(replace(row, p_holm=p_holm, verdict=f"{row.verdict}, not after Holm" if lost else row.verdict))
    return done


def _missing(record: StudyRecord, evaluated: Evaluated, tasks: set[str]) -> list[str]:
    gaps = []
    seeds = {arm: {run.seed for run in record.runs if run.arm == arm} for arm in record.arms}
    for arm in record.arms:
        for seed in sorted(seeds[arm] - seeds.get(record.baseline, set())):
            gaps.append(f"{arm}, seed {seed}: the baseline {record.baseline} has no run with this seed to pair with")
    for (arm, seed, at), scores in evaluated.scores.items():
        gaps += [f"{arm}, seed {seed}, {at}: {task} is not evaluated" for task in sorted(tasks - set(scores))]
    return gaps
