"""What is missing before sources can be read: asked of a server that answers as the hub does, and of copies."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from huggingface_hub import constants

from mixtures.catalogue import files, generated
from mixtures.catalogue.first_file import Budget, Looked, look
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.reach import BUDGET_BYTES, reach
from mixtures.readers import hub
from tests.conftest import ROOT
from tests.mixtures.test_hub import REVISION, dataset

RANDOM = np.random.default_rng(0)


@dataclass
class Hub:
    """A hub with one data set, "owner/pages", and what it sent."""

    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    accepted: tuple[str, ...] = ()
    sent: int = 0
    address: str = ""


def answer(its: Hub, asked: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
    url = urlsplit(asked)
    place, kind = ("/datasets/owner/pages/resolve/", "file")
    if url.path.startswith("/api"):
        place, kind = ("/api/datasets/owner/pages/tree/", "tree")
    if not url.path.startswith(place):
        return 401, {"X-Error-Code": "RepoNotFound"}, b""
    revision, _, path = unquote(url.path.removeprefix(place)).partition("/")
    if revision != REVISION:
        return 404, {"X-Error-Code": "RevisionNotFound"}, b""
    if kind == "tree":
        return tree(its, path, parse_qs(url.query), asked)
    token = headers.get("authorization", "").removeprefix("Bearer ")
    if token == "mistyped":
        return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b""
    if its.gated and token not in its.accepted:
        return (403 if token else 401), {"X-Error-Code": "GatedRepo"}, b""
    if (content := its.files.get(path)) is None:
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    first, last = headers["range"].removeprefix("bytes=").split("-")
    part = content[int(first) : int(last) + 1]
    return 206, {"Content-Range": f"bytes {first}-{last}/{len(content)}"}, part


def tree(its: Hub, folder: str, query: dict[str, list[str]], asked: str) -> tuple[int, dict[str, str], bytes]:
    inside = [path.removeprefix(f"{folder}/" if folder else "") for path in its.files if path.startswith(folder)]
    names = {name.partition("/")[0]: "directory" if "/" in name else "file" for name in inside}
    entries = [
        {"type": kind, "oid": "0" * 40, "size": 5, "path": f"{folder}/{name}".lstrip("/")}
        for name, kind in sorted(names.items())
    ]
    first, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
    more = {"Link": f'<{its.address}{asked.partition("&")[0]}&cursor={first + limit}>; rel="next"'}
    page = entries[first : first + limit]
    return 200, more if first + limit < len(entries) else {}, json.dumps(page).encode()


@pytest.fixture
def its(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    its = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = answer(its, self.path, self.headers)
            its.sent += len(content)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    its.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", its.address)
    monkeypatch.delenv(hub.MIRROR, raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    yield its
    server.shutdown()
    server.server_close()


def large(suffix: str, **row: Any) -> bytes:
    """A file of some megabytes of rows."""
    rows = [{"text": RANDOM.bytes(2_000).hex(), "url": f"u{n}", **row} for n in range(1_000)]
    if suffix == ".parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=100)
        return bytes(sink.getvalue())
    lines = "".join(json.dumps(each) + "\n" for each in rows).encode()
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    return pack.get(suffix, bytes)(lines)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.zst", "a.json.gz"])
def test_the_first_file_is_opened_for_less_than_a_megabyte(its: Hub, name: str) -> None:
    its.files = {f"data/part{n:03}/{name}": b"" for n in range(250)} | {"README.md": b"", "data/note.txt": b""}
    its.files["data/part000/" + name] = large(Path(name).suffix)
    assert len(its.files["data/part000/" + name]) > 2_000_000
    budget = Budget(BUDGET_BYTES)
    assert not any(vars(look(dataset(f"data/part*/{name[:1]}.*"), budget)).values())
    assert 0 < its.sent <= budget.fetched < 1_000_000
    budget = Budget(BUDGET_BYTES)
    wanted = dataset(f"data/part000/{name}", columns=("text", "title"))
    assert look(wanted, budget).missing == f"data/part000/{name} has no column title (it has text, url)"


def test_what_the_hub_refuses_is_said_in_words(its: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    its.files = {"data/a.jsonl": b'{"text": "Hello.", "url": "u"}\n'}
    wanted = dataset("data/*.jsonl")

    def missing(wanted: hub.HubDataset = wanted) -> str:
        return look(wanted, Budget(BUDGET_BYTES)).missing

    assert missing() == ""
    assert missing(replace(wanted, id="owner/other")) == "no such data set, or no token: set HF_TOKEN"
    assert missing(replace(wanted, revision="f" * 40)) == f"no revision {'f' * 40}"
    assert missing(dataset("data/*.parquet")) == f"no file data/*.parquet at revision {REVISION}"
    assert missing(dataset("data/b.jsonl")) == f"no file data/b.jsonl at revision {REVISION}"
    its.gated, its.accepted = True, ("mine",)
    assert missing().startswith("no token: accept its terms on its page on the hub, then set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "another")
    assert missing().startswith("its terms are not accepted by the account of HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "mistyped")
    assert missing() == "HF_TOKEN is refused; set one that is valid"
    monkeypatch.setenv("HF_TOKEN", "mine")
    assert missing() == ""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert missing().startswith("cannot be reached (ConnectError")


def test_what_is_larger_than_the_budget_is_not_looked_at_and_not_called_missing(its: Hub) -> None:
    its.files = {"a.jsonl": json.dumps({"text": "x" * 3_000_000}).encode()}
    budget = Budget(BUDGET_BYTES)
    looked = look(dataset("a.jsonl"), budget)
    assert looked.missing == "" and looked.note == "the first row of a.jsonl is longer than what is looked at"
    assert its.sent < 1_000_000
    budget = Budget(20_000)
    its.files = {f"{number:03}.txt": b"" for number in range(300)} | {"a.jsonl": b""}
    assert look(dataset("*.jsonl"), budget) == Looked(note="finding its first file takes over 20,000 bytes of names")
    its.files = {"a.jsonl": b'{"text": "x'}
    assert "not JSON" in look(dataset("a.jsonl"), Budget(BUDGET_BYTES)).missing
    its.files = {"a.parquet": b"PAR1 and nothing else PAR1"}
    assert look(dataset("a.parquet"), Budget(BUDGET_BYTES)).missing.startswith("a.parquet is damaged or no Parquet")


def test_a_mirror_is_looked_at_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "pages" / REVISION
    wanted = dataset("data/part*/a.*")
    monkeypatch.setenv(hub.MIRROR, str(tmp_path))
    assert look(wanted, Budget(BUDGET_BYTES)).missing == f"the mirror has no folder {folder}"
    (folder / "data" / "part1").mkdir(parents=True)
    assert look(wanted, Budget(BUDGET_BYTES)).missing == f"the mirror {folder} lacks data/part*/a.*"
    for name in ("a.parquet", "a.jsonl.zst"):
        (folder / "data" / "part1" / name).write_bytes(large(Path(name).suffix))
        budget = Budget(BUDGET_BYTES)
        assert look(dataset(f"data/part*/{name}"), budget).missing == ""
        assert 0 < budget.fetched < 1_000_000
    monkeypatch.setenv(hub.MIRROR, "abfs://bucket")
    assert look(wanted, Budget(BUDGET_BYTES)).missing.startswith("another package is needed (")


def test_sources_of_this_machine_and_of_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    by_name = {source.name: source for source in QUICKSTART}
    (row,) = reach(by_name["notebooks"], tmp_path)
    assert row["missing"].startswith("the package index cannot be reached (ConnectionError); check the network")
    assert [row["missing"] for name in ("python", "synthetic-python") for row in reach(by_name[name], tmp_path)] == [
        ""
    ] * 2
    (row,) = reach(files("mine", "text", str(tmp_path / "no" / "*.txt")), tmp_path)
    assert row["missing"] == "its files are not on this machine"
    assert reach(generated("problems"), tmp_path)[0]["missing"] == ""


def test_the_command_says_what_is_missing_and_fails(its: Hub, tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": its.address, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [str(Path(sys.executable).parent / "ablate"), "prepare", "stack-code", "--check", "--json"]
    done = subprocess.run(
        [*command, "--store", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["missing"] == ["stack-code"] and len(document["sources"]) == 2  # The Stack and the StarCoder data
    assert all(row["missing"] == "no such data set, or no token: set HF_TOKEN" for row in document["sources"])
    assert list(tmp_path.iterdir()) == []
