"""Benchmark items in what an arm read, and what is left of a result once they are taken out.

An item is dirty for an arm if a document that was kept of a source that the arm read still matches it at or above the
report threshold of the decontamination; stronger matches were dropped with their documents before. Which windows of a
source an arm read is not asked, so an item may be called dirty that no run of the arm saw, and none clean that one did
see (in text that was searched). Two figures say what the dirty items did:

    clean − all            in the metric's unit, with the interval of item noise: an item brings all its seeds, and
                           seeds are taken as they are
    (clean − all) / all    GPT-4's "degradation" (arXiv:2303.08774, appendix C; its caption calls it otherwise, its
                           figures are these)

Arms differ in what they read, so each has its own contamination, and is also compared with its baseline on the items
clean for both. Where an arm read items that its baseline did not,

    (arm − baseline) on those − (arm − baseline) on the items clean for both

is what reading them was worth: whatever else the arms differ in, and much of what their seeds do, is in both terms.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.compare import Comparison
from analysis.evals.benchmarks import benchmark_of
from analysis.evals.executed_tasks import row_of
from analysis.ledgers import Ledgers
from analysis.metrics import Metric, side
from analysis.records import StudyRecord
from analysis.scores import FINAL
from analysis.statistics import Estimate, Interval, Pair, Side, estimate, over_items
from analysis.tabular import csv_text, ends

EXAMPLES = 8
"""Matches that are shown with their evidence."""
FEWEST_READ = 2
"""Items that have a spread."""
Dirty = Mapping[str, Mapping[str, frozenset[str]]]
"""Arm to benchmark to the ids of its dirty items; every benchmark that was searched is there."""


@dataclass(frozen=True)
class CleanScore:
    """One metric of one arm at the end of its runs, on all items and on the clean ones; means over seeds.

    `clean`, `difference` and `relative` are None where a task has no clean item. `against` is the comparison with the
    arm's baseline on the items that are clean for both; None for an arm without, where no seed or item is shared, and
    where all items are clean, which is the comparison as it is. `worth` is what the `n_read` items that are dirty for
    the arm and clean for its baseline were worth to it; None where a task has fewer than FEWEST_READ of them, or of the
    clean.
    """

    arm: str
    metric: Metric
    n_items: int
    n_clean: int
    n_seeds: int
    value: float
    clean: float | None
    difference: Interval | None
    relative: float | None
    n_both: int
    against: Estimate | None
    n_read: int
    worth: Estimate | None


@dataclass(frozen=True)
class _Part:
    """One task of a metric in one arm: which of its N items are clean, and its scores on all items and on those."""

    weight: float
    clean_N: np.ndarray
    whole: Side
    clean: Side


def _values(parts: Sequence[tuple[float, Side]]) -> float:
    return sum(weight * float(side.linear[0].mean()) for weight, side in parts)


def _all_have_clean(parts: Iterable[_Part]) -> bool:
    return all((part.clean.size_SxN.sum(axis=1) > 0).all() for part in parts)


def dirty_items(manifest: Mapping[str, Any], study: StudyRecord, ledgers: Ledgers) -> Dirty:
    """The items of every searched benchmark that still match something in the sources that an arm read."""
    return {
        arm: {
            benchmark: frozenset(str(match["item"]) for match in matches if match["benchmark"] == benchmark)
            for benchmark in manifest["decontamination"]["benchmarks"]
        }
        for arm, matches in _kept(manifest, study, ledgers).items()
    }


def clean_scores(comparison: Comparison, dirty: Dirty) -> tuple[CleanScore, ...]:
    """Every metric whose benchmarks were all searched, for every arm that has it at the end of its runs."""
    searched = set(dirty[comparison.study.baseline])
    metrics = [metric for metric in comparison.metrics if {benchmark_of(task) for task, _ in metric.parts} <= searched]
    found = []
    for metric in metrics:
        for arm in comparison.study.arms:
            seeds = sorted(comparison.by_seed(arm, metric.name, FINAL))
            if seeds:
                found.append(_clean_score(comparison, dirty, metric, arm, seeds))
    return tuple(found)


def _clean_score(comparison: Comparison, dirty: Dirty, metric: Metric, arm: str, seeds: Sequence[int]) -> CleanScore:
    parts = _parts(comparison, metric, arm, seeds, [dirty[arm]])
    n_items, n_clean = sum(part.clean_N.size for part in parts), sum(int(part.clean_N.sum()) for part in parts)
    value = _values([(part.weight, part.whole) for part in parts]) + metric.offset
    on_clean = difference = None
    if _all_have_clean(parts):
        on_clean = _values([(part.weight, part.clean) for part in parts]) + metric.offset
        added = [
            (part.weight * (part.clean.linear[1] - part.whole.linear[1]).mean(axis=0), part.clean.size_SxN.sum(axis=0))
            for part in parts
        ]
        difference = over_items(on_clean - value, added)
    ratio = value and not metric.score.below_zero
    relative = (on_clean - value) / value if on_clean is not None and ratio else None
    return CleanScore(
        *(arm, metric, n_items, n_clean, len(seeds), value, on_clean, difference, relative),
        *_against(comparison, dirty, metric, arm, seeds),
        *_worth(comparison, dirty, metric, arm, seeds),
    )


def _against(
    comparison: Comparison, dirty: Dirty, metric: Metric, arm: str, seeds: Sequence[int]
) -> tuple[int, Estimate | None]:
    """The arm and its baseline on the items that are clean for both: how many, and how they compare."""
    baseline, shared = _shared(comparison, metric, arm, seeds)
    if not shared:
        return 0, None
    asked = [dirty[arm], dirty[baseline]]
    ours, theirs = (_parts(comparison, metric, name, shared, asked) for name in (arm, baseline))
    n_both = sum(int(part.clean_N.sum()) for part in ours)
    if all(part.clean_N.all() for part in ours) or not _all_have_clean([*ours, *theirs]):
        return n_both, None
    return n_both, estimate([(a.weight, Pair(a.clean, b.clean)) for a, b in zip(ours, theirs, strict=True)])


def _worth(
    comparison: Comparison, dirty: Dirty, metric: Metric, arm: str, seeds: Sequence[int]
) -> tuple[int, Estimate | None]:
    """How many items are dirty for the arm alone, and by how much more it differs from its baseline on them."""
    baseline, shared = _shared(comparison, metric, arm, seeds)
    n_read, parts = 0, []
    for task, weight in metric.parts if shared else ():
        scores = [[comparison.evaluated.scores[name, seed, FINAL][task] for seed in shared] for name in (arm, baseline)]
        in_arm_N, in_baseline_N = (_is_dirty(task, scores[0][0].ids, [dirty[name]]) for name in (arm, baseline))
        read_N, clean_N = in_arm_N & ~in_baseline_N, ~(in_arm_N | in_baseline_N)
        n_read += int(read_N.sum())
        if min(read_N.sum(), clean_N.sum()) < FEWEST_READ:
            return n_read, None
        for sign, kept_N in ((1, read_N), (-1, clean_N)):
            parts.append((sign * weight, Pair(*(side(metric.score, each, kept_N) for each in scores))))
    return n_read, estimate(parts) if parts else None


def _shared(comparison: Comparison, metric: Metric, arm: str, seeds: Sequence[int]) -> tuple[str, list[int]]:
    """The arm's baseline, and the seeds that both have; none where the arm is its own."""
    baseline = comparison.study.baseline_of(arm)
    known = comparison.by_seed(baseline, metric.name, FINAL) if arm != baseline else {}
    return baseline, [seed for seed in seeds if seed in known]


