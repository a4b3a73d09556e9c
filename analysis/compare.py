"""Arms of a study against their baselines: every metric, with its uncertainty and a verdict in plain words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import statistics, verdict
from analysis.components import Components, components
from analysis.metrics import Metric, Score, above_chance, coverage, metrics_for, percent_text, side, value
from analysis.records import RunRecord, StudyRecord, read_study
from analysis.scores import BEFORE, FINAL, Evaluated, Point, evaluated, item_notes, points, require_same_items
from analysis.statistics import Estimate, Interval, Pair, Side
from analysis.verdict import Verdict
from store.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Row:
    """One arm against its baseline in one metric at one point, over the `n_seeds` paired seeds."""

    arm: str
    baseline: str
    metric: Metric
    at: str
    n_items: int
    n_seeds: int
    n_declared: int
    """Seeds that both arms were to be run with."""
    estimate: Estimate
    p: float
    """1 where lost seeds forbid to say what the others show."""
    judged: Verdict
    p_holm: float | None = None
    """Adjusted within the primary family; None outside it."""
    p_bh: float | None = None
    """Adjusted by Benjamini and Hochberg over all that is not in the family; None within it."""

    @property
    def flat(self) -> dict[str, Any]:
        """As files have it."""
        found = self.estimate
        return {
            **{"arm": self.arm, "baseline": self.baseline, "metric": self.metric.name, "at": self.at},
            **{"n_items": self.n_items, "n_seeds": self.n_seeds, "n_declared": self.n_declared},
            **{"value": found.value, "baseline_value": found.baseline_value, "difference": found.difference.centre},
            **{"interval": _ends(found.difference), "these_items": _ends(found.these_items)},
            **{
                "relative": found.relative.centre if found.relative else None,
                "relative_interval": _ends(found.relative),
            },
            **{"p": self.p, "p_holm": self.p_holm, "p_bh": self.p_bh},
            **{"higher_is_better": self.metric.score.higher_is_better, "interval_kind": found.kind, "sd": found.sd},
            **{"spread": asdict(found.spread), "verdict": self.judged.text, **asdict(self.judged)},
        }


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None


@dataclass(frozen=True)
class Comparison:
    study: StudyRecord
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    values: Mapping[Point, Mapping[str, float]]
    """Of every metric that a point has, by its name."""
    gaps: tuple[str, ...]
    """What could not be compared and why, one line each."""
    evaluated: Evaluated
    components: tuple[Components, ...] = ()
    """Of the variance, by what varies; only of arms whose runs cross seeds of weights and of data."""

    def at(self, point: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.at == point)

    def by_seed(self, arm: str, metric: str, at: str) -> dict[int, float]:
        """The metric of an arm at one point, per seed."""
        found = {seed: of for (name, seed, point), of in self.values.items() if (name, point) == (arm, at)}
        return {seed: of[metric] for seed, of in found.items() if metric in of}


def compare(store: Path, study: str) -> Comparison:
    """Compare every arm of a study with its own baseline, paired by seed and item.

    Raises:
        UserError: the study was never run in this store, or nothing of it is evaluated.
        Failure: a record is corrupt, or two records of a task hold different items, prompts or versions.
    """
    record = read_study(store, study)
    scored, gaps = evaluated(store, record)
    tasks = {task for scores in scored.scores.values() for task in scores}
    if not tasks:
        raise UserError(
            f"nothing of study '{study}' is evaluated in store {store}; `ablate run {study}` "
            "does it, if the study holds text out or names benchmarks"
        )
    require_same_items(scored)
    metrics = metrics_for(tasks)
    there = {metric.name for metric in metrics}
    gaps += [f"primary metric {name} was not scored in any run" for name in record.primary if name not in there]
    values = {
        point: {metric.name: number for metric in metrics if (number := value(metric, of)) is not None}
        for point, of in scored.scores.items()
    }
    rows: list[Row] = []
    for at in (BEFORE, FINAL):
        asked = _At(record, scored, values, at)  # of a paper's study half a gigabyte
        found = (_row(asked, metric, arm) for metric in metrics for arm in record.compared)
        rows += [row for row in found if row is not None]
    varied, lacking = components(record, scored, values, metrics)
    gaps += [*_missing(record, scored, tasks), *lacking]
    corrected = tuple(_corrected(record, rows))
    return Comparison(record, metrics, corrected, values, tuple(dict.fromkeys(gaps)), scored, varied)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    return {
        "study": comparison.study.name,
        "baseline": comparison.study.baseline,
        "rows": [_plain(row.flat) for row in comparison.rows],
        "gaps": list(comparison.gaps),
        "notes": notes(comparison),
        **({"components": [_plain(each.flat) for each in comparison.components]} if comparison.components else {}),
    }


def _plain(value: Any) -> Any:
    """Without tuples, and with null for the ends of an endless interval."""
    if isinstance(value, dict):
        return {key: _plain(cell) for key, cell in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(cell) for cell in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def notes(comparison: Comparison) -> list[str]:
    """What is to be known of the tasks' items, each line once though all arms were asked them."""
    lines = (
        line
        for scores in comparison.evaluated.scores.values()
        for task in scores.values()
        if task.task.count("/") < 2  # those of a source are in its kind
        for line in item_notes(task)
    )
    return list(dict.fromkeys(lines))


