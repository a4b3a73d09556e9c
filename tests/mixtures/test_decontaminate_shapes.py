"""Solutions that are found by their shape, whatever their names and constants are."""

import ast
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from mixtures.benchmarks.item import Item
from mixtures.decontaminate import lexer
from mixtures.decontaminate.edits import renamed_solution
from mixtures.decontaminate.index import build
from mixtures.decontaminate.normalise import join
from mixtures.decontaminate.scan import Rule, scan
from mixtures.documents.document import Document
from tests.mixtures.test_decontaminate import CODE, FILLER, ITEMS, SOLUTION, found, only

INDEX = build(ITEMS)
RENAMED = """def tallest(row, reach):
    out = []
    for spot in range(len(row)):
        slice_ = row[max(17, spot - reach + 4) : spot + 9]
        big = slice_[3]
        for number in slice_[2:]:
            big = max(big, number)
        out.append(big)
    return out
"""


def shape(code: str) -> list[int]:
    return lexer.tokens_of(join([code]).text).shape.tolist()


@pytest.mark.parametrize(
    "text",
    [
        RENAMED,
        RENAMED.replace("\n", "\r\n"),
        RENAMED.replace("    ", "\t"),
        RENAMED.replace("[3]", "[(3)]  # the first one's height"),
        RENAMED.replace("max(big, number)", "(max(\n            big, number,\n        ))"),
        RENAMED.replace("    out = []\n", '    """Somebody\'s own words."""\n    out = []\n'),
        RENAMED.replace("max", "max ").replace("4", "-4".replace("-", "")),
        "".join(f"+{line}" for line in RENAMED.splitlines(keepends=True)),
        "".join(f">>> {line}" for line in RENAMED.splitlines(keepends=True)),
        highlight(RENAMED, PythonLexer(), HtmlFormatter(linenos="inline")),
        'half a docstring ends here. """\n' + RENAMED,
        "It isn't the fool's code:\n" + RENAMED,
    ],
)
def test_a_renamed_solution_with_other_constants_is_found(text: str) -> None:
    match = only(found(INDEX, text))
    assert (match.item, match.component, match.drop) == ("peak", "shape", True)
    assert "out" in match.evidence and "<" not in match.evidence


@pytest.mark.parametrize(
    ("old", "new"),
    [("spot - reach", "spot * reach"), ("max(17", "min(17"), ("in range", "in sorted"),
     ("range(len(row))", "range(row)"), ("big", "out"), ("spot", "row"), ("slice_[2:]", "slice_[2]"),
     ("for number", "while number")],
)  # fmt: skip
def test_another_program_has_another_shape_or_names_that_do_not_translate(old: str, new: str) -> None:
    assert found(INDEX, RENAMED.replace(old, new)) == []


def test_names_and_constants_decide_nothing_of_a_shape() -> None:
    for seed in range(20):
        renamed = renamed_solution(CODE, random.Random(seed))
        assert renamed is not None and shape(renamed)[-30:] == shape(RENAMED)[-30:]
    shadowed = "def f(list, max):\n    sum = 0\n    for str in list:\n        sum += str[max]\n    return sum\n"
    assert shape(shadowed) == shape("def g(a, b):\n    c = 7\n    for d in a:\n        c += d[b]\n    return c\n")
    assert shape("x = [1, 2, 3]") == shape("y = [9.5]") == shape('z = [\'a\', "b\\"c"]')
    assert shape("f(a).b") != shape("f(a).c")


def test_a_part_is_enough_of_a_long_solution_and_not_of_a_short_one() -> None:
    lines = RENAMED.splitlines(keepends=True)
    assert only(found(INDEX, "".join(lines[2:]))).score < 1
    assert found(INDEX, "".join(lines[4:])) == []
    body = "def f(words):\n    return {w: len(w) for w in words if w not in seen and w[0] == 'a'}\n"
    short = build([Item("mbpp", "1", {"text": "x", "tests": "assert f", "setup": "", "solution": body})])
    other = "def g(a):\n    if a:\n        return {b: len(b) for b in a if b not in c and b[3] == 'd'}\n"
    assert only(scan(short, Rule(), [Document("d", "", other)])).score == 1
    assert scan(short, Rule(), [Document("d", "", other.replace("b not", "not b"))]) == []
    tiny = build([Item("mbpp", "1", {"text": "x", "tests": "assert f", "setup": "", "solution": "def f(x): return x"})])
    assert tiny.shapes == ()


def test_it_is_found_wherever_it_stands() -> None:
    for lines in range(0, 90, 7):
        padding = "value = other[key]\n" * lines
        assert only(found(INDEX, padding + RENAMED + padding)).component == "shape"


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1. \n'\"#\\()[]:é=+f"), max_size=80))
def test_any_text_has_a_shape_and_a_run_of_itself(text: str) -> None:
    tokens = lexer.tokens_of(join([text]).text)
    assert tokens.begin.tolist() == sorted(set(tokens.begin.tolist()))
    assert (tokens.shape > 0).all()
    assert shape(f"{text}\n") == tokens.shape.tolist()


def test_hostile_text_is_read_in_linear_time() -> None:
    odd = ("'" * 300_000, "\\\"" * 200_000, "'\\\"" * 150_000, "f" + "'" * 300_000, "return " * 60_000,
           "x:\n" * 100_000 + "return", "a " * 300_000, "(" * 300_000)  # fmt: skip
    block = "if x:\n    return y\n"
    documents = [Document(str(n), "", block + text + block) for n, text in enumerate(odd)]
    assert scan(INDEX, Rule(), documents) == []


def test_the_edit_changes_every_name_and_constant_and_still_is_a_program() -> None:
    text = renamed_solution(CODE, random.Random(0))
    assert text is not None
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not names & {"values", "span", "peaks", "day", "window", "highest", "reading"}
    assert '"""' not in text and "rolling" not in text
    assert only(found(INDEX, f"{FILLER}\n{text}")).component == "shape"
    assert SOLUTION.splitlines()[3] not in text
