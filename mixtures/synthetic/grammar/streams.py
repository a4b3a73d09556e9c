"""Where values come from: what every domain of the grammar supplies, and the random inputs that domains share."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Arguments = tuple[Any, ...]

WORDS = (
    "amber anchor apple arrow badge barn basil bell bird bread bridge cabin candle cat cedar cloud coal crane dawn "
    "deer dove eel elm ember fern field fog fox frost gate goose grain hawk hazel hill inn iris ivy jar kite lake "
    "lamp leaf level lily map maple mill moon moss noon oak oat otto owl pear pine plum pond quill rain reed river "
    "rose sail seed shore silo snow stone swan tide town tree vine wren"
).split()


@dataclass(frozen=True)
class Stream:
    """A list of numbers or strings that is computed from the function's parameters, in two ways.

    Attributes:
        family: "domain-name", the group of all problems that start from it.
        item: "int" or "str".
        parameters: ($name, annotation); the composer gives the names.
        given: a sentence on the parameters.
        noun: the values, in order: "the lengths of ...".
        tag: for the function's name.
        code, other: statements that set `items`, by different algorithms; imports come first in `code`.
        inputs: arguments of about the given size (0 is the smallest allowed).
        domain: all arguments that `given` allows, when they can be listed.
        small: whether the values stay within some hundreds, so that slow helpers may be used on them.
    """

    family: str
    item: str
    parameters: tuple[tuple[str, str], ...]
    given: str
    noun: str
    tag: str
    code: str
    other: str
    inputs: Callable[[Random, int], Arguments] | None = None
    domain: tuple[Arguments, ...] = ()
    small: bool = True


def integers(rng: Random, size: int, low: int = -20, high: int = 40) -> list[int]:
    """`size` numbers, in a third of the cases from a narrow range, so that equal ones meet."""
    if rng.random() < 0.35:
        low, high = max(low, -2), min(high, 5)
    return [low + int(rng.random() * (high - low + 1)) for _ in range(size)]


def words(rng: Random, size: int) -> list[str]:
    if rng.random() < 0.3:
        return [word(rng, rng.randint(1, 5)) for _ in range(size)]
    return rng.choices(WORDS, k=size)


def word(rng: Random, size: int, letters: str = "abcdenot") -> str:
    return "".join(rng.choices(letters, k=size))


def upto(high: int, low: int = 0) -> tuple[Arguments, ...]:
    """The domain of one whole number."""
    return tuple((n,) for n in range(low, high + 1))