def several_baselines(study: StudyRecord) -> bool:
    return any(study.baseline_of(arm) != study.baseline for arm in study.compared)


def against(study: StudyRecord) -> str:
    """What the arms are compared with, in a sentence."""
    return "their baselines" if several_baselines(study) else study.baseline


def arm_label(study: StudyRecord, arm: str) -> str:
    """An arm's name, and its baseline's where that is not the study's: "large-code (against large-text)"."""
    baseline = study.baseline_of(arm)
    return arm if baseline in (arm, study.baseline) else f"{arm} (against {baseline})"


def print_table(comparison: Comparison, console: "Console") -> None:
    """Print the comparison, one block for each point and group of metrics."""
    from rich.table import Table
    from rich.text import Text

    colours = {"better": "green", "worse": "red"}
    study = comparison.study
    for at in (BEFORE, FINAL):
        for group in dict.fromkeys(_group(row.metric) for row in comparison.at(at)):
            table = Table(title=Text(f"{group}, {at}, against {against(study)}"), title_justify="left")
            table.add_column("metric")
            table.add_column("arm")
            for column in ("value", "baseline", "difference", "95 % interval", "relative"):
                table.add_column(column, justify="right", no_wrap=True)
            table.add_column("verdict")
            for row in (row for row in comparison.at(at) if _group(row.metric) == group):
                score, found = row.metric.score, row.estimate
                table.add_row(
                    Text(row.metric.label),
                    Text(arm_label(study, row.arm)),
                    *map(score.value_text, (found.value, found.baseline_value)),
                    score.difference_text(found.difference.centre),
                    score.interval_text(found.difference),
                    percent_text(found.relative),
                    Text(row.judged.text, style=colours.get(row.judged.what, "")),
                )
            console.print(table)
    for kind in dict.fromkeys(row.estimate.kind for row in comparison.rows):
        console.print(Text(f"intervals: {kind}"))
    for line in (*coverage(comparison.metrics), *notes(comparison)):
        console.print(Text(line))
    for gap in comparison.gaps:
        console.print(Text(f"missing: {gap}"))


def _group(metric: Metric) -> str:
    if metric.score.name.endswith("bpb"):
        return "held-out bits per byte" if metric.score.name == "bpb" else "bits per byte of the gold answer"
    return "accuracy and exact match" if metric.score.share else "probability of the right choice"


@dataclass(frozen=True)
class _At:
    """A study's scores at one point as comparisons ask for them; what several ask for is made once."""

    study: StudyRecord
    evaluated: Evaluated
    values: Mapping[Point, Mapping[str, float]]
    at: str
    sides: dict[tuple[Any, ...], Side] = field(default_factory=dict)
    pairs: dict[tuple[Any, ...], Pair] = field(default_factory=dict)

    @cached_property
    def runs(self) -> Mapping[str, Mapping[int, RunRecord]]:
        """Those that have the point, by arm and seed."""
        found: dict[str, dict[int, RunRecord]] = {arm: {} for arm in self.study.arms}
        for run in self.study.runs:
            if self.at in points(run):
                found[run.arm][run.seed] = run
        return found

    def side(self, score: Score, task: str, arm: str, seeds: tuple[int, ...]) -> Side:
        key = (score, task, arm, seeds)
        if key not in self.sides:
            self.sides[key] = side(score, [self.evaluated.scores[arm, seed, self.at][task] for seed in seeds])
        return self.sides[key]

    def pair(self, score: Score, task: str, arms: tuple[str, str], seeds: tuple[int, ...]) -> Pair:
        """An arm and its baseline: each may have sizes of its own."""
        key = (score, task, arms, seeds)
        if key not in self.pairs:
            self.pairs[key] = Pair(*(self.side(score, task, arm, seeds) for arm in arms))
        return self.pairs[key]


def contrast(comparison: Comparison, arm: str, baseline: str, metric: Metric, at: str) -> Row | None:
    """Any two arms in one metric at one point, corrected for no others; None without a seed in common."""
    return _row(_At(comparison.study, comparison.evaluated, comparison.values, at), metric, arm, baseline)


