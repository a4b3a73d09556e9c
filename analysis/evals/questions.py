"""Benchmark rows rendered as what a model is asked, in the formats of lm-evaluation-harness 0.4.13 where it has them.

A format has a name, "boolq", or a name and a variant, "boolq:plain". The one without a variant is what we score by. It
is the harness's, byte for byte, but where the harness slips, and then its own is the variant "harness":

* `triviaqa` asks "...??": the rows end in a question mark and the harness adds one. It also stops at "." and ",", which
  cuts "J. R. R. Tolkien" and "Washington, D.C." short. Ours has one mark, stops at the end of the line, and compares
  answers as TriviaQA's own scorer does. The likelihood is that of the answer upstream names, and not of the first
  alias.
* `nq_open` stops in the same places, and begins with "Answer these questions:". Ours compares as NQ-open's scorer does.
* `copa` puts two blanks before the choices, since they bring one and the harness adds one.
* `mbpp` is asked as a chat model would be; ours is the docstring that code.py executes.

`quac` and `dolly_200` are not in the harness: benchmark_rows.py says what QuAC asks here. The variant "plain" asks the
same without the labels "Question:" and "Answer:" (HellaSwag: without the activity; WinoGrande: the whole sentence is
scored, and not only what follows the blank), to tell knowledge from familiarity with a layout.

A format is part of a task's version: change one and bump it.
"""

import hashlib
import json
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from mixtures.benchmarks.item import Item
from store.errors import Failure

VERSION = 3
"""Of all formats and of the scoring below."""


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


def _choice(item: Item, context: str, choices: Iterable[str]) -> Question:
    pairs = tuple((context, f" {choice}") for choice in choices)
    return Question(item.id, pairs, _gold(item), cluster=item.cluster)


def _gold(item: Item) -> int:
    if item.gold is None:
        raise Failure(f"{item.benchmark} item {item.id} has no gold choice; its data file is damaged")
    return item.gold


def _asked(template: str) -> Callable[[Item], Question]:
    """A choice whose context is `template` with the item's fields put in."""
    return lambda item: _choice(item, template.format_map(item.fields), item.choices)


def _sciq(item: Item) -> Question:
    fields = item.fields
    return _choice(item, f"{fields['passage'].lstrip()}\nQuestion: {fields['question']}\nAnswer:", item.choices)


def _quac(item: Item) -> Question:
    fields = item.fields
    head = [f"{fields['title']}, {fields['section']}", fields["passage"], fields["history"]]
    context = "\n".join([*filter(None, head), f"Question: {fields['question']}\nAnswer:"])
    return _choice(item, context, item.choices)


def _hellaswag(item: Item) -> Question:
    return _hellaswag_in(item, f"{item.fields['activity_label']}: ")


def _hellaswag_in(item: Item, label: str) -> Question:
    context = _wikihow(f"{label}{item.fields['ctx_a']} {item.fields['ctx_b'].capitalize()}")
    return _choice(item, context, map(_wikihow, item.choices))


