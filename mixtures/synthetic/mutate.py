"""Small faults planted in a program, as edits of its text.

The operators are those of mutation testing (DeMillo, Lipton and Sayward 1978; the "traditional" set of later tools):
a comparison, its boundary, an arithmetic or logical operator, an integer constant, min/max, continue/break, or a
function's result is changed, one at a time.
"""

import ast
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    **{ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")},
    **{ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in")},
    **{ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "//")},
    **{ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|")},
    **{ast.And: ("and", "or"), ast.Or: ("or", "and")},
}
SWAPS = {"min": "max", "max": "min", "any": "all", "all": "any"}
EMPTY = {"int": "0", "bool": "False", "str": '""', "list": "[]", "dict": "{}"}

TICK = "_tick()"
_PARSING = threading.Lock()


@dataclass(frozen=True, order=True)
class Edit:
    """Replace source[start:end] by text."""

    start: int
    end: int
    text: str


def parsed(source: str) -> ast.Module:
    """Its syntax tree. One thread at a time: Python 3.11 counts the depths of two threads as one and gives up."""
    with _PARSING:
        return ast.parse(source)


def apply(source: str, edits: Iterable[Edit]) -> str:
    """`source` with edits that do not overlap."""
    parts, position = [], 0
    for edit in sorted(edits):
        parts += [source[position : edit.start], edit.text]
        position = edit.end
    return "".join(parts) + source[position:]


def mutants(source: str) -> list[Edit]:
    """Every single fault, by place. Their order does not depend on names, so a number means one fault in all namings.

    `source` is ASCII (offsets in a syntax tree count bytes). Docstrings, annotations and f-strings are left alone.
    """
    starts = _line_starts(source)
    edits: set[Edit] = set()
    for node in _program(parsed(source)):
        edits.update(_faults(node, source, starts))
    return sorted(edits)


def ticks(source: str) -> list[Edit]:
    """Insertions that count every loop turn and every call of the program's functions: time without a clock."""
    starts = _line_starts(source)
    edits = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.For | ast.While | ast.FunctionDef):
            first = node.body[0]
            place = starts[first.lineno - 1] + first.col_offset
            edits.append(Edit(place, place, f"{TICK}\n{' ' * first.col_offset}"))
    return edits


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _program(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "names"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _program(child)


def _faults(node: ast.AST, source: str, starts: list[int]) -> Iterator[Edit]:
    """The faults at one node."""
    for left, right, kind in _operations(node):
        if type(kind) in OPERATORS:
            old, new = OPERATORS[type(kind)]
            place = source.index(old, _span(left, starts)[1], _span(right, starts)[0])
            yield Edit(place, place + len(old), new)
    match node:
        case ast.Constant(value=bool(value)):
            yield Edit(*_span(node, starts), str(not value))
        case ast.Constant(value=int(value)):
            yield Edit(*_span(node, starts), str(value + 1))
            if value > 0:
                yield Edit(*_span(node, starts), str(value - 1))
        case ast.Name() if node.id in SWAPS:
            yield Edit(*_span(node, starts), SWAPS[node.id])
        case ast.Continue() | ast.Break():
            yield Edit(*_span(node, starts), "break" if isinstance(node, ast.Continue) else "continue")
        case ast.FunctionDef():
            yield from _empty_returns(node, source, starts)


def _operations(node: ast.AST) -> list[tuple[ast.AST, ast.AST, ast.AST]]:
    """(left operand, right operand, operator) of everything that stands between two operands."""
    match node:
        case ast.Compare():
            return list(zip([node.left, *node.comparators], node.comparators, node.ops, strict=False))
        case ast.BinOp():
            return [(node.left, node.right, node.op)]
        case ast.AugAssign():
            return [(node.target, node.value, node.op)]
        case ast.BoolOp():
            return [(left, right, node.op) for left, right in zip(node.values, node.values[1:], strict=False)]
    return []


def _empty_returns(node: ast.FunctionDef, source: str, starts: list[int]) -> Iterator[Edit]:
    empty = EMPTY.get(ast.unparse(node.returns).partition("[")[0]) if node.returns else None
    for inner in ast.walk(node):
        if isinstance(inner, ast.Return) and inner.value is not None and empty:
            first, last = _span(inner.value, starts)
            if source[first:last] != empty:
                yield Edit(first, last, empty)


def _span(node: ast.AST, starts: list[int]) -> tuple[int, int]:
    assert isinstance(node, ast.expr | ast.stmt) and node.end_lineno is not None and node.end_col_offset is not None
    return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
