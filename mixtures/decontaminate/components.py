"""Which texts of a benchmark item are looked for in a corpus, each by itself.

An item is scored by its best component, so that a leak of one part counts in full: a docstring without its signature, a
question without its choices. What a component is, and why:

* code: `prompt` (MBPP: `text`), `docstring`, `prose` (the docstring up to its first example), `solution` and `tests`.
  Solutions are made of idioms ("for i in range(len(s))"), so they take twice the words to match. `shape` is the
  solution once more without its names and constants (shapes.py): all of it from `SHAPE_FLOOR` tokens on, and
  `SHAPE_SHARE` of it in one piece, which may be a part, from `SHAPE_PART` on.
* code of a generator of ours, whose training texts differ from held-out ones in a constant: `statement` alone, in all
  its words; nothing that has most of them is a leak.
* multiple choice: `question`, `question+answer` (as a page of prose would carry them) and `question+choices` (as a
  leaked row would). Choices never stand alone: "No", "Paris" or five words about a roof are anywhere. The answer always
  goes with its stem, and so a stem of one word ("dresser") is no component, but stem and answer together may be.
* open questions: `question`.
* `passage`: as any other. BoolQ's are Wikipedia's, so this drops the 3,270 articles they are from and their mirrors; a
  report can tell them by the component's name. BoolQ's `question`, however short, drops by itself: "yes" near it would
  say nothing.

**Short questions.** Under `SHORT` words a question is a page title or a line of a table of contents as much as a leak.
It drops a document by itself when `FLOOR` of its words match, what any other component takes, and a task for a program
when all of it does: nobody tells a reader to write just that function by chance. Otherwise an answer has to stand near
one of the places where it is found (`question+answer`): within `NEAR_BYTES`, or, where every word of the question
matches, within `FAR_BYTES` on either side. Answers are the accepted ones, the right choice of a multiple choice unless
it says nothing or is in the stem, and for a task the functions that its tests call.

A match takes the rule's share of the component's words and at least `floor` of them, or four fifths of a short one. A
component of under two thirds of its floor (8 words, 16 of a solution) is not looked for; a question of `SHORTEST` words
is when it has answers, but then all of it must be there.
"""

import ast
import builtins
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mixtures.benchmarks.item import Item
from mixtures.decontaminate.normalise import words_of

FLOOR, SOLUTION_FLOOR, SHORT_SHARE = 12, 24, 0.8
SHORTEST, SHORT = 6, 15
SHAPE_FLOOR, SHAPE_PART, SHAPE_SHARE = 14, 24, 0.85
NEAR_BYTES, FAR_BYTES = 500, 4_000
"""How far from a short question its answer may stand: as a rule, and where the whole question was found."""
_LABELS = {
    *(("hellaswag", "activity_label"), ("copa", "question")),
    *(("quac", name) for name in ("title", "section", "history")),
}
"""Fields that say what sort of row it is, or are other rows'; no text of this one that could leak."""
_CODE = ("prompt", "text", "docstring", "solution", "tests")
_SAYS_NOTHING = {"yes", "no", "true", "false", "neither", "both", "none", "all of these", "none of these"}
_HEADER = re.compile(r"\A(?:\s*(?:from|import)\s[^\n]*\n)*\s*def\s+\w+\s*\([^()]*\)[^:\n]*:")
_EXAMPLE = re.compile(r"\s*(>>>|(for )?examples?\b|\w+\(.*\)\s*(==|=>|->|➞|=|returns?\b))", re.IGNORECASE)


@dataclass(frozen=True)
class Component:
    """A text to look for.

    Attributes:
        name: what it is, e.g. "docstring" or "question+choices".
        text: as upstream has it; parts joined by newlines.
        alone: words that must match for it to drop a document by itself.
        answers: with one of these near it, fewer words drop a document. One that ends in "(" is a name in code.
        floor: words that must match to be found, or four fifths of all if those are fewer.
        whole: whether all of its words must match, however few they are.
    """

    name: str
    text: str
    alone: int = 0
    answers: tuple[str, ...] = ()
    floor: int = FLOOR
    whole: bool = False

    def needs(self, words: int) -> int | None:
        """Of its `words`, those that have to match at least; None if it is too short to be looked for."""
        if self.whole:
            return words
        if 3 * words >= 2 * self.floor:
            return min(self.floor, math.ceil(words * SHORT_SHARE - 1e-9))
        return words if self.answers and words >= SHORTEST else None


