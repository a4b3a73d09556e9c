"""What a finished study says of the differences that a planned one can find: its noise of seeds and of items."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from analysis.compare import compare
from analysis.scores import FINAL
from analysis.statistics import EQUAL_SEEDS, Spread, detectable


def spreads(store: Path, study: str) -> Mapping[str, Mapping[str, Spread]]:
    """The variance of the paired difference between each arm and its baseline, by primary metric and arm.

    It is of the mean over the seeds that were run, at the end of the runs, in the metric's unit squared (accuracies are
    shares of 1), in the parts that `analysis.statistics.Spread` names. Left out are arms with one seed, whose seeds
    differ by the same count, or which are the baseline's own checkpoint: they say nothing of other seeds.

    Its part of seeds is what `analysis.rungs.signal` calls 2 paired² / S, of one pair of arms: there it is the mean
    over all pairs, which is known from more runs, and here each pair has its own, since arms differ in how much they
    scatter.

    Raises:
        UserError, Failure: as `analysis.compare.compare`, which reads all records of the study.
    """
    found = compare(store, study)
    by_metric: dict[str, dict[str, Spread]] = {metric: {} for metric in dict.fromkeys(found.study.primary)}
    for row in found.at(FINAL):
        told = row.estimate.kind != EQUAL_SEEDS and not row.judged.same
        if told and row.metric.name in by_metric and row.estimate.spread.n_seeds > 1:
            by_metric[row.metric.name][row.arm] = row.estimate.spread
    return by_metric


def smallest(spread: Spread, n_seeds: int, family_size: int) -> float | None:
    """The smallest true difference that a study of `n_seeds` finds four times in five after Holm's correction.

    The components are held, and the items: more seeds divide the noise of seeds and that of a seed's answers to items,
    while how differently items suit the arms stays. With a of S seeds, b of items and c of both (the head of
    analysis/statistics.py), a study of S′ has a S/S′, (b − c) + c S/S′ and c S/S′. They are taken for known, though few
    seeds tell little of them: the sd of seeds is 0.5 to 6.3 times what three show (95 %, normal).

    Args:
        spread: of one arm and metric, as `spreads` has it, or of like runs.
        n_seeds: of the planned study.
        family_size: its declared comparisons, arms times primary metrics.

    Returns:
        The difference in the metric's unit; None where either study has one seed, and none can be told.
    """
    if min(spread.n_seeds, n_seeds) < 2:
        return None
    share = spread.n_seeds / n_seeds
    both = spread.both * share
    items = max(0.0, spread.items - spread.both) + both
    planned = replace(spread, seeds=spread.seeds * share, items=items, both=both, n_seeds=n_seeds)
    return detectable(planned, family_size)
