"""The task signal card: which tasks and metrics can tell a study's arms apart, from its records alone.

For each metric, at the end of the runs:

    noise        sd of the runs of an arm, pooled over arms; the parts of weights and data where their seeds are crossed
    paired       the same without what a seed does to all arms alike, which pairing by seed takes out of a comparison:
                 2 paired² / S is the mean, over all pairs of arms, of the variance that `analysis.spread` has of one
    spread       sd of the arms' means, less what noise adds to it; only arms that are compared, directly or by way of
                 others, are held against one another, so that a larger model is no signal
    snr          spread / noise. It has no interval; spread / paired has one, for these arms (noncentral F)
    detectable   difference of two arms that is found four times in five, alone, at 5 %, with these seeds and items
    tells        whether √2 spread, by which two arms differ (root mean square), is as much, and an arm above chance
    ranks        Kendall's tau of the arms' order between two seeds, the mean over pairs of seeds

and where the runs were scored along the way, over the last points of one kind (`analysis.last_points`), K by default 3:

    checkpoints  sd around a straight line through the last K points, pooled over runs, with K − 2 degrees of freedom of
                 each. Around their mean it would hold what the run still learns, which is no noise, and most of it
                 where bits per byte fall; a line takes that out for one degree of freedom. What the curve is bent by
                 stays in it, so it is too large rather than too small. It is of points as far apart as these
    monotonicity Spearman's rho of score and tokens over all such points, 1 where every one is better than the last
    worth        noise of one run in the mean of its last K points, and how many runs, at their ends, have as little
    published    signal and noise as Heineman et al. 2025 define them (arXiv:2508.13144): the largest difference between
                 arms, and the sd of a run's last K points, both by the mean. Beside theirs only with their K (5 for
                 small models, 30 for large), and three things differ from ours: the largest difference grows with the
                 number of arms and is not 0 where there is only noise; the sd is around the mean, so a slope is in it,
                 and of K points rather than K − 1; and no seed is in it. Their code for small models takes the sd of
                 all arms' points at once, which holds the signal too; here it is the mean over runs

All is for the items that were asked. Intervals are for normal errors; what has none here has none that is honest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.compare import plain
from analysis.composite import coverage, declared, metrics_of
from analysis.last_points import alike
from analysis.metrics import Metric, above_chance
from analysis.records import StudyRecord, read_study
from analysis.rungs import curves, noise
from analysis.rungs.curves import Curve, Published
from analysis.rungs.noise import Between, Sd, Within, Worth
from analysis.scores import BEFORE, FINAL, Evaluated, evaluated, points, require_same_items
from analysis.statistics import Spread, detectable
from store.errors import UserError

LAST = 3
FEWEST_LAST = curves.FEWEST
"""A line through two points leaves nothing over."""


@dataclass(frozen=True)
class Signal:
    """What one metric can tell. What the records do not carry is None.

    Attributes:
        metric: which.
        n_arms, n_runs: that have it at their end.
        value: the mean over these runs.
        above_chance: whether that is above guessing by more than item noise; None where there is no such level.
        arms_above: arms whose mean is.
        within, between: noise and spread at the end of the runs.
        n_along: runs that have it at their last K points.
        checkpoints, worth, published: of these.
        monotonicity: of all runs with three points or more.
    """

    metric: Metric
    n_arms: int
    n_runs: int
    value: float
    above_chance: bool | None
    arms_above: int | None
    within: Within | None
    between: Between | None
    n_along: int
    checkpoints: Sd | None
    worth: Worth | None
    published: Published | None
    monotonicity: float | None

    @property
    def task(self) -> str:
        return self.metric.name.rpartition("/")[0]

    @property
    def snr(self) -> float | None:
        """None where the runs of an arm do not differ, too: then nothing is known of noise."""
        if self.between is None or self.within is None or self.within.sd.value <= 0:
            return None
        return self.between.spread / self.within.sd.value

    @property
    def seen(self) -> float | None:
        """By how much two arms differ."""
        return None if self.between is None else math.sqrt(2) * self.between.spread

    @property
    def detectable(self) -> float | None:
        if self.between is None or self.between.of_mean <= 0:
            return None
        return detectable(Spread(2 * self.between.of_mean, 0.0, 0.0, self.between.n_seeds, math.inf))

    @property
    def tells(self) -> bool | None:
        if self.detectable is None or self.seen is None:
            return None
        return self.seen >= self.detectable and self.arms_above != 0

    @property
    def flat(self) -> dict[str, Any]:
        """As files have it."""
        its, between, worth = self.within, self.between, self.worth
        paired = None if between is None else between.paired
        return {
            **{"metric": self.metric.name, "task": self.task, "unit": self.metric.score.unit},
            **{"n_arms": self.n_arms, "n_runs": self.n_runs, "n_seeds": between.n_seeds if between else None},
            **{"value": self.value, "chance": self.metric.chance},
            **{"above_chance": self.above_chance, "arms_above_chance": self.arms_above},
            **{"noise": _flat(its.sd if its else None), "noise_paired": _flat(paired)},
            **{"noise_init": its.init if its else None, "noise_data": its.data if its else None},
            **{"spread": between.spread if between else None, "snr": self.snr, "p": between.p if between else None},
            "spread_to_paired_interval": between.ratio if between else None,
            **{"seen": self.seen, "detectable": self.detectable, "tells": self.tells},
            "rank_stability": between.ranks if between else None,
            **{"n_along": self.n_along, "noise_checkpoints": _flat(self.checkpoints)},
            **{"monotonicity": self.monotonicity, "noise_last": _flat(worth.noise if worth else None)},
            "seeds_worth": worth.seeds if worth else None,
            "seeds_worth_interval": (worth.low, worth.high) if worth and worth.low is not None else None,
            "published": asdict(self.published) if self.published else None,
        }


def _flat(sd: Sd | None) -> dict[str, Any] | None:
    if sd is None:
        return None
    return {"sd": sd.value, "freedom": sd.freedom, "interval": None if sd.low is None else (sd.low, sd.high)}


@dataclass(frozen=True)
class Card:
    study: StudyRecord
    last: int
    signals: tuple[Signal, ...]
    """Highest SNR first, then those that have none."""
    gaps: tuple[str, ...]
    """What is missing of the scores, one line each."""

    @property
    def composite(self) -> str:
        """What the study's composite counts and what it lacks; "" where none is declared."""
        return coverage(declared(self.study), [each.metric for each in self.signals])


