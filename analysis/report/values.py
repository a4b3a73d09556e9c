"""Which metrics a report shows first, and the means that several of its parts need."""

from analysis.compare import Comparison
from analysis.evals.benchmarks import EXECUTED, TASKS
from analysis.metrics import CODE, COMPOSITE, FRESH, HELDOUT, HELDOUT_KINDS, TEXTS, Metric
from analysis.scores import BEFORE, FINAL

HEADLINE = (
    *(f"{HELDOUT}{kind}/bpb" for kind in HELDOUT_KINDS),
    *(f"{FRESH}{kind}/bpb" for kind in HELDOUT_KINDS),
    *(f"{name}/{TASKS[name].lead}" for name in (*CODE, *EXECUTED)),
    "nl/gold_bpb",
    "reasoning/acc",
    "knowledge/exact_match",
)
PLAIN_MEAN = "nl/acc"
"""The paper's, which stands beside a composite."""


def shown(comparison: Comparison) -> list[Metric]:
    """The primary metrics, a composite and the paper's mean beside it, and then the headline's, that are there.

    Where no arm is above chance in the composite, it comes last.
    """
    there = {metric.name: metric for metric in comparison.metrics}
    beside = (COMPOSITE, PLAIN_MEAN) if comparison.study.composite else ()
    tells = any(not row.judged.at_chance for row in comparison.last if row.metric.name == COMPOSITE)
    names = dict.fromkeys((*comparison.study.primary, *(beside if tells else ()), *HEADLINE, *beside))
    return [there[name] for name in names if name in there]


def primary(comparison: Comparison) -> list[Metric]:
    """The declared metrics that are there; the headline's, if none is declared."""
    declared = [metric for metric in shown(comparison) if metric.name in comparison.study.primary]
    return declared or shown(comparison)


def by_source(comparison: Comparison) -> list[Metric]:
    """Held-out and fresh text of single sources."""
    return [m for m in comparison.metrics if m.name.startswith(TEXTS) and m.name.count("/") == 3]


def before_after(comparison: Comparison, metric: Metric, arm: str) -> tuple[tuple[float, float], int]:
    """An arm's means before and after the cooldown over the seeds that have both, and how many these are."""
    before, after = (comparison.by_seed(arm, metric.name, at) for at in (BEFORE, FINAL))
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        return (0.0, 0.0), 0
    first, last = (sum(scores[seed] for seed in seeds) / len(seeds) for scores in (before, after))
    return (first, last), len(seeds)
