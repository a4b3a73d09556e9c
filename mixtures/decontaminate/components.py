"""Which texts of a benchmark item are looked for in a corpus, each by itself.

An item is scored by its best component, so that a leak of one part counts in full: a docstring without its signature, a
question without its choices. What a component is, and why:

* code: `prompt` (MBPP: `text`, which under `SHORT` words is only reported), `docstring`, `prose` (the docstring up to
  its first example), `solution` and `tests`. Solutions are made of idioms ("for i in range(len(s))"), so they take
  twice the words to match.
* multiple choice: `question`, `question+answer` (as a page of prose would carry them) and `question+choices` (as a
  leaked row would). Choices never stand alone: "No", "Paris" or five words about a roof are anywhere. The answer always
  goes with its stem, and so a stem of one word ("dresser") is no component, but stem and answer together may be.
* open questions: `question`. Under `SHORT` words the question alone is a page title as much as a leak, so it is only
  reported (the same holds for the short stem of a multiple choice), and drops a document when an accepted answer
  stands near it (`question+answer`).
* `passage`: as any other. BoolQ's are Wikipedia's, so this drops the 3,270 articles they are from and their mirrors; a
  report can tell them by the component's name. BoolQ's `question`, however short, drops by itself: "yes" near it would
  say nothing.

A match takes the rule's share of the component's words and at least `floor` of them, or four fifths of a short one. A
component of under two thirds of its floor (8 words, 16 of a solution) is not looked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mixtures.benchmarks import Item

FLOOR, SOLUTION_FLOOR = 12, 24
SHORT = 15
_LABELS = {
    *(("hellaswag", "activity_label"), ("copa", "question")),
    *(("quac", name) for name in ("title", "section", "history")),
}
"""Fields that say what sort of row it is, or are other rows'; no text of this one that could leak."""
_CODE = ("prompt", "text", "docstring", "solution", "tests")
_EXAMPLE = re.compile(r"\s*(>>>|(for )?examples?\b|\w+\(.*\)\s*(==|=>|->|➞|=|returns?\b))", re.IGNORECASE)


@dataclass(frozen=True)
class Component:
    """A text to look for.

    Attributes:
        name: what it is, e.g. "docstring" or "question+choices".
        text: as upstream has it; parts joined by newlines.
        drops: whether finding it may drop a document, or only be reported.
        answers: when there are any, the component drops a document only with one of these near it.
        floor: words that must match.
    """

    name: str
    text: str
    drops: bool = True
    answers: tuple[str, ...] = ()
    floor: int = FLOOR


def components(item: Item) -> tuple[Component, ...]:
    """The texts of `item` to look for; too short ones are still among them."""
    return tuple(_code(item) if "tests" in item.fields else _prose(item))


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


def _code(item: Item) -> Iterator[Component]:
    for name in _CODE:
        if name in item.fields:
            drops = name != "text" or len(item.fields[name].split()) >= SHORT
            yield Component(name, item.fields[name], drops, floor=SOLUTION_FLOOR if name == "solution" else FLOOR)
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
    short = len(text.split()) < SHORT
    yield Component("question", text, drops=not short or bool(item.answers), answers=item.answers if short else ())
    if item.gold is not None:
        yield Component("question+answer", "\n".join([*stem, item.choices[item.gold]]))
        yield Component("question+choices", "\n".join([*stem, *item.choices]))


def _stem(item: Item, only: tuple[str, ...] = ()) -> list[str]:
    return [
        text
        for name, text in item.fields.items()
        if (item.benchmark, name) not in _LABELS and (name in only if only else name != "passage")
    ]
