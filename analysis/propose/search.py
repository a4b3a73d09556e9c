"""The mixture to try next: the best that the laws foretell near what was tried, or that nothing there is told to be
better than the best arm.

    law         of each metric: with two parts the best of `analysis.laws` by leave-one-arm-out error; with more,
                link(y) linear in the shares, which of bits is the exponential law without its constant
                (arXiv:2403.16952), or a constant. What an objective adds up of metrics, it adds up of their laws.
    near        within a total variation distance of the nearest arm, so that no law is asked far from where it was
                fitted.
    constraint  of what the law foretells, with what it misses the arms by, those nearby above all: an arm meets a
                constraint by its own mean.
    gain        over the best arm tried, both as the laws have them: the mean of the arm that came out best is too good
                by chance. Its interval adds up that of each of M metrics, which is over all laws that are not refuted
                (`analysis.laws.optimum`), of each by Scheffé's reach at 5 % / M, which holds for all pairs of mixtures
                at once, and so for the one that was picked. Where the truth has no law's form, less than 95 % of them
                hold: 90 % where bits, and not their logarithm, are quadratic (simulated; six arms, three seeds).

A mixture is proposed only where the whole interval is above 0, and arms differ in the objective beyond noise (analysis
of variance, 5 %); so on noise in one of twenty studies at most.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from analysis.compare import Comparison
from analysis.laws.forms import CONSTANT, LAWS, PLAIN, Fitted, Law, Link, solved
from analysis.laws.optimum import SAME, OfLaw, Points, gains, p_same, weighed
from analysis.laws.points import points
from analysis.metrics import Metric
from analysis.propose.objective import Constraint, Objective
from analysis.propose.parts import Tried
from analysis.statistics import ALPHA, Floats
from store.errors import UserError

NEAR = 0.15
"""Total variation distance from the nearest arm, if no other is asked for."""
ALIKE = 0.01
"""At which two mixtures are one."""
CLOSEST = 1e-4
"""At which distance of an arm a mixture is as good as it."""
STEP = Fraction(1, 200)
"""Shares are whole multiples of it."""
DRAWS, SEED = 2_000, 0
"""Of mixtures that are looked at where more than two parts vary."""

Shares = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Foretold:
    """A metric, and the best law of it."""

    name: str
    points: Points
    laws: Sequence[OfLaw]
    best: OfLaw

    def value(self, share_MxK: Floats) -> Floats:
        """In the metric's unit, of mixtures by their parts."""
        value: Floats = self.points.link.back(self.best.fitted.predict(_free(share_MxK)))
        return value


def foretold(comparison: Comparison, metric: Metric, tried: Tried) -> Foretold:
    """The best law of a metric over the parts that arms vary.

    Raises:
        UserError: fewer arms have it than a law needs.
    """
    numbers = {arm: float(number) for number, arm in enumerate(tried.shares)}
    found, gaps = points(comparison, [(1.0, metric)], numbers)
    dimensions = len(tried.parts) - 1
    if found is None:
        raise UserError(f"study '{comparison.study.name}': {gaps[-1]}")
    if len(found.arms) < dimensions + 3:
        raise UserError(
            f"study '{comparison.study.name}' varies {dimensions + 1} parts in {len(found.arms)} arms that have "
            f"{metric.name}; a law of so many takes {dimensions + 3} arms"
        )
    share_AxK = np.array([[float(of) for of in tried.shares[arm]] for arm in found.arms])
    its = Points(found.arms, _free(share_AxK), *list(vars(found).values())[2:])
    laws = weighed(its, LAWS if dimensions == 1 else (LAWS[0], _linear(dimensions)))
    return Foretold(metric.name, its, laws, min(laws, key=lambda each: each.error))


def _free(share_MxK: Floats) -> Floats:
    """What of the shares is free: all but the first part's; of two parts the second's alone, [M]."""
    return share_MxK[:, 1] if share_MxK.shape[1] == 2 else share_MxK[:, 1:]


def _linear(dimensions: int) -> Law:
    def fit(share_AxD: Floats, mean_A: Floats, link: Link) -> Fitted:
        start, *slopes = solved(share_AxD, mean_A)
        slope_D = np.array(slopes)
        parameters = {"a": start} | {f"b{number}": slope for number, slope in enumerate(slopes, start=1)}
        return Fitted(lambda s: start + s @ slope_D, parameters, lambda s: s)

    return Law("linear in the shares", dimensions + 1, fit)


