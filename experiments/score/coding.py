"""Code tasks of a study: a checkpoint writes programs, which are kept, executed in the sandbox and counted."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.evals import decoding, filling
from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.evals.code import executed, infilling, selftest
from analysis.evals.code.box import Sandbox
from analysis.evals.code.executed import Problem
from analysis.evals.code.infilling import Hole
from analysis.evals.decoding import Decoding
from analysis.evals.engine import Ask, generate, too_long
from analysis.evals.executed_tasks import executed_task
from analysis.evals.model import LanguageModel
from analysis.records import Item
from mixtures.benchmarks import load as benchmarks
from mixtures.documents.document import hash64
from models.devices.threads import cores
from store import kept_rows
from store.digests import short
from store.files import read_json, write_json

PORTION = 64
"""Completions between two writes to the disk."""


@dataclass(frozen=True)
class CodeTask:
    """Problems to write programs for, and a sandbox that has passed its self-test to execute them in.

    Attributes:
        name: as `analysis.evals.executed_tasks` has it.
        runs: whether each problem's tests run on this machine, whoever answers: its reference solution passes.
        decoding: how completions are drawn.
        holes: for infilling, what the problems are of.
        clusters: what each problem shares with others, "" where it stands alone; none where all do.
    """

    name: str
    problems: tuple[Problem, ...]
    runs: tuple[bool, ...]
    decoding: Decoding
    sandbox: Sandbox
    holes: tuple[Hole, ...] = ()
    clusters: tuple[str, ...] = ()

    @property
    def prompt_hash(self) -> str:
        """Of all that is asked: problems, tests, holes, samples and how they are drawn."""
        asked: list[Any] = [[asdict(problem) for problem in self.problems]]
        if self.decoding.name in decoding.PRESETS:
            asked.append(asdict(replace(self.decoding, ours="")))
        else:
            drawing = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p}
            asked += [self.decoding.samples, drawing, self.decoding.new_tokens]
        if self.holes:
            asked.append([(hole.suffix, hole.suffix_first) for hole in self.holes])
        return short(asked, 16)


def load(name: str, problems: int | None, samples: int, store: Path) -> CodeTask:
    """The first `problems` of a task, or of its holes, by sha256 of their id; all of them for None.

    Without a preset there are so many `samples` of each, and one of a hole, greedily. The first call on a machine takes
    the sandbox through its self-test, some 15 seconds, and the problems' reference solutions through their tests.

    Raises:
        UserError: there is no such task.
        Failure: the data cannot be had, or nothing may be executed here; the message is what a record's gap says.
    """
    its = executed_task(name)
    sandbox = selftest.ensure(store)
    rows = benchmarks.load(benchmark_of(its.task), store / "downloads")
    problem = TASKS[its.task].problem
    assert problem is not None
    if its.holes:
        whole = {each.id: each for each in map(problem, rows)}
        holes = infilling.first(infilling.holes(its.holes, [*whole.values()], its.suffix_first), problems)
        bases = tuple(dict.fromkeys(hole.base for hole in holes))
        runs = dict(zip(bases, _runs(tuple(whole[base] for base in bases), sandbox, store), strict=True))
        here = tuple(runs[hole.base] for hole in holes)
        return CodeTask(name, tuple(hole.problem for hole in holes), here, decoding.default(1), sandbox, holes)
    chosen = rows if problems is None else benchmarks.first(rows, problems)
    asked = tuple(map(problem, chosen))
    clusters = tuple(item.cluster for item in chosen) if any(item.cluster for item in chosen) else ()
    here = _runs(asked, sandbox, store)
    if its.preset is None:
        return CodeTask(name, asked, here, decoding.default(samples), sandbox, clusters=clusters)
    posed = tuple(decoding.posed(each, its.preset) for each in asked)
    return CodeTask(name, posed, here, its.preset, sandbox, clusters=clusters)


def _runs(problems: tuple[Problem, ...], sandbox: Sandbox, store: Path) -> tuple[bool, ...]:
    """Which problems' tests run here: decided once on a machine, then read, so that it is the same for all arms."""
    asked = [selftest.identity(sandbox), executed.VERSION, [asdict(problem) for problem in problems]]
    path = store / f"references-{short(asked, 16)}.json"
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
    asked = _asked(model, task)
    texts = _completions(model, task, [ask for ask, _ in asked], kept)
    cut = [
        [executed.extract(problem, text) for text in each] for problem, each in zip(task.problems, texts, strict=True)
    ]
    suffixes = [hole.suffix for hole in task.holes] or [""] * len(cut)
    whole = [[text + suffix for text in each] for each, suffix in zip(cut, suffixes, strict=True)]
    judged = [each if here else [] for each, here in zip(whole, task.runs, strict=True)]
    verdicts = executed.run(task.sandbox, task.problems, judged, jobs=len(cores()))
    found = executed.items(task.problems, cut, verdicts, task.runs)
    for row, (_, lost) in zip(found, asked, strict=True):
        if lost:
            row["cut"] = 1
    if task.holes:
        for row, hole, each, gold in zip(found, task.holes, cut, filling.gold(model, task.holes), strict=True):
            row |= gold | {"exact": sum(filling.exact(hole, text) for text in each) / len(each)}
    for row, cluster in zip(found, task.clusters, strict=False):
        row["cluster"] = cluster
    return found


