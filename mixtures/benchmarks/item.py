"""One question of a benchmark, and what keeps it from being asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        benchmark: its name here.
        id: unique within the benchmark and stable; upstream's where it has one, else the row's number.
        fields: the named components, text as upstream has it.
        choices: the answers to choose from, empty for open questions.
        gold: index of the right choice, None for open questions.
        answers: the accepted answers of an open question, in upstream's order.
        canonical: the one of them that upstream gives first or as the answer.
        cluster: what it shares with other items, such as QuAC's dialogue; "" where it stands alone.
        generated: whether it is of a generator of ours, whose training texts differ from it in a constant alone.
    """

    benchmark: str
    id: str
    fields: Mapping[str, str]
    choices: tuple[str, ...] = ()
    gold: int | None = None
    answers: tuple[str, ...] = ()
    canonical: str = ""
    cluster: str = ""
    generated: bool = False


def fault(item: Item) -> str:
    """What keeps an item from being asked; "" if nothing does.

    Some choices of a row may be alike, as in two rows of SciQ and five of SocialIQA: its record says so.
    """
    texts = [item.id, *item.fields.values(), *item.choices, *item.answers]
    if not all(isinstance(text, str) for text in texts):
        return "a component is not text"
    if any(map(_SURROGATE.search, texts)):
        return "a component has half of a surrogate pair, which is no character"
    if item.gold is not None and not 0 <= item.gold < len(item.choices):
        return f"the right answer is number {item.gold} of {len(item.choices)} choices"
    if len(item.choices) == 1 or (item.choices and len(set(map(str.strip, item.choices))) == 1):
        return "there is nothing to choose from: one choice, or all alike"
    if not all(map(str.strip, (*item.choices, *item.answers))):
        return "a choice or an accepted answer is empty"
    return ""
