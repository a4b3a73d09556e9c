"""Arms of a study against their baselines: every metric, with its uncertainty and a verdict in plain words."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis import composite, statistics, verdict
from analysis.choice import DECLARED, Choice, find
from analysis.components import Components, components
from analysis.metrics import COMPOSITE, Metric, Score, above_chance, side, value
from analysis.records import RunRecord, StudyRecord
from analysis.scores import FINAL, Evaluated, Point, item_notes, points
from analysis.statistics import Estimate, Interval, Pair, Side
from analysis.verdict import FAMILY, ITEMS_ONLY, Verdict
from store.errors import UserError


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
    p_adjusted: float | None = None
    """None where there is nothing to test: the same checkpoint, or alone by itself."""
    adjustment: str = ""
    """"holm of 6" within the primary family, "bh of 212" for all that is not in it."""
    margin: float | None = None
    """How far apart the arms may be and still be equivalent, in the metric's unit; None where nobody has said."""
    p_equivalent: float | None = None
    """Of "they are as far apart as that or farther", corrected as the other."""

    @property
    def primary(self) -> bool:
        """Whether it is of the declared family."""
        return self.adjustment.startswith("holm")

    @property
    def flat(self) -> dict[str, Any]:
        """As files have it."""
        found, judged = self.estimate, self.judged
        return {
            **{"arm": self.arm, "baseline": self.baseline, "metric": self.metric.name, "at": self.at},
            **{"n_items": self.n_items, "n_seeds": self.n_seeds, "n_declared": self.n_declared},
            **{"value": found.value, "baseline_value": found.baseline_value, "difference": found.difference.centre},
            **{"interval": _ends(found.difference), "interval_items": _ends(found.these_items)},
            "relative": found.relative.centre if found.relative else None,
            "relative_interval": _ends(found.relative),
            **{"p": self.p, "p_adjusted": self.p_adjusted, "adjustment": self.adjustment},
            **{"margin": self.margin, "p_equivalent": self.p_equivalent},
            **{"higher_is_better": self.metric.score.higher_is_better, "interval_kind": found.kind, "sd": found.sd},
            "spread": asdict(found.spread),
            "verdict": {"side": judged.side, "strength": judged.strength, "why": ", ".join(judged.why)},
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
    points: tuple[str, ...]
    """At which arms are compared, in order."""
    family: tuple[tuple[str, str], ...]
    """(arm, metric) of the declared family, compared at the end of the runs; () where all is exploratory."""
    margins: Mapping[str, float] = field(default_factory=dict)
    components: tuple[Components, ...] = ()
    """Of the variance, by what varies; only of arms whose runs cross seeds of weights and of data."""
    averaged: int = 1
    """Scored checkpoints of a run, up to the point, of which its scores are the mean."""

    def at(self, point: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.at == point)

    @property
    def last(self) -> tuple[Row, ...]:
        """At the latest point: the end of the runs, if no other was asked for."""
        return self.at(self.points[-1])

    def by_seed(self, arm: str, metric: str, at: str) -> dict[int, float]:
        """The metric of an arm at one point, per seed."""
        found = {seed: of for (name, seed, point), of in self.values.items() if (name, point) == (arm, at)}
        return {seed: of[metric] for seed, of in found.items() if metric in of}


def compare(store: Path, study: str, choice: Choice = DECLARED) -> Comparison:
    """Compare every arm of a study with its own baseline, paired by seed and item, or what `choice` asks for.

    Raises:
        UserError: the study was never run in this store, nothing of it is evaluated, or as `analysis.choice.find`.
        Failure: a record is corrupt, or two records of a task hold different items, prompts or versions.
    """
    found = find(store, study, choice)
    record, scored = found.study, found.evaluated
    tasks = {task for scores in scored.scores.values() for task in scores}
    if not tasks:
        why = f" ({found.gaps[0]})" if choice != DECLARED and found.gaps else ""
        raise UserError(
            f"nothing of study '{study}' is evaluated in store {store}{why}; `ablate run {study}` "
            "does it, if the study holds text out or names benchmarks"
        )
    metrics = composite.metrics_of(composite.declared(record), tasks)
    there, gaps = {metric.name for metric in metrics}, list(found.gaps)
    gaps += [f"primary metric {name} was not scored in any run" for name in record.primary if name not in there]
    values = {
        point: {metric.name: number for metric in metrics if (number := value(metric, of)) is not None}
        for point, of in scored.scores.items()
    }
    if COMPOSITE in there and not any(COMPOSITE in of for of in values.values()):
        gaps.append(
            f"{COMPOSITE} has no value: no run has right answers to all that it counts; leave out what has none"
        )
    margins = {**record.margins, **choice.margins}
    _require_margins(choice.margins, metrics)
    declared = tuple(family(record)) if found.declared else ()
    rows: list[Row] = []
    for at in choice.points:
        asked = _At(record, scored, values, at)  # of a paper's study half a gigabyte
        made = (_row(asked, metric, arm, record.baseline_of(arm)) for metric in metrics for arm in record.compared)
        rows += [row for row in made if row is not None]
    varied, lacking = components(record, scored, values, metrics)
    gaps += [*_missing(record, scored, tasks), *lacking]
    corrected = tuple(_corrected(rows, declared, margins))
    told = tuple(dict.fromkeys(gaps))
    return Comparison(
        record, metrics, corrected, values, told, scored, choice.points, declared, margins, varied, choice.last
    )


def contrast(comparison: Comparison, arm: str, baseline: str, metric: Metric, at: str) -> Row | None:
    """Any arm against any other, uncorrected; None where they share no seed that has the metric there."""
    return contrasts(comparison, [(arm, baseline)], metric, at)[0]


def contrasts(comparison: Comparison, pairs: Sequence[tuple[str, str]], metric: Metric, at: str) -> list[Row | None]:
    """Of many pairs at once, which share what is made of an arm's scores."""
    scored = _At(comparison.study, comparison.evaluated, comparison.values, at)
    return [_row(scored, metric, arm, baseline) for arm, baseline in pairs]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    return {
        "study": comparison.study.name,
        "baseline": comparison.study.baseline,
        "averaged": comparison.averaged,
        "rows": [plain(row.flat) for row in comparison.rows],
        "gaps": list(comparison.gaps),
        "notes": notes(comparison),
        **({"composite": line} if (line := covered(comparison)) else {}),
        **({"components": [plain(each.flat) for each in comparison.components]} if comparison.components else {}),
    }


def plain(value: Any) -> Any:
    """Without tuples, and with null for the ends of an endless interval."""
    if isinstance(value, dict):
        return {key: plain(cell) for key, cell in value.items()}
    if isinstance(value, tuple | list):
        return [plain(cell) for cell in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def covered(comparison: Comparison) -> str:
    """What the study's composite counts and what it lacks; "" where none is declared."""
    return composite.coverage(composite.declared(comparison.study), comparison.metrics)


def notes(comparison: Comparison) -> list[str]:
    """What is to be known of the arms and the tasks' items, each line once though all arms were asked them."""
    lines = (
        line
        for scores in comparison.evaluated.scores.values()
        for task in scores.values()
        if task.task.count("/") < 2  # those of a source are in its kind
        for line in item_notes(task)
    )
    averaged = [f"arms are compared {where(comparison)}"] if comparison.averaged > 1 else []
    return list(dict.fromkeys([*averaged, *_unequal(comparison), *lines]))


def _unequal(comparison: Comparison) -> Iterable[str]:
    """Arms that read more or fewer tokens than what they are compared with."""
    for at in comparison.points:
        read = {arm: stage.tokens_read for (arm, _, point), stage in comparison.evaluated.stages.items() if point == at}
        for arm in comparison.study.compared:
            ours, theirs = (read.get(name) for name in (arm, comparison.study.baseline_of(arm)))
            if ours and theirs and ours != theirs:
                yield (
                    f"{arm}, {at}: it has read {ours:,} tokens and {comparison.study.baseline_of(arm)} {theirs:,}, so "
                    "what they differ by may be of tokens"
                )


def where(comparison: Comparison) -> str:
    """At which point arms are compared at last, in a sentence."""
    at = comparison.points[-1]
    told = "at the end of the runs" if at == FINAL else f"at {at}"
    return (
        told if comparison.averaged == 1 else f"{told}, the mean of each run's last {comparison.averaged} checkpoints"
    )


def several_baselines(study: StudyRecord) -> bool:
    return any(study.baseline_of(arm) != study.baseline for arm in study.compared)


def against(study: StudyRecord) -> str:
    """What the arms are compared with, in a sentence."""
    return "their baselines" if several_baselines(study) else study.baseline


def arm_label(study: StudyRecord, arm: str) -> str:
    """An arm's name, and its baseline's where that is not the study's: "large-code (against large-text)"."""
    baseline = study.baseline_of(arm)
    return arm if baseline in (arm, study.baseline) else f"{arm} (against {baseline})"


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


def _row(scored: _At, metric: Metric, arm: str, baseline: str) -> Row | None:
    def has(name: str, seed: int) -> bool:
        return metric.name in scored.values.get((name, seed, at), {})

    evaluated, at = scored.evaluated, scored.at
    ours, theirs = scored.runs[arm], scored.runs[baseline]
    declared = sorted(ours.keys() & theirs.keys())
    seeds = tuple(seed for seed in declared if has(arm, seed) and has(baseline, seed))
    if not seeds:
        return None
    found = statistics.estimate(
        [(weight, scored.pair(metric.score, task, (arm, baseline), seeds)) for task, weight in metric.parts],
        shared=[ours[seed].seeds for seed in seeds],
    )
    found = replace(found, value=found.value + metric.offset, baseline_value=found.baseline_value + metric.offset)
    items = {task: len(evaluated.scores[arm, seeds[0], at][task].ids) for task, _ in metric.parts}
    prints = {
        name: [(evaluated.stages[name, seed, at].fingerprint, runs[seed].inference) for seed in seeds]
        for name, runs in ((arm, ours), (baseline, theirs))
    }
    above = any(above_chance(metric, v, items) for v in (found.value, found.baseline_value))
    blocked: set[str] = set()
    for seed in set(declared) - set(seeds):
        for name, good in ((arm, verdict.BETTER), (baseline, verdict.WORSE)):
            if not has(name, seed):
                blocked |= {good} if (name, seed, at) in evaluated.diverged else set(verdict.SIDES)
    better = metric.score.higher_is_better
    judged = verdict.judge(found, better, (len(seeds), len(declared)), blocked)
    if prints[arm] == prints[baseline]:
        judged = replace(judged, side=verdict.EQUIVALENT, why=(verdict.SAME,))
    elif not above:
        judged = replace(judged, side=verdict.CANNOT_TELL, why=(verdict.AT_CHANCE,))
    forbidden = verdict.side_of(found.difference.centre, better) in blocked
    if metric.score.below_zero:
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


def _equivalence(row: Row) -> float:
    """The p of the tests for equivalence that is corrected: 1 where no margin is known or a seed is lost."""
    if row.margin is None or row.n_seeds < row.n_declared or row.estimate.kind == statistics.EQUAL_SEEDS:
        return 1.0
    return statistics.p_equivalent(row.estimate.difference, row.estimate.spread, row.margin)


def _corrected(rows: Sequence[Row], declared: Sequence[tuple[str, str]], margins: Mapping[str, float]) -> list[Row]:
    """Holm's correction within the declared family, and Benjamini and Hochberg's over all other rows.

    The family has its declared size whatever is missing yet, so that a p-value does not rise as results come in. What
    is said of differences and what of equivalence are corrected apart, each at its 5 %.
    """
    if margins:
        rows = [replace(row, margin=margins.get(row.metric.name, margins.get(row.metric.score.name))) for row in rows]
    rows = list(rows)
    members = set(declared)
    belongs = [row.at == FINAL and (row.arm, row.metric.name) in members for row in rows]
    in_family = [number for number, row in enumerate(rows) if belongs[number]]
    others = [number for number, row in enumerate(rows) if not belongs[number] and not row.judged.same]
    for group, size, correct, word, name in (
        (in_family, len(declared), statistics.holm, "holm", "Holm"),
        (others, len(others), statistics.benjamini_hochberg, "bh", "Benjamini–Hochberg"),
    ):
        absent = [1.0] * (size - len(group))
        p, p_alike = (correct([*(of(rows[number]) for number in group), *absent]) for of in (_tested, _equivalence))
        for place, number in enumerate(group):
            rows[number] = _judged(rows[number], p[place], p_alike[place], f"{word} of {size}", name)
    return rows


def _judged(row: Row, p: float, p_alike: float, adjustment: str, method: str) -> Row:
    judged = verdict.corrected(row.judged, p, "" if _tested(row) > row.p else method)
    if row.margin is not None:
        judged = verdict.equivalent(judged, p_alike, row.metric.score.margin_text(row.margin))
    if adjustment.startswith("holm") and judged.strength != ITEMS_ONLY:
        judged = replace(judged, strength=FAMILY)
    known = None if row.margin is None else p_alike
    return replace(row, p_adjusted=p, adjustment=adjustment, p_equivalent=known, judged=judged)


def _require_margins(margins: Mapping[str, float], metrics: Sequence[Metric]) -> None:
    known = {name for metric in metrics for name in (metric.name, metric.score.name)}
    for name, margin in margins.items():
        if not (math.isfinite(margin) and margin > 0):
            raise UserError(f"the margin of '{name}' is {margin}; give a number above 0, in the metric's unit")
        if name not in known:
            kinds = ", ".join(dict.fromkeys(metric.score.name for metric in metrics))
            raise UserError(f"a margin is given for '{name}', which was not scored; name a metric, or one of {kinds}")


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
