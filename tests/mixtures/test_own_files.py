"""A user's own files as a source, in one line."""

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mixtures.catalogue import files, hub
from mixtures.catalogue.identity import pinned
from mixtures.catalogue.source import Source
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.readers import files as reader
from mixtures.readers.files import read_files
from store.errors import Failure, UserError

ROWS = [{"text": f"row {n} — é", "repo": f"r{n % 2}", "n": n, "meta": {"body": f"b{n}"}} for n in range(4)]


def lines(table: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in table)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of everything, below the current directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "corpus"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "a.jsonl").write_text(lines(ROWS), encoding="utf-8")
    (folder / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(lines(ROWS).replace("row", "second").encode()))
    (folder / "deep" / "deeper" / "c.jsonl.zst").write_bytes(zstandard.compress(lines(ROWS[:1]).encode()))
    (folder / "d.txt").write_text("A novel.")
    (folder / "deep" / "e.md.gz").write_bytes(gzip.compress(b"# A page"))
    (folder / "deep" / "f.py").write_text("print(1)\n")
    (folder / ".hidden.jsonl").write_text("not json")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "g.parquet")
    return folder


def read(source: Source, downloads: Path) -> list[Document]:
    sent = pickle.loads(pickle.dumps(source))
    shards = sent.shards(downloads)
    names = [name for shard in shards.values() for name in shard] if isinstance(shards, dict) else shards
    return [document for name in names for document in sent.read(name, downloads)]


def test_one_line_makes_a_source_of_files_as_people_have_them(corpus: Path, tmp_path: Path) -> None:
    found = read(files("mine", "text", "corpus"), tmp_path)
    by_id = {document.id: document for document in found}
    assert len(by_id) == len(found) == 4 + 4 + 1 + 1 + 1 + 1 + 4
    assert by_id["d.txt"] == Document("d.txt", "d.txt", "A novel.")
    assert by_id["deep/e.md.gz"].text == "# A page"
    assert by_id["a.jsonl#3"] == Document("a.jsonl#3", "a.jsonl#3", "row 2 — é")
    assert by_id["deep/deeper/c.jsonl.zst#1"].text == by_id["g.parquet#1"].text == "row 0 — é"
    assert len({document.group for document in found}) == len(found)  # each is its own, and none a whole file


def test_patterns_fields_and_groups_choose_what_is_read(corpus: Path, tmp_path: Path) -> None:
    found = read(files("mine", "code", "corpus/**/*.jsonl*", field="text", group="repo"), tmp_path)
    assert len(found) == 9 and {document.group for document in found} == {"r0", "r1"}
    found = read(files("mine", "code", "corpus/*.parquet", field="meta.body", group="n"), tmp_path)
    assert [(document.text, document.group) for document in found] == [(f"b{n}", str(n)) for n in range(4)]
    one = read(files("mine", "code", corpus / "a.jsonl", Path("corpus") / "d.txt"), tmp_path)
    assert [document.id for document in one] == [*(f"a.jsonl#{n}" for n in range(1, 5)), "d.txt"]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"body": "x", "url": "u"}, {}, r"line 2: no text as 'text' or 'content'; it has body, url"),
        ({"text": "x", "url": "u"}, {"field": "body"}, r"line 2: no field 'body'; it has text, url"),
        ({"text": "x", "body": 5}, {"field": "body"}, r"line 2: field 'body' holds a number, not a text"),
        ({"text": 5, "content": []}, {}, r"line 2: field 'text' holds a number, not a text"),
        ({"text": "x", "body": ["x"]}, {"field": "body"}, r"line 2: field 'body' holds a list"),
        ({"text": {"en": "x"}}, {}, r"line 2: field 'text' holds an object, not a text; name another"),
        ({"text": "x"}, {"group": "repo"}, r"line 2: no field 'repo'; it has text"),
        ({"text": "x", "repo": {}}, {"group": "repo"}, r"line 2: field 'repo' holds an object, no name of a group"),
        ([1, 2], {}, r"line 2: a list is no document"),
        (["a", "b", "c"], {"field": "text"}, r"line 2: a list has no field 'text'"),
        (5, {}, r"line 2: a number is no document"),
    ],
)
def test_a_row_that_is_no_document_is_named_in_a_line(
    corpus: Path, tmp_path: Path, row: Any, options: dict[str, str], message: str
) -> None:
    good = {"text": "fine", "body": "fine", "repo": "r"}
    (corpus / "bad.jsonl").write_text(lines([good, row]))
    with pytest.raises(Failure, match=rf"source 'mine': {corpus}/bad\.jsonl, {message}") as failure:
        read(files("mine", "text", "corpus/bad.jsonl", **options), tmp_path)  # type: ignore[arg-type]
    assert "\n" not in str(failure.value)


