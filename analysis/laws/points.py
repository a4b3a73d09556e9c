"""From records, or from what arXiv:2408.10914 prints, to the points that laws are fitted to, with their noise.

Seeds are blocks: what a seed does to all arms alike is of no account, and what is left of a run is pooled over arms,
(A − 1)(S − 1) degrees of freedom, where a single difference has S − 1. With Σ over runs of what is left squared:

    noise = Σ / (A−1)(S−1)S · 1 + B − C         B, C: b and c of `analysis.statistics`, as covariances of arms

One seed has no first part: item noise alone, which the result says. As there, the target are other seeds and items.
Runs that share a seed of their weights or data are taken for as many, which is too little noise.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.claims.published import RESULTS, SHARES, Model
from analysis.compare import Comparison
from analysis.laws.forms import LOG_ODDS, PLAIN, Link, link_of
from analysis.laws.optimum import Points
from analysis.metrics import Metric, TaskScores, side
from analysis.statistics import Floats

Weighed = Sequence[tuple[float, Metric]]
"""What is looked at: a metric, or a sum of some, all of which are better the same way."""

SEEDS, ONE_SEED = "seeds and items", "item noise alone (one seed)"
OF_PAPER = "item noise alone (the paper has one run of each)"
FEWEST_ARMS = 4
"""A law of three parameters leaves one to judge it by."""


def points(comparison: Comparison, weighed: Weighed, shares: Mapping[str, float]) -> tuple[Points | None, list[str]]:
    """The arms' means at the last point of the runs; and what is missing, one line each.

    Args:
        comparison: of the study.
        weighed: of what.
        shares: by arm.

    Returns:
        None where fewer than FEWEST_ARMS arms have it in a seed that they share.
    """
    at, link = comparison.points[-1], link_of(weighed[0][1].score) if len(weighed) == 1 else PLAIN
    by_arm = {arm: _values(comparison, arm, weighed, at) for arm in sorted(shares, key=lambda arm: shares[arm])}
    gaps = [f"{arm} has no value of {named(weighed)}" for arm, values in by_arm.items() if not values]
    by_arm = {arm: values for arm, values in by_arm.items() if values}
    seeds = sorted(set.intersection(*(set(values) for values in by_arm.values()))) if by_arm else []
    lost = sorted({seed for values in by_arm.values() for seed in values} - set(seeds))
    gaps += [f"seed {seed} is left out of {named(weighed)}: not every arm has it" for seed in lost]
    if len(by_arm) < FEWEST_ARMS or not seeds:
        return None, [*gaps, f"{named(weighed)}: fewer than {FEWEST_ARMS} arms have it in a seed that they share"]
    value_AxS = np.array([[values[seed] for seed in seeds] for values in by_arm.values()])
    tasks = comparison.evaluated.scores[next(iter(by_arm)), seeds[0], at]
    value_AxS = _inside(link, tasks, weighed, value_AxS)
    added = _added(comparison, list(by_arm), weighed, seeds, at)
    noise_AxA, freedom = noise(link.to(value_AxS), added, link.slope(value_AxS).mean(axis=1))
    source = SEEDS if len(seeds) > 1 else ONE_SEED
    mean_A, share_A = link.to(value_AxS).mean(axis=1), np.array([shares[arm] for arm in by_arm])
    better = weighed[0][1].score.higher_is_better
    return Points(tuple(by_arm), share_A, mean_A, noise_AxA, freedom, link, better, source), gaps


def named(weighed: Weighed) -> str:
    return " + ".join(metric.name if len(weighed) == 1 else f"{weight:g} {metric.name}" for weight, metric in weighed)


def _values(comparison: Comparison, arm: str, weighed: Weighed, at: str) -> dict[int, float]:
    """By seed."""
    parts = [(weight, comparison.by_seed(arm, metric.name, at)) for weight, metric in weighed]
    seeds = set.intersection(*(set(values) for _, values in parts))
    return {seed: sum(weight * values[seed] for weight, values in parts) for seed in sorted(seeds)}


def _inside(link: Link, tasks: Mapping[str, TaskScores], weighed: Weighed, value_AxS: Floats) -> Floats:
    """Accuracies of 0 or 1, whose log-odds would be endless, are taken for half an item away from it."""
    if link is not LOG_ODDS:
        return value_AxS
    parts = [part for _, metric in weighed for part in metric.parts]
    half = min(weight / len(tasks[task].ids) for task, weight in parts) / 2
    return np.clip(value_AxS, half, 1 - half)


def _added(
    comparison: Comparison, arms: Sequence[str], weighed: Weighed, seeds: Sequence[int], at: str
) -> list[Floats]:
    """Of every task, what its items add to the value of each run, [arms, seeds, items] with mean 0 over items."""
    found = comparison.evaluated.scores
    by_task: dict[str, Floats] = {}
    for weight, metric in weighed:
        for task, of_task in metric.parts:
            sides = [side(metric.score, [found[arm, seed, at][task] for seed in seeds]) for arm in arms]
            added_AxSxN = weight * of_task * np.stack([each.linear[1] for each in sides])
            by_task[task] = by_task.get(task, 0.0) + added_AxSxN  # of the same items, whichever the score
    return list(by_task.values())


def noise(linked_AxS: Floats, added: Sequence[Floats], slope_A: Floats) -> tuple[Floats, float]:
    """Covariance of the arms' means on the link's scale, and its degrees of freedom.

    Args:
        linked_AxS: values of the runs on that scale.
        added: as `_added`.
        slope_A: from the metric's to that scale.
    """
    arms, seeds = linked_AxS.shape
    items_AxA = sum((_of_items(added_AxSxN) for added_AxSxN in added), np.zeros((arms, arms)))
    items_AxA = items_AxA * np.outer(slope_A, slope_A)
    if seeds == 1:
        return items_AxA, np.inf
    left_AxS = linked_AxS - linked_AxS.mean(axis=0)
    left_AxS = left_AxS - left_AxS.mean(axis=1, keepdims=True)
    freedom = (arms - 1) * (seeds - 1)
    return np.eye(arms) * float((left_AxS**2).sum()) / freedom / seeds + items_AxA, float(freedom)


def _of_items(added_AxSxN: Floats) -> Floats:
    """B − C of one task, or as much of it as is a covariance."""
    arms, seeds, items = added_AxSxN.shape
    if items < 2:
        return np.zeros((arms, arms))
    mean_AxN = added_AxSxN.mean(axis=1)
    found_AxA = mean_AxN @ mean_AxN.T / (items * (items - 1))
    if seeds > 1:
        left_AxSxN = added_AxSxN - mean_AxN[:, None]
        found_AxA = found_AxA - np.einsum("asn,bsn->ab", left_AxSxN, left_AxSxN) / (
            (seeds - 1) * (items - 1) * seeds * items
        )
    size_A, vectors_AxA = np.linalg.eigh(found_AxA)
    return (vectors_AxA * np.maximum(size_A, 0)) @ vectors_AxA.T


ITEMS: Mapping[str, tuple[int, ...]] = {
    "reasoning": (3_270, 1_838, 1_000, 1_954, 7_354, 56, 100, 1_871, 10_042, 1_267, 2_376),
    "knowledge": (17_944, 3_610),
    "code": (164, 500),
}
"""Items of the data sets of the paper's table 1, as their splits have them (BoolQ, PIQA, SciQ, SocialIQA, QuAC, CB,
COPA, StoryCloze, HellaSwag, WinoGrande, ARC-Easy; TriviaQA, NQ-open; HumanEval, MBPP)."""


def of_paper(categories: Sequence[str]) -> Points:
    """The mean of some categories in figure 4 of arXiv:2408.10914. The paper has no scores of items: every data set is
    taken to have its category's mean, and every arm to be asked other items, which makes the noise of a comparison
    larger rather than smaller."""
    value_AxC = np.array([[_printed(model, category) for category in categories] for model in SHARES.values()])
    each_C = np.array([sum(1 / count for count in ITEMS[name]) / len(ITEMS[name]) ** 2 for name in categories])
    variance_A = (value_AxC * (1 - value_AxC) * each_C).sum(axis=1) / len(categories) ** 2
    value_A, share_A = value_AxC.mean(axis=1), np.array(list(SHARES)) / 100
    noise_AxA = np.diag(variance_A * LOG_ODDS.slope(value_A) ** 2)
    arms = tuple(model.name for model in SHARES.values())
    return Points(arms, share_A, LOG_ODDS.to(value_A), noise_AxA, np.inf, LOG_ODDS, True, OF_PAPER)


def _printed(model: Model, category: str) -> float:
    one = next(one for one in RESULTS if (one.where, one.model, one.measure) == ("Fig. 4", model, category))
    return float(one.value) / 100