@dataclass(frozen=True, eq=False)
class Proposal:
    """What to try next.

    Attributes:
        objective: what was asked.
        laws: of the objective's metrics, and of each constraint's.
        arm: the mixture of the best arm that was tried, of those that meet the constraints; None where none does.
        proposed, control: the best and the worst mixture near what was tried; None where nothing is proposed.
        values: foretold of the objective for arm, proposed and control.
        gain: of the proposed over the arm, with its interval; above 0 is better.
        why: nothing is proposed for this; "" where something is.
    """

    objective: Objective
    laws: Sequence[Foretold]
    arm: Shares | None
    proposed: Shares | None
    control: Shares | None
    values: Mapping[str, float]
    gain: tuple[float, float, float] | None
    why: str


def propose(
    comparison: Comparison,
    tried: Tried,
    objective: Objective,
    near: float = NEAR,
    most: Mapping[str, float] | None = None,
) -> Proposal:
    """The best mixture within `near` of an arm that meets the constraints.

    Args:
        comparison: of the study.
        tried: its arms' mixtures.
        objective: what a mixture is to be good at.
        near: total variation distance.
        most: how often a source may be read, where supply is of account; sources that no arm read are not held to it.

    Raises:
        UserError: as `foretold`.
    """
    main = [(weight, foretold(comparison, metric, tried)) for weight, metric in objective.weighed]
    limits = [(each, foretold(comparison, each.metric, tried)) for each in objective.constraints]
    fits, every = _filter(tried, limits, most or {}), candidates(tried, near)
    arms = [mix for mix in tried.shares.values() if fits([mix])[0]]
    there = [*arms, *(mix for mix, fit in zip(every, fits(every), strict=True) if fit)]
    arm = _best(main, arms) if arms else None
    nothing = Proposal(objective, [law for _, law in (*main, *limits)], arm, None, None, {}, None, "")
    if not there:
        return replace(nothing, why=_out_of_reach(tried, [*tried.shares.values(), *every], limits, near))
    if why := _noise(comparison, objective, tried):
        return replace(nothing, why=why)
    best, worst = _best(main, there), _best(main, there, worst=True)
    over = arm or tried.shares[tried.nearest(best)[0]]
    values = {name: _value(main, mix) for name, mix in (("arm", over), ("proposed", best), ("control", worst))}
    gain = _gain(main, best, over)
    if arm and gain[1] <= 0:
        why = f"no mixture within {near:g} of what was tried is foretold to be beyond noise better than the best arm"
        return replace(nothing, values={"arm": values["arm"]}, gain=gain, why=why)
    return replace(nothing, proposed=best, control=worst, values=values, gain=gain if arm else None)


Sum = Sequence[tuple[float, Foretold]]


def _noise(comparison: Comparison, objective: Objective, tried: Tried) -> str:
    """Whether arms differ in the objective by no more than noise, in words."""
    found, _ = points(comparison, objective.weighed, dict.fromkeys(tried.shares, 0.0))
    return SAME if found is None or p_same(found) > ALPHA else ""


def _value(laws: Sum, mix: Shares) -> float:
    return float(_values(laws, [mix])[0])


def _values(laws: Sum, mixes: Sequence[Shares]) -> Floats:
    return np.sum([weight * law.value(_floats(mixes)) for weight, law in laws], axis=0)


def _best(laws: Sum, mixes: Sequence[Shares], worst: bool = False) -> Shares:
    value_M = _values(laws, mixes)
    return mixes[int(np.argmax(value_M) if laws[0][1].points.higher_is_better != worst else np.argmin(value_M))]


def _gain(laws: Sum, mix: Shares, over: Shares) -> tuple[float, float, float]:
    """Of the objective, by the slope of each link at what is improved on: of the best laws, and the ends over all."""
    gain = low = high = 0.0
    for weight, law in laws:
        ends = [0.0] if law.best.law.name == CONSTANT else []
        for its in law.laws:
            if its.law.name == CONSTANT or (its.refuted and its is not law.best):
                continue
            free, free_over = (_free(_floats([each])) for each in (mix, over))
            one, reach = (float(each[0, 0]) for each in gains(law.points, its, free, free_over, ALPHA / len(laws)))
            link = PLAIN if its.fitted.of_metric else law.points.link
            unit = weight / float(link.slope(law.points.link.back(its.fitted.predict(free_over)))[0])
            ends += [unit * (one - reach), unit * (one + reach)]
            gain += unit * one if its is law.best else 0.0
        low, high = low + min(ends), high + max(ends)
    return gain, low, high


