"""Benchmark items in documents, as a preparation meets them: dropped, counted, shown, and searched for once."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixtures import prepare as preparation
from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.decontaminate.scan import Rule
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.prepare import Cleaning
from mixtures.tokens.manifest import read_manifest
from store.errors import Failure, UserError
from tests.mixtures.test_prepare import PLAIN, here, prepare, quiet, read_plain, source, spec, trained


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Item:
    words = "why does the old lighthouse keeper count seventeen grey herons before every storm that comes from the west"
    item = Item("herons", "1", {"question": words + "?"}, answers=("because they leave first",))
    entry = replace(BENCHMARKS["nq_open"], rows=1)
    monkeypatch.setitem(BENCHMARKS, "herons", entry)
    monkeypatch.setattr("mixtures.prepare.load_benchmark", lambda name, downloads: (item,))
    return item


def read_planted(shard: str, cache: Path) -> Iterator[Document]:
    yield from read_plain("plain", shard, cache)
    if shard == "three":
        leak = "Why does the old lighthouse keeper count seventeen grey herons before every storm that comes from the W"
        yield Document("leak", "leaky", f"A page.\n\n{leak}est? Because they leave first.\n\nMore of the page follows.")


def test_a_benchmark_item_in_the_corpus_is_dropped_counted_and_shown(planted: Item, tmp_path: Path) -> None:
    leaky = source("leaky", "text", read_planted)
    cleaned = prepare(replace(spec(leaky), cleaning=Cleaning(("herons",))), tmp_path, quiet)
    its = cleaned.sources["leaky"]
    assert its.dropped == {"contaminated": 1}
    assert cleaned.benchmarks == {"herons": 1}
    (match,) = its.found
    assert (match["benchmark"], match["item"], match["document"]) == ("herons", "1", "leak")
    assert match["score"] >= 0.9 and "lighthouse keeper" in match["evidence"]
    assert its.kept == ()
    heldout = [document for path in cleaned.heldout("leaky") for document in parquet.read_documents(path)]
    assert "leak" not in {d.id for d in [*heldout, *(d for shard in trained(cleaned, "leaky") for d in shard)]}
    again = read_manifest(cleaned.folder)
    assert again == cleaned


@pytest.mark.parametrize("damage", ["cut", "compression", "version"])
def test_a_damaged_index_of_benchmarks_is_named_and_deleting_it_as_advised_helps(
    planted: Item, tmp_path: Path, damage: str
) -> None:
    store, asked = (
        tmp_path / "store",
        replace(spec(source("leaky", "text", read_planted)), cleaning=Cleaning(("herons",))),
    )
    before = prepare(asked, store, quiet)
    shutil.rmtree(store / "sources")
    shutil.rmtree(store / "prepared")
    (index,) = (store / "benchmarks").glob("*.npz")
    content = bytearray(index.read_bytes())
    if damage == "compression":
        content[content.rindex(b"PK\x01\x02") + 10] ^= 128  # of a member's entry in the directory
    index.write_bytes(content[:-50] if damage == "cut" else content.replace(b'"version": ', b'"version": 9'))
    said = r"decontamination index cannot be read \((\S+): .*\); delete it and run the command again"
    with pytest.raises(Failure, match=said) as caught:
        prepare(asked, store, quiet)
    found = re.search(said, str(caught.value))
    assert found is not None
    Path(found[1]).unlink()
    assert prepare(asked, store, quiet).sources == before.sources


def test_an_unknown_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown benchmark 'nonsense'"):
        prepare(replace(spec(PLAIN), cleaning=Cleaning(("nonsense",))), tmp_path, quiet)


def test_one_more_benchmark_reads_no_source_again(planted: Item, tmp_path: Path) -> None:
    def work(jobs: Sequence[Cleaning]) -> list[list[str]]:
        done: list[list[str]] = []

        def counted(work: Any, jobs: Sequence[Any], told: Callable[[int], None]) -> None:
            done[-1] += [work.__name__] * len(jobs)
            here(work, jobs, told)

        for cleaning in jobs:
            done.append([])
            given = replace(spec(source("leaky", "text", read_planted)), cleaning=cleaning)
            preparation.prepare(given, tmp_path, quiet, counted)
        return done

    none, one, loose = Cleaning(), Cleaning(("herons",)), Cleaning(("herons",), Rule(report=0.2))
    read, scanned, tokenised = (["read_shard"] * 3, ["scan_shard"] * 3, ["tokenise_shard"] * 3)
    assert work([none, one, loose, one]) == [read + tokenised, scanned + tokenised, scanned + tokenised, []]
