"""The benchmarks that the suite knows: how each one's rows are asked, where it counts, and by which score it leads.

Formats are those of lm-evaluation-harness 0.4.13 where it has them. A format has a name, "boolq", or a name and a
variant, "boolq:plain". The one without a variant is what we score by. It is the harness's, byte for byte, but where the
harness slips, and then its own is the variant "harness":

* `triviaqa` asks "...??": the rows end in a question mark and the harness adds one. It also stops at "." and ",", which
  cuts "J. R. R. Tolkien" and "Washington, D.C." short. Ours has one mark, stops at the end of the line, and compares
  answers as TriviaQA's own scorer does. The likelihood is that of the answer upstream names, and not of the first
  alias.
* `nq_open` stops in the same places, and begins with "Answer these questions:". Ours compares as NQ-open's scorer does.
* `copa` puts two blanks before the choices, since they bring one and the harness adds one.
* `mbpp` is asked as a chat model would be; ours is the docstring that code/executed.py executes.

`quac` is not in the harness: mixtures/benchmarks/known.py says what QuAC asks here. The variant "plain" asks the
same without the labels "Question:" and "Answer:" (HellaSwag: without the activity; WinoGrande: the whole sentence is
scored, and not only what follows the blank), to tell knowledge from familiarity with a layout.

A format is part of a task's version: change one and bump it.

A leading score stands for its task in the mean of its category. Choices of many words are compared by likelihood per
character (acc_norm) where the harness offers that, and in QuAC, which it has not and whose spans are as unequal; all
others as a whole, as it does. The paper says "accuracy" of the one and of the other (arXiv:2408.10914, table 1).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from analysis.evals.code import executed
from analysis.evals.questions import HARNESS, HARNESS_NQ, SQUAD, TRIVIAQA, Format, Question
from mixtures.benchmarks.item import Item
from store.errors import Failure

Ask = Callable[[Item], Question]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's task.

    Attributes:
        title: for people.
        category: reasoning and knowledge have means; code is scored by the reference solution, executed by tests.
        lead: the score that stands for it, a name in `analysis.metrics.SCORES`.
        formats: how its rows are asked, by variant; "" is the one that we score by.
        chance: what a model that knows nothing scores: 1 / choices, and where the answers are the same words in every
            item the share of the commonest one, which a constant answer reaches (BoolQ: 2,033 of 3,270 are "yes"; CB:
            28 of 56 are "False").
        small: with so few items that it carries most of its category's noise.
        problem: what a program has to be written for, where programs are executed.
    """

    title: str
    category: str
    lead: str
    formats: Mapping[str, Format] = field(default_factory=dict)
    chance: float = 0.0
    small: bool = False
    problem: Callable[[Item], executed.Problem] | None = None


def _choice(item: Item, context: str, choices: Iterable[str]) -> Question:
    pairs = tuple((context, f" {choice}") for choice in choices)
    return Question(item.id, pairs, _gold(item), cluster=item.cluster)


def _gold(item: Item) -> int:
    if item.gold is None:
        raise Failure(f"{item.benchmark} item {item.id} has no gold choice; its data file is damaged")
    return item.gold


def _asked(template: str) -> Ask:
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


def _labelled(ask: Ask) -> Mapping[str, Format]:
    """With the labels that it has, and without."""

    def plain(item: Item) -> Question:
        question = ask(item)
        pairs = ((_LABELS.sub("", context).lstrip("\n"), choice) for context, choice in question.candidates)
        return replace(question, candidates=tuple(pairs))

    return {"": Format(ask), "plain": Format(plain)}


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


