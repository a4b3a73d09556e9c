"""Data files of the hub, read from copies of them through the same calls."""

import errno
import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from mixtures.catalogue import hub as catalogue_hub
from mixtures.documents.document import Document
from mixtures.documents.parquet import read_documents
from mixtures.prepare import read_sources
from mixtures.readers import hub, rows
from mixtures.readers.hub import HubDataset
from store.errors import Failure, UserError
from tests.conftest import ROOT

REVISION = "0123456789abcdef0123456789abcdef01234567"
PAGES = [{"text": f"Page {number} says hello.", "url": f"https://a.b/{number % 3}"} for number in range(700)]


def dataset(*files: str, columns: tuple[str, ...] = ("text", "url"), gated: bool = False) -> HubDataset:
    return HubDataset("owner/pages", REVISION, "MIT", "", files, columns, rows.web_pages, "3 GB", gated)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of the data set are."""
    monkeypatch.setenv(hub.MIRROR, (tmp_path / "mirror").as_uri())
    folder = tmp_path / "mirror" / "owner" / "pages" / REVISION
    (folder / "data").mkdir(parents=True)
    return folder


def write(path: Path, table: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in table).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(table)), path, row_group_size=100)
    elif path.suffix == ".zst":
        path.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(lines))
    else:
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


def everything(wanted: HubDataset) -> list[Document]:
    files = [file for shard in hub.shards((wanted,), Path()).values() for file in shard]
    return [d for file in files for d in hub.read((wanted,), file, Path())]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.zst", "a.json.gz"])
def test_every_format_gives_the_same_documents_in_the_order_of_the_file(folder: Path, name: str) -> None:
    write(folder / "data" / name, PAGES)
    found = everything(dataset("data/a.*"))
    assert [document.text for document in found] == [page["text"] for page in PAGES]
    assert found[601] == Document(f"data/{name}#601", "https://a.b/1", "Page 601 says hello.")


def test_a_shard_is_files_in_order_up_to_a_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 0, 2):
        write(folder / "data" / f"train-{number:05}-of-00003.parquet", PAGES[: number + 1])
    write(folder / "data" / "test-00000-of-00009.parquet", PAGES)
    wanted = dataset("data/train-*.parquet")
    files = [f"owner~pages~data~train-{number:05}-of-00003.parquet" for number in range(3)]
    assert hub.shards((wanted,), Path()) == {"00000-of-00001": tuple(files)}
    assert len(everything(wanted)) == 6
    sizes = [(folder / "data" / file.rpartition("~")[2]).stat().st_size for file in files]
    monkeypatch.setattr(hub, "SHARD_BYTES", sizes[0] + sizes[1])
    assert hub.shards((wanted,), Path()) == {"00000-of-00002": (files[0], files[1]), "00001-of-00002": (files[2],)}
    monkeypatch.setattr(hub, "SHARD_BYTES", 1)  # and each is larger
    assert list(hub.shards((wanted, wanted), Path())) == [f"{number:05}-of-00006" for number in range(6)]
    named = dataset(*(f"data/train-{number:05}-of-00003.parquet" for number in (2, 0)))
    assert [file for (file,) in hub.shards((named,), Path()).values()] == [files[2], files[0]]


def test_a_copy_may_be_a_folder_or_belong_to_one_data_set(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "data" / "a.parquet", PAGES)
    wanted = dataset("data/*.parquet")
    monkeypatch.setenv(hub.MIRROR, f"  owner/other=gs://nowhere {tmp_path}/mirror/ ")
    assert len(everything(wanted)) == len(PAGES)
    monkeypatch.setenv(hub.MIRROR, f"gs://nowhere owner/pages={folder}/")
    assert len(everything(wanted)) == len(PAGES)
    monkeypatch.setenv(hub.MIRROR, "owner/other=gs://nowhere")
    assert hub.location(wanted) == f"hf://datasets/owner/pages@{REVISION}"
    monkeypatch.setenv(hub.MIRROR, "pages=gs://nowhere")
    with pytest.raises(UserError, match=r"ABLATE_MIRROR says 'pages=gs://nowhere'; write owner/name=URL"):
        hub.location(wanted)
    monkeypatch.setenv(hub.MIRROR, "owner/pages=")
    with pytest.raises(UserError, match=r"says 'owner/pages='; write owner/name=URL"):
        hub.location(wanted)


def cut(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.zst", "a.json.gz"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_file_that_was_cut_short_is_named(folder: Path, name: str, kept: float) -> None:
    path = folder / "data" / name
    write(path, PAGES)
    cut(path, int(path.stat().st_size * kept))
    says = rf"data/{name}( is damaged or cut short .*\(.*\); fetch or write it again|, line \d+: not JSON .* cut short)"
    with pytest.raises(Failure, match=says) as failure:
        everything(dataset(f"data/{name}"))
    assert "\n" not in str(failure.value)


class Full(LocalFileSystem):
    """A file system that keeps what it reads on a disk which is full."""

    protocol = "full"

    def _open(self, path: str, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json.gz", "a.csv"])
def test_a_full_disk_is_no_damaged_file_and_no_lost_connection(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(folder / "data" / name, PAGES)
    says = r"the disk is full: .* \(\[Errno 28\] No space left on device\); .*; free some space, then run again"
    with pytest.raises(Failure, match=says):
        hub.copy(dataset(f"data/{name}"), f"data/{name}", Path("/dev/full"))
    fsspec.register_implementation("full", Full, clobber=True)
    monkeypatch.setenv(hub.MIRROR, f"owner/pages=full://{folder}")
    with pytest.raises(Failure, match=says):
        everything(dataset(f"data/{name}"))


class Fetched(AbstractBufferedFile):
    """A file that comes in ranges, as from the hub or a bucket."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return Path(self.path).read_bytes()[start:end]


