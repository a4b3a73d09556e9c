"""Evol-Instruct by a server: it makes problems harder, round by round, with a solution and tests of its own.

After WizardCoder (arXiv:2306.08568) and PanGu-Coder2 (arXiv:2307.14936, section 3), which evolve in depth; the words
are ours. Nothing is believed: a solution has to pass its tests in the sandbox, and the tests have to fail a program
that does nothing. What a rule drops is counted. Without a server, `mixtures.synthetic` evolves by a grammar.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.evals.benchmarks import benchmark_of
from analysis.evals.code import executed, selftest
from analysis.evals.code.box import Sandbox
from analysis.evals.code.executed import Problem
from analysis.evals.preference import endpoint
from analysis.evals.preference.purse import Purse
from experiments.make import answers
from experiments.make.levels import PASSES, executed_levels
from experiments.make.node import VERDICTS, Progress, write_rows
from experiments.make.teachers import asked, request
from experiments.plan.sources import RECORD_SCHEMA, read_record
from experiments.study import Endpoint
from mixtures.benchmarks import load as benchmarks
from mixtures.benchmarks.item import Item
from mixtures.documents.document import hash64
from store import appended, layout
from store.digests import short
from store.errors import Failure, UserError
from store.files import write_sealed
from store.lock import exclusive

EVOLVE_VERSION = 1
"""Of words, rules and rows: change one and bump it."""
WAYS = (
    "has one more condition that the result must meet",
    "takes one more argument, which changes what is asked",
    "asks for the same of nested or more general input",
    "has a rare case that is easy to overlook, and says what is to happen then",
    "needs one step of thought more before the result",
    "joins it with a second, different task on the result",
)
SYSTEM = "You set programming problems in Python, each with a solution and tests."
ASKED = (
    "A problem:\n\n{text}\n\nSet another one that {way}, in as few words, for one function of the standard library's "
    "Python without input or output. Reply with three fenced blocks and nothing else: the problem in words, which name "
    "the function; a solution; and four or more lines of assert that call it, rare cases among them."
)
MAX_TOKENS = 2_048
FEWEST_TESTS = 3

REFUSED, NO_BLOCKS, NO_PYTHON = "refused", "not a problem, a solution and tests", "no Python"
FEW_TESTS, WEAK = f"under {FEWEST_TESTS} tests of a function", "its tests run within a program's reach"
KNOWN, FAILS, VACUOUS = "a problem again", "its solution fails its tests", "its tests pass a program that does nothing"
KEPT = "kept"

_BLOCK = re.compile(r"```[^\n`]*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True)
class Evolving:
    """What is evolved, and how.

    Attributes:
        source: name of what comes of it.
        task: the code task whose problems, with a text of their own, it begins with.
        problems: the first so many by sha256 of the id; None for all.
        by: the server.
        rounds: how often each is made harder.
        temperature: of the server.
    """

    source: str
    task: str
    problems: int | None
    by: Endpoint
    rounds: int = 2
    temperature: float = 0.8


@dataclass(frozen=True)
class _Evolved:
    """A problem in words, which descends from the problem `seed`."""

    seed: str
    text: str
    problem: Problem | None = None


def evolve(what: Evolving, store: Path, progress: Progress = lambda what, done, total: None) -> Path:
    """The folder of the examples in the store, made if they are not there; replies are replayed.

    Examples are rows as of `node.make`, with a problem and what descends from it in one group.

    Raises:
        UserError: the task's problems have no words of their own, or nothing is left.
        Failure: there is no sandbox, the server cannot be used, or the disk is full; what was found is kept.
    """
    sandbox = selftest.ensure(store)
    seeds = _seeds(what, store)
    identity = {
        "version": [EVOLVE_VERSION, executed.VERSION],
        "seeds": short([asdict(seed) for seed in seeds]),
        "by": [what.by.model, endpoint.Endpoint(what.by.base_url, what.by.model).address],
        "rounds": what.rounds,
        "temperature": what.temperature,
    }
    folder = store / layout.MADE / f"{what.source}-{short(identity)}"
    if read_record(folder) is not None:
        return folder
    with exclusive(folder / layout.LOCK, f"what is made in {folder}"):
        kept, counts = _rounds(what, seeds, sandbox, store, folder, progress)
        if not kept:
            said = ", ".join(f"{why}: {count:,}" for why, count in counts.most_common())
            raise UserError(f"'{what.by.model}' evolved none of {len(seeds):,} problems ({said}); ask another model")
        rows = [_example(its.seed, its.problem) for its in kept if its.problem is not None]
        record = {"schema": RECORD_SCHEMA, "source": what.source, "identity": identity, "documents": len(rows)}
        record |= {"problems": dict(sorted(counts.items())), "sha256": write_rows(folder / layout.EXAMPLES, rows)}
        write_sealed(folder / layout.RECORD, record)
        appended.drop(folder / VERDICTS)
    return folder


def _seeds(what: Evolving, store: Path) -> list[_Evolved]:
    rows = benchmarks.load(benchmark_of(what.task), store / layout.DOWNLOADS)
    chosen = rows if what.problems is None else benchmarks.first(rows, what.problems)
    seeds = [_Evolved(item.id, text) for item in chosen if (text := item.fields.get("text", item.fields.get("prompt")))]
    if not seeds:
        raise UserError(f"the problems of task '{what.task}' have no words that could be evolved; choose another task")
    return seeds


def _rounds(
    what: Evolving, seeds: Sequence[_Evolved], sandbox: Sandbox, store: Path, folder: Path, progress: Progress
) -> tuple[list[_Evolved], Counter[str]]:
    """All that is kept, and how many replies every rule dropped. A problem that is dropped is not evolved further."""
    how = {"temperature": what.temperature, "max_tokens": MAX_TOKENS}
    server = endpoint.Endpoint(what.by.base_url, what.by.model, how, what.by.dollars_per_million)
    purse = Purse(what.by.max_dollars)
    kept: list[_Evolved] = []
    counts: Counter[str] = Counter()
    last = list(seeds)
    for number in range(what.rounds):
        show = partial(_showing, progress, number, what.rounds)
        requests = {its.seed: request(server, SYSTEM, _words(its, number)) for its in last}
        replies = asked(server, requests, store, purse, show)
        read = [(its, *_read(its, replies[its.seed], number)) for its in last]
        counts.update(why for _, why, _ in read if why)
        fresh = [new for _, why, new in read if not why and new is not None]
        seen = {" ".join(its.text.split()) for its in (*seeds, *kept)}
        verdicts, last = _verdicts(fresh, sandbox, folder), []
        for its in fresh:
            plain = " ".join(its.text.split())
            why = KNOWN if plain in seen else verdicts[its.seed]
            counts[why or KEPT] += 1
            seen.add(plain)
            last += [] if why else [its]
        kept += last
    progress("evolved", what.rounds, what.rounds)
    return kept, counts


def _showing(progress: Progress, number: int, rounds: int, done: int, total: int) -> None:
    progress(f"round {number + 1}, {total:,} requests", number + done / total, rounds)


def _words(its: _Evolved, number: int) -> str:
    way = WAYS[hash64(f"{its.seed} {number}") % len(WAYS)]
    return ASKED.format(text=its.text.strip(), way=way)


def _read(its: _Evolved, reply: str | None, number: int) -> tuple[str, _Evolved | None]:
    """Why a reply is dropped, or "" and the problem in it."""
    if reply is None:
        return REFUSED, None
    blocks = [block.strip("\n") for block in _BLOCK.findall(reply.replace("\r\n", "\n"))]
    if len(blocks) != 3 or '"""' in blocks[0]:
        return NO_BLOCKS, None
    if fault := next(filter(None, map(answers.fault_of, blocks)), ""):
        return fault, None
    text, solution, tests = blocks
    fields = {"text": text, "solution": solution, "tests": tests, "setup": ""}
    try:
        problem = executed.mbpp(Item(its.seed, f"{its.seed}/{number + 1}", fields))
    except (Failure, RecursionError, MemoryError):
        return NO_PYTHON, None
    if problem.check.weak:
        return WEAK, None
    if not problem.check.names or tests.count("assert ") < FEWEST_TESTS:
        return FEW_TESTS, None
    return "", _Evolved(its.seed, text, problem)


def _verdicts(fresh: Sequence[_Evolved], sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """By seed, why a problem is dropped for what came of its solution and of a program that does nothing; "" if not."""
    problems = [its.problem for its in fresh if its.problem is not None]
    stub = "def {}(*args, **kwargs):\n    return None"
    stubs = {problem.id: "\n".join(map(stub.format, problem.check.names)) for problem in problems}
    texts = {problem.id: (problem.solution, stubs[problem.id]) for problem in problems}
    levels = executed_levels(sandbox, problems, texts, folder / VERDICTS, {"made": folder.name}, lambda done: None)
    found = {}
    for its, problem in zip(fresh, problems, strict=True):
        fails = levels[problem.id, problem.solution] != PASSES
        vacuous = levels[problem.id, stubs[problem.id]] == PASSES
        found[its.seed] = FAILS if fails else VACUOUS if vacuous else ""
    return found


def _example(seed: str, problem: Problem) -> Mapping[str, Any]:
    row = {"id": problem.id, "group": seed, "prompt": problem.prompt, "answer": problem.solution.rstrip()}
    return row | {"set": "", "score": 0}
