"""What a leaked benchmark item may look like by the time it is in a corpus: one function an edit.

An edit draws from the generator it is given and from nothing else; one that does not apply to an item returns None.
"""

import ast
import html
import random
import re
import string
import textwrap
from collections.abc import Callable, Mapping

from mixtures.benchmarks.item import Item
from mixtures.decontaminate.components import before_examples, called, question
from mixtures.synthetic.problem import own_names

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LOOK_ALIKES = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
"""Latin letters and the Cyrillic ones that look like them."""
FAR, FARTHER = 2_000, 9_000


def leak(item: Item) -> str:
    """The item as a page that gives it away has it: a prompt, or a question with its choices and answer."""
    if "prompt" in item.fields:
        return item.fields["prompt"]
    choices = [f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, item.choices, strict=False)]
    answers = [item.choices[item.gold]] if item.gold is not None else list(item.answers[:1])
    return "\n".join([question(item).text, *choices, *(f"Answer: {answer}" for answer in answers)])


def rename(item: Item, chance: random.Random) -> str | None:
    """Every function and parameter of the prompt under another name, in its prose too."""
    if "prompt" not in item.fields:
        return None
    tree = _parsed(item.fields["prompt"])
    if tree is None:
        return None
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    new = _other_names(names, chance)
    return _WORD.sub(lambda found: new.get(found[0], found[0]), leak(item))


def docstring_only(item: Item, chance: random.Random) -> str | None:
    """The prose of the docstring as a comment, without signature and examples."""
    if "docstring" not in item.fields:
        return None
    return textwrap.indent(before_examples(item.fields["docstring"]), "# ")


def question_only(item: Item, chance: random.Random) -> str | None:
    """The question without choices and answer, and without its passage."""
    if "tests" in item.fields:
        return None
    return "\n".join(text for name, text in item.fields.items() if name != "passage")


def characters(item: Item, chance: random.Random) -> str | None:
    """One character in 40 is another letter."""
    text = list(leak(item))
    for start in range(0, len(text), 40):
        text[chance.randrange(start, min(start + 40, len(text)))] = chance.choice(string.ascii_lowercase)
    return "".join(text)


def words(item: Item, chance: random.Random) -> str | None:
    """One word in 8 is another word."""
    text = leak(item)
    spans = [found.span() for found in _WORD.finditer(text)]
    chosen = [chance.choice(spans[start : start + 8]) for start in range(0, len(spans), 8)]
    for start, stop in reversed(chosen):
        text = text[:start] + _invented(chance) + text[stop:]
    return text


def another_solution(item: Item, chance: random.Random) -> str | None:
    """The task word for word, then a solution that upstream does not have, under the name that its tests ask for."""
    if "tests" not in item.fields or _parsed(question(item).text) is not None:
        return None
    name = next(iter(called(item.fields["tests"])), "solve(")
    given = _invented(chance)
    return f"{question(item).text}\n\ndef {name}*{given}):\n    return {_invented(chance)}(*reversed({given}))"


def answered_later(item: Item, chance: random.Random) -> str | None:
    """The question, some 2 kB of other words, then the answer."""
    answer = _answer(item)
    return None if answer is None else f"{question(item).text}\n{_prose(chance, FAR)}\n{answer}"


def contents(item: Item, chance: random.Random) -> str | None:
    """The question in a table of contents, and far below once more with its answer."""
    answer = _answer(item)
    if answer is None:
        return None
    asked = question(item).text
    below = f"{_prose(chance, FARTHER)}\n\n{asked}\n{answer}"
    return f"1. {_invented(chance)}\n2. {asked} .... 12\n3. {_invented(chance)}\n\n{below}"


def renamed_solution(item: Item, chance: random.Random) -> str | None:
    """The reference solution, every name that it gives and every constant another, without docstring and comments."""
    if "solution" not in item.fields:
        return None
    solution = item.fields["solution"]
    tree = _parsed(item.fields.get("prompt", "") + solution) or _parsed(solution)
    return None if tree is None else ast.unparse(_Renamed(tree, chance).visit(tree))


def highlighted(item: Item, chance: random.Random) -> str | None:
    """The reference solution as a highlighter writes it: every token in an element of its own."""
    if "solution" not in item.fields:
        return None
    lines = _TOKEN.sub(lambda token: f'<span class="n">{html.escape(token[0])}</span>', item.fields["solution"])
    return f'<div class="highlight"><pre><span></span>{lines}</pre></div>'


EDITS: Mapping[str, Callable[[Item, random.Random], str | None]] = {
    "verbatim": lambda item, chance: leak(item),
    "reflowed": lambda item, chance: textwrap.fill(" ".join(leak(item).split()), 40),
    "identifiers renamed": rename,
    "1 character in 40": characters,
    "1 word in 8": words,
    "docstring prose only": docstring_only,
    "solution only": lambda item, chance: item.fields.get("solution"),
    "question only": question_only,
    "another solution": another_solution,
    "answer 2 kB away": answered_later,
    "table of contents": contents,
    "renamed solution": renamed_solution,
    "highlighted HTML": highlighted,
    "blanks as &nbsp;": lambda item, chance: html.escape(leak(item)).replace(" ", "&nbsp;"),
    "look-alike letters": lambda item, chance: leak(item).translate(_LOOK_ALIKES),
}


class _Renamed(ast.NodeTransformer):
    """Other names for all that a module names itself, other numbers and strings, no docstrings."""

    def __init__(self, tree: ast.Module, chance: random.Random) -> None:
        self.new = _other_names(own_names(tree), chance)
        self.chance = chance

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.new[node.name]
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            node.body = node.body[1:]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.new[node.arg]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.new.get(node.id, node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            node.value += self.chance.randrange(3, 90)
        elif isinstance(node.value, str):
            node.value = _invented(self.chance)
        return node


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code.replace("\r", ""))
    except (SyntaxError, ValueError):
        return None


def _answer(item: Item) -> str | None:
    if item.gold is not None:
        return item.choices[item.gold]
    return item.answers[0] if item.answers else None


def _prose(chance: random.Random, size: int) -> str:
    return " ".join(_invented(chance) for _ in range(size // 7))


def _other_names(names: set[str], chance: random.Random) -> dict[str, str]:
    return {name: f"{_invented(chance)}_{_invented(chance)}" for name in sorted(names)}


def _invented(chance: random.Random) -> str:
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(3))
