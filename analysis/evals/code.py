"""HumanEval and MBPP by execution: what the model completes, the program that makes, and pass@k.

Zero-shot. HumanEval's prompt is upstream's, unchanged; MBPP's is the task and its first test in a docstring (as the
BigCode evaluation harness has it). Programs run in the sandbox only; what it says of them is scored by pure functions.
"""

import ast
import builtins
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import special

from analysis.evals.sandbox import pool
from analysis.evals.sandbox.box import Limits, Sandbox
from analysis.evals.sandbox.judge import Check, Verdict
from analysis.statistics import LEVEL
from mixtures.benchmarks import Item
from mixtures.errors import Failure, UserError

VERSION = 1
"""Of prompts, stops, checks and limits: change one and bump it."""

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


@dataclass(frozen=True)
class PassAtK:
    """pass@k over problems, with a 95 % interval whose sample size is the number of problems.

    Attributes:
        value: mean over problems of the unbiased estimate.
        problems: that were scored.
        samples: completions of each, the smallest number.
        weak: problems whose tests ran within the program's reach.
        unscored: ids of problems whose tests do not run here.
    """

    k: int
    value: float
    low: float
    high: float
    problems: int
    samples: int
    weak: int
    unscored: tuple[str, ...]


def humaneval(item: Item) -> Problem:
    """A HumanEval row. The tests see the prompt's helper functions as the prompt has them, not as the program may."""
    fields = _fields(item, ("prompt", "tests", "entry_point", "solution"))
    name = fields["entry_point"]
    check = Check((name,), f"{fields['tests']}\n\ncheck({name})\n", setup=fields["prompt"])
    return Problem(
        item.id, fields["prompt"], (*_STOPS, "\ndef", "\n#", "\n@"), fields["prompt"], check, fields["solution"]
    )