def test_a_text_that_is_null_is_an_empty_document_that_preparation_counts(corpus: Path, tmp_path: Path) -> None:
    (corpus / "n.jsonl").write_text(lines([{"text": None, "repo": None}]))
    assert read(files("mine", "text", "corpus/n.jsonl", group="repo"), tmp_path) == [
        Document("n.jsonl#1", "n.jsonl#1", "")
    ]


def test_json_holds_rows_or_is_a_document(corpus: Path, tmp_path: Path) -> None:
    (corpus / "rows.json").write_text(json.dumps(ROWS))
    (corpus / "package.json").write_text('{"name": "it", "content": 5}')
    found = read(files("mine", "markup", "corpus/*.json"), tmp_path)
    assert [document.id for document in found] == ["package.json", *(f"rows.json#{n}" for n in range(1, 5))]
    assert [document.text for document in read(files("m", "text", "corpus/rows.json", field="repo"), tmp_path)][
        1
    ] == "r1"


def test_what_tells_of_a_data_set_is_no_document_of_it(corpus: Path, tmp_path: Path) -> None:
    (corpus / "dataset_info.json").write_text('{"splits": 1}')
    (corpus / "deep" / "deeper" / "f.json").write_text('{"other": 1}')
    found = {document.id for document in read(files("mine", "text", "corpus"), tmp_path)}
    assert "dataset_info.json" not in found
    assert [document.id for document in read(files("mine", "text", "corpus/*.json"), tmp_path)] == ["dataset_info.json"]
    (corpus / "new").mkdir()
    (corpus / "new" / "a.jsonl").write_text('{"body": "A line of one form."}')
    (corpus / "new" / "b.json").write_text('[{"body": "Rows of"}, {"body": "the other."}]')
    assert len(read(files("mine", "text", "corpus/new", field="body"), tmp_path)) == 3
    (corpus / "new" / "b.json").write_text('{"body": "One row alone."}')
    (corpus / "new" / "dataset_info.json").write_text('{"splits": 1}')
    alone = files("mine", "text", "corpus/new", field="body")
    assert [d.text for d in read(alone, tmp_path)] == ["A line of one form.", "One row alone."]
    assert [d.text for d in read_files(corpus / "new", "body")] == ["A line of one form.", "One row alone."]
    before = pinned(alone, tmp_path).identity
    (corpus / "new" / "b.json").write_text('{"body": "Another row alone."}')
    assert pinned(alone, tmp_path).identity != before


