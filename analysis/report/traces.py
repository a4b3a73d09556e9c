"""Where a number is from: study, arm, seeds, the checkpoints with their fingerprints, items."""

from analysis.compare import Comparison, Row
from analysis.metrics import Metric

SHOWN = 8
"""Checkpoints in a trace."""


def of_arm(comparison: Comparison, arm: str, at: str) -> str:
    """The checkpoints of an arm at a point."""
    stages = [stage for (name, _, point), stage in comparison.evaluated.stages.items() if (name, point) == (arm, at)]
    told = [f"{stage.id} {stage.fingerprint} step {stage.steps:,}" for stage in stages[:SHOWN]]
    more = [f"and {len(stages) - SHOWN} more"] if len(stages) > SHOWN else []
    return f"{comparison.study.name}, {arm}, {at}: {'; '.join([*told, *more]) or 'no checkpoint is scored'}"


def of_row(comparison: Comparison, row: Row) -> str:
    """A comparison: how many items and seeds, what was decided and how, and the arm's checkpoints."""
    judged = f"{row.judged.text} ({row.judged.strength}{', ' + row.adjustment if row.adjustment else ''})"
    return (
        f"{row.metric.name}, {row.arm} against {row.baseline}: n = {row.n_items:,} items x {row.n_seeds} seeds; "
        f"{judged}; {of_arm(comparison, row.arm, row.at)}"
    )


def items_of(comparison: Comparison, metric: Metric, at: str) -> int:
    """How many items a metric is of."""
    found = (of for (_, _, point), of in comparison.evaluated.scores.items() if point == at)
    there = next((of for of in found if all(task in of for task, _ in metric.parts)), None)
    return sum(len(there[task].ids) for task, _ in metric.parts) if there else 0
