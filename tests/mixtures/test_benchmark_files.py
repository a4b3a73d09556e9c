"""A user's own benchmark: any file of rows, with the fields that people have."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from mixtures.benchmarks.item import Item
from mixtures.benchmarks.load import load, name_of, pin
from mixtures.benchmarks.own_rows import RowsFile, own, with_fields
from store.errors import UserError

GSM = [{"question": f"{n} birds and {n + 1} more?", "answer": f"{n} and {n + 1}.\n#### {2 * n + 1}"} for n in range(3)]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(json.dumps({"data": rows}) if path.suffix == ".json" else lines, encoding="utf-8")
    return path


def items(path: Path, **columns: Any) -> list[Item]:
    return list(load(RowsFile(path, **columns), path.parent))


@pytest.mark.parametrize("name", ["gsm8k.jsonl", "gsm8k.jsonl.gz", "gsm8k.json", "gsm8k.parquet"])
def test_a_path_is_a_benchmark_whatever_the_form(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, GSM)
    first, *_ = load(str(path), tmp_path / "nowhere")
    assert (first.benchmark, first.fields) == ("gsm8k", {"question": "0 birds and 1 more?"})
    assert first.canonical == GSM[0]["answer"] and first.answers == ()  # an explanation is not asked to be said
    assert name_of(str(path)) == "gsm8k"


def test_what_decides_the_items_is_the_file_and_its_fields(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.jsonl", GSM)
    before = pin(str(path), tmp_path)
    assert pin(RowsFile(path), tmp_path) == before
    assert pin(RowsFile(path, question="answer"), tmp_path) != before
    written(path, GSM[:2])
    assert pin(str(path), tmp_path) != before


def test_a_field_that_only_later_rows_have_counts(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "answer": "me"}, {"question": "What?", "passage": "It is it.", "answer": "it"}]
    first, second = items(written(tmp_path / "mine.jsonl", rows))
    assert (first.fields, second.fields) == ({"question": "Who?"}, {"question": "What?", "passage": "It is it."})
    with pytest.raises(UserError, match="line 1: no field 'answer'"):
        items(written(tmp_path / "mine.jsonl", [{"question": "Who?"}, rows[0]]))


CHOICE = {"question": "What flows down?", "id": "q7"}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"choices": ["ice", "lava"], "answer": 1}, {}),
        ({"choices": ["ice", "lava"], "label": "B"}, {}),
        ({"options": ["ice", "lava"], "answer": "lava"}, {}),
        ({"options": '["ice", "lava"]', "gold": "1"}, {}),
        ({"choices": {"text": ["ice", "lava"], "label": ["1", "2"]}, "answerKey": "2"}, {}),
        ({"options": {"A": "ice", "B": "lava"}, "answer": "B"}, {}),
        ({"A": "ice", "B": "lava", "key": "B"}, {"choices": ("A", "B"), "answer": "key"}),
        ({"one": "ice", "two": "lava", "key": 1}, {"choices": ("one", "two"), "answer": "key"}),
        ({"choices": ["2", "1"], "answer": "1"}, {}),  # the text of a choice before its number
    ],
)
def test_choices_and_the_right_one_as_people_write_them(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, Any]
) -> None:
    (item,) = items(written(tmp_path / "exam.jsonl", [CHOICE | row]), **columns)
    assert (item.id, item.gold, len(item.choices), item.answers) == ("q7", 1, 2, ())


def test_other_rows_that_people_have(tmp_path: Path) -> None:
    code = {"task_id": "t/1", "prompt": "def f(x):\n", "canonical_solution": "    return x\n", "test": ["assert f(1)"]}
    (item,) = items(written(tmp_path / "code.jsonl", [code]))
    assert item == Item("code", "t/1", {"prompt": code["prompt"], "solution": "    return x\n", "tests": "assert f(1)"})
    trivia = {"question": "Which river?", "answer": {"value": "Nile", "aliases": ["Nile", "The Nile"]}}
    (item,) = items(written(tmp_path / "t.jsonl", [trivia]))
    assert (item.answers, item.canonical) == (("Nile", "The Nile"), "Nile")
    passage = {"context": "It rained.", "query": "Did it?", "answers": ["yes", "it did"]}
    (item,) = items(written(tmp_path / "t.jsonl", [passage]))
    assert (item.fields, item.answers) == ({"passage": "It rained.", "question": "Did it?"}, ("yes", "it did"))
    (item,) = items(written(tmp_path / "t.jsonl", [{"text": "Only a text."}]))
    assert (item.id, item.fields, item.canonical) == ("1", {"question": "Only a text."}, "")
    table = tmp_path / "t.csv"
    table.write_text("stem,key\nHow many?,12\n", encoding="utf-8")
    (item,) = items(table, question="stem", answer="key")
    assert (item.id, item.answers) == ("2", ("12",)), "numbered by its line"


@pytest.mark.parametrize(
    ("rows", "columns", "problem"),
    [
        ([{"stem": "x"}], {}, r"no field that is called as a question is; its fields are stem; say which"),
        ([{"question": "x"}], {"answer": "key"}, r"no field 'key' for its answer; its fields are question"),
        ([*GSM, {"question": "x"}], {}, r"line 4: no field 'answer'; mend it"),
        ([CHOICE | {"choices": ["a"], "answer": 0}], {}, "line 1: there is nothing to choose from"),
        ([CHOICE | {"choices": ["a", "b"], "answer": 2}], {}, "line 1: the right answer is number 2 of 2 choices"),
        ([CHOICE | {"choices": ["a", "b"], "answer": "c"}], {}, "line 1: the answer 'c' is none of the choices"),
        ([{"question": ["x"]}], {}, r"line 1: .* is not text"),
        ([], {}, "has no rows"),
    ],
)
def test_a_file_that_cannot_be_asked_says_why(
    tmp_path: Path, rows: list[dict[str, Any]], columns: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        items(written(tmp_path / "mine.jsonl", rows), **columns)


def test_a_slip_on_the_command_line_is_answered(tmp_path: Path) -> None:
    (file, name) = with_fields(["a/b.jsonl", "piqa"], ["question=prompt,choices=A", "choices=B"])
    assert file == RowsFile("a/b.jsonl", question="prompt", choices=("A", "B")) and name == "piqa"
    with pytest.raises(UserError, match="ROLE is one of question, context"):
        with_fields(["b.jsonl"], ["prompt=question"])
    with pytest.raises(UserError, match="name one with --benchmark PATH"):
        with_fields(["piqa"], ["question=prompt"])
    with pytest.raises(UserError, match=r"nowhere.csv cannot be read \(no such file\)"):
        pin("nowhere.csv", tmp_path)
    assert (
        own("piqa") is None
        and name_of("x/piqa.jsonl") == "piqa-file"
        and name_of("My rows.test.jsonl") == "My-rows-test"
    )
