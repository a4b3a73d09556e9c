"""Changed data are other data, and one line says what changed."""

import importlib.util
import linecache
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mixtures.catalogue import files, hub
from mixtures.catalogue.identity import changes, pinned
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.paper_scale import PAPER
from mixtures.catalogue.source import Source, one_shard
from mixtures.prepare import DataSpec, documents_folder, prepared_folder
from mixtures.readers import commits
from store.digests import digests
from store.errors import UserError
from store.files import write_sealed
from store.layout import IDENTITY
from tests.conftest import ROOT

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.txt").write_text(f"The text of {name}.")
    return folder


def identity(source: Source, store: Path) -> dict[str, Any]:
    found = pinned(source, store).identity
    assert found is not None
    return dict(found)


def said(before: dict[str, Any], source: Source, store: Path) -> str:
    """What `plan` would say after `before` was prepared."""
    old = store / "sources" / f"{source.name}-000000000000"
    old.mkdir(parents=True, exist_ok=True)
    write_sealed(old / IDENTITY, before | {"inputs": list(source.inputs)})
    return changes(source.name, identity(source, store), old.with_name(f"{source.name}-ffffffffffff"))


def test_any_change_of_a_file_is_new_data_and_is_counted(corpus: Path, tmp_path: Path) -> None:
    source = files("mine", "text", corpus / "*.txt")
    before = identity(source, tmp_path)
    look = (corpus / "a.txt").stat()
    (corpus / "a.txt").write_text("The text of A.")
    os.utime(corpus / "a.txt", ns=(look.st_atime_ns, look.st_mtime_ns))  # as tools that keep times leave it
    (corpus / "d.txt").write_text("New.")
    (corpus / "b.txt").unlink()
    assert said(before, source, tmp_path) == (
        "source 'mine' is not what was last prepared: files: 1 changed, 1 new, 1 gone"
    )


def test_code_of_the_suite_is_no_code_of_the_users(corpus: Path, tmp_path: Path) -> None:
    """Its readers count by their version alone, or every change of a helper would be other data."""
    assert identity(files("mine", "text", corpus / "*.txt"), tmp_path)["code"] == {}


def test_a_corpus_that_moved_is_the_same_data(corpus: Path, tmp_path: Path) -> None:
    before = identity(files("mine", "text", corpus), tmp_path)
    corpus.rename(tmp_path / "elsewhere")
    assert identity(files("mine", "text", tmp_path / "elsewhere"), tmp_path / "other store") == before
    with pytest.raises(UserError, match=r"source 'mine': no file matches .*corpus; mend the pattern"):
        identity(files("mine", "text", corpus), tmp_path)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"field": "body"}, "field: none -> body"),
        ({"group": "repo"}, "group: none -> repo"),
        ({"kind": "code"}, "kind: text -> code"),
    ],
)
def test_what_is_read_of_a_file_counts(corpus: Path, tmp_path: Path, options: dict[str, str], line: str) -> None:
    before = identity(files("mine", "text", corpus), tmp_path)
    kind = options.pop("kind", "text")
    assert line in said(before, files("mine", kind, corpus, **options), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (hub("o/set", "f" * 40, "text", "a.parquet", field="text"), f"revision: {REVISION} -> {'f' * 40}"),
        (hub("o/set", REVISION, "text", "b.parquet", field="text"), "files: a.parquet -> b.parquet"),
        (hub("o/set", REVISION, "text", "a.parquet", field="text", group="url"), "columns: text -> text, url"),
    ],
)
def test_a_data_set_of_the_hub_is_its_revision_files_and_columns(changed: Source, line: str, tmp_path: Path) -> None:
    before = identity(hub("o/set", REVISION, "text", "a.parquet", field="text"), tmp_path)
    assert line in said(before, changed, tmp_path)


def test_sources_of_one_name_share_nothing_in_a_store(corpus: Path, tmp_path: Path) -> None:
    """The two catalogues have a `synthetic-python` each, and a user may call a source what he likes."""
    mine = files("synthetic-python", "synthetic", corpus)
    named = [source for source in (*QUICKSTART, *PAPER, mine) if source.name == "synthetic-python"]
    folders = {documents_folder(source, tmp_path) for source in named}
    assert len(named) == len(folders) == 3
    specs = [DataSpec((source,), vocabulary=300, heldout=0.1, tokenizer_bytes_per_kind=1) for source in named]
    assert len({prepared_folder(spec, tmp_path) for spec in specs}) == 3


def test_what_is_only_said_of_data_decides_nothing(tmp_path: Path) -> None:
    source = next(source for source in PAPER if source.name == "cooldown-text")
    dataset = replace(source.datasets[0], size="another", licence="another", count=7, part="another")
    assert (
        identity(replace(source, upstream=(dataset,)), tmp_path)["datasets"] == identity(source, tmp_path)["datasets"]
    )


