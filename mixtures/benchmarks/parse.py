"""How a row of every benchmark becomes an item. Rows are in the columns that upstream (or its hub copy) gives them."""

import ast
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
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
    """

    benchmark: str
    id: str
    fields: Mapping[str, str]
    choices: tuple[str, ...] = ()
    gold: int | None = None
    answers: tuple[str, ...] = ()
    canonical: str = ""
    cluster: str = ""


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


def humaneval(row: Row, number: int) -> Item:
    functions = [node for node in ast.parse(row["prompt"]).body if isinstance(node, ast.FunctionDef)]
    asked = next(node for node in reversed(functions) if node.name == row["entry_point"])
    fields = {
        "prompt": row["prompt"],
        "docstring": _docstring(asked),
        "solution": row["canonical_solution"],
        "tests": row["test"],
        "entry_point": row["entry_point"],
    }
    return Item("humaneval", row["task_id"], fields)


def _docstring(function: ast.FunctionDef) -> str:
    """The first bare string of the body: HumanEval/115 has an import before its docstring."""
    for node in function.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return inspect.cleandoc(node.value.value)
    raise ValueError(f"function {function.name} has no docstring")


def mbpp(row: Row, number: int) -> Item:
    fields = {
        "text": row["text"],
        "tests": "\n".join(row["test_list"]),
        "setup": row["test_setup_code"],
        "solution": row["code"],
    }
    return Item("mbpp", str(row["task_id"]), fields)


def hellaswag(row: Row, number: int) -> Item:
    fields = {name: row[name] for name in ("activity_label", "ctx_a", "ctx_b")}
    return Item("hellaswag", str(number), fields, tuple(row["endings"]), int(row["label"]))


def piqa(row: Row, number: int) -> Item:
    return Item("piqa", str(number), {"goal": row["goal"]}, (row["sol1"], row["sol2"]), int(row["label"]))


def arc_easy(row: Row, number: int) -> Item:
    """Upstream's columns, or a request of the wheel, whose query is the question between two labels."""
    if "query" in row:
        question = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        return Item("arc_easy", row["id"], {"question": question}, tuple(row["choices"]), row["gold"])
    choices = row["choices"]
    gold = choices["label"].index(row["answerKey"])
    return Item("arc_easy", row["id"], {"question": row["question"]}, tuple(choices["text"]), gold)


def boolq(row: Row, number: int) -> Item:
    """Upstream's columns, or those of SuperGLUE, whose passages begin with the page's title."""
    answer = row["answer"] if "answer" in row else bool(int(row["label"]))
    fields = {"passage": row["passage"], "question": row["question"]}
    return Item("boolq", str(number), fields, ("no", "yes"), ("False", "True").index(str(answer)))


def sciq(row: Row, number: int) -> Item:
    """The right answer stands last, as the harness has it; likelihoods do not depend on the order."""
    choices = (*(row[f"distractor{i}"] for i in (1, 2, 3)), row["correct_answer"])
    return Item("sciq", str(number), {"passage": row["support"], "question": row["question"]}, choices, 3)


def social_iqa(row: Row, number: int) -> Item:
    fields = {"context": row["context"], "question": row["question"]}
    return Item("social_iqa", str(number), fields, tuple(row[f"answer{c}"] for c in "ABC"), int(row["label"]) - 1)


def cb(row: Row, number: int) -> Item:
    fields = {"premise": row["premise"], "hypothesis": row["hypothesis"]}
    return Item("cb", str(row["idx"]), fields, ("True", "False", "Neither"), int(row["label"]))


def copa(row: Row, number: int) -> Item:
    fields = {"premise": row["premise"], "question": row["question"]}
    return Item("copa", str(row["idx"]), fields, (row["choice1"], row["choice2"]), int(row["label"]))


def winogrande(row: Row, number: int) -> Item:
    if "_" not in row["sentence"]:
        raise ValueError("the sentence has no blank '_'")
    choices = (row["option1"], row["option2"])
    return Item("winogrande", str(number), {"sentence": row["sentence"]}, choices, int(row["answer"]) - 1)


