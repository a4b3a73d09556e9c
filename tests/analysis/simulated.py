"""Studies with a known truth, to see how often intervals hold it. `python -m tests.analysis.simulated --seed SEED`
prints what benchmarks/statistics.md has.

Scores have four parts: how hard an item is (equal in both arms), how an item suits an arm, how lucky a seed is, and
what is left of one seed's answer to one item. MIXES are their standard deviations, from mostly seeds to mostly items.
Every replication draws new items and new seeds. Nothing here is the system under test.

The rule of the draw, so that no figure is chosen: one seed and one number of replications for all cells, all of that
draw is published and nothing else, and no cell is drawn again for what it showed. Who changes an estimator draws all
cells anew with another seed.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.evals.preference.estimates import length_controlled, win_rate
from analysis.evals.preference.verdicts import Judged
from analysis.statistics import (
    EQUAL_SEEDS,
    FEW_DIFFER,
    THESE_ITEMS,
    Interval,
    Pair,
    Side,
    benjamini_hochberg,
    clustered,
    detectable,
    estimate,
    holm,
    p_equivalent,
)
from analysis.task_scores import pass_at

SEEDS, ITEMS, REPLICATIONS = (2, 3, 5, 8, 16), (100, 500), 1000


@dataclass(frozen=True)
class Mix:
    """Standard deviations, in units of an item's hardness, of an arm's fit to an item, of a seed, and of the rest."""

    fit: float
    seed: float
    rest: float


MIXES = {"seeds": Mix(0.1, 0.1, 0.3), "items": Mix(0.5, 0.02, 0.5), "answers": Mix(0.0, 0.02, 1.0)}
Rng = np.random.Generator
Draw = tuple[Interval, float, str]
"""The interval of one replication, the truth, and its label if it has one."""


def latent(
    rng: Rng,
    mix: Mix,
    seeds: int,
    items: int,
    arms: Sequence[float],
    luck: np.ndarray | None = None,
    heavy: bool = False,
) -> np.ndarray:
    """What decides a score, of shape arms x S x N, for arms that are better by `arms`.

    With `heavy`, some items suit an arm much better than most.
    """
    shape = (len(arms), seeds, items)
    draw = rng.laplace if heavy else rng.normal
    fit = draw(0, mix.fit / np.sqrt(2 if heavy else 1), (shape[0], 1, items))
    luck = rng.normal(0, 1, shape[:2]) if luck is None else luck
    of_arm = np.asarray(arms)[:, None, None] + mix.seed * luck[:, :, None] + fit
    return rng.normal(0, 1, items) + of_arm + rng.normal(0, mix.rest, shape)


def chance(level: float, mix: Mix) -> float:
    """Of a score above 0, over all items and seeds."""
    return float(special.ndtr(level / np.sqrt(1 + mix.fit**2 + mix.seed**2 + mix.rest**2)))


def paired(
    arm_SxN: np.ndarray, baseline_SxN: np.ndarray, size_N: np.ndarray | float = 1.0, weight: float = 1.0
) -> tuple[float, Pair]:
    size_SxN = np.broadcast_to(np.asarray(size_N, float), arm_SxN.shape)
    return weight, Pair(Side(arm_SxN.astype(float), size_SxN), Side(baseline_SxN.astype(float), size_SxN))


def likelihood(rng: Rng, mix: Mix, seeds: int, items: int, effect: float, log: bool = False) -> Draw:
    """Bits per byte around 8 of texts of unequal length."""
    size_N = rng.lognormal(5, 0.7, items)
    arm, baseline = size_N * (8 + latent(rng, mix, seeds, items, (effect, 0.0), heavy=True))
    found = estimate([paired(arm, baseline, size_N)])
    if log:
        assert found.relative is not None
        return found.relative, effect / 8, ""
    return found.difference, effect, label(found.kind)


def accuracy(rng: Rng, mix: Mix, seeds: int, items: int, effect: float, log: bool = False, level: float = 0.2) -> Draw:
    arm, baseline = latent(rng, mix, seeds, items, (level + effect, level)) > 0
    found = estimate([paired(arm, baseline)])
    truth = chance(level + effect, mix), chance(level, mix)
    if log:
        return (found.relative or Interval(0, -1, np.inf, 1)), truth[0] / truth[1] - 1, ""
    return found.difference, truth[0] - truth[1], label(found.kind)


def category(rng: Rng, mix: Mix, seeds: int, items: int, effect: float) -> Draw:
    """The mean of eleven accuracies, two of them of few items; a seed is as lucky in all of them."""
    luck = rng.normal(0, 1, (2, seeds))
    parts = []
    for size in (56, 100, *[items] * 9):
        arm, baseline = latent(rng, mix, seeds, size, (effect, 0.0), luck) > 0
        parts.append(paired(arm, baseline, 1.0, 1 / 11))
    found = estimate(parts)
    return found.difference, chance(effect, mix) - 0.5, label(found.kind)


def packages(rng: Rng, mix: Mix, seeds: int, items: int, effect: float, each: int = 2) -> Draw:
    """Documents of packages of unequal size: the fit of an arm is the package's."""
    package_N = np.sort(rng.integers(0, items // each, items))
    size_N, fit_AxP = rng.lognormal(5, 0.7, items), rng.laplace(0, mix.fit / np.sqrt(2), (2, items // each))
    own = latent(rng, Mix(mix.fit / 2, mix.seed, mix.rest), seeds, items, (effect, 0.0))
    arm, baseline = size_N * (8 + own + fit_AxP[:, None, package_N])
    package_N = np.unique(package_N, return_inverse=True)[1]
    size_SxN = np.broadcast_to(size_N, arm.shape)
    sums = (Side(*(clustered(x, package_N) for x in (score_SxN, size_SxN))) for score_SxN in (arm, baseline))
    found = estimate([(1.0, Pair(*sums))])
    return found.difference, effect, label(found.kind)


def few_packages(rng: Rng, mix: Mix, seeds: int, items: int, effect: float) -> Draw:
    return packages(rng, mix, seeds, items, effect, each=items // 10)


def passes(rng: Rng, mix: Mix, seeds: int, items: int, effect: float, k: int = 1, tests: float = 1.0) -> Draw:
    """pass@k of ten samples a problem, which is mostly too hard; the tests of some do not run for an arm and seed."""
    chance_AxSxN = special.ndtr(
        latent(rng, Mix(mix.fit, mix.seed, 0.0), seeds, items, (effect - 1, -1.0)) / max(mix.rest, 0.3)
    )
    value_C = np.array([pass_at(10, c, k) for c in range(11)])
    runs_AxSxN = (rng.random(chance_AxSxN.shape) < tests).astype(float)
    score_AxSxN = runs_AxSxN * value_C[rng.binomial(10, chance_AxSxN)]
    found = estimate([(1.0, Pair(*(Side(score_AxSxN[arm], runs_AxSxN[arm]) for arm in (0, 1))))])
    rest = Mix(mix.fit, mix.seed, max(mix.rest, 0.3))
    truth = chance(effect - 1, rest) - chance(-1, rest) if k == 1 else np.nan if effect else 0.0
    return found.difference, truth, label(found.kind)


def wins(rng: Rng, mix: Mix, seeds: int, items: int, effect: float, length: bool = False) -> Draw:
    """Win rates of answers to prompts; with `length` a fifth are blank, the rest longer, which the judge likes."""
    arm, baseline = latent(rng, mix, seeds, items, (effect, 0.0))
    blank_SxN = rng.random(arm.shape) < (0.2 if length else 0)
    longer_SxN = np.where(blank_SxN, -100, rng.normal(20, 60, arm.shape).astype(int) if length else 0)
    gap_SxN = arm - baseline + (0.5 * np.tanh(longer_SxN / 60) if length else 0.0)
    outcome_SxN = np.select([blank_SxN | (gap_SxN < -0.3), gap_SxN > 0.3], ["loss", "win"], "tie")
    judged = [
        Judged(str(item), outcome, () if blank else ("arm",), 200 + longer, 200, "empty" if blank else "", seed)
        for seed, of_seed in enumerate(zip(outcome_SxN.tolist(), blank_SxN.tolist(), longer_SxN.tolist(), strict=True))
        for item, (outcome, blank, longer) in enumerate(zip(*of_seed, strict=True))
    ]
    if length:
        rate, _ = length_controlled(judged)
        return Interval(rate.value, rate.low - 0.4, rate.high - 0.4, np.nan), (np.nan if effect else 0.0), ""
    found = win_rate(judged)
    sd = np.sqrt(2 * (mix.fit**2 + mix.seed**2 + mix.rest**2))
    truth = special.ndtr((effect - 0.3) / sd) - special.ndtr((-effect - 0.3) / sd)
    return found.difference, float(truth), ""


def label(kind: str) -> str:
    return {THESE_ITEMS: "these documents", FEW_DIFFER: "few items differ"}.get(kind, "")


KINDS: Mapping[str, Callable[[Rng, Mix, int, int, float], Draw]] = {
    "likelihood": likelihood,
    "accuracy": accuracy,
    "accuracy, 5 %": lambda *cell: accuracy(*cell, level=-2.0),
    "category mean": category,
    "log ratio, likelihood": lambda *cell: likelihood(*cell, log=True),
    "log ratio, accuracy": lambda *cell: accuracy(*cell, log=True),
    "packages of 2": packages,
    "10 packages": few_packages,
    "win rate": wins,
    "win rate, length": lambda *cell: wins(*cell, length=True),
    "pass@1": passes,
    "pass@10": lambda *cell: passes(*cell, k=10),
    "pass@1, unequal": lambda *cell: passes(*cell, tests=0.8),
}
EFFECT = 0.2
"""For the power: how much better an arm is, in units of an item's hardness."""
ASKED = 0.935
"""What is asked of an interval that says 95 %."""


@dataclass(frozen=True)
class Cell:
    kind: str
    mix: str
    seeds: int
    items: int
    covered: float
    shifted: float | None
    """Coverage where the arms differ by EFFECT; None where that truth has no closed form."""
    power: float
    """How often an EFFECT is told from 0."""
    label: str
    """What the interval of most replications says that it speaks of, where not of other items."""

    @property
    def claims(self) -> list[float]:
        """The coverages for which 95 % is claimed."""
        return [] if self.label else [self.covered] if self.shifted is None else [self.covered, self.shifted]


def cell(kind: str, mix: str, seeds: int, items: int, replications: int, seed: int) -> Cell:
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind}, {mix}".encode()), seeds, items])
    draw = KINDS[kind]
    null = [draw(rng, MIXES[mix], seeds, items, 0.0) for _ in range(replications)]
    shifted = [draw(rng, MIXES[mix], seeds, items, EFFECT) for _ in range(replications)]
    return Cell(
        *(kind, mix, seeds, items),
        covered=_covered(null),
        shifted=None if np.isnan(shifted[0][1]) else _covered(shifted),
        power=float(np.mean([not found.low <= 0 <= found.high for found, _, _ in shifted])),
        label=max({label for *_, label in shifted}, key=[label for *_, label in shifted].count),
    )


def _covered(draws: Sequence[Draw]) -> float:
    return float(np.mean([found.low <= truth <= found.high for found, truth, _ in draws]))


def floor(replications: int) -> float:
    """The least coverage that so many replications allow to what covers ASKED: two standard errors below."""
    return ASKED - 2 * float(np.sqrt(ASKED * (1 - ASKED) / replications))


def cells(kinds: Sequence[str], replications: int, seed: int) -> Iterator[Cell]:
    for kind in kinds:
        for mix in MIXES:
            for items in ITEMS:
                for seeds in SEEDS:
                    yield cell(kind, mix, seeds, items, replications, seed)


@dataclass(frozen=True)
class Flagged:
    """Shares of A/A studies in which anything is told from the baseline: in the declared family, and in the rest.

    `tested` is the same of the same studies were seeds that differ by the same count tested by item noise alone.
    """

    family: float
    rest: float
    tested: tuple[float, float]


def same_arms(seeds: int, tables: int, seed: int, metrics: int = 60, arms: int = 3, primary: int = 3) -> Flagged:
    """Studies of equal arms, as `compare` corrects them.

    Half of the metrics are likelihoods, half accuracies, of 100 items; a seed's luck is shared by half of its variance.
    """
    rng, mix, flagged = np.random.default_rng([seed, 7, seeds]), Mix(0.0, 0.1, 0.4), np.zeros((2, 2))
    for _ in range(tables):
        p = np.empty((2, metrics, arms))
        common = rng.normal(0, np.sqrt(0.5), (arms + 1, seeds))
        for metric in range(metrics):
            luck = common + rng.normal(0, np.sqrt(0.5), common.shape)
            score = latent(rng, mix, seeds, 100, [0.0] * (arms + 1), luck)
            score = score > 0 if metric % 2 else 8 + score
            found = [estimate([paired(score[arm], score[-1])]) for arm in range(arms)]
            # As in `compare`: seeds that differ by the same count say nothing of seeds.
            p[0, metric] = [1.0 if each.kind == EQUAL_SEEDS else each.difference.p for each in found]
            p[1, metric] = [each.difference.p for each in found]
        for told, ps in zip(flagged, p, strict=True):
            told += [
                min(holm(ps[:primary].ravel().tolist())) <= 0.05,
                min(benjamini_hochberg(ps[primary:].ravel().tolist())) <= 0.05,
            ]
    (family, rest), tested = (flagged / tables).tolist()
    return Flagged(family, rest, tuple(tested))


def found_at_the_detectable_size(seeds: int, mix: Mix, comparisons: int, replications: int, seed: int) -> float:
    """How often a difference of `detectable` size is found at the family's hardest step; it is to be 0.8."""
    rng, items, size_N = np.random.default_rng([seed, 8, seeds]), 300, np.ones(300)
    spreads = [estimate([paired(*latent(rng, mix, seeds, items, (0.0, 0.0)), size_N)]).spread for _ in range(400)]
    mean = [float(np.mean([getattr(spread, name) for spread in spreads])) for name in ("seeds", "items", "both")]
    effect = detectable(type(spreads[0])(*mean, seeds, items - 1.0), comparisons)
    assert effect is not None
    p = [
        estimate([paired(*latent(rng, mix, seeds, items, (effect, 0.0)), size_N)]).difference.p
        for _ in range(replications)
    ]
    return float(np.mean(np.asarray(p) <= 0.05 / comparisons))


def equivalence(
    accuracies: bool, seeds: int, mix: Mix, items: int, replications: int, seed: int
) -> tuple[float, float]:
    """How often arms are called equivalent within a margin that they truly differ by, which may be 5 %, and equal ones.

    The margin is what an EFFECT makes of the metric; scores are accuracies, or bits per byte of texts of one length.
    """
    rng, level = np.random.default_rng([seed, 9, seeds, items, accuracies]), 0.2
    margin = chance(level + EFFECT, mix) - chance(level, mix) if accuracies else EFFECT

    def called(effect: float) -> float:
        said = []
        for _ in range(replications):
            score = latent(rng, mix, seeds, items, (level + effect, level))
            found = estimate([paired(*((score > 0) if accuracies else 8 + score))])
            # As in `compare`: seeds that differ by the same count say nothing of seeds.
            tested = found.kind != EQUAL_SEEDS
            said.append(tested and p_equivalent(found.difference, found.spread, margin) <= 0.05)
        return float(np.mean(said))

    return called(EFFECT), called(0.0)


def row_of(found: Sequence[Cell], least: float) -> str:
    """A row of the table: cells that differ in their seeds only. Bold is less than `least` where 95 % is claimed."""
    texts = []
    for c in found:
        covered = ["–" if x is None else f"{100 * x:.1f}" for x in (c.covered, c.shifted)]
        low = bool(c.claims) and min(c.claims) < least
        text = f"{' / '.join(covered)} ({c.power:.2f}){c.label and ' ' + c.label[0]}"
        texts.append(f"**{text}**" if low else text)
    return f"| {found[0].kind} | {found[0].mix} | {found[0].items} | {' | '.join(texts)} |"


def reading(found: Sequence[float], replications: int) -> str:
    """How many of the coverages that claim 95 % are low, and how many would be by chance."""
    least, lowest = floor(replications), min(found)
    below, bold = sum(x < ASKED for x in found), sum(x < least for x in found)
    # In whole replications: 0.935 * 2000 is a little more than 1,870.
    by_chance = len(found) * special.bdtr(np.ceil(ASKED * replications - 1e-6) - 1, replications, 0.95)
    as_low = -np.expm1(len(found) * np.log1p(-special.bdtr(round(lowest * replications), replications, 0.95)))
    return (
        f"{len(found)} figures claim 95 %. Were all at 95 %, {by_chance:.1f} would be below {100 * ASKED:.1f} % by "
        f"chance; {below} are. Below {100 * least:.1f} %, in bold, are {bold}. The lowest is {100 * lowest:.2f} %; "
        f"were all at 95 %, the lowest would be that low with a chance of {as_low:.2g}."
    )


def main(seed: int, replications: int, kinds: Sequence[str]) -> None:
    print(f"| scores | mostly | items | {' | '.join(str(seeds) for seeds in SEEDS)} seeds |")
    print(f"| --- | --- | ---: |{' ---: |' * len(SEEDS)}")
    claims = []
    for kind in kinds or KINDS:
        found = list(cells([kind], replications, seed))
        claims += [x for c in found for x in c.claims]
        for start in range(0, len(found), len(SEEDS)):
            print(row_of(found[start : start + len(SEEDS)], floor(replications)), flush=True)
    print("\n" + reading(claims, replications))
    if kinds:
        return
    print(
        "\nA/A studies of 60 metrics in which anything is told apart: in the family, in the rest (by item noise alone)"
    )
    for seeds in (2, 3, 5, 8):
        told = same_arms(seeds, replications, seed)
        shares = [f"{100 * share:.2f}" for share in (told.family, told.rest, *told.tested)]
        print(f"- {seeds} seeds: {shares[0]} %, {shares[1]} % ({shares[2]} %, {shares[3]} %)", flush=True)
    print("\nHow often a difference of the detectable size is found, for a family of 1 and of 9")
    for seeds in (2, 3, 5, 8):
        for name, mix in MIXES.items():
            sizes = [found_at_the_detectable_size(seeds, mix, size, replications, seed) for size in (1, 9)]
            print(f"- {seeds} seeds, mostly {name}: {sizes[0]:.2f}, {sizes[1]:.2f}", flush=True)
    print_equivalence(seed, replications)


def print_equivalence(seed: int, replications: int) -> None:
    print("\nCalled equivalent, of arms that differ by the margin / of equal ones, in per cent, 500 items")
    print(f"| scores | mostly | {' | '.join(str(seeds) for seeds in SEEDS)} seeds |")
    print(f"| --- | --- |{' ---: |' * len(SEEDS)}")
    for accuracies, kind in ((False, "likelihood"), (True, "accuracy")):
        for name, mix in MIXES.items():
            found = [equivalence(accuracies, seeds, mix, 500, replications, seed) for seeds in SEEDS]
            shares = " | ".join(f"{100 * wrong:.1f} / {100 * right:.0f}" for wrong, right in found)
            print(f"| {kind} | {name} | {shares} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="of scores; default: all")
    said = parser.parse_args()
    main(said.seed, said.replications, said.kinds)
