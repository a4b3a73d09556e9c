"""Documents that appeared after what is trained on, against a small package index on this machine that says days."""

import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mixtures.catalogue import generated
from mixtures.catalogue.source import Source, one_shard
from mixtures.documents.document import Document
from mixtures.fresh import pin as making
from mixtures.fresh import pinned
from mixtures.fresh.dates import newest, require_later, told
from mixtures.fresh.pinned import Fresh
from mixtures.readers.fetch import Archive
from store.errors import Failure, UserError
from tests.mixtures.test_fetch import ask, sdist

SINCE = "2026-11-20"
TRAINED = "".join(f"trained_on_{n} = read_from_the_source({n})\n" for n in range(9))
OLD = "import somewhere_else_entirely\n\ndef an_old_function(value):\n    return an_old_name(value)\n"
NEW = (
    "def a_new_function(value):\n"
    + "".join(f"    value = a_new_name_{n}(value)\n" for n in range(5))
    + "    return value\n"
)
DOCUMENT = NEW.rstrip("\n").removesuffix("\n    return value")
"""Without its last line, which is anybody's."""
PROSE = "The new function is described here for the first time, and it is not in the old release at all. " * 2


class Index:
    """Releases with the day of their upload; `days` False: an index that does not say them."""

    def __init__(self, root: Path) -> None:
        self.root, self.days = root, True
        self.files: dict[str, list[dict[str, Any]]] = {}
        index = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                _, _, project, name = self.path.split("/")
                if name:
                    self._say("application/gzip", (index.root / name).read_bytes())
                else:
                    self._say("application/vnd.pypi.simple.v1+json", json.dumps(index.page(project)).encode())

            def _say(self, kind: str, data: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def page(self, project: str) -> dict[str, Any]:
        kept = [{k: v for k, v in file.items() if self.days or k != "upload-time"} for file in self.files[project]]
        return {"meta": {"api-version": "1.1"}, "name": project, "files": kept}

    def release(self, version: str, day: str, content: dict[str, str], project: str = "pkg", **more: Any) -> Archive:
        files = {f"{project}-{version}/{path}": text.encode() for path, text in content.items()}
        archive = sdist(self.root / f"{project}-{version}.tar.gz", files)
        row = {"filename": archive.filename, "url": archive.filename, "hashes": {"sha256": archive.sha256}}
        row |= {"upload-time": f"{day}T12:00:00.000000Z", "yanked": False, **more}
        self.files.setdefault(project, []).append(row)
        return replace(archive, project=project, version=version)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index(tmp_path / "index")
    ask(index.server.server_port, monkeypatch)
    index.release("1.0", "2026-11-01", {"a.py": OLD, "README.md": "# Old\n"})
    yield index
    index.server.shutdown()
    index.server.server_close()


def source(index: Index, day: str = "2026-11-10") -> Source:
    read = index.release("2.0", day, {"b.py": TRAINED}, "read")
    return Source(
        *("python", "code", "python", lambda shard, downloads: iter([Document("read/b.py", "read", TRAINED)])),
        *(one_shard,),
        upstream=(read,),
    )


def pin(sources: tuple[Source, ...], tmp_path: Path, since: str = SINCE) -> Fresh:
    return making.pin(since, {"pkg": "MIT"}, sources, tmp_path / "store" / "downloads")


def test_what_no_text_before_had_is_kept_alone_and_is_the_same_twice(index: Index, tmp_path: Path) -> None:
    moved = "class Moved:\n" + "".join(f"    {line}\n" for line in OLD.splitlines())
    content = {"a.py": OLD + "\n" + NEW, "b.py": moved, "vendored_by_us.py": TRAINED, "tests/test_a.py": NEW}
    index.release("1.1", "2026-11-25", content | {"README.md": f"# Old\n\n{PROSE}\n"})
    index.release("1.2", "2026-11-26", {"a.py": OLD + NEW * 2}, yanked=True)
    index.release("1.3rc1", "2026-11-26", {"a.py": OLD + NEW * 2})
    sources = (source(index),)
    fresh = pin(sources, tmp_path)
    assert pin(sources, tmp_path) == fresh
    pinned.write(tmp_path / "set.json", fresh)
    again = pinned.read(tmp_path / "set.json")
    assert again == fresh and again.digest == fresh.digest
    found = pinned.documents(again, tmp_path / "store" / "downloads")
    assert [(d.id, d.group, d.text) for d in found["python"]] == [("pkg/a.py:6-11", "pkg", DOCUMENT)]
    assert [(d.id, d.text) for d in found["prose"]] == [("pkg/README.md:1-1", PROSE.strip())]
    (release,) = fresh.releases
    assert (release.archive.version, release.uploaded, release.after) == ("1.1", "2026-11-25", "pkg 1.0")
    record = told(fresh, newest(sources, fresh))
    assert record["since"] == SINCE and record["forms"]["python"] == {"documents": 1, "bytes": len(DOCUMENT)}
    assert record["newest"] == {"day": "2026-11-10", "what": "read 2.0", "known": 1, "unknown": ()}


def test_a_set_that_may_be_as_old_as_what_is_read_is_refused(index: Index, tmp_path: Path) -> None:
    index.release("1.1", "2026-11-25", {"a.py": OLD + NEW})
    sources = (source(index, day=SINCE),)
    with pytest.raises(UserError, match=r"since 2026-11-20 may be as old .*: read 2\.0 is of 2026-11-20; take a day"):
        pin(sources, tmp_path)
    require_later("2026-11-21", newest(sources, Fresh("2026-11-21", (), (), {"read 2.0": SINCE})))
    others = (replace(sources[0], upstream=("cpython",)), replace(sources[0], inputs=("/my/notes.txt",)))
    fresh = Fresh("1999-01-01", (), (), {})
    its = newest(others, fresh)
    assert its.day == "" and its.unknown == (
        f"cpython {platform.python_version()}",
        "read 2.0",
        "what source 'python' reads",
    )
    assert newest([generated("problems")], fresh).unknown == (), "which are nobody's release"
    assert newest([replace(sources[0], upstream=())], fresh).unknown == ("what source 'python' reads",)
    assert newest(others[:1], Fresh("9999-01-01", (), (), {})).known == 1, "the interpreter was built before"


def test_days_without_anything_new_and_an_index_without_days_are_said_to_be_so(index: Index, tmp_path: Path) -> None:
    sources = (source(index),)
    with pytest.raises(Failure, match="since 2026-11-20 has anything new; take an earlier day, after 2026-11-10"):
        pin(sources, tmp_path)
    index.days = False
    with pytest.raises(Failure, match="does not say when files of read were uploaded"):
        pin(sources, tmp_path)


def test_a_release_that_cannot_be_had_or_is_another_names_the_way_out(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = index.release("1.1", "2026-11-25", {"a.py": OLD + NEW})
    fresh = pin((source(index),), tmp_path)
    other = replace(fresh, parts=tuple(replace(part, sha256="0" * 16) for part in fresh.parts))
    with pytest.raises(Failure, match=r"a\.py in pkg-1\.1\.tar\.gz is not the text that was pinned.*--without fresh"):
        pinned.keep(other, tmp_path / "store")
    sdist(index.root / archive.filename, {"pkg-1.1/a.py": b"other"})
    with pytest.raises(Failure, match=r"fresh text: .* another sha256 than pinned; .* `--without fresh`"):
        pinned.keep(fresh, tmp_path / "elsewhere")
    del index.files["pkg"][-1]
    with pytest.raises(Failure, match=r"fresh text: .* has no pkg-1\.1\.tar\.gz; .*--without fresh"):
        pinned.keep(fresh, tmp_path / "elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(Failure, match=r"fresh text: .* check the network .*--without fresh"):
        pinned.keep(fresh, tmp_path / "elsewhere")
    pinned.keep(fresh, tmp_path / "store")  # what is in the store needs no index
    assert [d.text for d in pinned.kept(fresh, "code", tmp_path / "store")["python"]] == [DOCUMENT]


@pytest.mark.network
def test_the_set_that_is_shipped_is_cut_out_of_releases_as_it_was_pinned() -> None:
    """Of its small releases: every document has the digest that was pinned, or `documents` refuses it."""
    small = ("filelock", "msgspec", "platformdirs")
    its = pinned.SHIPPED
    releases = tuple(release for release in its.releases if release.archive.project in small)
    parts = tuple(part for part in its.parts if part.project in small)
    found = pinned.documents(replace(its, releases=releases, parts=parts), Path("runs/downloads"))
    assert set(found) == {"python", "c-cpp", "prose"}
    assert sum(len(d.text.encode()) for each in found.values() for d in each) == sum(part.bytes for part in parts)


def test_the_set_that_is_shipped_is_later_than_what_the_catalogue_reads() -> None:
    """As it was installed by the lock; no download."""
    its = pinned.SHIPPED
    assert all(release.uploaded >= its.since for release in its.releases)
    assert max(its.dated.values()) < its.since
    assert {"python", "prose"} <= set(its.forms) and len(its.digest) == len(hashlib.sha256().hexdigest()) // 4