def test_a_new_version_of_a_reader_is_new_data_for_whoever_reads_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {source.name: identity(source, tmp_path) for source in QUICKSTART}
    monkeypatch.setattr(commits, "READER_VERSION", 99)
    changed = [source.name for source in QUICKSTART if identity(source, tmp_path) != before[source.name]]
    assert changed == ["commits"]
    source = next(source for source in QUICKSTART if source.name == "commits")
    assert "reader commits: " in said(before["commits"], source, tmp_path)
    tables = next(source for source in PAPER if source.name == "github-commits")
    assert identity(tables, tmp_path)["readers"].keys() >= {"commits", "hub", "rows"}


MINE = """
from functools import partial
from pathlib import Path
import helpers_of_mine as helpers
from mixtures.documents.document import Document
from mixtures.catalogue.source import Source, one_shard

CORPUS = Path({corpus!r})
HERE = Path(__file__).parent
ENDING = "."
UNUSED = 1

def shorten(text):
    return text.rstrip(ENDING)

def read(shard, downloads):
    for path in sorted(CORPUS.glob("*.txt")):
        yield Document(path.name, path.name, helpers.clean(shorten(path.read_text())))

def read_from(folder, shard, downloads):
    for path in sorted(Path(folder).glob("*.txt")):
        yield Document(path.name, path.name, path.read_text())

def read_beside(shard, downloads):
    yield Document("a", "a", (HERE / "corpus" / "a.txt").read_text())

def read_in_turn(shard, downloads):
    for name in ({first!r}, "no/such"):
        yield Document(name, name, open(name).read())

def read_spelt(shard, downloads):
    yield Document("a", "a", open({first!r}).read())

SOURCES = (
    Source("mine", "text", "txt", read, one_shard),
    Source("mine", "text", "txt", partial(read_from, {corpus!r}), one_shard),
    Source("mine", "text", "txt", read_spelt, one_shard),
    Source("mine", "text", "txt", read_beside, one_shard),
    Source("mine", "text", "txt", read_in_turn, one_shard),
    Source("mine", "text", "txt", lambda shard, downloads: read(shard, downloads), one_shard),
)
"""


def module(folder: Path, text: str, helpers: str = "def clean(text):\n    return text\n") -> ModuleType:
    """The module of a user, imported anew."""
    for name, content in (("helpers_of_mine", helpers), ("mine", text)):
        (folder / f"{name}.py").write_text(content)
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        exec(compile(content, str(folder / f"{name}.py"), "exec"), vars(sys.modules[name]))  # past any byte code
    linecache.checkcache()
    return sys.modules["mine"]


@pytest.mark.parametrize("number", range(6))
def test_files_of_a_function_of_ones_own_are_found(corpus: Path, tmp_path: Path, number: int) -> None:
    text = MINE.format(corpus=str(corpus), first=str(corpus / "a.txt"))
    source = module(tmp_path, text).SOURCES[number]
    before = identity(source, tmp_path)
    assert any(name.endswith("a.txt") for name in before["files"])
    (corpus / "a.txt").write_text("Changed.")
    assert said(before, source, tmp_path).endswith("files: 1 changed")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("return text.rstrip(ENDING)", "return text.strip(ENDING)", "its function shorten changed"),
        ('ENDING = "."', 'ENDING = "!"', "ENDING: . -> !"),
        ("path.name, path.name, helpers", "path.name, 'all', helpers", "its function read changed"),
        ("UNUSED = 1", "UNUSED = 2", ""),
    ],
)
def test_code_of_ones_own_is_part_of_its_data(corpus: Path, tmp_path: Path, old: str, new: str, line: str) -> None:
    text = MINE.format(corpus=str(corpus), first=str(corpus / "a.txt"))
    before = identity(module(tmp_path, text).SOURCES[0], tmp_path)
    changed = module(tmp_path, text.replace(old, new)).SOURCES[0]
    if line:
        assert line in said(before, changed, tmp_path)
    else:
        assert identity(changed, tmp_path) == before


def test_code_that_it_calls_in_another_module_counts(corpus: Path, tmp_path: Path) -> None:
    text = MINE.format(corpus=str(corpus), first=str(corpus / "a.txt"))
    before = identity(module(tmp_path, text).SOURCES[0], tmp_path)
    changed = module(tmp_path, text, "def clean(text):\n    return text.lower()\n").SOURCES[0]
    assert "its function clean changed" in said(before, changed, tmp_path)


def test_files_that_only_the_running_function_knows_are_declared(corpus: Path, tmp_path: Path) -> None:
    source = Source("mine", "text", "txt", partial(print), lambda downloads: (), inputs=(str(corpus / "*.txt"),))
    assert identity(source, tmp_path)["files"].keys() == {"a.txt", "b.txt", "c.txt"}


