"""What a model is asked: a question, how a benchmark's rows become one, and which answers are right."""

import hashlib
import json
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from mixtures.benchmarks.item import Item

VERSION = 3
"""Of all formats (benchmarks.py) and of the scoring below."""


@dataclass(frozen=True)
class Question:
    """One item as scored.

    Attributes:
        id: of the item.
        candidates: (context, continuation) pairs; the continuation is what is scored. More than one make a choice.
        gold: index of the right candidate.
        answers: accepted answers when the model is asked to generate; empty for a choice.
        stops: texts that end what is generated.
        max_tokens: that are generated at most.
        match: how it is compared with the answers, see `exact_match`.
        source: of a held-out document.
        cluster: what it shares with other items, so that they are not independent: the package or work of a held-out
            document, the dialogue of a turn; "" where an item stands alone.
        delimiter: what every continuation begins with to part it from its context, and is no part of the answer.
    """

    id: str
    candidates: tuple[tuple[str, str], ...]
    gold: int
    answers: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    max_tokens: int = 0
    match: str = ""
    source: str = ""
    cluster: str = ""
    delimiter: str = " "


@dataclass(frozen=True)
class Format:
    """How items of a benchmark are asked.

    Attributes:
        ask: from an item to its question, without examples.
        description: what stands once before everything.
        between: what parts examples from each other and from the question.
    """

    ask: Callable[[Item], Question]
    description: str = ""
    between: str = "\n\n"


def render(form: Format, item: Item, examples: Sequence[Item] = ()) -> Question:
    """The question of `item` after the description and `examples`, each with its right answer."""
    shown = form.description
    for example in map(form.ask, examples):
        shown += "".join(example.candidates[example.gold]) + form.between
    question = form.ask(item)
    candidates = tuple((shown + context, continuation) for context, continuation in question.candidates)
    return replace(question, candidates=candidates)


def prompt_hash(questions: Iterable[Question]) -> str:
    text = json.dumps([asdict(question) for question in questions], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


SQUAD, TRIVIAQA, HARNESS, HARNESS_NQ = "", "triviaqa", "harness", "harness-nq"
_ARTICLES = r"\b(?:The |the |An |A |The |a |an )"


def normalise_answer(text: str, match: str = SQUAD) -> str:
    """An answer as the scorer of its data set compares it: in lower case, without punctuation and articles.

    TRIVIAQA puts a blank for punctuation (mandarjoshi90/triviaqa, triviaqa_evaluation.py); SQUAD, which NQ-open's
    scorer and most others follow, puts nothing, so that "U.S.A." is "USA". A text of nothing but articles or
    punctuation stays: "A" and "+" are answers.
    """
    text = unicodedata.normalize("NFD", text).lower()
    marks, instead = (string.punctuation + "‘’´", " ") if match == TRIVIAQA else (string.punctuation, "")
    words = text.translate(dict.fromkeys(map(ord, marks), instead)).split()
    return " ".join([word for word in words if word not in ("a", "an", "the")] or words or text.split())


def exact_match(generated: str, answers: Iterable[str], match: str = SQUAD) -> bool:
    """Whether what was generated is an accepted answer.

    Args:
        generated: up to the question's first stop.
        answers: that are accepted.
        match: SQUAD or TRIVIAQA, see `normalise_answer`, of the first line; or as the harness has it: HARNESS without
            case and punctuation, HARNESS_NQ without articles that a blank follows, too.
    """
    if match not in (HARNESS, HARNESS_NQ):
        said = normalise_answer(generated.strip().split("\n")[0], match)
        return said != "" and said in {normalise_answer(answer, match) for answer in answers}

    def bare(text: str) -> str:
        text = re.sub(_ARTICLES, "", text) if match == HARNESS_NQ else text
        return text.lower().translate(str.maketrans("", "", string.punctuation))

    return bare(generated.strip()) in map(bare, answers)
