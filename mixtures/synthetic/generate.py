"""Generated Python problems that passed the gates: both implementations agree, and the tests tell mutants apart.

The paper's synthetic source is proprietary and "formally verified" (arXiv:2408.10914 §2.1). This one is not:
`Problem.level` says how far a problem was checked, and no level is a proof. Everything is a function of
(`GENERATOR_VERSION`, seed, index).
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from mixtures.documents.document import Document
from mixtures.synthetic import forms
from mixtures.synthetic.gates import Verdict
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.mutate import apply, mutants
from mixtures.synthetic.problem import Draft, Problem, call, shape
from store.errors import Failure

GENERATOR_VERSION = 3
"""Bump when the same (seed, index) would give another problem; a golden test holds it."""

BATCH = 128  # a reader wants little and may stop anywhere
HASH_SEEDS = (1, 2)


@dataclass(frozen=True)
class Outcome:
    """A drafted problem and what the gates said."""

    index: int
    draft: Draft
    verdict: Verdict

    @property
    def program(self) -> str:
        """What makes two outcomes one: the shape of the solution. One that a gate dropped is never one that passed."""
        return ("failed " if self.verdict.reason else "") + shape(self.draft.code)


def outcomes(seed: int, indices: Sequence[int]) -> list[Outcome]:
    """Draw the problems at `indices` and pass them through the gates, together, in two worker processes."""
    drafts = [compose.draft(Random(f"{GENERATOR_VERSION}/{seed}/{index}")) for index in indices]
    return [Outcome(*row) for row in zip(indices, drafts, check(drafts), strict=True)]


def check(drafts: Sequence[Draft]) -> list[Verdict]:
    """The verdict on every draft."""
    verdicts = [answer or Verdict("limits") for answer in execute("judge", drafts, HASH_SEEDS[0])]
    passed = [number for number, verdict in enumerate(verdicts) if not verdict.reason]
    digests = execute("repeat", [drafts[number] for number in passed], HASH_SEEDS[1])
    for number, digest in zip(passed, digests, strict=True):
        if digest != verdicts[number].digest:
            verdicts[number] = Verdict("hash order" if digest else "limits", "", verdicts[number].values)
    return verdicts


def problem(outcome: Outcome, seed: int = 0) -> Problem:
    """The problem of an outcome; which of its killed mutants it shows depends on seed and index.

    One that a gate dropped has no wrong version, and shows what its solution printed, whatever that is. The docstring
    has the shortest test of each of two results.
    """
    draft, verdict = outcome.draft, outcome.verdict
    values = verdict.values
    tests = verdict.tests or range(min(6, len(values)))
    calls = {i: call(draft.function, draft.inputs[i]) for i in tests}
    assertions = {i: f"assert {calls[i]} == {values[i]}" for i in tests}
    by_length = sorted(tests, key=lambda i: (len(calls[i]) + len(values[i]), i))
    first = by_length[:1]
    others = [i for i in by_length[1:] if values[i] != values[first[0]] and draft.inputs[i]]
    wrong, failing, level = "", "", "unverified"
    if not verdict.reason:
        number, at = Random(f"wrong/{seed}/{outcome.index}").choice(verdict.wrong)
        wrong, failing = apply(draft.code, [mutants(draft.code)[number]]), assertions[at]
        level = f"exhaustive({draft.domain})" if draft.domain else "differential"
    return Problem(
        index=outcome.index,
        family=draft.family,
        statement=draft.statement,
        function=draft.function,
        code=draft.code,
        wrong=wrong,
        examples=tuple((calls[i], values[i]) for i in [*first, *others[:1]]),
        tests=tuple(assertions.values()),
        failing=failing,
        level=level,
    )


def read(max_bytes: int, seed: int = 0, variant: str = "verified") -> Iterator[Document]:
    """Problems with solutions of distinct shape until `max_bytes`; id = seed/family#index, group = synthetic/family.

    A program is a duplicate of another seed's when their shapes are the same, whatever their names and texts.

    Args:
        variant: one of `forms.VARIANTS`. Those of one seed have the same problems under the same ids.

    Raises:
        Failure: the worker cannot run, or nothing new comes any more.
    """
    seen: set[str] = set()
    size = 0
    for start in range(0, 100_000_000, BATCH):
        rows = distinct(outcomes(seed, range(start, start + BATCH)), seen, variant == "unverified")
        if not rows:
            raise Failure(
                f"the synthetic grammar is exhausted at {size:,} bytes of a seed; lower seed_bytes "
                "(--bytes of `ablate synthesize`) below that"
            )
        for row in rows:
            text = forms.mixed(problem(row, seed), variant)
            name = f"seed-{seed:04}/{row.draft.family}#{row.index:06}"
            yield Document(name, f"synthetic/{row.draft.family}", text, row.program)
            size += len(text.encode())
            if size >= max_bytes:
                return


def distinct(found: Sequence[Outcome], seen: set[str], with_failed: bool = False) -> list[Outcome]:
    """The outcomes that pass, and with failed ones these too, whose program is not in `seen`, to which it is added."""
    rows = []
    for outcome in found:
        if (with_failed or not outcome.verdict.reason) and (program := outcome.program) not in seen:
            seen.add(program)
            rows.append(outcome)
    return rows


def execute(task: str, drafts: Sequence[Draft], hash_seed: int) -> list[Any]:
    """What workers answer, one after another: a verdict or a digest for each draft, None for one that met a limit.

    Raises:
        Failure: a worker ended badly, and not by a limit.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": str(hash_seed), "PYTHONUTF8": "1"}
    command = [sys.executable, "-S", "-s", "-B", "-P", "-m", "mixtures.synthetic.worker", task]
    answers: list[Any] = []
    while rest := list(drafts[len(answers) :]):
        result = subprocess.run(command, input=pickle.dumps(rest), env=environment, capture_output=True, check=False)
        if result.returncode > 0:
            last = (result.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise Failure(
                f"the worker that executes synthetic programs ended with {result.returncode} ({last}); run it again"
            )
        answers += [pickle.loads(bytes.fromhex(line)) for line in result.stdout.decode().split("\n")[:-1]]
        if len(answers) < len(drafts):  # it was killed by a limit
            answers.append(None)
    return answers