class Remote(LocalFileSystem):
    protocol = "remote"

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return Fetched(self, path, mode, block_size=1_000)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.zst", "a.json.gz", "a.csv"])
def test_a_file_that_comes_in_ranges_is_read_as_one_that_is_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "a.csv":
        (folder / "data" / name).write_text("text,url\n" + "".join(f"{page['text']},{page['url']}\n" for page in PAGES))
    else:
        write(folder / "data" / name, PAGES)
    here = everything(dataset(f"data/{name}"))
    fsspec.register_implementation("remote", Remote, clobber=True)
    monkeypatch.setenv(hub.MIRROR, f"owner/pages=remote://{folder}")
    assert everything(dataset(f"data/{name}")) == here and len(here) == len(PAGES)


@pytest.mark.parametrize("kept", ["one frame", "half", "nothing"])
def test_a_zstandard_file_cut_between_lines_is_no_smaller_file(folder: Path, kept: str) -> None:
    """The decompressed text ends at a line, so that nothing but the missing end of the frame tells."""
    path = folder / "data" / "a.jsonl.zst"
    half = "".join(json.dumps(row) + "\n" for row in PAGES[:350]).encode()
    compressor = zstandard.ZstdCompressor().compressobj()
    begun = compressor.compress(half) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    frame = zstandard.ZstdCompressor().compress(half)
    path.write_bytes({"one frame": frame + begun, "half": begun, "nothing": b""}[kept])
    with pytest.raises(Failure, match=r"cut short.* \(the compressed file ends before its last frame does\)"):
        everything(dataset("data/a.jsonl.zst"))
    path.write_bytes(frame + frame)
    assert len(everything(dataset("data/a.jsonl.zst"))) == 700


def test_damage_inside_a_file_is_named(folder: Path) -> None:
    for name in ("a.parquet", "a.jsonl.zst"):
        path = folder / "data" / name
        write(path, PAGES)
        content = bytearray(path.read_bytes())
        middle = len(content) // 4
        content[middle : middle + 64] = b"\xff" * 64
        path.write_bytes(content)
        with pytest.raises(Failure, match=rf"data/{name} is damaged or cut short"):
            everything(dataset(f"data/{name}"))
    (folder / "data" / "a.jsonl").write_bytes(b'{"text": "\xe9", "url": "u"}\n')
    with pytest.raises(Failure, match=r"data/a\.jsonl, line 1: not UTF-8"):
        everything(dataset("data/a.jsonl"))


def test_a_table_that_is_written_wrongly_is_not_called_damaged(folder: Path) -> None:
    (folder / "data" / "a.csv").write_text("text,text\nHello.,u\n")
    with pytest.raises(Failure, match=r"data/a\.csv, line 1: two columns are called 'text'; give one another name$"):
        everything(dataset("data/a.csv"))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_missing_column_is_named(folder: Path, name: str) -> None:
    write(folder / "data" / name, [{"text": "Hello.", "link": "u"}])
    with pytest.raises(Failure, match=r"no (column )?url; check that it is owner/pages at revision 0123456789"):
        everything(dataset(f"data/{name}"))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_row_without_text_is_an_empty_document_that_preparation_counts(folder: Path, name: str) -> None:
    write(folder / "data" / name, [{"text": None, "url": None}, {"text": "Hello.", "url": None}])
    place = f"data/{name}"
    assert everything(dataset(place)) == [
        Document(f"{place}#0", f"{place}#0", ""),
        Document(f"{place}#1", f"{place}#1", "Hello."),
    ]


