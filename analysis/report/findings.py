"""What was found, in sentences: of the primary metrics at the end of the runs, of every arm, of what was expected."""

from collections.abc import Iterable, Sequence
from typing import Any

from analysis.compare import Comparison, Row, against, arm_label, several_baselines, where
from analysis.metrics import Metric, percent_text
from analysis.statistics import detectable
from analysis.tabular import few
from analysis.verdict import CANNOT_TELL, EQUIVALENT, SIDES

SHOWN = 6
"""Names in a sentence."""


def primary_rows(comparison: Comparison) -> list[Row]:
    primary = comparison.study.primary
    return [row for row in comparison.last if row.metric.name in primary or not primary]


def answer(comparison: Comparison) -> list[str]:
    """Two to five sentences on the primary metrics at the last point (on all metrics if none is declared)."""
    study, rows = comparison.study, primary_rows(comparison)
    place = where(comparison)
    if not rows:
        return [f"No arm could be compared with {against(study)} {place} yet."]
    size = len(comparison.family) or len(rows)
    sides = [[row for row in rows if row.judged.side == side] for side in SIDES]
    sentences = [_counted(comparison, rows, sides, size, place)]
    lost = [row for row in rows if row.judged.before]
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        said = f"{len(lost)} of the others {verb} a 95 % interval that leaves out 0, but not after the correction."
        sentences.append(said)
    words = zip(("gain", "loss"), (_furthest(side) for side in sides), strict=True)
    told = [f"largest {word} is {_told(comparison, row)}" for word, row in words if row]
    if told:
        sentences.append(f"The {'; the '.join(told)}.")
    if alike := [row for row in rows if row.judged.side == EQUIVALENT and not row.judged.same]:
        sentences.append(
            f"{len(alike)} {'is' if len(alike) == 1 else 'are'} equivalent: no difference larger than declared."
        )
    if len(rows) < size:
        sentences.append(f"{size - len(rows)} could not be made: scores are missing.")
    short = sum(row.n_seeds < row.n_declared for row in rows)
    if short:
        sentences.append(
            f"{short} {'lacks' if short == 1 else 'lack'} a seed that was declared, which counts against its arm."
        )
    rest = sum(row.judged.side == CANNOT_TELL and not row.judged.before for row in rows)
    if max(row.n_declared for row in rows) == 1:
        sentences.append(
            "There is one seed only: the intervals hold item noise, and what another seed would give is unknown."
        )
    elif rest:
        which = "It" if size == 1 else "The other" if rest == 1 else f"The other {rest}"
        sentences.append(
            f"{which} cannot be told from noise with {_seeds(rows)}; that does not show the arms to be equal."
        )
    return sentences


def _counted(comparison: Comparison, rows: Sequence[Row], sides: Sequence[Sequence[Row]], size: int, place: str) -> str:
    study, declared = comparison.study, bool(comparison.family)
    what = "declared primary comparison" if declared else "comparison"
    if size == 1:
        found = f": it is {rows[0].judged.side}" if sides[0] or sides[1] else ""
        return f"There is one {what}, with {against(study)} {place}{found}."
    correction = (
        f"Holm's correction for all {size}" if declared else "Benjamini and Hochberg's correction over all rows"
    )
    return (
        f"Of {size} {what}s with {against(study)} {place}, after {correction}, "
        f"{len(sides[0])} {'is' if len(sides[0]) == 1 else 'are'} better and {len(sides[1])} worse."
    )


def per_arm(comparison: Comparison) -> list[tuple[str, str]]:
    """(arm, what it is better and worse at) for every arm that is compared."""
    found, study = [], comparison.study
    for arm in study.compared:
        groups: dict[str, list[str]] = {}
        for row in (row for row in primary_rows(comparison) if row.arm == arm):
            change = (
                f" ({percent_text(row.estimate.relative)})" if row.judged.told_apart and row.estimate.relative else ""
            )
            groups.setdefault(row.judged.text, []).append(f"{short(row.metric)}{change}")
        told = "; ".join(f"{verdict}: {few(names, SHOWN)}" for verdict, names in sorted(groups.items()))
        lacking = f"not compared: no seed has the scores of it and of {study.baseline_of(arm)}"
        found.append((arm_label(study, arm), told or lacking))
    return found


def lost_seeds(comparison: Comparison) -> list[tuple[str, str]]:
    """(arm, what became of its seeds) where one of them diverged or was not scored."""
    study, at, found = comparison.study, comparison.points[-1], []
    for arm in study.arms:
        seeds = [run.seed for run in study.runs if run.arm == arm]
        diverged = [seed for seed in seeds if (arm, seed, at) in comparison.evaluated.diverged]
        missing = [s for s in seeds if s not in diverged and (arm, s, at) not in comparison.evaluated.scores]
        said = [
            f"seed{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))} {word}"
            for lost, word in ((diverged, "diverged"), (missing, "not scored"))
            if lost
        ]
        if said:
            found.append((arm, f"{'; '.join(said)}, of {len(seeds)}"))
    return found


def expected(comparison: Comparison) -> list[dict[str, Any]]:
    """What was expected of the arms, and what was found at the end of the runs."""
    rows = {(row.arm, row.metric.name): row for row in comparison.last}
    table = []
    for each in comparison.study.expected:
        row = rows.get((each["arm"], each["metric"]))
        if row is None:
            found = "not scored"
        elif row.judged.side == EQUIVALENT:
            found = "as expected" if each["direction"] == "same" else "equivalent"
        elif not row.judged.told_apart:
            found = "cannot tell"
        elif each["direction"] == "same":
            found = "it differs"
        else:
            higher = row.estimate.difference.centre > 0
            found = "as expected" if each["direction"] == ("higher" if higher else "lower") else "the other way"
        table.append({**each, "row": row, "found": found})
    return table


def detectable_lines(comparison: Comparison) -> list[str]:
    """For each primary metric the smallest difference that so many seeds and items would find after the correction for
    the family, given the spread seen here."""
    lines, rows = [], primary_rows(comparison)
    size = max(1, len(comparison.family))
    for metric in dict.fromkeys(row.metric for row in rows):
        spreads = [
            (found, row) for row in rows if row.metric == metric and (found := detectable(row.estimate.spread, size))
        ]
        if spreads:
            found, row = max(spreads, key=lambda pair: pair[0])
            told = metric.score.difference_text(found).lstrip("+")
            lines.append(f"{metric.label}: {told} (noisiest arm {row.arm}, {row.n_seeds} seeds)")
    return lines


def _furthest(rows: Iterable[Row]) -> Row | None:
    sizes = [(abs(row.estimate.relative.centre), row) for row in rows if row.estimate.relative]
    return max(sizes, key=lambda pair: pair[0])[1] if sizes else None


def _told(comparison: Comparison, row: Row) -> str:
    value, baseline = map(row.metric.score.value_text, (row.estimate.value, row.estimate.baseline_value))
    of = f" of {row.baseline}" if several_baselines(comparison.study) else ""
    return f"{row.arm} on {short(row.metric)} ({percent_text(row.estimate.relative)}, {value} against {baseline}{of})"


def short(metric: Metric) -> str:
    """A label inside a sentence: only some begin with a common word."""
    text = metric.label.replace(", bits/byte", " bits per byte").replace(", ", " ")
    common = text.startswith(("Held", "Fresh", "Reasoning", "Knowledge", "Natural", "Composite"))
    return text[:1].lower() + text[1:] if common else text


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({row.n_seeds for row in rows})
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
