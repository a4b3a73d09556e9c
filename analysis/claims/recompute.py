"""A claim of a paper, recomputed from the numbers that the paper publishes.

A figure that is written `agrees` when it lies within what the printed digits allow: every input is anything that rounds
to what is printed, so the result is a range, and the written figure, anything that rounds to it, has to meet that range
(ends included). All arithmetic of ranges is exact, in fractions. The middle is what our own comparison makes of the
published numbers (`analysis.statistics.estimate`), as shares of items that are right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from analysis.claims.published import Key, Model, Printed, by_key, decimals, half_unit
from analysis.metrics import signed
from analysis.statistics import Estimate, Pair, Side, estimate

MEASURES: Mapping[str, Mapping[str, Fraction]] = {
    "nl": {"reasoning": Fraction(1, 2), "knowledge": Fraction(1, 2)},
    "total": {"reasoning": Fraction(1, 3), "knowledge": Fraction(1, 3), "code": Fraction(1, 3)},
    "half": {"win": Fraction(1), "tie": Fraction(1, 2)},
    "net": {"win": Fraction(1), "loss": Fraction(-1)},
}
"""What is made of several published numbers: the paper's averages (table 2), a win rate that halves ties, win − loss.
Any other measure is published itself."""
JUDGED = ("win", "tie", "loss", "half", "net")
"""Measures that are against another model already."""
N_ITEMS = 10_000
"""Items that a published share is of, when our comparison is fed with it: two decimals of a per cent."""

RELATIVE, RATIO, POINTS, VALUE, LEAD = "relative change", "ratio", "difference", "value", "lead over the best of others"
UNITS = {RELATIVE: " %", RATIO: "×", POINTS: " points", VALUE: "", LEAD: " points"}
SIGNED = (RELATIVE, POINTS, LEAD)

Range = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Of:
    """One measure of one model of the paper, or against another."""

    model: Model
    measure: str
    against: Model | None = None

    @property
    def weights(self) -> Mapping[str, Fraction]:
        return MEASURES.get(self.measure, {self.measure: Fraction(1)})


@dataclass(frozen=True)
class Formula:
    """What is made of published numbers; VALUE has no `others`, LEAD may have several."""

    kind: str
    of: Of
    others: tuple[Of, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim as it is written, in short, and how it is recomputed.

    Attributes:
        id: stable.
        where: in the paper.
        subject: with {} where the figure stands.
        figure: the digits, with a sign where it is a change; "" where nothing but an order is claimed (LEAD), or where
            words contradict words.
        formula: None where there is nothing to recompute.
        note: what is to be known of it.
        readings: other formulas to set beside it, in words: those that would give the written figure, if there are any.
        by_hand: whether it agrees, where there is no formula; None if nobody can tell.
        within: it holds the paper against itself, and contrasts no two models.
    """

    id: str
    where: str
    subject: str
    figure: str = ""
    formula: Formula | None = None
    note: str = ""
    readings: tuple[tuple[str, Formula], ...] = ()
    by_hand: bool | None = None
    within: bool = False

    @property
    def written(self) -> str:
        if self.formula is None or not self.figure:
            return self.subject
        kind = self.formula.kind
        return self.subject.format(_number(kind, float(self.figure), decimals(self.figure)) + UNITS[kind])


@dataclass(frozen=True)
class Recomputed:
    """The middle by our comparison, and the range that the digits of the inputs allow."""

    centre: float
    allowed: Range

    def meets(self, figure: str) -> bool:
        low, high = _written_range(figure)
        return self.allowed[0] <= high and low <= self.allowed[1]


def _formulas(kind: str) -> Callable[..., Formula]:
    return lambda of, *others: Formula(kind, of, others)


change, times, points, value, lead = map(_formulas, (RELATIVE, RATIO, POINTS, VALUE, LEAD))
"""In per cent of the other; how many times the other; in percentage points; itself; by how many points it is ahead of
the best of the others, where the claim is that it is ahead of all."""