def _parts(
    comparison: Comparison,
    metric: Metric,
    arm: str,
    seeds: Sequence[int],
    dirty: Sequence[Mapping[str, Collection[str]]],
) -> list[_Part]:
    """The tasks of a metric in one arm; an item is clean if it is in none of `dirty`."""
    found = []
    for task, weight in metric.parts:
        scores = [comparison.evaluated.scores[arm, seed, FINAL][task] for seed in seeds]
        clean_N = ~_is_dirty(task, scores[0].ids, dirty)
        found.append(_Part(weight, clean_N, side(metric.score, scores), side(metric.score, scores, clean_N)))
    return found


def _is_dirty(task: str, ids: Sequence[str], dirty: Sequence[Mapping[str, Collection[str]]]) -> np.ndarray:
    bad = {item for of in dirty for item in of[benchmark_of(task)]}
    return np.array([row_of(task, id_) in bad for id_ in ids])


def touched(scores: Sequence[CleanScore]) -> list[CleanScore]:
    """The scores that a dirty item touches, in the arm or, for what is clean for both, in its baseline."""
    return [s for s in scores if s.n_clean < s.n_items or s.n_both not in (0, s.n_items)]


def clean_csv(scores: Sequence[CleanScore]) -> str:
    """All of them, one a line."""
    header = (
        *("arm", "metric", "n_items", "n_clean", "n_seeds", "value", "clean", "difference", "low", "high", "relative"),
        *("n_clean_for_both", "against_baseline", "against_low", "against_high", "interval_kind"),
        *("n_read", "worth", "worth_low", "worth_high", "worth_p", "worth_kind"),
    )
    rows = (
        {
            **vars(s),
            **{"metric": s.metric.name, "difference": s.difference.centre if s.difference else None},
            **ends("", s.difference),
            **{"n_clean_for_both": s.n_both, "against_baseline": s.against.difference.centre if s.against else None},
            **ends("against_", s.against.difference if s.against else None),
            "interval_kind": s.against.kind if s.against else None,
            "worth": s.worth.difference.centre if s.worth else None,
            **ends("worth_", s.worth.difference if s.worth else None),
            "worth_p": s.worth.difference.p if s.worth else None,
            "worth_kind": s.worth.kind if s.worth else None,
        }
        for s in scores
    )
    return csv_text(header, rows)


