"""What the grammar draws (a draft), what passed the gates (a problem), and how programs compare."""

import ast
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from mixtures.synthetic.mutate import Edit, parsed

REFERENCE = "reference"


@dataclass(frozen=True)
class Draft:
    """A problem that has not been executed.

    Attributes:
        family: domain and source of the values, "graphs-distances". A family's problems form one group.
        function: name of the function asked for.
        statement: what it does, in English.
        code: source of the function, helpers before it, no docstring.
        reference: source of a function named REFERENCE which reaches the same results by another algorithm. Its names
            are always the same ones, and it may use those of `prelude.py`.
        inputs: argument tuples, small ones first; literals only, so that a test can print them.
        shown: the first `shown` inputs may become tests; the others only judge.
        domain: how many inputs the statement allows, all of them among `inputs`; 0 when they cannot be listed.
        faults: of the code, beside those that `mutants` finds.
    """

    family: str
    function: str
    statement: str
    code: str
    reference: str
    inputs: tuple[tuple[Any, ...], ...]
    shown: int
    domain: int = 0
    faults: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A problem and how far it was checked.

    Attributes:
        index: its place in the generator's sequence.
        family: see `Draft`.
        statement: what the function does.
        function: name of the function.
        code: source without its docstring; `wrong` is a mutant of it that fails `failing`, or "".
        examples: pairs of a call and the printed result, for the docstring.
        tests: assertions.
        failing: the assertion that `wrong` fails.
        level: "differential" (two implementations agree) < "exhaustive(N)" (on N inputs, which are all that the
            statement allows); neither is a proof. "unverified" is what a gate dropped.
    """

    index: int
    family: str
    statement: str
    function: str
    code: str
    wrong: str
    examples: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    failing: str
    level: str


def call(function: str, arguments: tuple[Any, ...]) -> str:
    return f"{function}({', '.join(map(repr, arguments))})"


def fill(text: str, names: dict[str, str]) -> str:
    """`text` with every $name replaced that `names` knows."""
    return re.sub(r"\$(\w+)", lambda found: names.get(found[1], found[0]), text)


def shape(source: str) -> str:
    """Hash of a program's syntax tree with its own names numbered in order of appearance and docstrings taken out.

    Two programs that differ in naming, comments or layout alone have one shape, the same on every version of Python
    (`ast.dump` changes between versions). Built-in names and methods count as they are.
    """
    tree = parsed(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    parts: list[str] = []
    _write(tree, dict.fromkeys(own_names(tree), ""), parts)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def own_names(tree: ast.AST) -> set[str]:
    """What a program names itself: functions, parameters, variables."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return own


def _write(value: object, names: dict[str, str], parts: list[str]) -> None:
    """Append the tree's text to `parts`; a name of the program's own gets its number where it first appears."""
    if isinstance(value, ast.AST):
        parts.append(type(value).__name__)
        for field in value._fields:
            inner = getattr(value, field, None)
            if inner is not None and inner != [] and field != "ctx":
                parts.append(field)
                _write(inner, names, parts)
        parts.append(")")
    elif isinstance(value, list):
        for inner in value:
            _write(inner, names, parts)
    elif isinstance(value, str) and value in names:
        names[value] = names[value] or f"v{sum(1 for number in names.values() if number)}"
        parts.append(names[value])
    else:
        parts.append(repr(value))
