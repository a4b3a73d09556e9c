"""Problems evolved from those of one operation by rules of ours: Evol-Instruct without a model.

Evol-Instruct has a model rewrite instructions so that they become harder; PanGu-Coder2 made some 100,000 such prompts
and kept 68,000 by rules (arXiv:2307.14936, section 4.1.1). Here a grammar does it, offline, and tests are executed:

* constraint: the step is done only if the argument meets a condition ("If the number is above 7, ...");
* case: one more condition, with a step of its own;
* composed: another step works on the result.

A draft begins with one operation and is evolved `level` times. What is dropped, and why, is counted by `evolved`, so
that the share that the rules keep is a number and not a claim. A draft that has a held-out combination anywhere is held
out as well, and so is one that has a held-out wording.
"""

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from mixtures.documents.document import Document
from mixtures.synthetic import one_operation as one
from mixtures.synthetic.generate import check
from mixtures.synthetic.one_operation import ARGUMENTS, Combination, combinations
from mixtures.synthetic.operations import TYPES
from mixtures.synthetic.problem import REFERENCE, Draft, shape

READER_VERSION = 1
"""Bump when the same (seed, index) would give another draft, or the rules keep others: a golden test holds it."""
TOKENS_A_DRAFT = 30
"""Of those kept, by draft, for plans before preparation."""
DRAFTS = 3_000
"""That are drawn unless a source says how many; `evolved_train` has the problems that they leave."""
LEVELS = 3
WORDS_AT_MOST, LINES_AT_MOST = 60, 9
DRAWN = 150
"""Inputs, of which equal ones count once."""
ALIKE = 4
"""Problems whose prompts differ in constants and names alone, of which no more are kept."""

Evolution = Literal["constraint", "case", "composed"]
NOUNS = {"int": "number", "str": "text", "list": "list", "words": "list"}
_OF = {annotation: kind for kind, annotation in TYPES.items()}


@dataclass(frozen=True)
class Block:
    """One step of a program: the first of `cases` whose condition holds, else `otherwise`.

    Attributes:
        cases: condition and what is done where it holds.
        otherwise: what is done where none holds; None for nothing.
    """

    cases: tuple[tuple[Combination, Combination], ...]
    otherwise: Combination | None

    @property
    def step(self) -> Combination:
        """One of its steps; all are of one type and give one."""
        return self.otherwise or self.cases[0][1]

    @property
    def combinations(self) -> tuple[Combination, ...]:
        return (*(each for case in self.cases for each in case), *filter(None, [self.otherwise]))


Blocks = tuple[Block, ...]


@dataclass(frozen=True)
class Evolved:
    """A draft with its rules.

    Attributes:
        index: its place in the sequence of its seed.
        evolutions: what was done to the operation that it began with.
        blocks: what it does.
        phrasing: of the two wordings of every phrase, which one.
        signature: as of `one_operation.OneOperation`.
        draft: what is executed.
    """

    index: int
    evolutions: tuple[Evolution, ...]
    blocks: Blocks
    phrasing: int
    signature: str
    draft: Draft


@dataclass(frozen=True)
class Outcome:
    """What became of all drafts of a seed.

    Attributes:
        kept: those that passed, each with its tests, as assertions.
        dropped: how many were not kept, by reason.
    """

    kept: tuple[tuple[Evolved, tuple[str, ...]], ...]
    dropped: Mapping[str, int]


@lru_cache(maxsize=2)
def evolved(seed: int, drafts: int, held_out: bool = False) -> Outcome:
    """Draw so many drafts and keep what the rules leave: those to train on, or those that are held out.

    The reasons, in the order in which they are looked for: "held out" (or "seen", where these are what is kept), "too
    long", "same program", "prompt alike" (see ALIKE), and those of `gates.Verdict`.
    """
    dropped: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    chosen = []
    for each in (evolve(seed, index) for index in range(drafts)):
        if reason := _reason(each, seen, held_out):
            dropped[reason] += 1
        else:
            chosen.append(each)
    kept = []
    for each, verdict in zip(chosen, check([each.draft for each in chosen]), strict=True):
        if verdict.reason:
            dropped[verdict.reason] += 1
        else:
            kept.append((each, one.asserted(each.draft.function, one.tests(each.draft, verdict))))
    return Outcome(tuple(kept), dict(sorted(dropped.items())))


