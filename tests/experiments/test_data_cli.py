"""The data commands as a user types them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from experiments import cli
from experiments.commands import data
from mixtures.benchmarks.own_rows import RowsFile
from mixtures.catalogue import files, generated
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.prepare import Cleaning
from mixtures.readers.files import read_files
from mixtures.steps.executors import pool
from store.errors import Failure, UserError
from store.files import write_sealed
from tests.conftest import ROOT


def ablate(*arguments: str, store: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "ablate"), *arguments]
    if store is not None:
        command += ["--store", str(store)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "nonsense"], "'nonsense' is neither a study ("),
        (["prepare", "qa", "--executor", "spark"], "executor 'spark' is unknown; choose pool or beam"),
        (["prepare", "qa", "--runner=X"], "no such option: --runner=X; options of Beam need --executor beam"),
        (["synthesize", "--variant", "good"], "there is no variant 'good'"),
        (["decontaminate", "no/such/folder"], "no/such/folder does not exist"),
        (["decontaminate", "README.md", "--rule", "magic"], "unknown decontamination rule 'magic'"),
        (["decontaminate", "README.md", "--benchmark", "mmlu"], "unknown benchmark 'mmlu'"),
    ],
)
def test_a_slip_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = ablate(*arguments, store=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_catalogue_names_upstream_revision_and_licence_of_every_source() -> None:
    done = ablate("sources", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["sources"]}
    assert {"literature", "slimpajama", "stack-code", "stack-markup", "cooldown-instruct"} <= rows.keys()
    for row in rows.values():
        assert row["upstream"] and all(up["name"] and up["version"] and up["licence"] for up in row["upstream"])


def test_a_source_of_the_paper_says_what_it_would_fetch_when_it_cannot(tmp_path: Path) -> None:
    environment = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [str(Path(sys.executable).parent / "ablate"), "prepare", "stack-code", "--store", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert (
        "source 'stack-code'" in last and "9fc30b578cedaec69e47302df72cf00feed7c8c4" in last and "ABLATE_MIRROR" in last
    )


def test_generated_problems_lie_where_every_source_of_files_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exam.csv").write_text("question,answer\nWhat is the capital city of France called today?,Paris\n")
    monkeypatch.setattr(data, "EVERY_BENCHMARK", Cleaning((RowsFile(str(tmp_path / "exam.csv")),)))
    found = data.prepare_source(generated("problems", 1, 9_000), tmp_path / "store", pool(1))
    (row,) = found["sources"]
    mine = files("mine", "synthetic", found["files"])
    documents = [document for shard in mine.shards(tmp_path) for document in mine.read(shard, tmp_path)]
    assert len(documents) == row["documents"] > 4
    assert all(document.group.startswith("synthetic/") for document in documents)


def test_a_source_is_counted_without_what_is_contaminated(tmp_path: Path) -> None:
    paths, scans = [], []
    for number, contaminated in enumerate(([0, 2], [])):
        paths.append(tmp_path / f"{number}.parquet")
        scans.append(tmp_path / f"{number}.json")
        parquet.write(paths[-1], (Document(f"{n}", "g", "four") for n in range(3)), {"dropped": {"empty": 1}})
        write_sealed(scans[-1], {"contaminated": contaminated, "found": [], "kept": []})
    row = data._read_row(QUICKSTART[0], paths, scans)
    assert (row["documents"], row["bytes"]) == (4, 16)
    assert row["dropped"] == {"contaminated": 2, "empty": 2}


def test_documents_of_every_form_are_read(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"row {n} — é"}) + "\n" for n in range(3))
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(rows.replace('"text"', '"content"').encode()))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(rows.encode()))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "bad.txt").write_bytes(b"not \xff utf-8")
    documents = {document.id: document.text for document in read_files(tmp_path)}
    assert len(documents) == 10
    assert documents["a.jsonl#2"] == documents["b.jsonl.gz#2"] == documents["c.jsonl.zst#2"] == "row 1 — é"
    assert documents["d/bad.txt"] == "not \ufffd utf-8"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "fine"}\n{"body": "no text"}\n'),
        ("a.jsonl", b'{"text": "fine"}\n[1, 2\n'),
        ("a.jsonl.gz", gzip.compress(b'{"text": "fine"}\n' * 9_000)[:-20]),
        ("a.jsonl.zst", zstandard.compress(b'{"text": "fine"}\n' * 90_000)[:-20]),
    ],
)
def test_a_damaged_file_is_named_with_the_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Failure, match=rf"{name}(, line 2: | is damaged or cut short)"):
        list(read_files(tmp_path))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no files"):
        list(read_files(tmp_path))


def test_the_selftest_names_the_edits_that_stay_weak_worst_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And names none where all are found: long questions, aligned; 50 characters as they are stand no edit."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.md").write_text((ROOT / "README.md").read_text())
    rows = [
        ("Which instrument did the keeper of the northern lighthouse use to measure the tide each morning?", "a staff"),
        ("How many wooden crates of oranges were left on the pier after the storm had carried the boats?", "forty one"),
        ("Why did the old clockmaker refuse to repair the tower clock that his own father had built?", "it was cursed"),
    ]
    text = "".join(json.dumps({"question": question, "answer": answer}) + "\n" for question, answer in rows)
    (tmp_path / "mine.jsonl").write_text(text)

    def said(*options: str) -> str:
        fields = ["--benchmark", str(tmp_path / "mine.jsonl"), "--fields", "question=question,answer=answer"]
        command = ["decontaminate", str(tmp_path / "corpus"), "--selftest", *fields, *options]
        cli.app([*command, "--store", str(tmp_path / "store")], standalone_mode=False)
        return capsys.readouterr().out

    found = {row["edit"]: row["dropped"] for row in json.loads(said("--rule", "gpt4", "--json"))["rows"]}
    assert found.pop("nothing planted") == 0
    weak = sorted((share, edit) for edit, share in found.items() if share < 0.5)
    assert 1 < len(weak) < len(found)
    line = ", ".join(f"mine: {edit} ({100 * share:.0f} %)" for share, edit in weak)
    assert said("--rule", "gpt4").splitlines()[-1] == f"Weak: fewer than half are dropped of {line}"
    assert "verbatim" in (out := said()) and "Weak" not in out


@pytest.mark.network
def test_a_leak_is_found_in_a_users_folder(tmp_path: Path) -> None:
    from mixtures.benchmarks.load import load

    item = load("humaneval", tmp_path / "downloads")[5]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "leak.py").write_text("import os\n\n" + item.fields["prompt"] + item.fields["solution"])
    (tmp_path / "corpus" / "clean.py").write_text(Path(json.__file__).read_text())
    done = ablate("decontaminate", str(tmp_path / "corpus"), "--benchmark", "humaneval", "--json", store=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["contaminated"] == ["leak.py"]
    assert (found["matches"][0]["item"], found["matches"][0]["score"]) == (item.id, 1.0)
