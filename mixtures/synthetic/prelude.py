"""Names that reference implementations may use: library modules, and helpers written another way than a solution's."""

import collections
import functools
import itertools
import math
import re

__all__ = ["collections", "functools", "itertools", "math", "re"]


def digits_(x: int) -> list[int]:
    return [int(character) for character in str(abs(x))]


def reverse_(x: int) -> int:
    return int(str(abs(x))[::-1]) * (-1 if x < 0 else 1)


def is_prime_(x: int) -> bool:
    return x > 1 and not [d for d in range(2, math.isqrt(x) + 1) if x // d * d == x]


def divisors_(x: int) -> int:
    return sum(abs(x) % d == 0 for d in range(1, abs(x) + 1))


def collatz_(x: int) -> int:
    if x == 1:
        return 0
    return 1 + collatz_(3 * x + 1 if x & 1 else x >> 1)


def root_(x: int) -> int:
    return x if x < 10 else root_(sum(digits_(x)))


def longest_(items: list, good) -> list:  # type: ignore[no-untyped-def,type-arg]
    """The first of the longest contiguous parts that `good` accepts, by looking at all of them."""
    parts = [items[i:j] for i in range(len(items)) for j in range(i + 1, len(items) + 1) if good(items[i:j])]
    return max(parts, key=len, default=[])