def _reason(each: Evolved, seen: Counter[str], held_out: bool) -> str:
    """Why a draft goes before it is executed, "" if it does not; what it is is added to `seen`."""
    its = {one.split(part, each.phrasing) for block in each.blocks for part in block.combinations}
    if not held_out and its != {"train"}:
        return "held out"
    if held_out and "heldout-combination" not in its:
        return "seen"
    if len(each.draft.statement.split()) > WORDS_AT_MOST or each.draft.code.count("\n") > LINES_AT_MOST:
        return "too long"
    program, prompt = shape(each.draft.code), re.sub(r"\d+|'\w'", "0", each.draft.statement)
    if seen[program]:
        return "same program"
    if seen[prompt] == ALIKE:
        return "prompt alike"
    seen.update((program, prompt))
    return ""


def evolve(seed: int, index: int) -> Evolved:
    """The draft at `index`, which has 1 to LEVELS evolutions."""
    rng = Random(f"evolved {READER_VERSION}/{seed}/{index}")
    blocks: Blocks = (Block((), rng.choice(combinations())),)
    done: list[Evolution] = []
    for _ in range(1 + index % LEVELS):
        if found := _evolutions(rng, blocks):
            evolution, blocks = rng.choice(found)
            done.append(evolution)
    phrasing, names = rng.randrange(2), rng.randrange(one.NAMINGS)
    first, last = blocks[0].step.operation, blocks[-1].step.operation
    argument, function = ARGUMENTS[first.type][names], rng.choice(last.function)
    signature = f"{function}({argument}: {TYPES[first.type]}) -> {last.returns}"
    code = f"def {signature}:\n" + textwrap.indent("\n".join(_code(blocks, names)), "    ") + "\n"
    inputs = _inputs(blocks)
    draft = Draft(
        family="evolved",
        function=function,
        statement=_statement(blocks, phrasing),
        code=code,
        reference=_reference(blocks),
        inputs=inputs,
        shown=min(one.SHOWN, len(inputs)),
        faults=one.other_letters(code),
    )
    return Evolved(index, tuple(done), blocks, phrasing, signature, draft)


def _evolutions(rng: Random, blocks: Blocks) -> list[tuple[Evolution, Blocks]]:
    """What can be made of a program by one evolution, one of each kind."""
    found: list[tuple[Evolution, Blocks]] = []
    at = rng.randrange(len(blocks))
    block, operation = blocks[at], blocks[at].step.operation
    if conditions := _alike(operation.type, "bool"):
        condition = rng.choice(conditions)
        if not block.cases and operation.returns == TYPES[operation.type]:
            new = Block(((condition, block.step),), None)
            found.append(("constraint", (*blocks[:at], new, *blocks[at + 1 :])))
        if len(block.cases) < 2:
            case = condition, rng.choice(_alike(operation.type, operation.returns))
            new = replace(block, cases=(case, *block.cases))
            found.append(("case", (*blocks[:at], new, *blocks[at + 1 :])))
    if kind := _OF.get(blocks[-1].step.operation.returns):
        step = rng.choice([each for each in combinations() if each.operation.type == kind])
        found.append(("composed", (*blocks, Block((), step))))
    return found


@lru_cache
def _alike(kind: str, returns: str) -> tuple[Combination, ...]:
    """The combinations of one type that give another."""
    return tuple(each for each in combinations() if each.operation.type == kind and each.operation.returns == returns)


def _statement(blocks: Blocks, phrasing: int) -> str:
    """One sentence a block."""
    return " ".join(_sentence(block, blocks[number + 1 :], phrasing) for number, block in enumerate(blocks))


