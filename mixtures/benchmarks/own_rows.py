"""A benchmark of one's own: the rows of any file of them, and which of its fields are the question and the answer.

    RowsFile("gsm8k.jsonl")                                        the usual names are found: question, answer, ...
    RowsFile("exam.csv", question="stem", choices=("A", "B", "C", "D"), answer="key")

It stands wherever a benchmark's name does, for cleaning and for scoring; so does the bare path. A task of it is called
as the file is, "gsm8k", and scored by likelihood, by choice or by exact match, as its rows allow.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from mixtures.benchmarks.item import Item, Row, fault
from mixtures.readers import tables
from store.errors import UserError

FORMS = (*tables.TABLES, ".json")
USUAL: Mapping[str, tuple[str, ...]] = {
    "question": (
        *("question", "prompt", "problem", "instruction", "query", "input", "goal", "sentence", "text", "content"),
    ),
    "context": ("context", "passage", "support", "premise", "article"),
    "choices": ("choices", "options", "endings"),
    "answer": (
        *("answer", "gold", "label", "answerKey", "target", "canonical_solution", "solution", "completion"),
        *("correct_answer", "output", "response", "code"),
    ),
    "answers": ("answers", "aliases"),
    "tests": ("tests", "test", "test_list"),
    "id": ("id", "task_id", "question_id", "idx"),
}
"""What people call the fields, most usual first."""
SAID_CHARACTERS = 100
"""Longer answers, and those of several lines, are explanations: scored by their likelihood, not asked to be said."""
LONGEST = 100
"""Letters of a task's name: its records are called so, and file systems allow 255 bytes."""


@dataclass(frozen=True)
class RowsFile:
    """A file of rows: JSON lines, JSON, CSV, TSV or Parquet, also compressed.

    Attributes:
        path: where it is.
        name: what its task and its matches are called; "" for the file's name without its endings.
        question: its field with the question or prompt; here and below, "" for the first of the usual names.
        context: what stands before the question, if anything does.
        choices: the field with a list of them, or several fields with one each; none make an open question.
        answer: the right choice (its number from 0, its letter, or its text), or the accepted answer.
        answers: a list of accepted answers.
        tests: of a program that the answer is.
        id: tells rows apart; their numbers do where there is none or it is not unique.
    """

    path: str | Path
    name: str = ""
    question: str = ""
    context: str = ""
    choices: tuple[str, ...] = ()
    answer: str = ""
    answers: str = ""
    tests: str = ""
    id: str = ""


def own(benchmark: str | RowsFile) -> RowsFile | None:
    """The file that `benchmark` is, or is the path of; None for a name."""
    if isinstance(benchmark, RowsFile):
        return benchmark
    return RowsFile(benchmark) if tables.form(benchmark) in FORMS else None


def title(file: RowsFile) -> str:
    """What a file is called: as it says, else its name without its endings; letters, digits, "_" and "-"."""
    endings = "|".join(form[1:] for form in (*FORMS, *tables.COMPRESSIONS))
    name = file.name or re.sub(rf"(\.({endings}))+$", "", PurePath(file.path).name, flags=re.IGNORECASE)
    return re.sub(r"_exec$", "-exec", re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:LONGEST]) or "rows"


def with_fields(benchmarks: Sequence[str], given: Sequence[str]) -> list[str | RowsFile]:
    """Benchmarks as the command line names them; the files among them with fields "question=prompt,answer=completion".

    Raises:
        UserError: there is no file among them, or a role is none that a field can have.
    """
    if given and not any(map(own, benchmarks)):
        raise UserError("--fields says how a file of rows is laid out; name one with --benchmark PATH")
    said: dict[str, Any] = {}
    for pair in (pair.strip() for text in given for pair in text.split(",")):
        role, _, column = pair.partition("=")
        if role not in USUAL or not column:
            raise UserError(f"--fields has '{pair}'; write ROLE=FIELD, where ROLE is one of {', '.join(USUAL)}")
        said[role] = (*said.get(role, ()), column) if role == "choices" else column
    return [replace(file, **said) if (file := own(benchmark)) else benchmark for benchmark in benchmarks]


def pin(file: RowsFile) -> list[Any]:
    """What decides the items: the sha256 of the file, and its fields.

    Raises:
        UserError: the file is not there.
    """
    columns = [getattr(file, role) for role in USUAL]
    try:
        return [hashlib.sha256(Path(file.path).read_bytes()).hexdigest(), columns]
    except OSError as error:
        raise _unreadable(file, error) from error