def _completions(model: LanguageModel, task: CodeTask, asks: Sequence[Ask], kept: Path) -> list[list[str]]:
    """Every problem's completions, from the file or from the model, which are appended to the file as they come."""
    key = {"prompts": task.prompt_hash}
    said = {(row["id"], row["sample"]): row["text"] for row in kept_rows.read(kept, key)}
    wanted = [
        (problem.id, sample, replace(ask, seed=_seed(task, problem, sample)))
        for problem, ask in zip(task.problems, asks, strict=True)
        for sample in range(task.decoding.samples)
    ]
    missing = [each for each in wanted if each[:2] not in said]
    fresh: list[dict[str, Any]] = []
    for number, text in generate(model, [ask for _, _, ask in missing]):
        id_, sample, _ = missing[number]
        said[id_, sample] = text
        fresh.append({"id": id_, "sample": sample, "text": text})
        if len(fresh) == PORTION or len(said) == len(wanted):
            kept_rows.keep(kept, key, fresh)
            fresh.clear()
    return [[said[problem.id, sample] for sample in range(task.decoding.samples)] for problem in task.problems]


def _asked(model: LanguageModel, task: CodeTask) -> list[tuple[Ask, bool]]:
    """What is asked for a completion of every problem, and whether its prompt is too long to be shown whole."""
    if task.holes:
        shown = [whole for whole, _ in filling.prompts(model, task.holes, [sys.maxsize] * len(task.holes))]
        rooms = [_room(model, len(whole), task) for whole in shown]
        prompts = filling.prompts(model, task.holes, [model.window - 1 - room for room in rooms])
        pairs = zip(task.problems, prompts, rooms, strict=True)
        return [(_drawn(ids, problem, room, task), cut) for problem, (ids, cut), room in pairs]
    asks = [_ask(model, problem, task) for problem in task.problems]
    return [*zip(asks, too_long(model, asks), strict=True)]


def _ask(model: LanguageModel, problem: Problem, task: CodeTask) -> Ask:
    tokens = len(model.tokenizer.encode(problem.prompt, add_special_tokens=False).ids)
    return _drawn(problem.prompt, problem, _room(model, tokens, task), task)


def _room(model: LanguageModel, prompt_tokens: int, task: CodeTask) -> int:
    """A completion gets what the window leaves, and a quarter of it at least: then the prompt loses its beginning."""
    return max(model.window // 4, min(task.decoding.new_tokens, model.window - 1 - prompt_tokens))


def _drawn(prompt: str | tuple[int, ...], problem: Problem, room: int, task: CodeTask) -> Ask:
    how = task.decoding
    return Ask(prompt, problem.stops, room, how.temperature, how.top_p, _seed(task, problem, 0), how.top_k)


def _seed(task: CodeTask, problem: Problem, sample: int) -> int:
    return hash64(f"{task.name} {problem.id} {sample}") % 2**31