def storycloze(row: Row, number: int) -> Item:
    """The columns of the hub copy, or of the file that upstream sends ("InputSentence1")."""
    row = {re.sub(r"[^a-z0-9]|^random|fifth", "", name.lower()): value for name, value in row.items()}
    fields = {f"sentence{i}": row[f"inputsentence{i}"] for i in (1, 2, 3, 4)}
    identity = row.get("storyid") or row["inputstoryid"]
    choices = (row["sentencequiz1"], row["sentencequiz2"])
    return Item("storycloze_2016", identity, fields, choices, int(row["answerrightending"]) - 1)


def triviaqa(row: Row, number: int) -> Item:
    answer = row["answer"]
    accepted = tuple(dict.fromkeys(text for text in [*answer["aliases"], answer["value"]] if text.strip()))
    return Item(
        "triviaqa", row["question_id"], {"question": row["question"]}, answers=accepted, canonical=answer["value"]
    )


def nq_open(row: Row, number: int) -> Item:
    answers = tuple(row["answers"] if "answers" in row else row["answer"])
    identity = str(row.get("index", number))
    return Item("nq_open", identity, {"question": row["question"]}, answers=answers, canonical=answers[0])


def quac(row: Row, number: int) -> Item:
    names = ("title", "section", "passage", "history", "question")
    fields = {name: row[name] for name in names}
    return Item("quac", row["id"], fields, row["choices"], row["gold"], cluster=row["dialogue"])


def dolly_200(row: Row, number: int) -> Item:
    """The columns of the Aya evaluation suite ("inputs"), or databricks-dolly-15k's ("instruction")."""
    text = row["inputs"] if "inputs" in row else row["instruction"]
    return Item("dolly_200", str(row.get("id", number)), {"instruction": text})


CHOICES, TURNS = 4, 8
_UNANSWERABLE = "CANNOTANSWER"


def quac_turns(row: Row) -> Iterator[Row]:
    """Questions with four answers, from an article of QuAC's JSON file or a dialogue of its hub copy.

    QuAC has no accuracy of its own (its score is the words that an answer shares with a span), but the paper counts it
    as one (arXiv:2408.10914, table 1), so here the right answer is to be chosen among four: it and three that the
    teacher gave to other questions of the dialogue. Left out are questions without an answer, those of dialogues with
    fewer than four different ones, and all after the eighth of a dialogue (decontaminate/index.py takes words that
    more items share for an idiom).
    """
    for paragraph in row.get("paragraphs", [row]):
        if "qas" in paragraph:
            turns = [(turn["id"], turn["question"], turn["orig_answer"]["text"]) for turn in paragraph["qas"]]
        else:
            columns = paragraph["turn_ids"], paragraph["questions"], paragraph["orig_answers"]["texts"]
            turns = list(zip(*columns, strict=True))
        about = {
            "title": row["title"] if "title" in row else row["wikipedia_page_title"],
            "section": row["section_title"],
            "passage": paragraph["context"].removesuffix(_UNANSWERABLE).rstrip(),
        }
        about["dialogue"] = turns[0][0] if turns else ""
        yield from ({**about, **turn} for turn in _turns(turns))


def _turns(turns: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    answers = sorted({answer for _, _, answer in turns} - {_UNANSWERABLE})
    found = []
    for number, (identity, question, gold) in enumerate(turns):
        others = [answer for answer in answers if answer != gold]
        if gold == _UNANSWERABLE or len(others) < CHOICES - 1:
            continue
        others.sort(key=lambda answer: hashlib.sha256(f"{identity} {answer}".encode()).hexdigest())
        choices = tuple(sorted((gold, *others[: CHOICES - 1])))
        history = "\n".join(
            f"Question: {asked}\nAnswer: {said}" for _, asked, said in turns[max(0, number - 2) : number]
        )
        found.append(
            {
                "id": identity,
                "history": history.replace(_UNANSWERABLE, "unknown"),
                "question": question,
                "choices": choices,
                "gold": choices.index(gold),
            }
        )
    return found[:TURNS]