def components(item: Item) -> tuple[Component, ...]:
    """The texts of `item` to look for; too short ones are still among them."""
    return tuple(_code(item) if "tests" in item.fields else _prose(item))


def shape(item: Item) -> str:
    """The code whose shape is looked for: the solution without the header of its first function, or "" for none."""
    if "tests" not in item.fields or item.generated:
        return ""
    return _HEADER.sub("", item.fields.get("solution", ""), count=1)


def shape_needs(tokens: int) -> int | None:
    """Of the `tokens` of a shape, those that have to match in a row; None if it is too short to be looked for."""
    if tokens < SHAPE_PART:
        return tokens if tokens >= SHAPE_FLOOR else None
    return max(SHAPE_PART, math.ceil(tokens * SHAPE_SHARE))


def question(item: Item) -> Component:
    """What GPT-4's contamination check takes of an item: question and context, without choices and answer."""
    if "tests" in item.fields:
        name = "prompt" if "prompt" in item.fields else "text"
        return Component(name, item.fields[name])
    return Component("question", "\n".join(_stem(item, ("passage",)) + _stem(item)))


def before_examples(docstring: str) -> str:
    """The prose of a docstring: its lines up to the first example."""
    lines = docstring.splitlines()
    first = next((number for number, line in enumerate(lines) if number and _EXAMPLE.match(line)), len(lines))
    return "\n".join(lines[:first]).strip()


def called(tests: str) -> tuple[str, ...]:
    """The functions that `tests` call and Python does not have, which a solution has to define."""
    try:
        calls = [node.func for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError):
        return ()
    names = dict.fromkeys(call.id for call in calls if isinstance(call, ast.Name))
    return tuple(f"{name}(" for name in names if not hasattr(builtins, name))


def _code(item: Item) -> Iterator[Component]:
    if item.generated:
        yield Component("statement", item.fields["statement"], whole=True)
        return
    for name in _CODE:
        if name not in item.fields:
            continue
        text = item.fields[name]
        if name in ("prompt", "text") and len(text.split()) < SHORT:
            yield Component(name, text, min(FLOOR, len(words_of(text))), called(item.fields["tests"]))
        else:
            yield Component(name, text, floor=SOLUTION_FLOOR if name == "solution" else FLOOR)
    if "docstring" in item.fields:
        yield Component("prose", before_examples(item.fields["docstring"]))


def _prose(item: Item) -> Iterator[Component]:
    stem = _stem(item)
    text = "\n".join(stem)
    if "passage" in item.fields:
        yield Component("passage", item.fields["passage"])
    if item.choices == ("no", "yes"):
        yield Component("question", text)
        return
    if len(text.split()) < SHORT:
        yield Component("question", text, FLOOR, _answers(item, text))
    else:
        yield Component("question", text)
    if item.gold is not None:
        yield Component("question+answer", "\n".join([*stem, item.choices[item.gold]]))
        yield Component("question+choices", "\n".join([*stem, *item.choices]))


def _answers(item: Item, stem: str) -> tuple[str, ...]:
    if item.gold is None:
        return item.answers
    answer = words_of(item.choices[item.gold])
    silent = " ".join(answer) in _SAYS_NOTHING or set(answer) <= set(words_of(stem))
    return () if silent else (item.choices[item.gold],)


def _stem(item: Item, only: tuple[str, ...] = ()) -> list[str]:
    return [
        text
        for name, text in item.fields.items()
        if (item.benchmark, name) not in _LABELS and (name in only if only else name != "passage")
    ]