def recompute(formula: Formula, published: Mapping[Key, Printed]) -> Recomputed:
    """Raises KeyError where a number is not published."""
    low, high = _range(formula.of, published)
    if formula.kind == VALUE:
        return Recomputed(float(_value(formula.of, published)), (low, high))
    ranges = [_range(other, published) for other in formula.others]
    least, most = (max(ends) for ends in zip(*ranges, strict=True))
    best = max(formula.others, key=lambda other: _value(other, published))
    found = compared(formula.of, best, published)
    if formula.kind in (POINTS, LEAD):
        return Recomputed(100 * found.difference.centre, (low - most, high - least))
    assert found.relative is not None
    if formula.kind == RATIO:
        return Recomputed(1 + found.relative.centre, (low / most, high / least))
    return Recomputed(100 * found.relative.centre, (100 * (low / most - 1), 100 * (high / least - 1)))


def compared(of: Of, other: Of, published: Mapping[Key, Printed]) -> Estimate:
    """Two published models by our own comparison: one seed, and as many items right as the printed shares say."""
    parts = [
        (float(weight), Pair(*(_side(published[one.model, measure, one.against].value) for one in (of, other))))
        for measure, weight in of.weights.items()
    ]
    return estimate(parts)


def _side(percent: Fraction) -> Side:
    right = percent * N_ITEMS / 100
    if right.denominator != 1:
        raise ValueError(f"{float(percent)} % is not a whole number of {N_ITEMS} items")
    return Side((np.arange(N_ITEMS) < int(right)).astype(np.float64)[None], np.ones((1, N_ITEMS)))


def _value(of: Of, published: Mapping[Key, Printed]) -> Fraction:
    return sum((w * published[of.model, m, of.against].value for m, w in of.weights.items()), Fraction(0))


def _range(of: Of, published: Mapping[Key, Printed]) -> Range:
    reach = sum((abs(w) * published[of.model, m, of.against].tolerance for m, w in of.weights.items()), Fraction(0))
    middle = _value(of, published)
    return middle - reach, middle + reach


def _written_range(figure: str) -> Range:
    middle, half = Fraction(figure), half_unit(figure)
    return middle - half, middle + half


PUBLISHED = by_key()


def check(claim: Claim, published: Mapping[Key, Printed] = PUBLISHED) -> dict[str, Any]:
    """{"id", "where", "written", "recomputed": in words or None, "agrees": True, False or None, "why"}."""
    row = {"id": claim.id, "where": claim.where, "written": claim.written}
    readings = [f"{words}: {recomputed_text(claim, formula, published)}" for words, formula in claim.readings]
    if claim.formula is None:
        return row | {"recomputed": None, "agrees": claim.by_hand, "why": joined(claim.note, *readings)}
    found = recompute(claim.formula, published)
    agrees = found.meets(claim.figure) if claim.figure else found.allowed[1] > 0
    return row | {
        "recomputed": recomputed_text(claim, claim.formula, published),
        "agrees": agrees,
        "why": joined(claim.note, *readings, _closeness(claim.figure, found) if agrees else ""),
    }


def joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _closeness(figure: str, found: Recomputed) -> str:
    """How near an agreement is to none, where the middle does not show it."""
    if not figure:
        return "" if found.allowed[0] > 0 else "the digits allow it, and allow the contrary"
    (low, high), allowed = _written_range(figure), found.allowed
    if low <= Fraction(found.centre).limit_denominator(10**9) <= high:  # without the noise of floats
        return ""
    edge = allowed[0] == high or allowed[1] == low
    return "at the very edge of what the digits allow" if edge else "within what the digits allow"


def recomputed_text(claim: Claim, formula: Formula, published: Mapping[Key, Printed] = PUBLISHED) -> str:
    """The middle and, in brackets, the range: "+5.71 % (+5.50 to +5.92)", a digit more than is written."""
    found, figure = recompute(formula, published), claim.figure or "0.0"
    digits = decimals(figure) + 1
    low, high = (_number(formula.kind, float(end), digits) for end in found.allowed)
    return f"{_number(formula.kind, found.centre, digits)}{UNITS[formula.kind]} ({low} to {high})"


def _number(kind: str, number: float, digits: int) -> str:
    return signed(number, digits) if kind in SIGNED else f"{number:.{digits}f}"
