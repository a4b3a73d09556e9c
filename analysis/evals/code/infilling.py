"""Holes in reference solutions, which a model fills between what stands before and after them (arXiv:2207.14255, 3).

Made by rule from the rows of a benchmark, as the published sets are made from HumanEval's, of which these have the
sizes: every line that is not blank (single-line, 1,033), every run of lines between two such (multi-line, 5,815), and
ten spans of each solution between two places drawn uniformly (random-span, 1,640). Lines are taken without their line
end, so that a model that fills one stops there. Which spans are drawn is ours, a function of the problem's id.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.evals.code.executed import Problem

INFILLING_VERSION = 1
"""Of holes, prompts and scores: change one and bump it."""
SPANS = 10
"""Of a solution."""

Places = tuple[tuple[str, int, int], ...]
"""Of every hole its id within the problem, and the characters of the solution where it begins and ends."""


@dataclass(frozen=True)
class Hole:
    """A part of a solution to write.

    Attributes:
        problem: of the hole: a filling and what follows after its `head` are a program for its tests.
        base: id of the problem that the hole was made in.
        prefix, middle, suffix: what stands before, in and after it.
        suffix_first: whether the suffix is shown first.
    """

    problem: Problem
    base: str
    prefix: str
    middle: str
    suffix: str
    suffix_first: bool


def _lines(text: str) -> list[tuple[int, int]]:
    """Where every line that is not blank begins and ends, without its line end."""
    found, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            found.append((at, at + len(line)))
        at += len(line) + 1
    return found


def single_line(problem: Problem) -> Places:
    return tuple((f"L{number}", *line) for number, line in enumerate(_lines(problem.solution)))


def multi_line(problem: Problem) -> Places:
    lines = _lines(problem.solution)
    return tuple(
        (f"L{first}-L{last}", lines[first][0], lines[last][1])
        for first in range(len(lines))
        for last in range(first, len(lines))
    )


def random_span(problem: Problem) -> Places:
    """Between two places that differ."""
    size = len(problem.solution)
    places = []
    for number in range(SPANS if size else 0):
        digest = hashlib.sha256(f"span {number} {problem.id}".encode()).digest()
        first, other = (int.from_bytes(half, "big") for half in (digest[:16], digest[16:]))
        start = first % (size + 1)
        end = (start + 1 + other % size) % (size + 1)
        places.append((f"S{number}", min(start, end), max(start, end)))
    return tuple(places)


HOLES: Mapping[str, tuple[Callable[[Problem], Places], tuple[str, ...]]] = {
    "single-line": (single_line, ("\n",)),
    "multi-line": (multi_line, ()),
    "random-span": (random_span, ()),
}
"""By kind: where the holes of a problem are, and what ends a filling besides `<eod>`."""


def holes(kind: str, problems: Sequence[Problem], suffix_first: bool = False) -> list[Hole]:
    """All holes of a kind, in the problems' order."""
    places, stops = HOLES[kind]
    found = []
    for problem in problems:
        text = problem.solution
        for name, start, end in places(problem):
            before, after = problem.head + text[:start], text[end:]
            its = replace(problem, id=f"{problem.id}/{name}", stops=stops, head=before, solution=text[start:])
            prefix = problem.prompt + text[:start]
            found.append(Hole(replace(its, prompt=prefix), problem.id, prefix, text[start:end], after, suffix_first))
    return found


def first(holes: Sequence[Hole], n: int | None) -> tuple[Hole, ...]:
    """The `n` holes whose id has the smallest sha256; all of them for None."""
    return tuple(sorted(holes, key=lambda hole: hashlib.sha256(hole.problem.id.encode()).hexdigest())[:n])
