"""Random inputs and fragments that several templates share."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

WORDS = (
    *("amber", "anchor", "apple", "arrow", "badge", "barn", "basil", "bell", "bird", "bread", "bridge", "brook"),
    *("cabin", "candle", "cat", "cedar", "chalk", "cloud", "coal", "cone", "crane", "dawn", "deer", "dove", "drum"),
    *("eel", "elm", "ember", "fern", "field", "flint", "fog", "fox", "frost", "gate", "glass", "goose", "grain"),
    *("hawk", "hazel", "hill", "inn", "iris", "ivy", "jar", "kite", "lake", "lamp", "leaf", "level", "lily", "map"),
    *("maple", "mill", "moon", "moss", "noon", "oak", "oat", "owl", "pear", "pine", "plum", "pond", "quill", "rain"),
    *(
        "reed",
        "river",
        "rose",
        "sail",
        "seed",
        "shore",
        "silo",
        "snow",
        "stone",
        "swan",
        "tide",
        "town",
        "vine",
        "wren",
    ),
)


@dataclass(frozen=True)
class Predicate:
    """A condition on one integer: an expression over `x`, and the adjective clause that says the same."""

    expression: str
    words: str


def pick(rng: Random, *options: str) -> str:
    return rng.choice(options)


def predicate(rng: Random) -> Predicate:
    m, r, k = rng.randint(2, 9), rng.randint(0, 8), rng.randint(-10, 20)
    r %= m
    return rng.choice(
        [
            Predicate(f"x % {m} == {r}", f"leave remainder {r} when divided by {m}" if r else f"are divisible by {m}"),
            Predicate(f"x % {m} != 0", f"are not divisible by {m}"),
            Predicate(f"x > {k}", f"are greater than {k}"),
            Predicate(f"x <= {k}", f"are at most {k}"),
            Predicate(f"abs(x) >= {abs(k) + 1}", f"have an absolute value of at least {abs(k) + 1}"),
            Predicate(f"{k} <= x <= {k + m + 5}", f"lie between {k} and {k + m + 5} inclusive"),
        ]
    )


def integers(rng: Random, count: int, low: int = -30, high: int = 40) -> list[int]:
    return [rng.randint(low, high) for _ in range(count)]


def lists_of_integers(rng: Random, count: int = 6, low: int = -30, high: int = 40) -> list[list[int]]:
    """Empty, one element, all equal, then random ones."""
    value = rng.randint(low, high)
    lengths = [rng.randint(4, 10) for _ in range(count - 3)]
    return [[], [value], [value] * rng.randint(2, 4), *(integers(rng, length, low, high) for length in lengths)]


def sentence(rng: Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def sentences(rng: Random, count: int = 6) -> list[str]:
    """Empty, one word, then random ones."""
    return ["", rng.choice(WORDS), *(sentence(rng, rng.randint(3, 7)) for _ in range(count - 2))]


def singles(values: Sequence[object]) -> tuple[tuple[object], ...]:
    """Argument tuples of a function with one parameter."""
    return tuple((value,) for value in values)
