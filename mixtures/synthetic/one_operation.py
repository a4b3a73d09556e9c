"""Programs of one operation, which a small model can learn: problems by operation, type, constant and wording.

The family is finite and has no seed. A combination is an operation on a type with a constant ("the first 3 values of
the list"); a problem asks for it in one of WORDINGS wordings and names function and argument in one of NAMINGS ways.
What is held out depends on the problem alone: some combinations in all wordings, and of the others some wordings. So a
model that answers the former has put an operation that it knows together with a constant that it knows, and one that
answers the latter knows a program by another description. Nothing else of a held-out problem is new: its types,
operations, constants and words are all in the training split.

Every combination passes the gates of the grammar's problems (gates.py): two implementations agree, and tests tell the
solution from its mutants.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, Literal

from mixtures.documents.document import Document, hash64
from mixtures.synthetic.gates import Verdict
from mixtures.synthetic.generate import check
from mixtures.synthetic.mutate import Edit
from mixtures.synthetic.operations import LETTERS, OPERATIONS, TYPES, Operation
from mixtures.synthetic.problem import REFERENCE, Draft, fill

READER_VERSION = 1
"""Bump when a problem, its tests, its split or its text changes: a golden test holds it."""

Test = tuple[str, str]
"""Argument and result of a call, as Python prints them."""
Split = Literal["train", "heldout-combination", "heldout-wording"]
VARIANTS = ("completion", "instruction")
"""A function with its docstring; or a statement, which is asked, and the function, which is the answer."""

TOKENS = {"completion": 424_000, "instruction": 602_000}
"""Of the training split, for plans before preparation: counted on 2026-11-30 in ids of a tokenizer of 8,192 that was
trained on it among other sources, without a tenth of documents that is held out."""

FRAMES = ("Return {}.", "Compute {}.", "Give {}.")
FRAMES_OF_WHETHER = ("Return {}.", "Say {}.", "Tell {}.")
WORDINGS = 2 * len(FRAMES)
NAMINGS = 3
INDICES = WORDINGS * NAMINGS
ARGUMENTS = {
    "int": ("x", "n", "value"),
    "str": ("text", "s", "line"),
    "list": ("values", "xs", "items"),
    "words": ("words", "names", "items"),
}
HELD_OUT = {"combination": 15, "wording": 10}
"""Percent of the combinations, and of the wordings of the others."""

SHOWN, WIDE = 24, 40
"""Inputs that become tests, and further ones that only judge."""


@dataclass(frozen=True)
class Combination:
    """An operation with a constant."""

    operation: Operation
    constant: str

    @property
    def id(self) -> str:
        """Such as "list/first/3"."""
        return f"{self.operation.type}/{self.operation.name}/{self.constant}".replace(" ", "-")

    @property
    def group(self) -> str:
        """Of the documents that have it: what is held out of a source for its likelihood are whole combinations."""
        return f"one-operation/{self.id}"

    def code(self, argument: str) -> str:
        """The expression."""
        return fill(self.operation.code, {"c": self.constant, "x": argument})

    @property
    def other(self) -> str:
        """The reference's, of x."""
        return fill(self.operation.other, {"c": self.constant, "x": "x"})

    def phrase(self, number: int) -> str:
        """What it is in English, in one of two ways."""
        return fill(self.operation.phrases[number], {"c": self.constant})


@dataclass(frozen=True)
class OneOperation:
    """A problem.

    Attributes:
        combination: what is to be done.
        index: in which words and names, below INDICES.
        function: name of the function.
        signature: its header from the name on, "first(xs: list[int]) -> list[int]".
        statement: what it does, in English.
        code: the whole function without a docstring.
        tests: assertions.
    """

    combination: Combination
    index: int
    function: str
    signature: str
    statement: str
    code: str
    tests: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.combination.id}#{self.index:02}"


def combinations() -> tuple[Combination, ...]:
    """All of them, in the order of the table."""
    return tuple(Combination(operation, constant) for operation in OPERATIONS for constant in operation.constants)


def split(combination: Combination, index: int) -> Split:
    """Where a problem belongs, whatever its names: all that are asked in the same words belong together."""
    if _percent(combination.id) < HELD_OUT["combination"]:
        return "heldout-combination"
    if _percent(f"{combination.id} in words {index % WORDINGS}") < HELD_OUT["wording"]:
        return "heldout-wording"
    return "train"


def _percent(text: str) -> int:
    return hash64(f"one operation, {text}") % 100


def problems(which: Split) -> Iterator[OneOperation]:
    """All problems of a split, by combination and index."""
    for combination, tests in checked():
        for index in range(INDICES):
            if split(combination, index) == which:
                yield _problem(combination, index, tests)


@lru_cache(maxsize=1)
def checked() -> tuple[tuple[Combination, tuple[Test, ...]], ...]:
    """The combinations that pass the gates, with their tests. Takes some seconds."""
    drafts = [draft(combination) for combination in combinations()]
    return tuple(
        (combination, tests(drafted, verdict))
        for combination, drafted, verdict in zip(combinations(), drafts, check(drafts), strict=True)
        if not verdict.reason
    )


def tests(draft: Draft, verdict: Verdict) -> tuple[Test, ...]:
    """All that are shown: what tells a solution from its mutants need not tell it from other operations."""
    return tuple((repr(draft.inputs[i][0]), value) for i, value in enumerate(verdict.values))


def asserted(function: str, tests: Iterable[Test]) -> tuple[str, ...]:
    """Tests of a function as assertions."""
    return tuple(f"assert {function}({argument}) == {value}" for argument, value in tests)


