"""What the fast reader makes of a record is what the slow one does, or it leaves the record to that."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import score_cache, task_scores
from analysis.columns import _parsed, columns_of, read_columns
from analysis.records import EvalRecord, eval_path, read_eval, write
from analysis.task_scores import Read, read_scores
from store.errors import Failure
from store.files import read_json, write_sealed
from tests.analysis import large_store

CHOICE = {
    "id": "é\n\"items\": [", "nats": 1, "bytes": 7, "correct": 0.5, "gold": 1, "choice_nats": [2, 1.25],
    "choice_bytes": [3, 4], "choice_chars": [3, 4],
}  # fmt: skip


def written(folder: Path, *items: dict[str, Any], **changes: Any) -> Path:
    path = eval_path(folder / "stages" / "stage-a", "piqa", 1, 5)
    write(path, replace(EvalRecord("piqa", 1, "hash", "f", 5, items), **changes))  # type: ignore[arg-type]
    return path


def slow(path: Path) -> tuple[EvalRecord, Any]:
    record = read_eval(path, "f")
    return replace(record, items=()), columns_of(record.items, record.task, "stage-a")


def test_every_kind_of_record_is_read_alike_and_fast(tmp_path: Path) -> None:
    large_store.write_store(tmp_path, arms=1, seeds=1, share=0.01)
    paths = sorted(tmp_path.glob("stages/*-cooldown-*/evals/*.json"))
    assert len(paths) == len(large_store.SIZES)
    for path in paths:
        record = read_eval(path)
        found = _parsed(path, record.fingerprint)
        assert found == (replace(record, items=()), columns_of(record.items, record.task, "")), path.name


def test_what_an_item_says_ends_nothing(tmp_path: Path) -> None:
    """Words of a model, fields that only later items have, whole numbers beside fractions."""
    said = '}\n ],\n "gap": "x", "nats": null, {"items": [\n  {"id": 1'
    items = [CHOICE | {"said": said}, CHOICE | {"id": "b", "said": "2024-01-01", "nats": 2.5, "correct": 1}]
    path = written(tmp_path, *items, CHOICE | {"id": "c", "said": "", "cut": 1, "cluster": "p", "source": "s"})
    found = _parsed(path, "f")
    assert found is not None and found == slow(path)
    assert found[1]["cut"].to_pylist() == [None, None, 1.0] and found[1]["cluster"].to_pylist()[2] == "p"


@pytest.mark.parametrize(
    "last",
    [
        {**CHOICE, "nats": None},
        {field: value for field, value in CHOICE.items() if field != "correct"},
        {**CHOICE, "choice_nats": [1.0, None]},
        {**CHOICE, "id": 7},
        {**CHOICE, "correct": True},
        {**CHOICE, "score": 1.0},
    ],
    ids=["null", "lacking", "null in a list", "number for an id", "truth value", "one alone"],
)
def test_what_could_be_taken_for_something_else_is_left_to_the_slow_reader(
    last: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path, CHOICE, CHOICE | {"id": "b", "nats": 1.5})
    row = read_json(path, "record")
    del row["checksum"]
    row["items"].append({**last, "id": last["id"] if last["id"] == 7 else "c"})
    write_sealed(path, row)
    assert _parsed(path, "f") is None


def test_an_empty_record_and_a_gap_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, gap="no rows")
    assert read_columns(path, "f") == (replace(read_eval(path), items=()), {})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace('"nats": 1,', '"nats": 2,'), "is damaged"),
        (lambda text: text[:100], "cannot be read"),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), "has schema 3"),
    ],
    ids=["changed", "torn", "another schema"],
)
def test_damage_is_told_as_ever(damage: Any, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, CHOICE)
    path.write_text(damage(path.read_text()))
    with pytest.raises(Failure, match=said):
        read_columns(path, "f")


def test_another_checkpoint_and_an_unknown_field_are_told_as_ever(tmp_path: Path) -> None:
    path = written(tmp_path, CHOICE)
    with pytest.raises(Failure, match="is of checkpoint f, not g"):
        read_columns(path, "g")
    row = read_json(path, "record")
    del row["checksum"]
    write_sealed(path, row | {"colour": "red"})
    with pytest.raises(Failure, match="has the wrong fields"):
        read_columns(path, "f")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Read]:
    """A record that was read once, what is kept of it, and what was read."""
    monkeypatch.setattr(score_cache, "LEAST_BYTES", 100)
    items = [CHOICE | {"id": f"{n}", "nats": n / 7, "source": f"s{n % 2}", "cluster": f"c{n % 3}"} for n in range(20)]
    path = written(tmp_path, *items[:-1], items[-1] | {"cut": 1, "alike": 1})
    first = read_scores(path, "f", {})
    (copy,) = path.parent.glob(".scores/*.arrow")
    return path, copy, first


def alike(one: Read, other: Read) -> bool:
    """To the bit, tasks of parts too."""
    plain = [
        {
            task: [
                *(its.ids, its.flagged, its.version, its.cluster_N.tolist(), its.where),
                *((name, column_N.tobytes()) for name, column_N in its.columns.items()),
            ]
            for task, its in each.scores.items()
        }
        for each in (one, other)
    ]
    return one.record == other.record and one.diverged == other.diverged and plain[0] == plain[1]


def test_what_is_kept_of_a_record_is_what_was_read(kept: tuple[Path, Path, Read], monkeypatch: Any) -> None:
    path, _, first = kept
    assert {*first.scores} == {"piqa", "piqa/s0", "piqa/s1"} and first.scores["piqa"].flagged["cut"] == ("19",)
    monkeypatch.setattr(task_scores, "read_columns", lambda *of: pytest.fail("it was read again"))
    assert alike(read_scores(path, "f", {}), first)
    with pytest.raises(Failure, match="is of checkpoint f, not another"):
        read_scores(path, "another", {})


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: b"", lambda d: d[:500] + b"\0" + d[501:], lambda d: d * 2]
)
def test_a_copy_that_is_damaged_is_made_anew(kept: tuple[Path, Path, Read], damage: Any) -> None:
    path, copy, first = kept
    whole = copy.read_bytes()
    copy.write_bytes(damage(whole))
    assert alike(read_scores(path, "f", {}), first)
    assert copy.read_bytes() == whole


def test_a_record_that_changed_is_read_again(kept: tuple[Path, Path, Read]) -> None:
    path, _, first = kept
    record = read_eval(path)
    write(path, replace(record, items=tuple({**item, "nats": 9.0} for item in record.items)))
    found = read_scores(path, "f", {})
    assert not alike(found, first) and {*found.scores["piqa"].columns["nats"]} == {9.0}


def test_records_are_read_where_nothing_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_cache, "LEAST_BYTES", 0)
    path = written(tmp_path, CHOICE)
    (path.parent / ".scores").write_text("a file where a folder is to be")
    assert read_scores(path, "f", {}).scores["piqa"].ids == (CHOICE["id"],)