TASKS: Mapping[str, Benchmark] = {
    "boolq": Benchmark("BoolQ", "reasoning", "acc",
                       _labelled(_asked("{passage}\nQuestion: {question}?\nAnswer:")), 0.622),
    "piqa": Benchmark("PIQA", "reasoning", "acc_norm", _labelled(_asked("Question: {goal}\nAnswer:")), 1 / 2),
    "sciq": Benchmark("SciQ", "reasoning", "acc_norm", _labelled(_sciq), 1 / 4),
    "social_iqa": Benchmark("SocialIQA", "reasoning", "acc", _labelled(_asked("Q: {context} {question}\nA:")), 1 / 3),
    "quac": Benchmark("QuAC", "reasoning", "acc_norm", _labelled(_quac), 1 / 4),
    "cb": Benchmark("CB", "reasoning", "acc",
                    _labelled(_asked("{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:")),
                    1 / 2, small=True),
    "copa": Benchmark("COPA", "reasoning", "acc",
                      {"": Format(_copa), "harness": Format(_copa_harness)}, 1 / 2, small=True),
    "storycloze_2016": Benchmark("StoryCloze", "reasoning", "acc",
                                 {"": Format(_asked("{sentence1} {sentence2} {sentence3} {sentence4}"))}, 1 / 2),
    "hellaswag": Benchmark("HellaSwag", "reasoning", "acc_norm",
                           {"": Format(_hellaswag), "plain": Format(lambda item: _hellaswag_in(item, ""))}, 1 / 4),
    "winogrande": Benchmark("WinoGrande", "reasoning", "acc",
                            {"": Format(_winogrande), "plain": Format(_winogrande_plain)}, 1 / 2),
    "arc_easy": Benchmark("ARC-Easy", "reasoning", "acc_norm",
                          _labelled(_asked("Question: {question}\nAnswer:")), 1 / 4),
    "triviaqa": Benchmark("TriviaQA", "knowledge", "exact_match",
                          {"": Format(_triviaqa), "harness": Format(_triviaqa_harness)}),
    "nq_open": Benchmark("NQ-Open", "knowledge", "exact_match",
                         {"": Format(_nq_open, between="\n"),
                          "harness": Format(_nq_open_harness, "Answer these questions:\n\n", "\n")}),
    "humaneval": Benchmark("HumanEval", "code", "gold_bpb", {"": Format(_humaneval)}),
    "mbpp": Benchmark("MBPP", "code", "gold_bpb", {"": Format(_mbpp), "harness": Format(_mbpp_harness)}),
    "one_operation": Benchmark("One operation", "code", "gold_bpb", {"": Format(_humaneval)}),
    "one_operation_instruct": Benchmark("One operation, instructed", "code", "gold_bpb", {"": Format(_humaneval)}),
    "one_operation_wording": Benchmark("One operation, other words", "code", "gold_bpb", {"": Format(_humaneval)}),
    "evolved": Benchmark("Evolved problems", "code", "gold_bpb", {"": Format(_humaneval)}),
    "humaneval_exec": Benchmark("HumanEval", "executed", "pass@1", problem=executed.humaneval),
    "mbpp_exec": Benchmark("MBPP", "executed", "pass@1", problem=executed.mbpp),
    "one_operation_exec": Benchmark("One operation", "executed", "pass@1", problem=executed.one_operation),
    "one_operation_instruct_exec": Benchmark("One operation, instructed", "executed", "pass@1",
                                             problem=executed.one_operation),
    "one_operation_wording_exec": Benchmark("One operation, other words", "executed", "pass@1",
                                            problem=executed.one_operation),
    "evolved_exec": Benchmark("Evolved problems", "executed", "pass@1", problem=executed.one_operation),
    # Training problems, for data that a checkpoint makes; not to be scored by.
    "one_operation_train": Benchmark("One operation, as trained on", "executed", "pass@1",
                                     problem=executed.one_operation),
    "evolved_train": Benchmark("Evolved problems, as trained on", "executed", "pass@1",
                               problem=executed.one_operation),
    "key_retrieval": Benchmark("Key retrieval", "retrieval", "acc", chance=1 / 8),
}  # fmt: skip
"""By the name of the task, in the order in which to show them; an executed one has another's rows (`benchmark_of`)."""

FORMATS: Mapping[str, Format] = {
    f"{name}:{variant}" if variant else name: form
    for name, benchmark in TASKS.items()
    for variant, form in benchmark.formats.items()
}
"""By the benchmark's name, and ":variant"."""


def of(category: str) -> tuple[str, ...]:
    """The names of a category's tasks."""
    return tuple(name for name, benchmark in TASKS.items() if benchmark.category == category)


EXECUTED = of("executed")


def benchmark_of(task: str) -> str:
    """Whose rows a task asks: "boolq" of "boolq:plain@5shot", "mbpp" of "mbpp_exec" and "mbpp_infilling_exec:..."; a
    held-out task is its own."""
    return re.split("[:@]", task, maxsplit=1)[0].removesuffix("_exec").removesuffix("_infilling")


def of_rows(item: Item) -> Question:
    """An item of a user's own file: a choice, an answer to be said, a program, or nothing but a text."""
    fields = item.fields
    if "tests" in fields:
        return _humaneval(item)
    if item.gold is None and not item.canonical:
        return Question(item.id, (("", fields["question"]),), 0, delimiter="")
    context = "\n".join([*filter(None, [fields.get("passage")]), f"Question: {fields['question']}\nAnswer:"])
    return _choice(item, context, item.choices) if item.gold is not None else _open(item, context, SQUAD)