def _sentence(block: Block, after: Blocks, phrasing: int) -> str:
    operation = block.step.operation
    noun = NOUNS[operation.type]
    if not after:
        verb, nothing = "return {}", f"return the {noun} as it is"
    elif after[0].step.operation.type == operation.type:
        verb, nothing = f"replace the {noun} by {{}}", f"leave the {noun} as it is"
    else:
        verb, nothing = f"let the {NOUNS[after[0].step.operation.type]} be {{}}", ""
    parts = [
        f"if {condition.phrase(phrasing).removeprefix('whether ')}, {verb.format(step.phrase(phrasing))}"
        for condition, step in block.cases
    ]
    last = verb.format(block.otherwise.phrase(phrasing)) if block.otherwise else nothing
    text = "; ".join([*parts, f"otherwise {last}" if parts else last])
    return text[0].upper() + text[1:] + "."


def _code(blocks: Blocks, names: int) -> list[str]:
    """Lines of the body. A result of another type gets a name of its own, which no earlier one has."""
    lines: list[str] = []
    name = ARGUMENTS[blocks[0].step.operation.type][names]
    used = {name}
    for block, after in itertools.zip_longest(blocks, blocks[1:]):
        target = name
        if after is not None and after.step.operation.type != block.step.operation.type:
            target = next(other for other in ARGUMENTS[after.step.operation.type] if other not in used)
            used.add(target)
        put = "return " if after is None else f"{target} = "
        word = "if"
        for condition, step in block.cases:
            lines += [f"{word} {condition.code(name)}:", f"    {put}{step.code(name)}"]
            word = "elif" if after is not None else "if"
        if block.otherwise and block.cases and after is not None:
            lines += ["else:", f"    {put}{block.otherwise.code(name)}"]
        elif block.otherwise:
            lines.append(f"{put}{block.otherwise.code(name)}")
        elif after is None:
            lines.append(f"return {name}")
        name = target
    return lines


def _reference(blocks: Blocks) -> str:
    """Step by step, each an expression, with the other form of every operation."""
    lines = [f"def {REFERENCE}(x):"]
    for block in blocks:
        last = block.otherwise.other if block.otherwise else "x"
        cases = [f"({step.other}) if ({condition.other}) else " for condition, step in block.cases]
        lines.append(f"    x = {''.join(cases)}({last})")
    return "\n".join([*lines, "    return x", ""])


def _inputs(blocks: Blocks) -> tuple[tuple[Any, ...], ...]:
    """Those of every combination that has the argument's type, in turn: around all of their constants."""
    kind = blocks[0].step.operation.type
    its = [each for block in blocks for each in block.combinations if each.operation.type == kind]
    turns = list(itertools.chain.from_iterable(zip(*map(one.inputs, dict.fromkeys(its)), strict=False)))[:DRAWN]
    return tuple(value for number, value in enumerate(turns) if value not in turns[:number])


def read(variant: str, drafts: int, shard: str, downloads: Path) -> Iterator[Document]:
    """The problems that the drafts of seed 0 leave, in one of `one_operation.VARIANTS`."""
    for each, _ in evolved(0, drafts).kept:
        asked, answer = one.texts(each.signature, each.draft.statement, each.draft.code, variant)
        prompt = len(asked) if variant == "instruction" else 0
        yield Document(f"evolved/{each.index:06}", each.blocks[0].step.group, asked + answer, prompt=prompt)


def rows(drafts: int, held_out: bool) -> Iterator[Mapping[str, str]]:
    """The problems that the drafts of seed 0 leave as rows of a benchmark, asked as instructions."""
    for each, tests in evolved(0, drafts, held_out).kept:
        cluster = "+".join(sorted({*each.evolutions}))
        yield one.row(f"evolved/{each.index:06}", each.signature, each.draft.statement, each.draft.code, tests, cluster)
