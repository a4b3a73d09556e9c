"""Benchmark rows rendered as what a model is asked. Zero-shot, in the formats of lm-evaluation-harness 0.4.13.

A format is part of a task's version: change one and bump it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from mixtures.benchmarks import Item
from mixtures.errors import Failure


@dataclass(frozen=True)
class Question:
    """One item as scored.

    Attributes:
        id: of the item.
        candidates: (context, continuation) pairs; the continuation is what is scored.
        gold: index of the right candidate.
        answers: accepted answers when the model is asked to generate; empty for a choice.
    """

    id: str
    candidates: tuple[tuple[str, str], ...]
    gold: int
    answers: tuple[str, ...] = ()


def prompt_hash(questions: Iterable[Question]) -> str:
    text = json.dumps([asdict(question) for question in questions], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hellaswag_text(text: str) -> str:
    """Strip WikiHow's bracketed marks, as the harness does."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _hellaswag(item: Item) -> Question:
    fields = item.fields
    context = _hellaswag_text(f"{fields['activity_label']}: {fields['ctx_a']} {fields['ctx_b'].capitalize()}")
    return _choice(item, context, [_hellaswag_text(choice) for choice in item.choices])


def _piqa(item: Item) -> Question:
    return _choice(item, f"Question: {item.fields['goal']}\nAnswer:", item.choices)


def _arc_easy(item: Item) -> Question:
    return _choice(item, f"Question: {item.fields['question']}\nAnswer:", item.choices)


def _boolq(item: Item) -> Question:
    fields = item.fields
    return _choice(item, f"{fields['passage']}\nQuestion: {fields['question']}?\nAnswer:", item.choices)


def _copa(item: Item) -> Question:
    connector = {"cause": "because", "effect": "therefore"}[item.fields["question"]]
    context = f"{item.fields['premise'].strip().removesuffix('.')} {connector}"
    return _choice(item, context, [choice[:1].lower() + choice[1:] for choice in item.choices])


def _winogrande(item: Item) -> Question:
    """The option stands in the context, and what follows the blank is scored (Trinh and Le 2018)."""
    before, _, after = item.fields["sentence"].partition("_")
    pairs = tuple((before + choice, " " + after.strip()) for choice in item.choices)
    return Question(item.id, pairs, _gold(item))


def _choice(item: Item, context: str, choices: Iterable[str]) -> Question:
    return Question(item.id, tuple((context, f" {choice}") for choice in choices), _gold(item))


def _gold(item: Item) -> int:
    if item.gold is None:
        raise Failure(f"{item.benchmark} item {item.id} has no gold choice; its data file is damaged")
    return item.gold


def _triviaqa(item: Item) -> Question:
    """The harness's prompt ends in a doubled question mark; ours does not."""
    return _open(item, f"Question: {item.fields['question'].strip()}\nAnswer:")


def _nq_open(item: Item) -> Question:
    return _open(item, f"Q: {item.fields['question'].strip().removesuffix('?')}?\nA:")


def _open(item: Item, prompt: str) -> Question:
    """The likelihood is that of the first accepted answer, which the data sets give as the canonical one."""
    return Question(item.id, ((prompt, f" {item.answers[0]}"),), 0, item.answers)


def _humaneval(item: Item) -> Question:
    return Question(item.id, ((item.fields["prompt"], item.fields["solution"]),), 0)


FORMATS: dict[str, Callable[[Item], Question]] = {
    "hellaswag": _hellaswag,
    "piqa": _piqa,
    "arc_easy": _arc_easy,
    "boolq": _boolq,
    "copa": _copa,
    "winogrande": _winogrande,
    "triviaqa": _triviaqa,
    "nq_open": _nq_open,
    "humaneval": _humaneval,
}
VERSION = 1
"""Of all formats above and of the scoring below."""


def normalise_answer(text: str) -> str:
    """Lower case, no punctuation, no articles, single blanks: TriviaQA's rule for exact match."""
    text = re.sub(r"[^\w\s]", " ", text.lower())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))


def exact_match(generated: str, answers: Iterable[str]) -> bool:
    """Whether the first line of what was generated is an accepted answer."""
    said = normalise_answer(generated.strip().split("\n")[0])
    return said != "" and said in {normalise_answer(answer) for answer in answers}
