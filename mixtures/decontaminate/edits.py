"""What a leaked benchmark item may look like by the time it is in a corpus: one function an edit.

An edit draws from the generator it is given and from nothing else; one that does not apply to an item returns None.
"""

import ast
import random
import re
import string
import textwrap
from collections.abc import Callable, Mapping

from mixtures.benchmarks import Item
from mixtures.decontaminate.components import before_examples, question

_WORD = re.compile(r"\w+")


def leak(item: Item) -> str:
    """The item as a page that gives it away has it: a prompt, or a question with its choices and answer."""
    if "prompt" in item.fields:
        return item.fields["prompt"]
    choices = [f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, item.choices, strict=False)]
    answers = [item.choices[item.gold]] if item.gold is not None else list(item.answers[:1])
    return "\n".join([question(item).text, *choices, *(f"Answer: {answer}" for answer in answers)])


def reflow(item: Item, chance: random.Random) -> str | None:
    """Other line breaks and indentation."""
    return textwrap.fill(" ".join(leak(item).split()), 40)


def rename(item: Item, chance: random.Random) -> str | None:
    """Every function and parameter of the prompt under another name, in its prose too."""
    if "prompt" not in item.fields:
        return None
    tree = ast.parse(item.fields["prompt"])
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    new = {name: f"{_invented(chance)}_{_invented(chance)}" for name in sorted(names)}
    return _WORD.sub(lambda found: new.get(found[0], found[0]), leak(item))


def docstring_only(item: Item, chance: random.Random) -> str | None:
    """The prose of the docstring as a comment, without signature and examples."""
    if "docstring" not in item.fields:
        return None
    return textwrap.indent(before_examples(item.fields["docstring"]), "# ")


def solution_only(item: Item, chance: random.Random) -> str | None:
    """The reference solution's body."""
    return item.fields.get("solution")


def question_only(item: Item, chance: random.Random) -> str | None:
    """The question without choices and answer, and without its passage."""
    if "prompt" in item.fields:
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


EDITS: Mapping[str, Callable[[Item, random.Random], str | None]] = {
    "verbatim": lambda item, chance: leak(item),
    "reflowed": reflow,
    "identifiers renamed": rename,
    "1 character in 40": characters,
    "1 word in 8": words,
    "docstring prose only": docstring_only,
    "solution only": solution_only,
    "question only": question_only,
}


def _invented(chance: random.Random) -> str:
    return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(3))