def carry_most(signals: Sequence[Signal]) -> dict[str, str]:
    """By task, which of its metrics has the highest SNR, of those above chance; without tasks that have none."""
    found: dict[str, str] = {}
    for each in signals:  # in that order
        if each.snr and each.arms_above != 0:
            found.setdefault(each.task, each.metric.name)
    return found


def card(store: Path, study: str, last: int = LAST) -> Card:
    """The card of a study that was run in `store`.

    Raises:
        UserError: `last` is below 3, the study was never run here, it has one arm or one seed, or nothing is scored.
        Failure: a record is corrupt, or two records of a task hold different items, prompts or versions.
    """
    if last < FEWEST_LAST:
        raise UserError(
            f"the noise of the last {last} checkpoints cannot be told: a line through {max(last, 0)} leaves nothing "
            f"over; ask for {FEWEST_LAST} or more"
        )
    record = read_study(store, study)
    for what, count in (("arm", len(record.arms)), ("seed", len({run.seed for run in record.runs}))):
        if count < 2:
            raise UserError(f"study '{study}' has one {what}, and what can be told is told by several; run it with two")
    every = dict.fromkeys(at for run in record.runs for at in points(run) if at != BEFORE)
    found, gaps = evaluated(store, record, list(every))
    require_same_items(found)
    if not any(at == FINAL for _, _, at in found.scores):
        raise UserError(
            f"no run of study '{study}' is scored at its end in store {store}; `ablate run {study}` does it"
        )
    return Card(record, last, signals(record, found, last), tuple(dict.fromkeys(gaps)))


