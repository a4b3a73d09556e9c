"""Code tasks of a study: a checkpoint writes programs, which are kept, executed in the sandbox and counted."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.evals.code import executed, selftest
from analysis.evals.code.box import Sandbox
from analysis.evals.code.executed import Problem
from analysis.evals.engine import Ask, generate, too_long
from analysis.evals.model import LanguageModel
from analysis.records import Item
from mixtures.benchmarks import load as benchmarks
from mixtures.documents.document import hash64
from models.devices.threads import cores
from store import kept_rows
from store.files import read_json, write_json

PORTION = 64
"""Completions between two writes to the disk."""


@dataclass(frozen=True)
class CodeTask:
    """Problems to write programs for, and a sandbox that has passed its self-test to execute them in.

    Attributes:
        name: one of `analysis.evals.benchmarks.EXECUTED`.
        runs: whether each problem's tests run on this machine, whoever answers: its reference solution passes.
        samples: completions of each problem: one greedily, or several at temperature 0.8 and top-p 0.95.
        clusters: what each problem shares with others, "" where it stands alone; none where all do.
    """

    name: str
    problems: tuple[Problem, ...]
    runs: tuple[bool, ...]
    samples: int
    sandbox: Sandbox
    clusters: tuple[str, ...] = ()

    @property
    def drawing(self) -> dict[str, float]:
        return {"temperature": 0.8, "top_p": 0.95} if self.samples > 1 else {"temperature": 0.0, "top_p": 1.0}

    @property
    def prompt_hash(self) -> str:
        """Of all that is asked: problems, tests, samples and how they are drawn."""
        asked = [[asdict(problem) for problem in self.problems], self.samples, self.drawing, executed.NEW_TOKENS]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def load(name: str, problems: int | None, samples: int, store: Path) -> CodeTask:
    """The first `problems` of a task by sha256 of their id; all of them for None.

    The first call on a machine takes the sandbox through its self-test, some 15 seconds, and the problems' reference
    solutions through their tests.

    Raises:
        Failure: the data cannot be had, or nothing may be executed here; the message is what a record's gap says.
    """
    sandbox = selftest.ensure(store)
    rows = benchmarks.load(benchmark_of(name), store / "downloads")
    chosen = rows if problems is None else benchmarks.first(rows, problems)
    problem = TASKS[name].problem
    assert problem is not None
    asked = tuple(map(problem, chosen))
    clusters = tuple(item.cluster for item in chosen)
    return CodeTask(name, asked, _runs(asked, sandbox, store), samples, sandbox, clusters if any(clusters) else ())


def _runs(problems: tuple[Problem, ...], sandbox: Sandbox, store: Path) -> tuple[bool, ...]:
    """Which problems' tests run here: decided once on a machine, then read, so that it is the same for all arms."""
    asked = [selftest.identity(sandbox), executed.VERSION, [asdict(problem) for problem in problems]]
    path = store / f"references-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}.json"
    if not path.exists():
        found = executed.run(sandbox, problems, [[problem.solution] for problem in problems], jobs=len(cores()))
        references = [verdict for (verdict,) in found]
        for number, here in enumerate(executed.runnable(problems, references)):
            if not here:  # a busy machine may fail it once, and it would be missing from every arm's pass@k for good
                alone = problems[number]
                ((references[number],),) = executed.run(sandbox, [alone], [[alone.solution]])
        pairs = zip(problems, references, executed.runnable(problems, references), strict=True)
        write_json(path, [{"id": p.id, "runs": here, "reference": asdict(verdict)} for p, verdict, here in pairs])
    return tuple(row["runs"] for row in read_json(path, "what runs here"))


def score(model: LanguageModel, task: CodeTask, kept: Path) -> list[Item]:
    """The record's items of a task: every problem with how many of its samples passed.

    Args:
        model: writes the programs.
        task: what to write.
        kept: file of all completions so far (see store/kept_rows.py); what is in it is not generated again.

    Raises:
        Failure: the machine gives no box any more, or the disk is full; the completions are kept.
    """
    texts = _completions(model, task, kept)
    cut = [
        [executed.extract(problem, text) for text in each] for problem, each in zip(task.problems, texts, strict=True)
    ]
    judged = [each if here else [] for each, here in zip(cut, task.runs, strict=True)]
    verdicts = executed.run(task.sandbox, task.problems, judged, jobs=len(cores()))
    long = too_long(model, [_ask(model, problem, 0, task) for problem in task.problems])
    found = executed.items(task.problems, cut, verdicts, task.runs)
    for row, lost in zip(found, long, strict=True):
        if lost:
            row["cut"] = 1
    for row, cluster in zip(found, task.clusters, strict=False):
        row["cluster"] = cluster
    return found


def _completions(model: LanguageModel, task: CodeTask, kept: Path) -> list[list[str]]:
    """Every problem's completions, from the file or from the model, which are appended to the file as they come."""
    key = {"prompts": task.prompt_hash}
    said = {(row["id"], row["sample"]): row["text"] for row in kept_rows.read(kept, key)}
    wanted = [(problem, sample) for problem in task.problems for sample in range(task.samples)]
    missing = [(problem, sample) for problem, sample in wanted if (problem.id, sample) not in said]
    fresh: list[dict[str, Any]] = []
    for number, text in generate(model, [_ask(model, problem, sample, task) for problem, sample in missing]):
        problem, sample = missing[number]
        said[problem.id, sample] = text
        fresh.append({"id": problem.id, "sample": sample, "text": text})
        if len(fresh) == PORTION or len(said) == len(wanted):
            kept_rows.keep(kept, key, fresh)
            fresh.clear()
    return [[said[problem.id, sample] for sample in range(task.samples)] for problem in task.problems]


def _ask(model: LanguageModel, problem: Problem, sample: int, task: CodeTask) -> Ask:
    """A completion gets what the window leaves, and a quarter of it at least: then the prompt loses its beginning."""
    prompt_tokens = 1 + len(model.tokenizer.encode(problem.prompt, add_special_tokens=False).ids)
    room = max(model.window // 4, min(executed.NEW_TOKENS, model.window - prompt_tokens))
    seed = hash64(f"{task.name} {problem.id} {sample}") % 2**31
    return Ask(problem.prompt, problem.stops, room, seed=seed, **task.drawing)
