"""Generated Python problems that passed the gates: both implementations agree, and the tests tell mutants apart.

The paper's synthetic source is proprietary and "formally verified" (arXiv:2408.10914 §2.1). This one is not:
`Problem.level` says how far a problem was checked, and no level is a proof. Everything is a function of
(`GENERATOR_VERSION`, seed, index).
"""

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from mixtures.documents.document import Document
from mixtures.synthetic import forms, verdicts
from mixtures.synthetic.gates import Job, Verdict
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.mutate import apply, mutants
from mixtures.synthetic.problem import Draft, Problem, call, shape
from store.errors import Failure

GENERATOR_VERSION = 2
"""Bump when the same (seed, index) would give another problem; a golden test holds it."""

BATCH = 512
READ_BATCH = 128  # a reader wants little and may stop anywhere
HASH_SEEDS = (1, 2)


@dataclass(frozen=True)
class Outcome:
    """A drafted problem and what the gates said; `shape` is that of its solution."""

    index: int
    draft: Draft
    shape: str
    verdict: Verdict


def outcomes(seed: int, indices: Sequence[int], kept: dict[str, Verdict] | None = None) -> list[Outcome]:
    """Draw the problems at `indices` and pass them through the gates, together, in two worker processes.

    Args:
        kept: verdicts of `verdicts.load`; those that are found here are not executed again, new ones are added.
    """
    drafts = [compose.draft(Random(f"{GENERATOR_VERSION}/{seed}/{index}")) for index in indices]
    return [
        Outcome(index, draft, name, verdict)
        for index, draft, (name, verdict) in zip(indices, drafts, check(drafts, kept), strict=True)
    ]


def check(drafts: Sequence[Draft], kept: dict[str, Verdict] | None = None) -> list[tuple[str, Verdict]]:
    """Shape of the solution and verdict of every draft."""
    kept = {} if kept is None else kept
    shapes = [shape(draft.code) for draft in drafts]
    keys = [verdicts.key(draft, GENERATOR_VERSION, name) for draft, name in zip(drafts, shapes, strict=True)]
    new = {name: draft for name, draft in zip(keys, drafts, strict=True) if name not in kept}
    jobs = {name: Job(d.function, d.code, d.reference, d.inputs, d.shown) for name, d in new.items()}
    answers = dict(zip(jobs, execute("judge", list(jobs.values()), HASH_SEEDS[0]), strict=True))
    found: dict[str, Verdict] = {name: answer or Verdict("limits") for name, answer in answers.items()}
    passed = [name for name in jobs if not found[name].reason]
    for name, digest in zip(passed, execute("repeat", [jobs[n] for n in passed], HASH_SEEDS[1]), strict=True):
        if digest != found[name].digest:
            found[name] = Verdict("hash order" if digest else "limits", "", found[name].values)
    kept.update(found)
    return [(name, kept[entry]) for name, entry in zip(shapes, keys, strict=True)]


def verified(outcome: Outcome, seed: int = 0) -> Problem:
    """The problem of an outcome that passed; which of its killed mutants it shows depends on seed and index."""
    draft, verdict = outcome.draft, outcome.verdict
    number, at = Random(f"wrong/{seed}/{outcome.index}").choice(verdict.wrong)
    level = f"exhaustive({draft.domain})" if draft.domain else "differential"
    problem = _problem(outcome, verdict.tests)
    return replace(
        problem,
        wrong=apply(draft.code, [mutants(draft.code)[number]]),
        failing=problem.tests[verdict.tests.index(at)],
        level=level,
        mutation_score=verdict.mutation_score,
    )


def unverified(outcome: Outcome, seed: int = 0) -> Problem:
    """The control: as `verified`, and a problem that a gate would drop with whatever its solution printed.

    Of a problem that passes, the text is the same; its level is "executed", since its examples are what it printed.
    """
    if not outcome.verdict.reason:
        return replace(verified(outcome, seed), level="executed", mutation_score=0.0)
    return _problem(outcome, outcome.verdict.tests or tuple(range(min(6, len(outcome.verdict.values)))))


def _problem(outcome: Outcome, tests: Sequence[int]) -> Problem:
    """Without wrong version and level; the docstring shows the shortest test of each of two results."""
    draft, values = outcome.draft, outcome.verdict.values
    calls = {i: call(draft.function, draft.inputs[i]) for i in tests}
    by_length = sorted(tests, key=lambda i: (len(calls[i]) + len(values[i]), i))
    first = by_length[:1]
    others = [i for i in by_length[1:] if values[i] != values[first[0]] and draft.inputs[i]]
    return Problem(
        index=outcome.index,
        family=draft.family,
        statement=draft.statement,
        function=draft.function,
        code=draft.code,
        wrong="",
        examples=tuple((calls[i], values[i]) for i in [*first, *others[:1]]),
        tests=tuple(f"assert {calls[i]} == {values[i]}" for i in tests),
        failing="",
        level="executed" if values else "unverified",
        mutation_score=0.0,
    )


def read(max_bytes: int, seed: int = 0) -> Iterator[Document]:
    """Problems with solutions of distinct shape until `max_bytes`; id = family#index, group = synthetic/family.

    A program is a duplicate of another seed's when their shapes are the same, whatever their names and texts.

    Raises:
        Failure: the worker cannot run, or nothing new comes any more.
    """
    seen: set[str] = set()
    size = 0
    for start in range(0, 100_000_000, READ_BATCH):
        rows, _ = distinct(outcomes(seed, range(start, start + READ_BATCH)), seen)
        if not rows:
            raise Failure(f"the synthetic grammar is exhausted at {size:,} bytes; lower max_bytes below that")
        for row in rows:
            problem = verified(row, seed)
            text = forms.mixed(problem)
            yield Document(f"{problem.family}#{problem.index:06}", f"synthetic/{problem.family}", text, row.shape)
            size += len(text.encode())
            if size >= max_bytes:
                return


def distinct(found: Sequence[Outcome], seen: set[str], with_failed: bool = False) -> tuple[list[Outcome], Counter[str]]:
    """The outcomes that pass and whose shape is not in `seen` (it is added), and how many were dropped for what.

    With failed ones, those have shapes of their own: the outcomes that pass are the same with and without them.
    """
    rows, drops = [], Counter[str]()
    for outcome in found:
        reason = outcome.verdict.reason
        name = f"failed {outcome.shape}" if reason else outcome.shape
        if reason and not with_failed:
            drops[reason] += 1
        elif name in seen:
            drops["duplicate"] += 1
        else:
            seen.add(name)
            rows.append(outcome)
    return rows, drops


def execute(task: str, jobs: Sequence[Job], hash_seed: int) -> list[Any]:
    """What the worker answers: a verdict or a digest for each job, None for one that met a limit.

    Raises:
        Failure: the worker itself ended badly.
    """
    if not jobs:
        return []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-S", "-s", "-B", "-P", "-m", "mixtures.synthetic.worker", task],
        input=pickle.dumps(list(jobs)),
        env={**environment, "PYTHONPATH": root, "PYTHONHASHSEED": str(hash_seed), "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    if result.returncode:
        last = (result.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise Failure(
            f"the worker that executes synthetic programs ended with {result.returncode} ({last}); run it again"
        )
    return list(pickle.loads(result.stdout))