def _between_arms(law: Foretold, tried: Tried, mixes: Sequence[Shares]) -> Floats:
    """What the law foretells, with what it misses the arms by, each weighed by the inverse square of its distance."""
    its = [tried.shares[arm] for arm in law.points.arms]
    missed_A = law.points.link.back(law.points.mean_A) - law.value(_floats(its))
    apart_MxA = np.abs(_floats(mixes)[:, None] - _floats(its)).sum(axis=2) / 2
    near_MxA = 1 / (apart_MxA**2 + CLOSEST**2)
    found_M: Floats = law.value(_floats(mixes)) + near_MxA @ missed_A / near_MxA.sum(axis=1)
    return found_M


def _filter(
    tried: Tried, limits: Sequence[tuple[Constraint, Foretold]], most: Mapping[str, float]
) -> Callable[[Sequence[Shares]], list[bool]]:
    """Which mixtures meet the constraints and read no source too often."""

    def fits(mixes: Sequence[Shares]) -> list[bool]:
        if not mixes:
            return []
        good = [
            all(count <= most.get(name, np.inf) + 1e-9 for name, count in tried.epochs(mix).items()) for mix in mixes
        ]
        for constraint, law in limits:
            value_M = _between_arms(law, tried, mixes)
            meets = value_M >= constraint.bound if constraint.least else value_M <= constraint.bound
            good = [one and bool(other) for one, other in zip(good, meets, strict=True)]
        return good

    return fits


def _out_of_reach(
    tried: Tried, mixes: Sequence[Shares], limits: Sequence[tuple[Constraint, Foretold]], near: float
) -> str:
    reached = []
    for constraint, law in limits:
        value_M = _between_arms(law, tried, mixes)
        end = value_M.max() if constraint.least else value_M.min()
        reached.append(f"{constraint.text} ({'at most' if constraint.least else 'at least'} {end:.4g} is foretold)")
    return f"no mixture within {near:g} of what was tried meets {' and '.join(reached) or 'the supply'}"


def _floats(mixes: Sequence[Shares]) -> Floats:
    return np.array([[float(share) for share in mix] for mix in mixes])


def candidates(tried: Tried, near: float) -> list[Shares]:
    """Mixtures of the parts in steps of STEP, within `near` of an arm and unlike all arms.

    Of two parts they are all there are; of more those drawn around arms, the same every time, and from each arm as far
    as may be from one part to another, where the best of a linear law lies.
    """
    steps, count = int(1 / STEP), len(tried.parts)
    if count == 2:
        drawn = np.array([[1 - k / steps, k / steps] for k in range(steps + 1)])
    else:
        rng = np.random.default_rng(SEED)
        arms_AxK = _floats(list(tried.shares.values()))
        towards = rng.dirichlet(np.full(count, 0.5), DRAWS)
        drawn = arms_AxK[rng.integers(len(arms_AxK), size=DRAWS)]
        far_M = np.abs(towards - drawn).sum(axis=1) / 2
        drawn = (
            drawn
            + (towards - drawn) * np.minimum(1, near * rng.random(DRAWS) ** 0.25 / np.maximum(far_M, 1e-9))[:, None]
        )
        drawn = np.concatenate([drawn, *(_moved(arm_K, near) for arm_K in arms_AxK)])
    mixes = list(dict.fromkeys(rounded(mix_K) for mix_K in drawn))
    apart_MxA = np.abs(_floats(mixes)[:, None] - _floats(list(tried.shares.values()))).sum(axis=2) / 2
    nearest_M = apart_MxA.min(axis=1)
    return [mix for mix, apart in zip(mixes, nearest_M, strict=True) if ALIKE + 1e-9 < apart <= near + 1e-9]


def _moved(arm_K: Floats, near: float) -> Floats:
    """From each part of an arm to each other, as much as `near` allows."""
    count, moves = arm_K.size, []
    for source in range(count):
        for to in range(count):
            if source != to:
                step_K = np.zeros(count)
                step_K[source], step_K[to] = -1, 1
                moves.append(arm_K + min(near, arm_K[source]) * step_K)
    return np.array(moves)


def rounded(mix_K: Floats) -> Shares:
    """In whole steps that add up to 1: what is left goes to the largest remainders."""
    steps = int(1 / STEP)
    whole_K = np.floor(mix_K * steps + 1e-9).astype(int)
    order_K = np.argsort(-(mix_K * steps - whole_K), kind="stable")
    whole_K[order_K[: steps - whole_K.sum()]] += 1
    return tuple(Fraction(int(each), steps) for each in whole_K)
