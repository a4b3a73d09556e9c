"""The gates a drafted problem passes, as plain functions that execute it. Called in the worker process alone.

A verdict is a function of the draft: time is counted in loop turns and calls, never by a clock. (The worker's limits on
processor time and memory are a hundred times above what a problem needs; they stop a runaway, they judge nothing else.)
"""

import hashlib
import marshal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mixtures.synthetic import prelude
from mixtures.synthetic.mutate import Edit, apply, mutants, ticks
from mixtures.synthetic.problem import REFERENCE, Draft

MUTATION_SCORE = 0.9
TURNS = 2000
"""Loop turns and calls that one call of a solution may take."""

SPENT = "pop from empty bytearray"  # how a call ends that took more

Reason = Literal[
    "", "error", "too slow", "changes its arguments", "constant", "differs", "too few mutants", "weak tests",
    "hash order", "limits",
]  # fmt: skip
"""Why a problem is dropped ("": it is not), in the order in which the gates look."""

MIN_MUTANTS = 2
MAX_MUTANTS = 24
MAX_TESTS = 10


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        reason: "" for a pass; `detail` shows a reason's cause.
        values: printed result of every shown input, as far as the solution gave one.
        tests: numbers of the shown inputs that make the tests.
        wrong: (number of a mutant, number of a test input that it answers wrongly), without those that crash there.
        killed, survived, equivalent: mutants that the tests tell from the solution; that only other inputs do; that no
            input does. The last are presumed equivalent, which nothing here proves.
        digest: of the results of all inputs.
    """

    reason: Reason
    detail: str = ""
    values: tuple[str, ...] = ()
    tests: tuple[int, ...] = ()
    wrong: tuple[tuple[int, int], ...] = ()
    killed: int = 0
    survived: int = 0
    equivalent: int = 0
    digest: str = ""

    @property
    def mutation_score(self) -> float:
        return self.killed / max(1, self.killed + self.survived)


def judge(draft: Draft) -> Verdict:
    """Pass `draft` through all gates but the one that needs another process (see `results_digest`)."""
    blobs = [marshal.dumps(arguments) for arguments in draft.inputs]
    results: list[Any] = []
    printed: list[str] = []
    try:
        program = _load(apply(draft.code, ticks(draft.code)))
        for blob, kept in zip(blobs, draft.inputs, strict=True):
            arguments = marshal.loads(blob)
            results.append(_call(program, draft.function, arguments))
            printed.append(repr(results[-1]))
            if arguments != kept:
                return Verdict("changes its arguments", repr(kept)[:200])
    except BaseException as error:
        if str(error) == SPENT:
            return Verdict("too slow", f"more than {TURNS} loop turns")
        return Verdict("error", f"{type(error).__name__}: {error}"[:200])
    values = tuple(printed[: draft.shown])
    if len(set(values)) < 2:
        return Verdict("constant", "", values)
    if difference := _difference(draft, blobs, printed):
        return Verdict("differs", difference[:200], values)
    return _mutation(draft, blobs, results, values, _digest(printed))


def results_digest(draft: Draft) -> str:
    """Digest of a solution's results; compared with the verdict's, which another hash seed gave."""
    program = _load(draft.code)
    return _digest([repr(program[draft.function](*arguments)) for arguments in draft.inputs])


def _difference(draft: Draft, blobs: Sequence[bytes], printed: Sequence[str]) -> str:
    program: dict[str, Any] = dict(vars(prelude))
    try:
        exec(compile(draft.reference, "<reference>", "exec"), program)
        for blob, kept, expected in zip(blobs, draft.inputs, printed, strict=True):
            other = repr(program[REFERENCE](*marshal.loads(blob)))
            if other != expected:
                return f"{kept}: {expected}, the other way {other}"
    except BaseException as error:
        return f"the other way: {type(error).__name__}: {error}"
    return ""


def _mutation(
    draft: Draft, blobs: Sequence[bytes], results: Sequence[Any], values: tuple[str, ...], digest: str
) -> Verdict:
    """Choose tests that tell mutants from the solution, and judge the tests by the mutants that they miss."""
    tests = _first_tests(values)
    wrong: list[tuple[int, int]] = []
    killed = survived = equivalent = 0
    turns, faults = ticks(draft.code), _sample([*mutants(draft.code), *draft.faults])
    for number, fault in faults:
        mutant = _load(apply(draft.code, [*turns, fault]))
        order = [*tests, *(i for i in range(draft.shown) if i not in tests and len(tests) < MAX_TESTS)]
        at, crashed = _first_wrong(mutant, draft.function, blobs, results, order)
        if at >= 0:
            killed += 1
            if at not in tests:
                tests.append(at)
            if not crashed:
                wrong.append((number, at))
        elif _first_wrong(mutant, draft.function, blobs, results, range(len(blobs)))[0] >= 0:
            survived += 1
        else:
            equivalent += 1
        if survived > (1 - MUTATION_SCORE) * len(faults):
            break
    verdict = Verdict("", "", values, tuple(sorted(tests)), tuple(wrong), killed, survived, equivalent, digest)
    if len(wrong) < MIN_MUTANTS:
        return replace(verdict, reason="too few mutants", detail=f"{len(wrong)} of {killed + survived + equivalent}")
    if verdict.mutation_score < MUTATION_SCORE:
        return replace(verdict, reason="weak tests", detail=f"{killed} of {killed + survived} mutants")
    return verdict


def _sample(faults: list[Edit]) -> list[tuple[int, Edit]]:
    """At most MAX_MUTANTS of them with their numbers, evenly spaced over the program."""
    count = min(len(faults), MAX_MUTANTS)
    return [(i * len(faults) // count, faults[i * len(faults) // count]) for i in range(count)]


def _first_tests(values: Sequence[str]) -> list[int]:
    """The first input, and the first ones with other results: a test that repeats a result explains little."""
    tests = [0]
    for i, value in enumerate(values):
        if len(tests) < 3 and value not in [values[j] for j in tests]:
            tests.append(i)
    return tests


def _first_wrong(
    program: dict[str, Any], function: str, blobs: Sequence[bytes], results: Sequence[Any], order: Iterable[int]
) -> tuple[int, bool]:
    """The first input in `order` with another result, and whether that was a crash; (-1, False) when there is none."""
    for i in order:
        try:
            if _call(program, function, marshal.loads(blobs[i])) != results[i]:
                return i, False
        except BaseException:
            return i, True
    return -1, False


def _load(source: str) -> dict[str, Any]:
    program: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "<program>", "exec"), program)
    return program


def _call(program: dict[str, Any], function: str, arguments: tuple[Any, ...]) -> Any:
    program["_tick"] = bytearray(TURNS).pop
    return program[function](*arguments)


def _digest(printed: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(printed).encode()).hexdigest()[:16]
