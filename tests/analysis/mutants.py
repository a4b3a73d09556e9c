"""Programs that differ from a right one in one place, as a mistaken programmer's might."""

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

_SWAPPED: dict[type, type] = {
    **{ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitXor: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


def mutants(source: str, function: str) -> list[tuple[str, str]]:
    """(what was changed, the program with that change) for every place in `function` of `source`."""
    tree = ast.parse(source)
    return [(f"line {line}: {what}", text) for line, what, text in _changed(tree, function)]


def _changed(tree: ast.Module, function: str) -> Iterator[tuple[int, str, str]]:
    for number, node in enumerate(_nodes(tree, function)):
        for what, change in _changes(node):
            other = copy.deepcopy(tree)
            change(_nodes(other, function)[number])
            yield getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(other))


def _nodes(tree: ast.Module, function: str) -> list[Any]:
    """All nodes of the last definition of `function`, its documentation left out."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function][-1]
    body = found.body[1:] if ast.get_docstring(found) is not None else found.body
    return [node for statement in body for node in ast.walk(statement)]


def _changes(node: Any) -> Iterator[tuple[str, Callable[[Any], None]]]:
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _SWAPPED:
        yield type(node.op).__name__, lambda n: setattr(n, "op", _SWAPPED[type(n.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        yield type(node.ops[0]).__name__, lambda n: n.ops.__setitem__(0, _SWAPPED[type(n.ops[0])]())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} + 1", lambda n: setattr(n, "value", n.value + 1)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"not {node.value}", lambda n: setattr(n, "value", not n.value)
    if isinstance(node, ast.Return) and node.value is not None:
        yield "returns None", lambda n: setattr(n, "value", ast.Constant(None))
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "condition negated", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