def test_what_cannot_be_is_refused_in_a_line_where_it_is_written(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source 'mine': unknown kind 'prose'; choose one of text, code"):
        files("mine", "prose", "corpus")
    with pytest.raises(UserError, match=r"source '\.\./x': no name"):
        files("../x", "text", "corpus")
    with pytest.raises(UserError, match=r"source 'mine': no files"):
        files("mine", "text")
    with pytest.raises(UserError, match=r"source 'mine': unknown filter 'short'"):
        files("mine", "text", "corpus", filters=("short",))
    for options, message in (
        ({"max_bytes": 0}, "max_bytes is 0; give a whole number"),
        ({"max_bytes": 1e6}, "max_bytes is 1000000.0"),
        ({"expected_tokens": "4B"}, "expected_tokens is '4B'"),
        ({"field": 5}, "field is 5; write a text"),
        ({"group": ["repo"]}, r"group is \['repo'\]; write a text"),
    ):
        with pytest.raises(UserError, match=rf"source 'mine': {message}"):
            files("mine", "text", "corpus", **options)  # type: ignore[arg-type]
    for pattern, message in (("", "''; write"), (["a"], r"\['a'\]; write"), ("gs://b/*", "'gs://b/\\*' is an address")):
        with pytest.raises(UserError, match=rf"source 'mine': pattern (is )?{message}"):
            files("mine", "text", pattern)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no file matches .*/de\*; for what is in its folders write .*/de\*/\*\*,"):
        files("mine", "text", "corpus/de*").shards(tmp_path)
    with pytest.raises(UserError, match=r"no file matches .*corpus/\*\.zip"):
        files("mine", "text", "corpus/*.zip").shards(tmp_path)
    with pytest.raises(Failure, match=r"d\.txt has no rows and so no field 'text'; leave it out"):
        read(files("mine", "text", "corpus/d.txt", field="text"), tmp_path)


def test_links_to_folders_are_followed_once(corpus: Path, tmp_path: Path) -> None:
    before = {document.text for document in read(files("mine", "text", "corpus"), tmp_path)}
    (corpus / "latest").symlink_to(".")
    (corpus / "deep" / "up").symlink_to("..")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.txt").write_text("linked")
    (corpus / "linked").symlink_to("../elsewhere")
    found = read(files("mine", "text", "corpus"), tmp_path)
    assert {document.text for document in found} == before | {"linked"}
    assert len(found) == 4 + 4 + 1 + 1 + 1 + 1 + 4 + 1


def test_many_small_files_share_a_shard_and_large_ones_have_their_own(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SHARD_BYTES", 1_000)
    small = tmp_path / "small"
    small.mkdir()
    for number in range(200):
        (small / f"{number:03}.txt").write_text(f"text of {number:03}")
    (small / "050b.txt").write_text("long " * 1_000)
    source = files("mine", "text", "small")
    names = source.shards(tmp_path)
    assert len(names) == 4 and names == files("mine", "text", small).shards(tmp_path / "elsewhere")
    assert [d.id for d in read(source, tmp_path)] == sorted(path.name for path in small.iterdir())


def test_the_store_is_no_part_of_a_corpus_around_it(corpus: Path, tmp_path: Path) -> None:
    store = corpus / "runs"
    (store / "sources").mkdir(parents=True)
    (store / "sources" / "shard.txt").write_text("A shard.")
    found = read(files("mine", "text", "corpus/**/*.txt"), store / "downloads")
    assert [document.id for document in found] == ["d.txt"]


def test_files_that_change_between_listing_and_reading_are_refused(corpus: Path, tmp_path: Path) -> None:
    source = files("mine", "text", "corpus/*.txt")
    (shard,) = source.shards(tmp_path)
    (corpus / "d.txt").write_text("Another novel.")
    with pytest.raises(Failure, match=r"source 'mine': its files changed while they were read; run the command again"):
        list(source.read(shard, tmp_path))


def test_text_that_is_not_utf8_is_left_to_preparation_and_replaced_for_a_search(corpus: Path, tmp_path: Path) -> None:
    (corpus / "latin.txt").write_bytes(b"not \xff utf-8")
    (corpus / "wide.txt").write_text("two bytes a letter", encoding="utf-16")
    found = read(files("mine", "text", "corpus/*t*n*.txt", "corpus/wide.txt"), tmp_path)
    assert found[0].text == "not \udcff utf-8"
    assert found[1].text == "two bytes a letter"
    assert {d.id: d.text for d in read_files(corpus / "latin.txt")} == {"latin.txt": "not \ufffd utf-8"}


def test_a_search_takes_the_text_of_rows_from_a_field_and_plain_files_as_they_are(corpus: Path) -> None:
    found = {document.id: document.text for document in read_files(corpus, "meta.body")}
    assert found["a.jsonl#2"] == found["g.parquet#2"] == "b1" and found["d.txt"] == "A novel."


def test_this_projects_own_files_are_read_back(tmp_path: Path) -> None:
    own = [Document(f"numpy/{n}", "numpy", f"text {n}") for n in range(3)]
    parquet.write(tmp_path / "own" / "all.parquet", own, {})
    assert sorted(read(files("mine", "code", tmp_path / "own"), tmp_path), key=lambda d: d.id) == own
    (tmp_path / "shard-00000.jsonl").write_text(lines([["family#000001", "synthetic/family", "text", "differential"]]))
    found = read(files("mine", "synthetic", tmp_path / "shard-*.jsonl"), tmp_path)
    assert found == [Document("shard-00000.jsonl#1", "synthetic/family", "text")]


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("name", ["data/a.parquet", "data/a.jsonl", "data/a.json", "data/a.csv"])
def test_a_data_set_of_the_hub_is_one_line_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_MIRROR", str(tmp_path / "mirror"))
    path = tmp_path / "mirror" / "owner" / "pages" / REVISION / name
    (path.parent / "v1.0").mkdir(parents=True)  # a folder, whatever its name looks like
    if name.endswith(".csv"):
        path.write_text("body,url\nhello,u\nyou,v\n")
    elif name.endswith(".json"):
        path.write_text(json.dumps([{"body": "hello", "url": "u"}, {"body": "you", "url": "v"}], indent=1))
    elif name.endswith(".jsonl"):
        path.write_text(lines([{"body": "hello", "url": "u"}, {"body": "you", "url": "v"}]))
    else:
        pq.write_table(pa.Table.from_pylist([{"body": "hello", "url": "u"}, {"body": "you", "url": "v"}]), path)
    source = hub("owner/pages", REVISION, "text", "data/*", field="body", group="url")
    assert source.name == "pages"
    assert [(d.group, d.text) for d in read(source, tmp_path)] == [("u", "hello"), ("v", "you")]
    named = hub("owner/pages", REVISION, "code", "**/*", name="mine", field="url")
    assert [d.text for d in read(named, tmp_path)] == ["u", "v"]
    with pytest.raises(Failure, match=r"source 'pages': .*title"):
        read(hub("owner/pages", REVISION, "text", "data/*", field="title"), tmp_path)


def test_plain_files_of_the_hub_are_a_document_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_MIRROR", str(tmp_path / "mirror"))
    folder = tmp_path / "mirror" / "owner" / "pages" / REVISION
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("# A page")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"A novel."))
    found = read(hub("owner/pages", REVISION, "text", "*.md", "*.txt.gz"), tmp_path)
    assert [(document.id, document.text) for document in found] == [("a.md#0", "# A page"), ("b.txt.gz#0", "A novel.")]