def test_lines_of_json_need_no_common_schema(folder: Path) -> None:
    """Upstream's metadata are empty on one line and nested on the next."""
    table = [{"text": "a", "url": None, "meta": meta} for meta in (None, {}, {"x": [1]}, {"x": "one"}, 5)]
    write(folder / "data" / "a.jsonl", table)
    assert [document.text for document in everything(dataset("data/a.jsonl"))] == ["a"] * 5


def test_a_layout_that_the_reader_does_not_know_is_no_traceback(folder: Path) -> None:
    write(folder / "data" / "a.jsonl", [{"text": 5, "url": "u"}, {"messages": "not json"}])
    wanted = HubDataset("owner/pages", REVISION, "MIT", "", ("data/a.jsonl",), (), rows.conversations, "")
    with pytest.raises(Failure, match=r"is not laid out as this reader expects \(KeyError: 'messages'\)"):
        everything(wanted)


def test_a_copy_that_lacks_files_is_refused(folder: Path) -> None:
    for number in (0, 2, 4):
        write(folder / "data" / f"train-{number:05}-of-00005.parquet", PAGES)
    with pytest.raises(Failure, match=r"lacks 2 of the 5 files data/train-\*, the first being number 1"):
        hub.shards((dataset("data/*.parquet"),), Path())
    with pytest.raises(Failure, match=r"has no file other/\*\.parquet; it would be owner/pages at revision"):
        hub.shards((dataset("other/*.parquet"),), Path())


def test_a_copy_with_fewer_files_than_the_catalogue_counts_is_refused(folder: Path) -> None:
    """Names that say nothing of how many there are, as those of FineWeb-Edu."""
    for number in range(2):
        write(folder / "data" / f"000_0000{number}.parquet", PAGES)
    counted = replace(dataset("data/*.parquet"), count=3)
    with pytest.raises(Failure, match=r"has 2 of the 3 files; .* copy the others as well, or unset ABLATE_MIRROR"):
        hub.shards((counted,), Path())
    write(folder / "data" / "000_00002.parquet", PAGES)
    assert len(hub.shards((counted,), Path())["00000-of-00001"]) == 3
    exact = dataset(*(f"data/000_0000{number}.parquet" for number in range(4)))
    with pytest.raises(Failure, match=r"has no file data/000_00003\.parquet"):
        hub.shards((exact,), Path())


def quiet(what: str, done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("mirror", ["mirror", "owner/pages=mirror/owner/pages/" + REVISION])
def test_where_a_copy_is_travels_with_the_job(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    """To a worker that has another environment and stands in another folder."""
    write(folder / "data" / "a.jsonl", PAGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(hub.MIRROR, mirror)

    def elsewhere(work: Callable[[Any], None], jobs: Sequence[Any], done: Callable[[int], None]) -> None:
        with monkeypatch.context() as there:
            there.setenv(hub.MIRROR, "/no/such/place")
            there.chdir("/")
            for job in pickle.loads(pickle.dumps(jobs)):
                work(job)

    source = catalogue_hub("owner/pages", REVISION, "text", "data/a.jsonl", field="text")
    ((path,),) = read_sources([source], tmp_path / "store", quiet, elsewhere)
    assert len(list(read_documents(path))) == len(PAGES)


def test_a_bucket_that_needs_another_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.MIRROR, "abfs://bucket")
    with pytest.raises(Failure, match=r"needs another package to be read \(.*adlfs"):
        hub.shards((dataset("data/*.parquet"),), Path())


OFFLINE = """
import sys
from pathlib import Path
from mixtures.catalogue.paper_scale import PAPER
from store.errors import Failure
from mixtures.catalogue.source import describe

rows = [describe(source) for source in PAPER]
print([name for name in ("fsspec", "pyarrow", "jax", "tensorflow", "numpy") if name in sys.modules])
source = next(source for source in PAPER if source.name == "stack-code")
for call in (lambda: source.shards(Path()), lambda: next(source.read("bigcode~starcoderdata~c~a.parquet", Path()))):
    try:
        call()
    except Failure as failure:
        print(failure)
"""


def test_offline_it_says_what_it_would_fetch_and_planning_loads_nothing() -> None:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", hub.MIRROR: "", "HF_HUB_OFFLINE": ""}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded, listing, reading = done.stdout.splitlines()
    assert loaded == "[]"
    for line in (listing, reading):
        for part in (
            "cannot reach hf://datasets/bigcode/starcoderdata@9fc30b578cedaec69e47302df72cf00feed7c8c4",
            "java/*.parquet",
            "139B tokens",
            "licence permissive",
            "gated: accept its terms",
            "HF_TOKEN",
            hub.MIRROR,
        ):
            assert part in line
    assert reading.startswith("source 'stack-code': ")
    assert done.stderr == ""
