"""HumanEval and MBPP by execution: what the model completes, the program that this makes, and what came of it.

Zero-shot. HumanEval's prompt is upstream's, unchanged; MBPP's is the task and its first test in a docstring (as the
BigCode evaluation harness has it). Programs run in the sandbox only; analysis/scores.py makes pass@k of what it says.
"""

import ast
import builtins
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import records
from analysis.evals.code import pool
from analysis.evals.code.box import Limits, Sandbox
from analysis.evals.code.judge import Check, Verdict
from mixtures.benchmarks.item import Item
from store.errors import Failure

VERSION = 2
"""Of prompts, stops, checks, limits and decoding: change one and bump it."""
NEW_TOKENS = 512
"""Of a completion, at most; the longest reference solution has 300 or so."""
SAID = 200
"""Characters of a problem's first completion that its row keeps."""

_STOPS = ("\nclass", "\nif", "\nprint", "\n```", "\n<|", "<file_sep>")


@dataclass(frozen=True)
class Problem:
    """A function to write.

    Attributes:
        id: of the item.
        prompt: what the model continues.
        stops: texts that end its completion (which keeps none of them).
        head: what a completion is put after to become a program.
        check: the tests.
        solution: a completion that passes them; "" if the data has none.
    """

    id: str
    prompt: str
    stops: tuple[str, ...]
    head: str
    check: Check
    solution: str


def humaneval(item: Item) -> Problem:
    """A HumanEval row. The tests see the prompt's helper functions as the prompt has them, not as the program may."""
    fields = item.fields
    name, prompt = fields["entry_point"], fields["prompt"]
    check = Check((name,), f"{fields['tests']}\n\ncheck({name})\n", setup=prompt)
    return Problem(item.id, prompt, (*_STOPS, "\ndef", "\n#", "\n@"), prompt, check, fields["solution"])


def one_operation(item: Item) -> Problem:
    """A problem of one operation: the rest of a function, or as an answer to an instruction the whole of it."""
    fields = item.fields
    stops = (*_STOPS, "\ndef", "\n#", "\n@", "\nProblem:")
    check = Check((fields["entry_point"],), fields["tests"])
    return Problem(item.id, fields["prompt"], stops, fields["head"], check, fields["solution"])


def mbpp(item: Item) -> Problem:
    """An MBPP row with fields "text", "tests" (a statement a line), "setup" and "solution".

    What the tests call and the solution defines is asked of the program; a module that they use and only the solution
    imports, they import themselves. If a class is asked for, as in the rows that build trees, the check is weak.

    Raises:
        Failure: there are no tests, or its code is no Python.
    """
    fields = {name: text.replace("\r\n", "\n") for name, text in item.fields.items()}
    solution = fields["solution"]
    try:
        with warnings.catch_warnings(action="ignore"):  # upstream has "\w" in plain strings
            tests = ast.parse(f"{fields['setup']}\n{fields['tests']}")
            solved = ast.parse(solution)
    except (SyntaxError, ValueError) as error:
        raise Failure(f"benchmark '{item.benchmark}', item {item.id}: its code is no Python ({error})") from error
    if not fields["tests"].strip():
        raise Failure(f"benchmark '{item.benchmark}', item {item.id}: it has no tests")
    names = [node for node in ast.walk(tests) if isinstance(node, ast.Name)]
    used = {node.id for node in names} - {node.id for node in names if isinstance(node.ctx, ast.Store)}
    imports = [node for node in solved.body if isinstance(node, ast.Import | ast.ImportFrom)]
    needed = [node for node in imports if _imported(node) & (used - _imported(tests))]
    used -= _imported(tests).union(*map(_imported, needed))
    functions, classes = (_defined(solved, kind) for kind in (ast.FunctionDef, ast.ClassDef))
    asked = {name for name in used if not hasattr(builtins, name) or name in functions}
    setup = "\n".join([*map(ast.unparse, needed), fields["setup"]])
    check = Check(tuple(sorted(asked)), fields["tests"], setup, weak=bool(asked & classes))
    prompt = f'"""\n{fields["text"]}\n{fields["tests"].lstrip().splitlines()[0]}\n"""\n'
    return Problem(item.id, prompt, (*_STOPS, "\nassert", '\n"""'), "", check, solution)


def _defined(module: ast.Module, kind: type[ast.FunctionDef] | type[ast.ClassDef]) -> set[str]:
    return {node.name for node in module.body if isinstance(node, kind)}


def _imported(tree: ast.AST) -> set[str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}


def extract(problem: Problem, said: str) -> str:
    """The completion in what the model said: all before the first stop."""
    text = said.replace("\r\n", "\n")
    return text[: min((text.find(stop) for stop in problem.stops if stop in text), default=len(text))]


def run(
    sandbox: Sandbox,
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    jobs: int = 1,
    limits: Limits | None = None,
) -> list[list[Verdict]]:
    """The verdict on every completion of every problem. Equal programs of a problem are executed once.

    Raises:
        Failure: there is no sandbox (any more); nothing is scored then.
    """
    pairs = [
        (number, problem.head + completion)
        for number, (problem, texts) in enumerate(zip(problems, completions, strict=True))
        for completion in texts
    ]
    once = list(dict.fromkeys(pairs))
    found = pool.verdicts(sandbox, [(source, problems[number].check) for number, source in once], limits, jobs)
    verdict = dict(zip(once, found, strict=True))
    at = iter(pairs)
    return [[verdict[next(at)] for _ in texts] for texts in completions]


def runnable(problems: Sequence[Problem], references: Sequence[Verdict]) -> tuple[bool, ...]:
    """Whether each problem's tests run here, by the verdict on its reference solution: no other program has a say.

    Where the data has no reference, they run if they do without a program's help.
    """
    pairs = zip(problems, references, strict=True)
    return tuple(found.passed or (not problem.solution and found.reason != "check") for problem, found in pairs)


def items(
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    verdicts: Sequence[Sequence[Verdict]],
    runs: Sequence[bool],
) -> list[records.Item]:
    """Rows for an evaluation record: how many completions passed, of how many, and why the others did not.

    `runs` is what `runnable` says of the problems: of one that does not run none of the completions was judged, of the
    others each either passed or failed.
    """
    rows = []
    for problem, texts, each, here in zip(problems, completions, verdicts, runs, strict=True):
        reasons = Counter(verdict.reason for verdict in each)
        row: records.Item = {"id": problem.id, "runs": here, "samples": len(texts), "passed": reasons["passed"]}
        row |= {"reasons": {name: reasons[name] for name in sorted(reasons)}, "weak": problem.check.weak}
        row |= {"said": _utf8(texts[0][:SAID]), "sha256": hashlib.sha256(json.dumps(texts).encode()).hexdigest()}
        rows.append(row)
    return rows


def _utf8(text: str) -> str:
    """`text` with what UTF-8 cannot hold (half of a surrogate pair) replaced."""
    return text.encode(errors="replace").decode()