def test_a_file_without_a_suffix_is_read_where_it_is_named_and_else_named_in_the_error(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_MIRROR", str(tmp_path / "mirror"))
    folder = tmp_path / "mirror" / "owner" / "pages" / REVISION
    (folder / "data").mkdir(parents=True)
    for place in (folder / "data", corpus):
        (place / "LICENSE").write_text("Use it.")
        (place / "notes.unheard-of").write_text("Notes.")
    assert [d.text for d in read(hub("owner/pages", REVISION, "text", "data/LICENSE"), tmp_path)] == ["Use it."]
    assert [d.text for d in read(hub("owner/pages", REVISION, "text", "data/*"), tmp_path)] == ["Notes."]
    found = read(files("mine", "text", "corpus/LICENSE", "corpus/notes*"), tmp_path)
    assert [d.text for d in found] == ["Use it.", "Notes."]
    with pytest.raises(Failure, match=r"no file data/L\* with a suffix, but data/LICENSE, which has to be named"):
        hub("owner/pages", REVISION, "text", "data/L*").shards(tmp_path)


def test_a_data_set_of_the_hub_is_pinned() -> None:
    with pytest.raises(UserError, match=r"revision 'main' of owner/pages may move; give a commit"):
        hub("owner/pages", "main", "text", "data/*.parquet")
    with pytest.raises(UserError, match=r"'pages' is no data set of the hub; write owner/name"):
        hub("pages", REVISION, "text", "data/*.parquet")
    with pytest.raises(UserError, match=r"no files of owner/pages"):
        hub("owner/pages", REVISION)