def _row(scored: _At, metric: Metric, arm: str, against: str | None = None) -> Row | None:
    def has(name: str, seed: int) -> bool:
        return metric.name in scored.values.get((name, seed, at), {})

    baseline, evaluated, at = against or scored.study.baseline_of(arm), scored.evaluated, scored.at
    ours, theirs = scored.runs[arm], scored.runs[baseline]
    declared = sorted(ours.keys() & theirs.keys())
    seeds = tuple(seed for seed in declared if has(arm, seed) and has(baseline, seed))
    if not seeds:
        return None
    found = statistics.estimate(
        [(weight, scored.pair(metric.score, task, (arm, baseline), seeds)) for task, weight in metric.parts],
        shared=[ours[seed].seeds for seed in seeds],
    )
    items = {task: len(evaluated.scores[arm, seeds[0], at][task].ids) for task, _ in metric.parts}
    same = all(evaluated.folder[arm, seed, at] == evaluated.folder[baseline, seed, at] for seed in seeds)
    above = any(above_chance(metric, v, items) for v in (found.value, found.baseline_value))
    blocked: set[str] = set()
    for seed in set(declared) - set(seeds):
        for name, good in ((arm, verdict.BETTER), (baseline, verdict.WORSE)):
            if not has(name, seed):
                blocked |= {good} if (name, seed, at) in evaluated.diverged else set(verdict.SIDES)
    better = metric.score.higher_is_better
    judged = verdict.judge(found, better, (len(seeds), len(declared)), blocked)
    if same or not above:
        judged = replace(judged, what=verdict.SAME if same else verdict.AT_CHANCE, strength="")
    forbidden = verdict.side_of(found.difference.centre, better) in blocked
    if metric.score.name == "margin":  # which may be negative
        found = replace(found, relative=None)
    p = 1.0 if forbidden else found.difference.p
    return Row(arm, baseline, metric, at, sum(items.values()), len(seeds), len(declared), found, p, judged)


def family(record: StudyRecord) -> list[tuple[str, str]]:
    """(arm, metric) of the declared family: the primary metrics at the end, of all arms that are compared."""
    return [(arm, metric) for arm in record.compared for metric in dict.fromkeys(record.primary)]


def _tested(row: Row) -> float:
    """The p that is corrected: 1 where several seeds differ by the same amount.

    That is chance (one metric in thirty, with two seeds and 100 answers), and would let item noise alone decide just
    there: some of the metrics of equal arms would be told apart.
    """
    return 1.0 if row.estimate.kind == statistics.EQUAL_SEEDS else row.p


def _corrected(record: StudyRecord, rows: Sequence[Row]) -> list[Row]:
    """Holm's correction within the declared family, and Benjamini and Hochberg's over all other rows.

    The family has its declared size whatever is missing yet, so that a p-value does not rise as results come in.
    """
    members = family(record)
    p = {(row.arm, row.metric.name): _tested(row) for row in rows if row.at == FINAL}
    adjusted = dict(zip(members, statistics.holm([p.get(member, 1.0) for member in members]), strict=True))
    explored = [row for row in rows if not (row.at == FINAL and (row.arm, row.metric.name) in adjusted)]
    asked = [row for row in explored if row.judged.what != verdict.SAME]
    p_bh = statistics.benjamini_hochberg([_tested(row) for row in asked])
    discovered = {(row.arm, row.metric, row.at): p for row, p in zip(asked, p_bh, strict=True)}
    done = []
    for row in rows:
        holm = adjusted.get((row.arm, row.metric.name)) if row.at == FINAL else None
        bh = discovered.get((row.arm, row.metric, row.at))
        by = "" if _tested(row) > row.p else "Benjamini–Hochberg" if holm is None else "Holm"
        adjusted_p = bh if holm is None else holm
        judged = row.judged if adjusted_p is None else verdict.corrected(row.judged, adjusted_p, by)
        done.append(replace(row, p_holm=holm, p_bh=bh, judged=judged))
    return done


def _missing(record: StudyRecord, evaluated: Evaluated, tasks: set[str]) -> list[str]:
    gaps = []
    seeds = {arm: {run.seed for run in record.runs if run.arm == arm} for arm in record.arms}
    for arm in record.arms:
        baseline = record.baseline_of(arm)
        for seed in sorted(seeds[arm] - seeds.get(baseline, set())):
            gaps.append(f"{arm}, seed {seed}: the baseline {baseline} has no run with this seed to pair with")
    for (arm, seed, at), scores in evaluated.scores.items():
        gaps += [f"{arm}, seed {seed}, {at}: {task} is not evaluated" for task in sorted(tasks - set(scores))]
    return gaps