def test_identities_are_equal_in_another_process(tmp_path: Path) -> None:
    program = (
        "import hashlib, json, pathlib; from mixtures.catalogue.laptop import QUICKSTART; "
        "from mixtures.catalogue.paper_scale import PAPER; from mixtures.catalogue.identity import pinned; "
        "print(hashlib.sha256(json.dumps([pinned(s, pathlib.Path('s')).identity for s in (*QUICKSTART, *PAPER)])"
        ".encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_digests_are_remembered_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_text("one")
    old = time.time_ns() - 10**11
    os.utime(path, ns=(old, old))
    first = digests([path], memory)
    assert digests([path], memory) == first
    path.write_text("two")
    os.utime(path, ns=(old, old))
    assert digests([path], memory) != first
    memory.write_text("damaged")
    assert digests([path], memory) != first


def test_names_of_files_need_not_be_utf8_nor_constants_be_paths(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    path = Path(os.fsdecode(os.fsencode(tmp_path / "corpus") + b"/\xff.txt"))
    path.write_text("A text.")
    old = time.time_ns() - 10**11
    os.utime(path, ns=(old, old))
    assert list(identity(files("mine", "text", tmp_path / "corpus"), tmp_path)["files"]) == ["\\xff.txt"]

    def read(shard: str, downloads: Path) -> Any:
        return ["~nobody/x", "x" * 5_000, "a\0b", "\ud800", "/", "~", "."]

    assert identity(Source("mine", "text", "txt", read, one_shard), tmp_path)["files"] == {}


LOOSE = """
import functools, re
from datetime import date
import helpers_of_mine as helpers
from mixtures.catalogue.source import Source, one_shard

WORD = re.compile("one")
SINCE = date(2020, 1, 1)
LIMIT = 1
first = lambda text: text.strip("a")
second = lambda text: text.strip("b")

@functools.cache
def known(text):
    return text + "c"

def clean(text):
    return text + "d"

class Reader:
    def __init__(self, field):
        self.field, self.me = field, self

    def __call__(self, shard, downloads):
        return [helpers.clean(clean(known(first(second(WORD.sub("", self.field))))))]

def read(shard, downloads, limit=LIMIT, most=float("inf")):
    return Reader("body")(shard, downloads)[: SINCE.year]

SOURCE = Source("mine", "text", "txt", Reader("body"), one_shard)
OTHER = Source("mine", "text", "txt", read, one_shard)
"""


@pytest.mark.parametrize(
    ("source", "old", "new", "line"),
    [
        ("SOURCE", 'compile("one")', 'compile("two")', "WORD: one, 32 -> two, 32"),
        ("SOURCE", 'strip("a")', 'strip("b") ', "its function <lambda> changed"),
        ("SOURCE", 'text + "c"', 'text + "C"', "its function known changed"),
        ("SOURCE", 'text + "d"', 'text + "D"', "its function clean' changed"),
        ("SOURCE", 'txt", Reader("body")', 'txt", Reader("title")', "field: body -> title"),
        ("OTHER", "2020", "2021", "SINCE: datetime.date(2020, 1, 1) -> datetime.date(2021, 1, 1)"),
        ("OTHER", "LIMIT = 1", "LIMIT = 2", "read: 1, inf -> 2, inf"),
    ],
)
def test_what_code_holds_counts_wherever_it_is_and_whatever_shares_its_name(
    tmp_path: Path, source: str, old: str, new: str, line: str
) -> None:
    before = identity(getattr(module(tmp_path, LOOSE), source), tmp_path)
    assert line in said(before, getattr(module(tmp_path, LOOSE.replace(old, new)), source), tmp_path)


@pytest.mark.parametrize("files_of_package", [("__init__", "cleaning"), ("cleaning",)])
def test_code_in_a_package_that_it_calls_by_its_whole_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_of_package: tuple[str, ...]
) -> None:
    folder = tmp_path / "of_mine"
    folder.mkdir()
    for name in files_of_package:
        (folder / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "import of_mine.cleaning\nfrom mixtures.catalogue.source import Source, one_shard\n"
        "def read(shard, downloads):\n    return of_mine.cleaning.clean('a')\n"
        "SOURCE = Source('mine', 'text', 'txt', read, one_shard)\n"
    )
    found = []
    for line in ("def clean(text): return text", "def clean(text): return text.lower()"):
        (folder / "cleaning.py").write_text(line)
        for name in ("of_mine", "of_mine.cleaning"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        found.append(identity(module(tmp_path, text).SOURCE, tmp_path)["code"])
    assert found[0]["read"] == found[1]["read"] and found[0]["clean"] != found[1]["clean"]
