"""What a comparison of two arms says: a value, and the one place that words it."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from analysis.statistics import ALPHA, EQUAL_SEEDS, ONE_SEED, THESE_ITEMS, Estimate

BETTER, WORSE = SIDES = ("better", "worse")
EQUIVALENT = "equivalent"
CANNOT_TELL = "cannot tell"

FAMILY, EXPLORATORY, ITEMS_ONLY = "family", "exploratory", "items only"
"""How strong: of the declared family; found by looking at all else; by the noise of items alone."""

AT_CHANCE = "both arms at chance"
"""They guess, so what they differ by means nothing."""
SAME = "same checkpoint"
REACH = {
    ONE_SEED: "on this seed only: item noise only",
    EQUAL_SEEDS: "item noise only",
    THESE_ITEMS: "on these documents only",
}
"""By the kind of the interval; the crossed one speaks for other seeds and items, and needs no word."""


@dataclass(frozen=True)
class Verdict:
    """One of the sides above and one of the strengths, and in words what else decided it or limits it.

    `before` is the side that the interval alone shows, where a correction took it back.
    """

    side: str
    strength: str
    why: tuple[str, ...] = ()
    before: str = ""

    @property
    def told_apart(self) -> bool:
        return self.side in SIDES

    @property
    def firm(self) -> bool:
        """Told apart for other seeds and items, with all seeds that were declared."""
        return self.told_apart and not self.why

    @property
    def at_chance(self) -> bool:
        return AT_CHANCE in self.why

    @property
    def same(self) -> bool:
        return SAME in self.why

    @property
    def text(self) -> str:
        return ", ".join((self.side, *self.why))

    @property
    def mark(self) -> str:
        """Filled where it is firm, hollow where it is not; none is told by colour alone."""
        if self.told_apart:
            return {BETTER: "△▲", WORSE: "▽▼"}[self.side][self.firm]
        if self.side == EQUIVALENT:
            return "=" if self.same else "≈"
        return "○" if self.at_chance else "·"


LEGEND = (
    "▲ better, ▼ worse: beyond the noise of seeds and items, after the correction for many comparisons. △ ▽: the same "
    "beyond item noise only, on these documents only, or with a seed lost. ≈ equivalent: no difference larger than the "
    "margin that was declared. · cannot tell. ○ both arms at chance. = the same checkpoint."
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
    reach = REACH.get(found.kind, "")
    lost = f"{there} of {declared} seeds" if there < declared else ""
    side = side_of(found.difference.centre, higher_is_better)
    holds = found.difference.p > ALPHA or found.difference.low <= 0 <= found.difference.high
    return Verdict(
        CANNOT_TELL if holds or side in blocked else side,
        ITEMS_ONLY if found.kind in (ONE_SEED, EQUAL_SEEDS) else EXPLORATORY,
        tuple(filter(None, (reach, lost))),
    )


def side_of(difference: float, higher_is_better: bool) -> str:
    return BETTER if (difference > 0) == higher_is_better else WORSE


def corrected(verdict: Verdict, p: float, by: str) -> Verdict:
    """What is left of a verdict when its p is corrected for many comparisons; `by` a method, if there was one."""
    if not verdict.told_apart or p <= ALPHA:
        return verdict
    why = (*verdict.why, f"not after {by}") if by else verdict.why
    return replace(verdict, side=CANNOT_TELL, why=why, before=verdict.side if by else "")


def equivalent(verdict: Verdict, p: float, margin: str) -> Verdict:
    """What two one-sided tests make of a verdict; `p` is their larger one, corrected, and `margin` in words.

    A difference that was told apart and is smaller than the margin stays what it is, and says so.
    """
    if p > ALPHA or verdict.at_chance or verdict.same:
        return verdict
    if verdict.told_apart:
        return replace(verdict, why=(*verdict.why, f"by less than {margin}"))
    return replace(verdict, side=EQUIVALENT, why=(*verdict.why, f"within {margin}"))