def items(file: RowsFile, name: str) -> tuple[Item, ...]:
    """The rows of the file as items of a benchmark called `name`, in its order.

    Raises:
        UserError: the file is not there or cannot be read, lacks a field, or a row cannot be asked; it names the row.
    """
    path = Path(file.path)
    if not path.is_file() or tables.form(path.name) not in FORMS:
        raise _unreadable(file)
    if not (rows := tables.objects(path)):
        raise UserError(f"benchmark file {path} has no rows")
    columns = _columns(file, {column: None for _, row in rows for column in row})
    ids = [str(row.get(columns["id"], "")) for _, row in rows] if "id" in columns else []
    unique = len(set(ids)) == len(rows) and all(ids)
    found = []
    for place, (number, row) in enumerate(rows):
        try:
            item = _item(name, ids[place] if unique else str(number), row, columns)
            problem = fault(item)
        except (KeyError, ValueError, TypeError) as error:
            problem = f"no field {error}" if isinstance(error, KeyError) else str(error)
        if problem:
            raise UserError(f"{tables.place(path, number)}: {problem}; mend it or leave it out")
        found.append(item)
    if all(len(answer) <= SAID_CHARACTERS and "\n" not in answer for item in found for answer in item.answers):
        return tuple(found)
    return tuple(replace(item, answers=()) for item in found)


def _columns(file: RowsFile, row: Row) -> dict[str, Any]:
    """The field of every role that some row has: as it was said, else by its usual names."""
    columns: dict[str, Any] = {}
    for role, names in USUAL.items():
        said = getattr(file, role)
        for column in said if isinstance(said, tuple) else (said,):
            if column and column not in row:
                raise UserError(f"{file.path} has no field '{column}' for its {role}; its fields are {', '.join(row)}")
        usual = next((column for column in names if column in row and column not in columns.values()), None)
        if said or usual is not None:
            columns[role] = said or usual
    if "question" not in columns:
        raise UserError(
            f"{file.path} has no field that is called as a question is; its fields are {', '.join(row)}; say which it "
            "is: --fields question=FIELD, in Python RowsFile(path, question=FIELD)"
        )
    return columns


def _item(name: str, id_: str, row: Row, columns: Mapping[str, Any]) -> Item:
    question = _text(row[columns["question"]])
    answer = row[columns["answer"]] if "answer" in columns else None
    if "tests" in columns and answer is not None:
        tests = "\n".join(_listed(row[columns["tests"]]))
        return Item(name, id_, {"prompt": question, "solution": _text(answer), "tests": tests})
    passage = row.get(columns["context"]) if "context" in columns else None  # some rows may have none
    about = {"passage": _text(passage)} if passage else {}
    about["question"] = question
    if "choices" in columns:
        choices, labels = _choices(row, columns["choices"])
        return Item(name, id_, about, choices, _gold(answer, choices, labels))
    accepted = _listed(row[columns["answers"]]) if "answers" in columns else []
    if isinstance(answer, Mapping):  # as TriviaQA has it
        accepted, answer = _listed(answer.get("aliases", ())), answer.get("value")
    said = [*([] if answer is None else _listed(answer)), *accepted]
    return Item(name, id_, about, answers=tuple(dict.fromkeys(said)), canonical=said[0] if said else "")


def _choices(row: Row, column: str | tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The texts of the choices, and the labels that a row may give them."""
    if isinstance(column, tuple) and len(column) > 1:
        return tuple(_text(row[each]) for each in column), list(column)
    found = row[column[0] if isinstance(column, tuple) else column]
    if isinstance(found, Mapping) and "text" in found:  # as ARC has it
        return tuple(map(_text, found["text"])), [str(label) for label in found.get("label", ())]
    if isinstance(found, Mapping):
        return tuple(map(_text, found.values())), list(map(str, found))
    return tuple(_listed(found)), []


def _gold(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int:
    said = str(answer).strip()
    if said in labels:
        return labels.index(said)
    if re.fullmatch(r"[0-9]+", said) and said not in choices:
        return int(said)
    if re.fullmatch(r"[A-Z]", said) and said not in choices:
        return ord(said) - ord("A")
    if said in map(str.strip, choices):
        return [choice.strip() for choice in choices].index(said)
    raise ValueError(
        f"the answer {said[:60]!r} is none of the choices: give its number from 0, its letter, or its text"
    )


def _listed(value: Any) -> list[str]:
    """A list of texts, also one that a cell of a table holds as JSON; a text alone is one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    return list(map(_text, value)) if isinstance(value, list | tuple) else [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{str(value)[:60]!r} is not text")


def _unreadable(file: RowsFile, error: OSError | None = None) -> UserError:
    why = "no such file" if not Path(file.path).is_file() else error.strerror if error else "of another form"
    return UserError(f"benchmark file {file.path} cannot be read ({why}); name a file of rows: {', '.join(FORMS)}")
