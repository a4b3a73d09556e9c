"""What a template draws (a draft) and what is left when it has been executed (a problem)."""

import ast
import hashlib
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Draft:
    """A problem that has not been executed.

    Attributes:
        function: name of the function asked for.
        parameters: its parameters as in a definition, "numbers: list[int], k: int".
        returns: its return annotation.
        statement: what it does, in English.
        solution: body of the function, flush left.
        reference: body of a second implementation written another way, or "" when there is none.
        inputs: argument tuples, boundary cases first; literals only, so that they can be printed in a test.
    """

    function: str
    parameters: str
    returns: str
    statement: str
    solution: str
    reference: str
    inputs: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Template:
    """A family of problems. All of them share its name as their group, so a held-out template is unseen."""

    name: str
    draw: Callable[[Random], Draft]


@dataclass(frozen=True)
class Problem:
    """A problem whose solution passed its tests.

    Attributes:
        template: the family that it was drawn from.
        statement: what the function does, with the worked examples that its docstring shows.
        function: name of the function.
        solution: source of the function with its docstring.
        tests: assertions, all of which were executed and hold.
        level: "differential" when a second implementation gave the same results on all inputs, else "executed".
            Neither is a proof.
    """

    template: str
    statement: str
    function: str
    solution: str
    tests: tuple[str, ...]
    level: str


def code(text: str) -> str:
    """A block of code as templates write it, flush left and without blank edges."""
    return textwrap.dedent(text).strip("\n")


def definition(draft: Draft, body: str, docstring: str = "") -> str:
    """Source of the function with `body`."""
    head = f"def {draft.function}({draft.parameters}) -> {draft.returns}:\n"
    return head + textwrap.indent(docstring + body, "    ", lambda line: bool(line.strip())) + "\n"


def call(draft: Draft, arguments: tuple[Any, ...]) -> str:
    return f"{draft.function}({', '.join(map(repr, arguments))})"


def render(problem: Problem) -> str:
    """The document: the function, then its tests."""
    return problem.solution + "\n\n" + "\n".join(problem.tests) + "\n"


def shape(solution: str) -> str:
    """Hash of a function's syntax tree with its names numbered in order of appearance and its docstring taken out.

    Two solutions that differ in naming, comments or layout alone have one shape. Built-in names and methods count
    as they are, since they decide what the program does.
    """
    function = ast.parse(solution).body[0]
    assert isinstance(function, ast.FunctionDef)
    if ast.get_docstring(function) is not None:
        function.body = function.body[1:]
    own = {function.name} | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    own |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(function) if isinstance(node, ast.FunctionDef)}
    numbers: dict[str, str] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in own:
            node.id = numbers.setdefault(node.id, f"v{len(numbers)}")
        elif isinstance(node, ast.arg):
            node.arg = numbers.setdefault(node.arg, f"v{len(numbers)}")
        elif isinstance(node, ast.FunctionDef):
            node.name = numbers.setdefault(node.name, f"v{len(numbers)}")
    return hashlib.sha256(ast.dump(function).encode()).hexdigest()
