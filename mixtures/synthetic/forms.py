"""The texts that a problem becomes."""

import textwrap
from dataclasses import replace

from mixtures.synthetic.problem import Problem

FORMS = ("completion", "tested", "instruction", "repair")
"""completion: function with docstring; tested: the same with its assertions; instruction: statement, then solution;
repair: a mutant, the test that it fails, the solution."""

MIX = ("completion", "completion", "tested", "completion", "instruction", "completion", "tested", "repair")
"""Forms by index modulo 8. A base model reads code as files hold it, so half of the problems are functions with
docstrings and a quarter have tests below; instruction pairs and repairs (as a commit would) are an eighth each."""

VARIANTS = ("verified", "unverified", "wrong")
"""What a source holds: verified problems, or for control those and the ones that a gate would drop, or the verified
ones, each with a mutant that fails its tests where the solution was and the other way round."""


def render(problem: Problem, form: str) -> str:
    """The text of `problem` in one of FORMS; a repair needs a wrong version, and without one is a completion."""
    function = documented(problem, problem.code)
    if form == "tested":
        return function + "\n\n" + "\n".join(problem.tests) + "\n"
    if form == "instruction":
        examples = "\n".join(f"{call} gives {value}" for call, value in problem.examples)
        named = f"Call the function `{problem.function}`."
        parts = (
            "Problem:\n" + textwrap.fill(f"{problem.statement} {named}", 88),
            examples,
            "Solution:\n\n" + problem.code,
        )
        return "\n\n".join(part for part in parts if part.strip())
    if form == "repair" and problem.wrong:
        before = documented(problem, problem.wrong)
        return f"{before}\n\n# This test fails:\n{problem.failing}\n\n\n# After the fix it passes:\n\n{function}"
    return function


def mixed(problem: Problem, variant: str = "verified") -> str:
    """The text of one of VARIANTS, in the form that the problem's index gets in a pre-training source."""
    if variant == "wrong":
        problem = replace(problem, code=problem.wrong, wrong=problem.code)
    return render(problem, MIX[problem.index % len(MIX)])


def documented(problem: Problem, code: str) -> str:
    """`code` with statement and examples as the docstring of the function."""
    examples = "\n".join(f">>> {call}\n{value}" for call, value in problem.examples)
    text = textwrap.fill(problem.statement, 84) + (f"\n\n{examples}" if examples else "")
    start = code.index(f"def {problem.function}(")
    body = code.index("\n", start) + 1
    return code[:body] + textwrap.indent(f'"""{text}\n"""\n', "    ", lambda line: bool(line.strip())) + code[body:]
