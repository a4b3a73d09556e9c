"""Generated Python problems whose solutions were executed against their tests before they count.

The paper's synthetic source is proprietary and "formally verified" (§2.1). This one is not: a problem's solution ran,
and its tests hold; at level "differential" a second implementation written another way agreed on every input.
Everything is a function of (`GENERATOR_VERSION`, seed, index).
"""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mixtures.documents import Document
from mixtures.errors import Failure
from mixtures.synthetic import lists, mappings, numbers, strings
from mixtures.synthetic.problem import Draft, Problem, Template, call, definition, render, shape

GENERATOR_VERSION = 1
"""Bump when the same (seed, index) would give another problem; a golden test holds it."""

TEMPLATES: tuple[Template, ...] = (*numbers.TEMPLATES, *lists.TEMPLATES, *strings.TEMPLATES, *mappings.TEMPLATES)

ATTEMPTS = 10
BATCH = 256


@dataclass(frozen=True)
class Outcome:
    """What a program did: the printed forms of its values, or why there are none."""

    values: tuple[str, ...]
    error: str


def generate(seed: int, index: int) -> Problem:
    """The problem at `index`; its template is index modulo their number.

    Raises:
        Failure: a template's solution is wrong. That is a defect of this generator, never of the caller.
    """
    return generate_many(seed, range(index, index + 1))[0]


def generate_many(seed: int, indices: Sequence[int]) -> list[Problem]:
    """The problems at `indices`, in that order, executed together. As `generate`, and faster.

    A draw whose results are the same for all inputs tests nothing; it is drawn again with the next attempt number.
    """
    found: dict[int, Problem] = {}
    for attempt in range(ATTEMPTS):
        missing = [index for index in indices if index not in found]
        if not missing:
            break
        templates = [TEMPLATES[index % len(TEMPLATES)] for index in missing]
        drafts = [
            template.draw(Random(f"{GENERATOR_VERSION}/{seed}/{index}/{attempt}"))
            for template, index in zip(templates, missing, strict=True)
        ]
        for index, problem in zip(missing, verify(templates, drafts), strict=True):
            if problem is not None:
                found[index] = problem
    for index in indices:
        if index not in found:
            name = TEMPLATES[index % len(TEMPLATES)].name
            raise Failure(f"synthetic template '{name}' gives one result for all inputs (seed {seed}, index {index})")
    return [found[index] for index in indices]


def read(max_bytes: int, seed: int = 0) -> Iterator[Document]:
    """Problems with solutions of distinct shape until `max_bytes`; id = template#index, group = synthetic/template.

    Raises:
        Failure: as `generate`, or the templates hold no more distinct problems.
    """
    seen: set[str] = set()
    size = 0
    for start in range(0, 1_000_000, BATCH):
        before = len(seen)
        for index, problem in enumerate(generate_many(seed, range(start, start + BATCH)), start):
            key = shape(problem.solution)
            if key in seen:
                continue
            seen.add(key)
            document = render(problem)
            yield Document(f"{problem.template}#{index:06}", f"synthetic/{problem.template}", document)
            size += len(document.encode())
            if size >= max_bytes:
                return
        if len(seen) - before < BATCH // 16:
            raise Failure(f"the synthetic templates are exhausted at {size:,} bytes; lower max_bytes below that")


def verify(templates: Sequence[Template], drafts: Sequence[Draft]) -> list[Problem | None]:
    """Execute `drafts`: both implementations on all inputs, then the finished document under another hash seed.

    None stands for a draft whose results are all the same.

    Raises:
        Failure: a solution fails, the implementations differ, or the document's own tests do not hold.
    """
    calls = [[call(draft, arguments) for arguments in draft.inputs] for draft in drafts]
    jobs = [
        [(definition(draft, body), expressions) for body in (draft.solution, draft.reference or draft.solution)]
        for draft, expressions in zip(drafts, calls, strict=True)
    ]
    problems: list[Problem | None] = []
    for template, draft, expressions, (outcome, other) in zip(
        templates, drafts, calls, _execute(jobs, hash_seed=1), strict=True
    ):
        _require(not outcome.error and not other.error, template.name, outcome.error or other.error)
        _require(outcome.values == other.values, template.name, _first_difference(expressions, outcome, other))
        vacuous = len(set(outcome.values)) < 2
        problems.append(None if vacuous else _problem(template, draft, expressions, outcome.values))
    finished = [problem for problem in problems if problem is not None]
    documents = _execute([[(render(problem), [])] for problem in finished], hash_seed=2)
    for problem, (ran,) in zip(finished, documents, strict=True):
        _require(not ran.error, problem.template, f"its tests fail: {ran.error}")
    return problems


def _problem(template: Template, draft: Draft, expressions: Sequence[str], values: Sequence[str]) -> Problem:
    # A boundary case, and the first one that comes out otherwise: two of a kind would explain little.
    shown = (0, next(i for i, value in enumerate(values) if value != values[0]))
    statement = textwrap.fill(draft.statement, 88)
    examples = "\n".join(f">>> {expressions[i]}\n{values[i]}" for i in shown)
    docstring = f'"""{statement}\n\n{examples}\n"""\n'
    return Problem(
        template=template.name,
        statement=f"{statement}\n\n{examples}",
        function=draft.function,
        solution=definition(draft, draft.solution, docstring),
        tests=tuple(f"assert {e} == {v}" for e, v in zip(expressions, values, strict=True)),
        level="differential" if draft.reference else "executed",
    )


def _execute(jobs: Sequence[Sequence[tuple[str, Sequence[str]]]], hash_seed: int) -> list[list[Outcome]]:
    """What each program of each job gave; a job's programs share a process."""
    if not jobs:
        return []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [sys.executable, "-S", "-s", "-B", str(Path(__file__).with_name("worker.py"))],
        input=json.dumps(jobs),
        env={**environment, "PYTHONHASHSEED": str(hash_seed), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failure(
            f"the worker that executes synthetic programs ended with {result.returncode} ({last}); run it again"
        )
    return [
        [Outcome(tuple(row.get("values", ())), row.get("error", "")) for row in job]
        for job in json.loads(result.stdout)
    ]


def _first_difference(expressions: Sequence[str], one: Outcome, two: Outcome) -> str:
    for expression, left, right in zip(expressions, one.values, two.values, strict=False):
        if left != right:
            return f"{expression} gives {left} and, the other way, {right}"
    return ""


def _require(holds: bool, template: str, problem: str) -> None:
    if not holds:
        raise Failure(f"synthetic template '{template}' is wrong: {problem}; mend it and bump GENERATOR_VERSION")