def draft(combination: Combination) -> Draft:
    """The program of a combination in its first names, before it is executed."""
    signature, source = _program(combination, 0)
    return Draft(
        family=f"one-operation-{combination.operation.type}",
        function=signature.partition("(")[0],
        statement=_statement(combination, 0),
        code=source,
        reference=f"def {REFERENCE}(x):\n    return {combination.other}\n",
        inputs=inputs(combination),
        shown=SHOWN,
        faults=other_letters(source),
    )


def other_letters(source: str) -> tuple[Edit, ...]:
    """Faults of a program's letters, which mutants leave alone as they do all texts."""
    places = [(found.start() + 1, LETTERS.index(found[1])) for found in re.finditer('"([a-z])"', source)]
    return tuple(
        Edit(place, place + 1, LETTERS[(number + step) % len(LETTERS)]) for place, number in places for step in (1, 7)
    )


def _problem(combination: Combination, index: int, tests: tuple[Test, ...]) -> OneOperation:
    signature, source = _program(combination, index)
    function = signature.partition("(")[0]
    statement = _statement(combination, index)
    return OneOperation(combination, index, function, signature, statement, source, asserted(function, tests))


def _program(combination: Combination, index: int) -> tuple[str, str]:
    """Signature and source in the names of an index."""
    operation, naming = combination.operation, index // WORDINGS
    argument = ARGUMENTS[operation.type][(naming + index) % NAMINGS]
    signature = f"{operation.function[naming]}({argument}: {TYPES[operation.type]}) -> {operation.returns}"
    return signature, f"def {signature}:\n    return {combination.code(argument)}\n"


def _statement(combination: Combination, index: int) -> str:
    frames = FRAMES_OF_WHETHER if combination.operation.returns == "bool" else FRAMES
    return frames[index % WORDINGS // 2].format(combination.phrase(index % 2))


@lru_cache(maxsize=2_000)
def inputs(combination: Combination) -> tuple[tuple[Any, ...], ...]:
    """Distinct ones, many of them around the constant, where results change."""
    rng = Random(f"{READER_VERSION}/{combination.id}")
    near = int(combination.constant) if combination.constant.isdigit() else 5
    letter = combination.constant if combination.constant.isalpha() else rng.choice(LETTERS)
    drawn = [_draw(rng, combination.operation.type, near, letter, number) for number in range(2 * (SHOWN + WIDE))]
    distinct = [value for number, value in enumerate(drawn) if value not in drawn[:number]]
    return tuple((value,) for value in distinct[: SHOWN + WIDE])


def _draw(rng: Random, kind: str, near: int, letter: str, number: int) -> Any:
    around = (near, near + 1, near - 1, 0, 2 * near, near // 2, -near, near + 2)
    size = (near + 1, near, near - 1, 0, 1, near + 3, 2 * near, 6)[number % 8] if near <= 9 else rng.randint(0, 7)
    if kind == "int":
        return around[number] if number < len(around) else rng.randint(-20, 60)
    if kind == "list":  # whose largest value is often just below the constant, or is it, or just above
        largest = (near, near + 1, near - 1, 60)[number // 2 % 4]
        drawn = [rng.choice((*around, *(rng.randint(-9, 60) for _ in range(6)))) for _ in range(size)]
        return [min(value, largest) for value in drawn]
    if kind == "str":
        return _text(rng, size, letter)
    return [_text(rng, rng.choice((near, near + 1, near - 1, 1, 5)), letter) for _ in range(size % 12)]


def _text(rng: Random, size: int, letter: str) -> str:
    return "".join(rng.choice((letter, rng.choice(LETTERS), rng.choice("aeiou"), "-")) for _ in range(size))


def texts(signature: str, statement: str, source: str, variant: str) -> tuple[str, str]:
    """What is asked of a program and what answers it, in one of VARIANTS. Both end with a line."""
    head, body = source.split("\n", 1)
    if variant == "completion":
        return f'{head}\n    """{statement}"""\n', body
    return f"Problem:\nWrite the function {signature}. {statement}\n\nSolution:\n\n", source


def read(variant: str, percent: int, shard: str, downloads: Path) -> Iterator[Document]:
    """The training split as documents, or about so many percent of its problems."""
    for problem in problems("train"):
        if hash64(f"part of one operation, {problem.id}") % 100 < percent:
            asked, answer = texts(problem.signature, problem.statement, problem.code, variant)
            prompt = len(asked) if variant == "instruction" else 0
            yield Document(problem.id, problem.combination.group, asked + answer, prompt=prompt)


def rows(variant: str, which: Split, each: int) -> Iterator[Mapping[str, str]]:
    """Problems of a split as rows of a benchmark, `each` of a combination, chosen by their ids."""
    for combination, found in groupby(problems(which), lambda problem: problem.combination):
        cluster = f"{combination.operation.type}/{combination.operation.name}"
        for its in sorted(found, key=lambda problem: hash64(problem.id))[:each]:
            yield row(its.id, its.signature, its.statement, its.code, its.tests, cluster, variant)


def row(
    id: str,
    signature: str,
    statement: str,
    source: str,
    tests: Iterable[str],
    cluster: str,
    variant: str = "instruction",
) -> Mapping[str, str]:
    """A row of a benchmark. Of its fields the statement is what no source may have: all its words, in any form."""
    asked, answer = texts(signature, statement, source, variant)
    return {
        "id": id,
        "prompt": asked,
        "statement": statement,
        "solution": answer,
        "head": asked if variant == "completion" else "",
        "tests": "\n".join(tests),
        "entry_point": signature.partition("(")[0],
        "cluster": cluster,
    }
