"""What cleaning may touch, and how prose that is too large for one document is divided."""

import functools
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.catalogue.source import Source, one_shard
from mixtures.documents import parquet
from mixtures.documents.clean import PART_BYTES, clean, drop_reason, parts
from mixtures.documents.document import Document
from mixtures.readers import commits, rows
from mixtures.steps.read import ReadJob, read_shard

LINES = st.lists(st.sampled_from(["", " ", "\t", "    x = 1", "x = 1  ", "    x = 1\t", "a\fb", "a\u2028b", "a\rb"]))
FILES = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def applied(before: str, diff: str) -> str:
    """What a patch makes of `before`: every hunk must fit it exactly."""
    old, new, at = re.findall(r"[^\n]*\n|[^\n]+", before), [], 0
    body = re.split(r"^@@ -(\d+)(?:,(\d+))? \+\S+ @@\n", diff + "\n", flags=re.MULTILINE)[1:]
    for start, count, hunk in zip(body[::3], body[1::3], body[2::3], strict=True):
        first = int(start) - (count != "0")
        new += old[at:first]
        at = first
        lines = re.sub(r"\n\\ No newline at end of file\n", "\0", hunk)
        for line in re.findall(r"[^\n\0]*[\n\0]", lines):
            mark, content = line[0], line[1:].replace("\0", "")
            if mark in " -":
                assert old[at] == content
                at += 1
            new += [content] if mark in " +" else []
    return "".join(new + old[at:])


@given(FILES, FILES)
def test_the_diff_of_a_commit_still_applies_after_cleaning(before: str, after: str) -> None:
    document = commits.one_file("Say what it is", "core.py", before, after)
    change = clean(document).removeprefix("Say what it is\n\n")
    assert applied(before, change) == after if document else before == after


def test_white_space_that_a_commit_changes_is_kept() -> None:
    before, after = "def f():\n\n    return 1  \n", "def f():\n\n    return 1\n"
    row = {"content": f"<commit_before>{before}<commit_msg>Strip<commit_after>{after}"}
    (document,) = rows.github_commits([("0", row)])
    assert clean(document.text).splitlines()[-4:] == [" def f():", " ", "-    return 1  ", "+    return 1"]


def test_a_commit_that_changes_line_ends_alone_is_none() -> None:
    assert commits.one_file("Unix", "a.txt", "one\r\ntwo\r\n", "one\ntwo\n") == ""


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\ufeffone  \r\ntwo\r\n", "one  \ntwo"),  # a hard break of Markdown
        ("\n\n    indented\n\n", "    indented"),
        ("old\rfile\r", "old\nfile"),
        ("progress 1%\rprogress 2%\ndone", "progress 1%\rprogress 2%\ndone"),
        ("all:\n\tcc \\ \n\t\n", "all:\n\tcc \\ \n\t"),
    ],
)
def test_cleaning_touches_nothing_within_a_line(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned == clean(cleaned)


@given(st.text("\r\n\ufeff a"))
def test_cleaning_again_changes_nothing(text: str) -> None:
    """Preparation has cleaned what a seqio Task cleans again."""
    once = clean(text)
    assert clean(once) == once
    assert "\r\n" not in once and once == once.strip("\n")


def test_the_cap_is_for_files_that_are_no_prose() -> None:
    large = "A long line of it. " * 60_000
    kinds = ("text", "math", "instruct", "code", "markup", "synthetic", "adjacent")
    assert [drop_reason(large, kind) for kind in kinds] == [None] * 3 + ["larger than 1 MB"] * 4
    assert drop_reason(" \n\t \n" * 9, "text") == "empty"
    assert drop_reason("x" + " " * 40, "text") == "shorter than 16 characters"


@functools.cache
def novel(megabytes: float) -> str:
    paragraph = "It was a dark and stormy night; the naïve «reader» turned page {} over. " * 9
    size = len(paragraph.encode())
    return "\n\n".join(paragraph.format(*range(n, n + 9)) for n in range(int(megabytes * 1e6 / size)))


def read_novels(shard: str, downloads: Path):
    yield Document("short.txt", "short", novel(1.2))
    yield Document("long.txt", "long", novel(30))


def test_a_novel_is_kept_and_thirty_megabytes_are_several_documents_of_one_group(tmp_path: Path) -> None:
    source = Source("novels", "text", "english", read_novels, one_shard)
    path = tmp_path / "all.parquet"
    read_shard(ReadJob(("all",), ((source, path),), tmp_path, {}))
    found = list(parquet.read_documents(path))
    assert parquet.facts(path)["dropped"] == {}
    assert [d.text for d in found if d.group == "short"] == [novel(1.2)]
    assert {d.id for d in found} == {"short.txt", *(f"long.txt#{n}" for n in range(1, 9))}
    long = sorted((d for d in found if d.group == "long"), key=lambda d: d.id)
    assert all(PART_BYTES * 0.99 < len(d.text.encode()) <= PART_BYTES for d in long[:-1])
    assert "\n\n".join(d.text for d in long) == novel(30)


@pytest.mark.parametrize("border", ["\n", " ", ""])
def test_without_paragraphs_it_is_cut_at_lines_then_words_then_characters(border: str) -> None:
    text = border.join(["東京🙂"] * (PART_BYTES // 4))
    found = list(parts(text))
    assert len(found) > 2 and all(len(piece.encode()) <= PART_BYTES for piece in found)
    assert "".join(found).replace(border, "") == text.replace(border, "")
    assert all(a.endswith("🙂" + border) or not border or a.endswith("🙂") for a, _ in pairwise(found))