def _wikihow(text: str) -> str:
    """Strip WikiHow's bracketed marks, as the harness does."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _copa(item: Item) -> Question:
    connector = {"cause": "because", "effect": "therefore"}[item.fields["question"]]
    return _choice(item, f"{item.fields['premise'].strip()[:-1]} {connector}", map(_lower_first, item.choices))


def _copa_harness(item: Item) -> Question:
    question = _copa(item)
    return replace(question, candidates=tuple((context, f" {choice}") for context, choice in question.candidates))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _winogrande(item: Item) -> Question:
    """The option stands in the context, and what follows the blank is scored (Trinh and Le 2018)."""
    before, _, after = item.fields["sentence"].partition("_")
    pairs = tuple((before + choice, f" {after.strip()}") for choice in item.choices)
    return Question(item.id, pairs, _gold(item))


def _winogrande_plain(item: Item) -> Question:
    partial = _winogrande(item)
    return replace(partial, candidates=tuple(("", before + rest) for before, rest in partial.candidates), delimiter="")


_LABELS = re.compile(r"^(?:Question|Q): |\n(?:Answer|A):\Z", re.MULTILINE)


def _plain(ask: Callable[[Item], Question]) -> Format:
    def without_labels(item: Item) -> Question:
        question = ask(item)
        pairs = ((_LABELS.sub("", context).lstrip("\n"), choice) for context, choice in question.candidates)
        return replace(question, candidates=tuple(pairs))

    return Format(without_labels)


SQUAD, TRIVIAQA, HARNESS, HARNESS_NQ = "", "triviaqa", "harness", "harness-nq"
_ARTICLES = r"\b(?:The |the |An |A |The |a |an )"


def _open(item: Item, prompt: str, match: str) -> Question:
    pair = (prompt, f" {item.canonical or item.answers[0]}")
    return Question(item.id, (pair,), 0, item.answers, ("\n",), 10 if item.answers else 0, match)


def _open_harness(item: Item, prompt: str, match: str) -> Question:
    """Stops and the number of tokens are those of the harness, the latter its default."""
    pair = (prompt, f" {item.answers[0]}")
    return Question(item.id, (pair,), 0, item.answers, ("\n", ".", ","), 256, match)


def _triviaqa(item: Item) -> Question:
    return _open(item, f"Question: {item.fields['question'].strip()}\nAnswer:", TRIVIAQA)


def _triviaqa_harness(item: Item) -> Question:
    return _open_harness(item, f"Question: {item.fields['question']}?\nAnswer:", HARNESS)


def _nq_open(item: Item) -> Question:
    return _open(item, f"Q: {item.fields['question'].strip().removesuffix('?')}?\nA:", SQUAD)


def _nq_open_harness(item: Item) -> Question:
    return _open_harness(item, f"Q: {item.fields['question']}?\nA:", HARNESS_NQ)


def _humaneval(item: Item) -> Question:
    return Question(item.id, ((item.fields["prompt"], item.fields["solution"]),), 0, delimiter="")


def _mbpp(item: Item) -> Question:
    text, tests, solution = (item.fields[name].replace("\r\n", "\n") for name in ("text", "tests", "solution"))
    return Question(item.id, ((f'"""\n{text}\n{tests.splitlines()[0]}\n"""\n', solution),), 0, delimiter="")


def _mbpp_harness(item: Item) -> Question:
    fields = item.fields
    prompt = (
        f"You are an expert Python programmer, and here is your task: {fields['text']} "
        f"Your code should pass these tests:\n\n{fields['tests']}\n[BEGIN]\n"
    )
    return Question(item.id, ((prompt, fields["solution"]),), 0, delimiter="")


_BOOLQ = _asked("{passage}\nQuestion: {question}?\nAnswer:")
_PIQA = _asked("Question: {goal}\nAnswer:")
_ARC_EASY = _asked("Question: {question}\nAnswer:")
_SOCIAL_IQA = _asked("Q: {context} {question}\nA:")
_CB = _asked("{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:")

FORMATS: Mapping[str, Format] = {
    "boolq": Format(_BOOLQ),
    "boolq:plain": _plain(_BOOLQ),
    "piqa": Format(_PIQA),
    "piqa:plain": _plain(_PIQA),
    "sciq": Format(_sciq),
    "sciq:plain": _plain(_sciq),
    "social_iqa": Format(_SOCIAL_IQA),
    "social_iqa:plain": _plain(_SOCIAL_IQA),
    "quac": Format(_quac),
    "quac:plain": _plain(_quac),
    "cb": Format(_CB),
    "cb:plain": _plain(_CB),
    "copa": Format(_copa),
    "copa:harness": Format(_copa_harness),
    "storycloze_2016": Format(_asked("{sentence1} {sentence2} {sentence3} {sentence4}")),
    "hellaswag": Format(_hellaswag),
    "hellaswag:plain": Format(lambda item: _hellaswag_in(item, "")),
    "winogrande": Format(_winogrande),
    "winogrande:plain": Format(_winogrande_plain),
    "arc_easy": Format(_ARC_EASY),
    "arc_easy:plain": _plain(_ARC_EASY),
    "triviaqa": Format(_triviaqa),
    "triviaqa:harness": Format(_triviaqa_harness),
    "nq_open": Format(_nq_open, between="\n"),
    "nq_open:harness": Format(_nq_open_harness, "Answer these questions:\n\n", "\n"),
    "humaneval": Format(_humaneval),
    "mbpp": Format(_mbpp),
    "mbpp:harness": Format(_mbpp_harness),
}
"""By the benchmark's name, and ":variant"."""


def of_rows(item: Item) -> Question:
    """An item of a user's own file: a choice, an answer to be said, a program, or nothing but a text."""
    fields = item.fields
    if "tests" in fields:
        return _humaneval(item)
    if item.gold is None and not item.canonical:
        return Question(item.id, (("", fields["question"]),), 0, delimiter="")
    context = "\n".join([*filter(None, [fields.get("passage")]), f"Question: {fields['question']}\nAnswer:"])
    return _choice(item, context, item.choices) if item.gold is not None else _open(item, context, SQUAD)


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
