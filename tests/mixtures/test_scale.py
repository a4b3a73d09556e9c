"""Preparation at scale: files grouped to shards, one read for several sources, jobs in a file, near-duplicates."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from mixtures.catalogue.source import Source, hub_source
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.prepare import Cleaning, DataSpec, prepare, prepared_folder, read_sources
from mixtures.readers import hub, rows
from mixtures.readers.hub import HubDataset
from mixtures.steps.executors import pool
from mixtures.steps.jobs import read_job, write_jobs
from store.errors import Failure, UserError
from tests.mixtures.test_hub import REVISION, quiet

SETS = ("RedPajamaCommonCrawl", "RedPajamaStackExchange")


def here(work: Callable[[Any], None], jobs: Sequence[Any], done: Callable[[int], None]) -> None:
    for job in jobs:
        work(job)


def slim(name: str, documents: rows.Reader) -> Source:
    dataset = HubDataset("o/slim", REVISION, "MIT", "", ("*.jsonl",), ("text", "meta"), documents, "")
    return hub_source(name, "text", "english", dataset)


TEXT, THREADS = slim("text", rows.slimpajama_text), slim("threads", rows.slimpajama_threads)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of rows of two kinds, with more of the one at first and of the other at last."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name in "abc":
        lines = [
            {
                "text": f"Q: Is row {name} {n} one?\n\nA: It is, I think.",
                "meta": {"redpajama_set_name": SETS[n % 7 < 1 + n // 100]},
            }
            for n in range(500)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv(hub.MIRROR, f"o/slim={folder}")
    return folder


def read(source: Source, store: Path, executor: Any = here) -> list[tuple[str, list[Document]]]:
    (paths,) = read_sources([source], store, quiet, executor)
    return [(path.name, list(parquet.read_documents(path))) for path in paths]


def test_sources_of_the_same_files_are_read_in_one_pass(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (mirror / "a.jsonl").stat().st_size
    monkeypatch.setattr(hub, "SHARD_BYTES", 2 * size + 100)
    alone = [read(source, tmp_path / "alone") for source in (TEXT, THREADS)]
    assert [name for name, _ in alone[0]] == ["00000-of-00002.parquet", "00001-of-00002.parquet"]
    assert sum(len(documents) for its in alone for _, documents in its) == 1_500
    opened: list[str] = []

    class Noting(LocalFileSystem):
        protocol = "noting"

        def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
            opened.append(Path(path).name)
            return super()._open(path, *arguments, **options)

    fsspec.register_implementation("noting", Noting, clobber=True)
    monkeypatch.setenv(hub.MIRROR, f"o/slim=noting://{mirror}")
    paths = read_sources([TEXT, THREADS], tmp_path / "together", quiet, here)
    assert opened == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert [[(path.name, list(parquet.read_documents(path))) for path in its] for its in paths] == alone
    listed = json.loads((paths[1][0].parent / "shards.json").read_text())
    assert listed == {"00000-of-00002": ["o~slim~a.jsonl", "o~slim~b.jsonl"], "00001-of-00002": ["o~slim~c.jsonl"]}
    paths[1][0].unlink()  # one of two files of a pass is missing, and it alone is written again
    before = paths[0][0].stat().st_mtime_ns
    assert read(THREADS, tmp_path / "together") == alone[1] and opened[3:] == ["a.jsonl", "b.jsonl"]
    assert paths[0][0].stat().st_mtime_ns == before


def test_the_source_that_has_read_least_goes_on(mirror: Path) -> None:
    with hub.one_pass(2) as taken:
        readers = [source.read("o~slim~a.jsonl", Path()) for source in (TEXT, THREADS)]
        apart = []
        while readers[0] is not None and readers[1] is not None:
            number = min(range(2), key=taken.__getitem__)
            if next(readers[number], None) is None:
                break
            apart.append(abs(taken[0] - taken[1]))
    assert taken[0] > 400 and max(apart) <= 7  # the rows between two documents of one kind


def test_a_grouping_is_kept_as_it_was_listed(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(TEXT, tmp_path / "store")
    monkeypatch.setattr(hub, "SHARD_BYTES", 1)
    assert read(TEXT, tmp_path / "store") == before
    assert len(read(TEXT, tmp_path / "another")) == 3


def test_a_job_is_read_by_its_number(tmp_path: Path) -> None:
    jobs = [{"number": n, "text": "x" * n} for n in range(300)]
    file = write_jobs(jobs, tmp_path / "jobs")
    assert [read_job(file, number) for number in (0, 299, 7)] == [jobs[0], jobs[299], jobs[7]]
    assert write_jobs(jobs, tmp_path / "jobs") == file and len(list((tmp_path / "jobs").iterdir())) == 1
    file.path.unlink()
    with pytest.raises(Failure, match=r"jobs of the preparation cannot be read .*; use a store that all workers see"):
        read_job(file, 0)


NEWS = [[Document(f"{s}{n}", f"{s}{n}", f"Article {s}{n} of the daily news.") for n in range(30)] for s in "abc"]
COPY = Document("copy", "copy", NEWS[0][3].text)


def read_news(shard: str, downloads: Path) -> Any:
    yield from NEWS["abc".index(shard)]
    if shard == "c":
        yield COPY


def news_shards(downloads: Path) -> tuple[str, ...]:
    return ("a", "b", "c")


def news(near: Path | None = None) -> DataSpec:
    lists = {"news": near} if near else {}
    source = Source("news", "text", "english", read_news, news_shards)
    return DataSpec((source,), 300, 0.1, 100_000, Cleaning(near_duplicates=lists))


def listed(folder: Path, **lists: list[int]) -> Path:
    """A folder as datatrove leaves it, of the shards that are named by their letters."""
    folder.mkdir()
    for shard, numbers in lists.items():
        (folder / f"{'abc'.index(shard):06d}.remove").write_bytes(struct.pack(f"<{len(numbers)}I", *numbers))
    (folder / "000000.clusters").write_bytes(b"\0" * 8)
    return folder


def test_near_duplicates_that_a_list_names_are_dropped_and_counted(tmp_path: Path) -> None:
    store = tmp_path / "store"
    plain = prepare(news(), store, quiet, pool(1))
    assert plain.sources["news"].dropped == {"exact duplicate": 1}
    order = {path.stem: [d.id for d in parquet.read_documents(path)] for path in plain.documents("news")}
    # The list names the one of two equal texts which stays without it: the text is kept all the same.
    near = listed(tmp_path / "near", a=[order["a"].index("a3"), order["a"].index("a7")], c=[order["c"].index("c0")])
    cleaned = prepare(news(near), store, quiet, pool(1))
    assert cleaned.sources["news"].dropped == {"near duplicate": 3}
    assert cleaned.folder != plain.folder == prepared_folder(news(), store)
    roles = {
        id: role
        for path, its in zip(cleaned.documents("news"), cleaned.roles("news"), strict=True)
        for id, role in zip(order[path.stem], parquet.read_roles(its).tolist(), strict=True)
    }
    assert {id for id, role in roles.items() if role == parquet.NEAR_DUPLICATE} == {"a3", "a7", "c0"}
    assert roles["copy"] in (parquet.TRAINING, parquet.HELDOUT)
    (near / "000000.remove").write_bytes(struct.pack("<I", 1))
    assert prepared_folder(news(near), store) != cleaned.folder


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ({"a": [30]}, r"000000\.remove is of other documents: it names document 30, and the shard has 30; run MinHash"),
        ({}, r"near has no list of near-duplicates \(000000\.remove, \.\.\.\); name the output folder"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, lists: dict[str, list[int]], says: str) -> None:
    with pytest.raises(UserError, match=rf"^source 'news': .*{says}"):
        prepare(news(listed(tmp_path / "near", **lists)), tmp_path / "store", quiet, pool(1))


def test_more_lists_than_shards_and_a_list_of_no_source_are_refused(tmp_path: Path) -> None:
    near = listed(tmp_path / "near", a=[1])
    (near / "000003.remove").write_bytes(b"\0" * 4)
    with pytest.raises(UserError, match=r"000003\.remove is of other documents: the source has 3 shards"):
        prepare(news(near), tmp_path / "store", quiet, pool(1))
    (near / "000003.remove").unlink()
    (near / "000000.remove").write_bytes(b"\0" * 5)
    with pytest.raises(UserError, match=r"it is no list of numbers of 4 bytes"):
        prepare(news(near), tmp_path / "store", quiet, pool(1))
    wrong = replace(news(), cleaning=Cleaning(near_duplicates={"olds": near}))
    with pytest.raises(UserError, match=r"near-duplicates of 'olds' are named, which is no source"):
        prepared_folder(wrong, tmp_path / "store")
