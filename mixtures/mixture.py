"""Mixtures: sources with token fractions, declared as exact rationals."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Union

from store.errors import UserError

MAX_DENOMINATOR = 1_000_000
"""The order repeats after this many sequences at most; a finer mixture than this is a typing mistake."""

LARGE = re.compile(r"[eE][+-]?0*[1-9]\d\d|\d{40}")
"""A number with an exponent of 100 or more, or of so many digits."""

Part = Union[str, "Mixture"]
Weight = int | str | Fraction


@dataclass(frozen=True)
class Mixture:
    """A named mixture. Each part is a source name or another mixture; weights are relative token fractions.

    Build it with `mixture()`, which checks it.
    """

    name: str
    parts: tuple[tuple[Part, Fraction], ...]


def mixture(name: str, weights: Mapping[Part, Weight]) -> Mixture:
    """Declare a mixture from relative weights: integers, fractions, or strings such as "4/5" and "0.8".

    Raises:
        UserError: a part is neither a source's name nor a mixture; a weight is a float, not a number, or negative; or
            the weights sum to zero.
    """
    if not isinstance(weights, Mapping):
        raise UserError(
            f"mixture '{name}': its parts are {repr(weights)[:60]}; give a dictionary, such as {{'prose': 1}}"
        )
    if odd := [part for part in weights if not isinstance(part, str | Mixture)]:
        raise UserError(f"mixture '{name}': its part {str(odd[0])[:60]!r} is no source's name and no mixture")
    parts = tuple((part, _rational(name, part, weight)) for part, weight in weights.items())
    if sum(weight for _, weight in parts) <= 0:
        raise UserError(f"mixture '{name}': the weights sum to zero; give at least one source a positive weight")
    return Mixture(name, parts)


def _rational(name: str, part: Part, weight: Weight) -> Fraction:
    label = part if isinstance(part, str) else part.name
    if isinstance(weight, float):
        exact = Fraction(weight).limit_denominator(1000) if math.isfinite(weight) else "1/3"
        raise UserError(
            f"mixture '{name}': the weight of '{label}' is the float {weight}, which is not an exact fraction; "
            f"write it as a string such as '{exact}'"
        )
    try:
        if isinstance(weight, str) and LARGE.search(weight):
            raise ValueError  # it would be written out in digits
        value = Fraction(weight)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise UserError(
            f"mixture '{name}': the weight of '{label}' is {repr(weight)[:60]}, not a rational number of a sensible "
            "size; write '1/3' or '0.25'"
        ) from error
    if value < 0:
        raise UserError(f"mixture '{name}': the weight of '{label}' is negative ({weight}); use 0 or leave it out")
    return value


def shares(mixture: Mixture) -> dict[str, Fraction]:
    """Flatten to the token fraction of every source; they sum to exactly one, in order of first appearance.

    Raises:
        UserError: the common denominator is over MAX_DENOMINATOR.
    """
    return dict(_flat(mixture))


@cache
def _flat(mixture: Mixture) -> Mapping[str, Fraction]:
    flat: dict[str, Fraction] = {}
    for branch in _branches(mixture, 0, Fraction(1), Fraction(1)):
        if branch.source:
            flat[branch.name] = flat.get(branch.name, Fraction(0)) + branch.share
    flat = {source: share for source, share in flat.items() if share}
    denominator = math.lcm(*(share.denominator for share in flat.values()))
    if denominator > MAX_DENOMINATOR:
        raise UserError(
            f"mixture '{mixture.name}': its fractions have a common denominator over {MAX_DENOMINATOR:,} "
            f"({', '.join(f'{source} {float(share):.9g}' for source, share in flat.items())}); round the weights"
        )
    return flat


@dataclass(frozen=True)
class Branch:
    """One line of a mixture's tree.

    Attributes:
        depth: 0 for the mixture itself.
        name: of the source or nested mixture.
        within: token fraction of the part above.
        share: token fraction of the whole.
        source: whether it is a source, and not a mixture.
    """

    depth: int
    name: str
    within: Fraction
    share: Fraction
    source: bool


def tree(mixture: Mixture) -> tuple[Branch, ...]:
    """The mixture and its parts, nested ones with theirs, depth first in order of declaration."""
    return tuple(branch for branch in _branches(mixture, 0, Fraction(1), Fraction(1)) if branch.share)


def _branches(part: Part, depth: int, within: Fraction, share: Fraction) -> Iterator[Branch]:
    if isinstance(part, str):
        yield Branch(depth, part, within, share, True)
        return
    yield Branch(depth, part.name, within, share, False)
    total = sum((weight for _, weight in part.parts), Fraction(0))
    for inner, weight in part.parts:
        yield from _branches(inner, depth + 1, weight / total, share * weight / total)


def fingerprint(mixture: Mixture) -> str:
    """Hash of the flattened exact shares: names and nesting do not matter, the order of sources does.

    The order breaks ties between sources in `mixtures.allocate`, so it decides which source fills a slot.
    """
    text = ",".join(f"{source}={share}" for source, share in shares(mixture).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
