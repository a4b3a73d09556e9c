"""A comparison on a terminal: the findings and the headline on one screen, or every row."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.compare import Comparison, Row, against, arm_label, covered, notes
from analysis.metrics import Metric, coverage, percent_text
from analysis.report import findings
from analysis.report.results import group_of
from analysis.report.values import primary, shown
from analysis.verdict import LEGEND

COLOURS = {"better": "green", "worse": "red"}
NARROW = 16
"""Letters that a column of the headline has, at least."""
GAPS = 5
"""That are listed on one screen."""


def print_answer(comparison: Comparison, console: Console) -> None:
    """The findings, and the headline metrics by arm, as many as are wide enough."""
    for sentence in findings.answer(comparison):
        console.print(Text(sentence))
    for arm, said in findings.lost_seeds(comparison):
        console.print(Text(f"{arm}: {said}", "red"))
    console.print(_headline(comparison, console.width))
    console.print(Text(LEGEND, "dim"))
    if line := covered(comparison):
        console.print(Text(line))
    for gap in comparison.gaps[:GAPS]:
        console.print(Text(f"missing: {gap}"))
    if len(comparison.gaps) > GAPS:
        console.print(Text(f"missing: and {len(comparison.gaps) - GAPS} more"))
    console.print(Text("--all shows every metric with its interval, --json everything", "dim"))


def _headline(comparison: Comparison, width: int) -> Table:
    study = comparison.study
    longest = max(map(len, study.arms))
    room = max(1, (width - longest - 4) // (NARROW + 3))
    metrics = [*primary(comparison), *(m for m in shown(comparison) if m not in primary(comparison))][:room]
    rows = {(row.arm, row.metric): row for row in comparison.last}
    table = Table(title=Text(f"at {comparison.points[-1]}, against {against(study)}"), title_justify="left")
    table.add_column("arm", no_wrap=True)
    for metric in metrics:
        table.add_column(Text(f"{metric.subject}, {metric.score.unit}"), justify="right")
    for arm in study.arms:
        table.add_row(Text(arm), *(_cell(comparison, arm, metric, rows.get((arm, metric))) for metric in metrics))
    return table


def _cell(comparison: Comparison, arm: str, metric: Metric, row: Row | None) -> Text:
    if row is None:
        seeds = list(comparison.by_seed(arm, metric.name, comparison.points[-1]).values())
        return Text(metric.score.value_text(sum(seeds) / len(seeds)) if seeds else "–", "dim")
    change = f" {percent_text(row.estimate.relative)}" if row.estimate.relative else ""
    style = COLOURS.get(row.judged.side, "")
    return Text(f"{row.judged.mark} {metric.score.value_text(row.estimate.value)}{change}", style)


def print_all(comparison: Comparison, console: Console) -> None:
    """Every row, one block for each point and group of metrics."""
    for at in comparison.points:
        for group in dict.fromkeys(group_of(row.metric) for row in comparison.at(at)):
            rows = [row for row in comparison.at(at) if group_of(row.metric) == group]
            console.print(_block(comparison, f"{group}, {at}, against {against(comparison.study)}", rows))
    for kind in dict.fromkeys(row.estimate.kind for row in comparison.rows):
        console.print(Text(f"intervals: {kind}"))
    for line in (covered(comparison), *coverage(comparison.metrics), *notes(comparison)):
        if line:
            console.print(Text(line))
    for gap in comparison.gaps:
        console.print(Text(f"missing: {gap}"))


def _block(comparison: Comparison, title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    table.add_column("metric")
    table.add_column("arm")
    for column in ("value", "baseline", "difference", "95 % interval", "relative"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        score, found = row.metric.score, row.estimate
        table.add_row(
            Text(row.metric.label),
            Text(arm_label(comparison.study, row.arm)),
            *map(score.value_text, (found.value, found.baseline_value)),
            score.difference_text(found.difference.centre),
            score.interval_text(found.difference),
            percent_text(found.relative),
            Text(row.judged.text, style=COLOURS.get(row.judged.side, "")),
        )
    return table