def signals(record: StudyRecord, found: Evaluated, last: int = LAST) -> tuple[Signal, ...]:
    """Of every metric that is scored at the end of runs; () of one arm or one seed.

    Args:
        record: of the study.
        found: the scores at the ends of all stages, or at the end of the runs alone.
        last: K.
    """
    if len(record.arms) < 2 or len({run.seed for run in record.runs}) < 2:
        return ()
    ended = {(arm, seed) for arm, seed, at in found.scores if at == FINAL}
    order = list(record.arms)
    runs = sorted(
        (run for run in record.runs if (run.arm, run.seed) in ended), key=lambda run: (order.index(run.arm), run.seed)
    )
    lines = {(run.arm, run.seed): alike(run, found, FINAL) for run in runs}
    tasks = {task for run in runs for task in found.scores[run.arm, run.seed, FINAL]}
    metrics = metrics_of(declared(record), tasks)
    made = (_signal(record, found, metric, curves.along(found, metric, runs, lines), last) for metric in metrics)
    return tuple(sorted((each for each in made if each), key=lambda each: (each.snr is None, -(each.snr or 0.0))))


def _signal(record: StudyRecord, found: Evaluated, metric: Metric, ended: Sequence[Curve], last: int) -> Signal | None:
    if not ended:
        return None
    by_arm = {arm: its for arm in record.arms if (its := [curve for curve in ended if curve.run.arm == arm])}
    along = {arm: its for arm, of in by_arm.items() if (its := [curve for curve in of if curve.score_K.size >= last])}
    means = {arm: float(curves.ends(its).mean()) for arm, its in by_arm.items()}
    mean = float(curves.ends(ended).mean())
    scores = found.scores[ended[0].run.arm, ended[0].run.seed, FINAL]
    items = {task: len(scores[task].ids) for task, _ in metric.parts}
    above = None if metric.chance is None else [above_chance(metric, of, items) for of in (mean, *means.values())]
    return Signal(
        metric=metric,
        n_arms=len(by_arm),
        n_runs=len(ended),
        value=mean,
        above_chance=above[0] if above else None,
        arms_above=sum(above[1:]) if above else None,
        within=noise.within([(curves.ends(its), curves.seeds(its)) for its in by_arm.values()]),
        between=_between(record, by_arm),
        n_along=sum(map(len, along.values())),
        checkpoints=curves.checkpoints([curve for its in along.values() for curve in its], last),
        worth=noise.worth([(curves.ends(of), curves.means(of, last), curves.seeds(of)) for of in along.values()]),
        published=curves.published(metric, along, groups(record), last),
        monotonicity=curves.monotonicity(metric, ended),
    )


def _between(record: StudyRecord, by_arm: Mapping[str, Sequence[Curve]]) -> Between | None:
    """Over the seeds that all arms have."""
    shared = set.intersection(*({curve.run.seed for curve in its} for its in by_arm.values()))
    kept = [[curve for curve in its if curve.run.seed in shared] for its in by_arm.values()]
    group = groups(record)
    value_AxS = np.stack([curves.ends(its) for its in kept])
    return noise.between(value_AxS, [group[arm] for arm in by_arm], curves.seeds(kept[0]))


def groups(record: StudyRecord) -> dict[str, str]:
    """By arm one arm that stands for all that it is compared with, directly or by way of others."""
    found = {arm: arm for arm in record.arms}
    for arm in record.arms:
        one, other = found[arm], found[record.baseline_of(arm)]
        found = {name: one if of == other else of for name, of in found.items()}
    return found


def to_json(found: Card) -> dict[str, Any]:
    """The card as plain JSON values: the study's name, K, its signals as `Signal.flat` has them, "carry_most" and gaps.

    What cannot be told is null. Standard deviations are {"sd", "freedom", "interval"}; shares are of 1.
    """
    return {
        **{"study": found.study.name, "last": found.last, "n_arms": len(found.study.arms)},
        "n_seeds": len({run.seed for run in found.study.runs}),
        "signals": [plain(each.flat) for each in found.signals],
        **{"carry_most": carry_most(found.signals), "gaps": list(found.gaps)},
        **({"composite": found.composite} if found.composite else {}),
    }
