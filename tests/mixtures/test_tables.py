"""Files of rows as people have them."""

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.readers.tables import rows
from store.errors import Failure

PAGES: list[dict[str, Any]] = [
    {"body": 'Says "hello",\nand é.', "repo": "a"},
    {"body": "", "repo": "b"},
    {"body": "last", "repo": "a"},
]


def content(name: str, table: list[dict[str, Any]]) -> bytes:
    if ".csv" in name or ".tsv" in name:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, table[0].keys(), delimiter="," if ".csv" in name else "\t")
        writer.writeheader()
        writer.writerows(table)
        raw = text.getvalue().encode()
    elif ".parquet" in name:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(table), sink, row_group_size=2)
        raw = sink.getvalue()
    elif ".jsonl" in name or ".ndjson" in name:
        raw = "".join(json.dumps(row) + "\r\n" for row in table).encode()
    else:
        raw = json.dumps(table).encode()
    for suffix, packed in ((".gz", gzip), (".bz2", bz2), (".xz", lzma)):
        if name.endswith(suffix):
            return packed.compress(raw)  # type: ignore[attr-defined, no-any-return]
    return zstandard.compress(raw) if name.endswith(".zst") else raw


@pytest.mark.parametrize("packing", ["", ".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("form", ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "JSONL"])
def test_every_format_and_compression_gives_the_same_rows(tmp_path: Path, form: str, packing: str) -> None:
    path = tmp_path / f"a.{form}{packing}"
    path.write_bytes(content(path.name.lower(), PAGES))
    assert [row for _, row in rows(path)] == PAGES


@settings(max_examples=30, deadline=None)
@given(st.lists(st.fixed_dictionaries({"text": st.text(), "n": st.text()}), min_size=1, max_size=5))
def test_any_text_comes_back_from_lines_of_json(tmp_path_factory: pytest.TempPathFactory, table: list[Any]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=True) for row in table))
    assert list(rows(path)) == [(2 * n + 1, row) for n, row in enumerate(table)]


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n{"a": \n{"a": 4}\n', r"a\.jsonl, line 3: not JSON"),
        ("a.jsonl", b'{"a": 1}\n\n\xff\n', r"line 3: not UTF-8"),
        ("a.json", b'{"a": 1}\n{"a": 2}\nnull}', r"a\.json, line 3: not JSON"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", r"line 3: 3 cells, and 2 names in the first line"),
        ("a.csv", b"a,b\n1\n", r"line 2: 1 cells, and 2 names"),
        ("a.csv", b"a,b,,,a\n1,2,,,3\n", r"line 1: two columns are called 'a'"),
        ("a.jsonl.bz2", b"{}", r"damaged or cut short"),
        ("a.jsonl.xz", lzma.compress(b"{}" * 99)[:-9], r"damaged or cut short"),
        ("a.csv", b'a,b\n1,"2\n', r"line 2: .*quote cells"),
        ("a.parquet", b"PAR1 not at all", r"a\.parquet is damaged or cut short"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 9_000)[:-20], r"damaged or cut short after line \d+"),
        ("a.jsonl.zst", zstandard.compress(b'{"a": 1}\n' * 9_000)[:-3], r"damaged or cut short"),
        ("a.jsonl.zst", b"", r"damaged or cut short \(the compressed file ends"),
        ("a.jsonl", b"[" * 100_000, r"line 1: not JSON"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(Failure, match=message) as failure:
        list(rows(tmp_path / name))
    assert "\n" not in str(failure.value)
    with pytest.raises(Failure, match=r"gone\.jsonl cannot be read \(No such file"):
        list(rows(tmp_path / "gone.jsonl"))


def test_of_a_wide_parquet_file_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content(path.name, PAGES))
    assert [row for _, row in rows(path, ("repo",))] == [{"repo": page["repo"]} for page in PAGES]
    assert [row for _, row in rows(path, ("repo", "no such"))] == PAGES
    pq.write_table(pa.table({"meta.body": ["x"], "meta": [{"body": "y"}]}), path)
    assert [row["meta.body"] for _, row in rows(path, ("meta.body",))] == ["x"]


def test_a_column_of_what_python_cannot_hold_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    far = pa.array([10**18], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["x"], "time": far}), path)
    assert [row for _, row in rows(path, ("text",))] == [{"text": "x"}]
    with pytest.raises(Failure, match=r"a column that cannot be read \(date value out of range\); name the fields"):
        list(rows(path))


def test_a_mark_of_byte_order_stands_before_every_file_that_was_joined(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(2 * b'\xef\xbb\xbf{"a": 1}\n')
    assert list(rows(tmp_path / "a.jsonl")) == [(1, {"a": 1}), (2, {"a": 1})]


def test_a_file_with_a_long_window_is_read(tmp_path: Path) -> None:
    """As `zstd --long=31` writes them."""
    long = zstandard.ZstdCompressionParameters.from_level(1, window_log=28, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=long).compressobj()
    (tmp_path / "a.jsonl.zst").write_bytes(packed.compress(content("a.jsonl", PAGES)) + packed.flush())
    assert [row for _, row in rows(tmp_path / "a.jsonl.zst")] == PAGES
