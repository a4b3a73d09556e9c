"""What a comparison of two arms says: a value, and the one place that words it."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from analysis.statistics import ALPHA, EQUAL_SEEDS, ONE_SEED, THESE_ITEMS, Estimate

BETTER, WORSE = SIDES = ("better", "worse")
CANNOT_TELL = "cannot tell"
AT_CHANCE = "at chance"
"""Both arms guess, so what they differ by means nothing."""
SAME = "same checkpoint"

STRENGTH = {
    ONE_SEED: "on this seed only: item noise only",
    EQUAL_SEEDS: "item noise only",
    THESE_ITEMS: "on these documents only",
}
"""By the kind of the interval; the crossed one speaks for other seeds and items, and needs no word."""


@dataclass(frozen=True)
class Verdict:
    """`what` is one of the words above.

    `strength` says what it does not reach beyond; empty: it is for other seeds and other items. `why` says what else
    decided it; empty: the interval alone did, by holding 0 or not. `before` is `what` before a correction took it back.
    """

    what: str
    strength: str = ""
    why: str = ""
    before: str = ""

    @property
    def told_apart(self) -> bool:
        return self.what in SIDES

    @property
    def firm(self) -> bool:
        """Told apart for other seeds and items, with all seeds that were declared."""
        return self.told_apart and not self.strength and not self.why

    @property
    def text(self) -> str:
        return ", ".join(part for part in (self.what, self.strength, self.why) if part)

    @property
    def mark(self) -> str:
        """Filled where it is firm, hollow where it is not; none is told by colour alone."""
        if self.told_apart:
            return {BETTER: "△▲", WORSE: "▽▼"}[self.what][self.firm]
        return {CANNOT_TELL: "·", AT_CHANCE: "○", SAME: "="}[self.what]


LEGEND = (
    "▲ better, ▼ worse: beyond the noise of seeds and items, after the correction for many comparisons. △ ▽: the same "
    "beyond item noise only, on these documents only, or with a seed lost. · cannot tell. ○ both arms at chance. = the "
    "same checkpoint."
)


def judge(found: Estimate, higher_is_better: bool, seeds: tuple[int, int], blocked: Collection[str]) -> Verdict:
    """The verdict of one interval, before any correction.

    Args:
        found: arm against baseline.
        higher_is_better: which way is good.
        seeds: pairs of runs that could be compared, and those declared.
        blocked: of SIDES, what the seeds that are lost forbid to say.
    """
    there, declared = seeds
    why = f"{there} of {declared} seeds" if there < declared else ""
    side = side_of(found.difference.centre, higher_is_better)
    holds = found.difference.p > ALPHA or found.difference.low <= 0 <= found.difference.high
    return Verdict(CANNOT_TELL if holds or side in blocked else side, STRENGTH.get(found.kind, ""), why)


def side_of(difference: float, higher_is_better: bool) -> str:
    return BETTER if (difference > 0) == higher_is_better else WORSE


def corrected(verdict: Verdict, p: float, by: str) -> Verdict:
    """What is left of a verdict when its p is corrected for many comparisons; `by` a method, if there was one."""
    if not verdict.told_apart or p <= ALPHA:
        return verdict
    why = (verdict.why, f"not after {by}" if by else "")
    before = verdict.what if by else ""
    return replace(verdict, what=CANNOT_TELL, why=", ".join(part for part in why if part), before=before)