def contamination(
    manifest: Mapping[str, Any], study: StudyRecord, ledgers: Ledgers, evaluated: Sequence[str]
) -> dict[str, Any]:
    """Per arm and benchmark, the items that still have a match in what the arm read.

    Args:
        manifest: manifest.json of the prepared data.
        study: arms and lineage.
        ledgers: of its stages; they say which sources were read.
        evaluated: benchmarks that the report compares arms on.

    Returns:
        {"rows": one a benchmark, "examples": the strongest matches, "uncovered": benchmarks not searched for}.
    """
    searched, sources = manifest["decontamination"]["benchmarks"], manifest["sources"]
    matches, rows = _kept(manifest, study, ledgers), []
    for benchmark, items in searched.items():
        found = {m["item"] for source in sources.values() for m in source["found"] if m["benchmark"] == benchmark}
        cells = [_cell(matches[arm], benchmark) for arm in study.arms]
        rows.append({"benchmark": benchmark, "size": items, "found": len(found), "arms": cells})
    kept = sorted(
        ({**match, "source": name} for name, source in sources.items() for match in source["kept"]),
        key=lambda match: (-match["score"], match["benchmark"], match["item"]),
    )
    return {"rows": rows, "examples": kept[:EXAMPLES], "uncovered": sorted(set(evaluated) - set(searched))}


def _kept(manifest: Mapping[str, Any], study: StudyRecord, ledgers: Ledgers) -> dict[str, list[Mapping[str, Any]]]:
    """By arm, the matches that were kept of the sources that its stages, under any seed, were fed by their ledgers."""
    found = {}
    for arm in study.arms:
        folders = {folder for run in study.runs if run.arm == arm for folder in run.stages}
        steps = (step for folder in folders & ledgers.keys() for step in ledgers[folder][1])
        read = {source for step in steps for source, tokens in step.counts.items() if tokens}
        found[arm] = [match for name, of in manifest["sources"].items() if name in read for match in of["kept"]]
    return found


def _cell(matches: Sequence[Mapping[str, Any]], benchmark: str) -> str:
    its = [match for match in matches if match["benchmark"] == benchmark]
    if not its:
        return "0"
    return f"{len({match['item'] for match in its})} (up to {max(match['score'] for match in its):.2f})"