def mbpp(item: Item) -> Problem:
    """An MBPP row with fields "text", "tests" (a statement a line), "setup" and "solution".

    What the tests call and the solution defines is asked of the program. If that is a class, as in the one row that
    builds trees, the check is weak.

    Raises:
        Failure: a field is missing, or its code is no Python.
    """
    fields = {name: text.replace("\r\n", "\n") for name, text in _fields(item, ("text", "tests", "setup")).items()}
    solution = item.fields.get("solution", "").replace("\r\n", "\n")
    try:
        with warnings.catch_warnings(action="ignore"):  # upstream has "\w" in plain strings
            tests = ast.parse(f"{fields['setup']}\n{fields['tests']}")
            defined = {kind: _defined(ast.parse(solution), kind) for kind in (ast.FunctionDef, ast.ClassDef)}
    except (SyntaxError, ValueError) as error:
        raise Failure(f"benchmark '{item.benchmark}', item {item.id}: its code is no Python ({error})") from error
    names = [node for node in ast.walk(tests) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | _imported(tests)
    used = {node.id for node in names} - own
    asked = {name for name in used if not hasattr(builtins, name) or name in defined[ast.FunctionDef]}
    weak = bool(asked & defined[ast.ClassDef])
    check = Check(tuple(sorted(asked)), fields["tests"], fields["setup"], weak)
    prompt = f'"""\n{fields["text"]}\n{fields["tests"].splitlines()[0]}\n"""\n'
    return Problem(item.id, prompt, (*_STOPS, "\nassert", '\n"""'), "", check, solution)


PROBLEMS: Mapping[str, Callable[[Item], Problem]] = {"humaneval": humaneval, "mbpp": mbpp}


def _fields(item: Item, names: Sequence[str]) -> dict[str, str]:
    missing = [name for name in names if name not in item.fields]
    if missing:
        raise Failure(f"benchmark '{item.benchmark}', item {item.id}: the data file has no field '{missing[0]}'")
    return {name: item.fields[name] for name in names}


def _defined(module: ast.Module, kind: type[ast.FunctionDef] | type[ast.ClassDef]) -> set[str]:
    return {node.name for node in module.body if isinstance(node, kind)}


def _imported(module: ast.Module) -> set[str]:
    imports = [node for node in ast.walk(module) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}


def extract(problem: Problem, said: str) -> str:
    """The completion in what the model said: all before the first stop."""
    text = said.replace("\r\n", "\n")
    return text[: min((text.find(stop) for stop in problem.stops if stop in text), default=len(text))]


def program(problem: Problem, completion: str) -> str:
    """The source that is executed: nothing but the head and the completion; tests stay outside."""
    return problem.head + completion


def run(
    sandbox: Sandbox,
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    limits: Limits | None = None,
    jobs: int = 1,
) -> list[list[Verdict]]:
    """The verdict on every completion of every problem. Equal programs of a problem are executed once.

    Raises:
        Failure: there is no sandbox (any more); nothing is scored then.
    """
    pairs = [
        (number, program(problem, completion))
        for number, (problem, texts) in enumerate(zip(problems, completions, strict=True))
        for completion in texts
    ]
    once = list(dict.fromkeys(pairs))
    found = pool.verdicts(sandbox, [(source, problems[number].check) for number, source in once], limits, jobs)
    verdict = dict(zip(once, found, strict=True))
    at = iter(pairs)
    return [[verdict[next(at)] for _ in texts] for texts in completions]


def items(problems: Sequence[Problem], verdicts: Sequence[Sequence[Verdict]]) -> list[dict[str, Any]]:
    """Rows for an evaluation record: how many completions passed, of how many, and why the others did not."""
    rows = []
    for problem, each in zip(problems, verdicts, strict=True):
        reasons = Counter(verdict.reason for verdict in each)
        row: dict[str, Any] = {"id": problem.id, "samples": len(each), "passed": reasons["passed"]}
        row |= {"reasons": {name: reasons[name] for name in sorted(reasons)}, "weak": problem.check.weak}
        rows.append(row)
    return rows


def estimate(n: int, c: int, k: int) -> float:
    """The unbiased estimate of pass@k when c of n samples pass: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021, 2.1).

    Raises:
        UserError: fewer samples than k.
    """
    if not 0 < k <= n:
        raise UserError(f"pass@{k} needs at least {k} samples a problem and k of 1 or more; there are {n}")
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1)) if n - c >= k else 1.0


def pass_at(rows: Sequence[Mapping[str, Any]], k: int) -> PassAtK:
    """pass@k of the rows of `items`. Problems whose tests do not run are left out and named.

    Raises:
        UserError: a problem has fewer samples than k, or none could be scored.
    """
    unscored = tuple(str(row["id"]) for row in rows if row["reasons"].get("check"))
    scored = [row for row in rows if not row["reasons"].get("check")]
    if not scored:
        raise UserError(f"pass@{k} of no problem: there are {len(rows)} and the tests of none of them run")
    values = [estimate(row["samples"], row["passed"], k) for row in scored]
    low, high = interval(values)
    weak = sum(bool(row["weak"]) for row in scored)
    samples = min(row["samples"] for row in scored)
    return PassAtK(k, math.fsum(values) / len(values), low, high, len(values), samples, weak, unscored)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval for the mean of one value in [0, 1] per problem.

    Problems are the clusters: samples of one problem are far from independent, so only the spread between problems
    counts. It is Wilson's interval at the number of problems that the spread is worth (Korn and Graubard 1998), which,
    unlike a bootstrap, does not shrink to nothing where a small model passes no problem at all.
    """
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    worth = n * max(1.0, mean * (1 - mean) / spread) if spread > 0 else n
    z2 = float(special.ndtri((1 + LEVEL) / 2)) ** 2
    centre = (mean + z2 / (2 * worth)) / (1 + z2 / worth)
    reach = math.sqrt(z2 * (mean * (1 - mean) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return max(0.0, centre - reach), min(1.0, centre + reach)
