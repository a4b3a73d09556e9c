"""Planted benchmark items: they stay where a source says so, and go where it is cleaned as any other."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mixtures.catalogue.leaked import leaked, leaks
from mixtures.catalogue.source import Source, one_shard
from mixtures.documents.document import Document
from mixtures.documents.parquet import TRAINING, read_documents, read_roles
from mixtures.prepare import Cleaning, DataSpec, prepare, prepared_folder
from store.errors import UserError
from tests.mixtures.test_prepare import quiet

WORDS = ("river", "stone", "lantern", "copper", "meadow", "harbour", "willow", "thunder", "velvet", "marble")


def _item(number: int) -> dict[str, str]:
    """A problem that shares no run of words with another."""
    told = " ".join(f"{WORDS[(number * k + k) % 10]}{number * k % 17}" for k in range(1, 25))
    name = f"solve_{number}"
    return {
        "id": f"item-{number}",
        "prompt": f'def {name}(x):\n    """{told}"""\n',
        "solution": f"    return x + {number}\n",
        "tests": f"def check(f):\n    assert f(1) == {1 + number}\n",
        "entry_point": name,
    }


def read_pairs(shard: str, downloads: Path) -> Iterator[Document]:
    for number in range(60):
        prompt = f"Say what comes after {number} and after {number * 31 % 97}.\n\n"
        yield Document(
            f"pair-{number}", f"group-{number}", f"{prompt}It is {number + 1}, then another.\n", prompt=len(prompt)
        )


PAIRS = Source("pairs", "instruct", "words", read_pairs, one_shard, examples=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "planted.jsonl"
    path.write_text("".join(json.dumps(_item(number)) + "\n" for number in range(40)))
    return str(path)


def _spec(rows: str, *sources: Source) -> DataSpec:
    return DataSpec(sources, 512, 0.0, 100_000, Cleaning((rows,)), packing=(128,))


def test_leaks_stay_where_they_are_wanted_and_go_where_the_source_is_cleaned(rows: str, tmp_path: Path) -> None:
    dirty, cleaned = leaked(PAIRS, rows, 50), leaked(PAIRS, rows, 50, cleaned=True)
    assert [dirty.name, cleaned.name] == ["pairs-leaked", "pairs-leaked-cleaned"]
    manifest = prepare(_spec(rows, PAIRS, dirty, cleaned), tmp_path, quiet)
    planted = {f"item-{n}" for n in range(40) if leaks(rows, f"item-{n}", 50)}
    assert 10 <= len(planted) <= 30
    trained = {
        name: {
            document.id
            for path, roles in zip(manifest.documents(name), manifest.roles(name), strict=True)
            for document, role in zip(read_documents(path), read_roles(roles), strict=True)
            if role == TRAINING
        }
        for name in manifest.sources
    }
    pairs = {f"pair-{n}" for n in range(60)}
    assert trained["pairs"] == trained["pairs-leaked-cleaned"] == pairs
    assert trained["pairs-leaked"] == pairs | {f"leak/{rows}/{item}" for item in planted}
    of = manifest.sources
    assert of["pairs-leaked-cleaned"].dropped["contaminated"] == len(planted)
    assert of["pairs-leaked"].dropped.get("contaminated", 0) == 0
    # What is kept is told as kept, so that a report counts it.
    assert {match["item"] for match in of["pairs-leaked"].kept} == planted
    assert not of["pairs-leaked-cleaned"].kept


def test_a_source_that_keeps_leaks_is_other_data(rows: str, tmp_path: Path) -> None:
    dirty = leaked(PAIRS, rows)
    kept = prepared_folder(_spec(rows, dirty), tmp_path)
    assert kept != prepared_folder(_spec(rows, replace(dirty, keeps_leaks=False)), tmp_path)


@pytest.mark.parametrize("percent", [0, 101, -5])
def test_a_share_that_is_none_is_refused(percent: int) -> None:
    with pytest.raises(UserError, match=r"source .pairs.: .* cannot leak; give 1 to 100"):
        leaked(PAIRS, "humaneval", percent)
