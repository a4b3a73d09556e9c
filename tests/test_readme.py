"""What the README shows is what works."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard

from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan
from mixtures.catalogue.source import Source
from mixtures.documents.parquet import read_documents
from mixtures.prepare import read_sources
from tests.conftest import ROOT


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the README's Python defines, run in the order of the page in a folder with a small corpus."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus" / "notes").mkdir(parents=True)
    (tmp_path / "corpus" / "notes" / "one.txt").write_text("A note that is long enough to be kept.")
    (tmp_path / "corpus" / "old.md.gz").write_bytes(b"")
    rows = "".join(
        json.dumps({"text": f"def number_{n}(): return {n}", "repo": f"me/{n % 3}"}) + "\n" for n in range(9)
    )
    (tmp_path / "corpus" / "pages.jsonl.zst").write_bytes(zstandard.compress(rows.encode()))
    (tmp_path / "corpus" / "old.md.gz").write_bytes(__import__("gzip").compress(b"# A page that is long enough"))
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks[:2]:
        exec(block, names)
    exec(blocks[2], study := {})  # it is a whole file
    return names | study


def here(work: Any, jobs: Any, done: Any) -> None:
    for job in jobs:
        work(job)


def test_the_corpora_of_the_readme_are_read(shown: dict[str, Any], tmp_path: Path) -> None:
    paths = read_sources([shown["NOTES"], shown["PAGES"]], tmp_path / "store", lambda *state: None, here)
    notes, pages = ([document for path in of for document in read_documents(path)] for of in paths)
    assert {document.id for document in notes} == {"notes/one.txt", "old.md.gz"}
    assert len(pages) == 9 and {document.group for document in pages} == {"me/0", "me/1", "me/2"}
    assert isinstance(shown["WIKI"], Source)


def test_the_study_of_the_readme_plans(shown: dict[str, Any], tmp_path: Path) -> None:
    plan = make_plan(shown["STUDY"], tmp_path / "store")
    assert len(plan.stages) == 4 and not isinstance(plan, PreparedPlan) and plan.changes == ()
    assert plan.tokens_by_kind(plan.stage("half-notes-s0")) == {"code": 200_704, "text": 200_704}
