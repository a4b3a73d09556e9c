"""From the rows of public data sets to documents: one function per layout, all from `Rows` to documents.

A row whose text is missing becomes an empty document, which preparation drops and counts. A document's id is the data
set's own where it has one that is unique in the source, else the place of the row in the pinned revision. Its group is
the repository, page or thread, so that no held-out document has a neighbour that is trained on.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mixtures.documents.document import Document, Rows
from mixtures.readers import commits, files, notebooks, threads

READER_VERSION = 1

HEADER = re.compile(r"(?:<reponame>[^\n<]*)?(?:<filename>[^\n<]*)?(?:<gh_stars>[^\n<]*)?\n")
Reader = Callable[[Rows], Iterator[Document]]
STACK_EXCHANGE = "RedPajamaStackExchange"
NOT_TEXT = frozenset({"RedPajamaGithub", STACK_EXCHANGE})


def own(field: str, group: str, rows: Rows) -> Iterator[Document]:
    """Rows of a data set that a user named, as `readers.files` reads them."""
    for place, row in rows:
        yield files.document(row, place, place, field, group)


def slimpajama_text(rows: Rows) -> Iterator[Document]:
    """SlimPajama without its GitHub and Stack Exchange parts (paper §2.1)."""
    for place, row in rows:
        if row["meta"]["redpajama_set_name"] not in NOT_TEXT:
            yield Document(place, place, row["text"] or "")


def slimpajama_threads(rows: Rows) -> Iterator[Document]:
    """The Stack Exchange part of SlimPajama; every row is a thread."""
    for place, row in rows:
        if row["meta"]["redpajama_set_name"] == STACK_EXCHANGE:
            yield Document(place, place, threads.stack_exchange(row["text"] or ""))


def stack_files(rows: Rows) -> Iterator[Document]:
    """Files of The Stack and of the StarCoder data.

    The latter begin with tags for repository, path and stars, each with a probability of its own; they are no code, and
    no other source has them.
    """
    for place, row in rows:
        text = row["content"] or ""
        header = HEADER.match(text) if text.startswith(("<reponame>", "<filename>", "<gh_stars>")) else None
        yield Document(place, row["max_stars_repo_name"] or place, text[header.end() :] if header else text)


def github_commits(rows: Rows) -> Iterator[Document]:
    """Commits, between StarCoder's tags or in CommitPack's columns; without a repository, each is its own group."""
    for place, row in rows:
        if "content" in row:
            yield Document(place, place, commits.parse(row["content"] or ""))
        else:
            yield _commit(place, row)


def _commit(place: str, row: Mapping[str, Any]) -> Document:
    message = row["message"] or row["subject"] or ""
    name = row["new_file"] or row["old_file"]
    text = commits.one_file(message, name, row["old_contents"] or "", row["new_contents"] or "")
    return Document(place, (row["repos"] or place).partition(",")[0], text)


def github_issues(rows: Rows) -> Iterator[Document]:
    """Issues between StarCoder's tags; the data have no repository, so that each is its own group."""
    for place, row in rows:
        yield Document(place, place, threads.issue(row["content"] or ""))


def jupyter(rows: Rows) -> Iterator[Document]:
    """Notebooks between StarCoder's tags; each is a work of its own."""
    for place, row in rows:
        yield Document(place, place, notebooks.parse(row["content"] or ""))


def web_pages(rows: Rows) -> Iterator[Document]:
    """Pages with a text and a url."""
    for place, row in rows:
        yield Document(place, row["url"] or place, row["text"] or "")


def educational_code(rows: Rows) -> Iterator[Document]:
    """Files of the Common Pile's Stack v2 selection."""
    for place, row in rows:
        repository = (row["metadata"] or {}).get("repo_name")
        yield Document(place, repository or place, row["text"] or "")


def tested_problems(rows: Rows) -> Iterator[Document]:
    """Problems of OpenCodeInstruct with their solution, of those whose generated tests all passed upstream."""
    for place, row in rows:
        if float(row["average_test_score"] or 0) == 1:
            yield Document(place, place, threads.answered(row["input"] or "", [row["output"] or ""]))


def tested_examples(rows: Rows) -> Iterator[Document]:
    """The same as examples: the problem is asked, and the solution the answer."""
    for place, row in rows:
        if float(row["average_test_score"] or 0) == 1:
            prompt = f"{(row['input'] or '').strip()}\n\n"
            yield Document(place, place, prompt + (row["output"] or "").strip(), prompt=len(prompt))


def conversations(rows: Rows) -> Iterator[Document]:
    """Rows with `messages` of role and content, as a list or as JSON."""
    for place, row in rows:
        messages = row["messages"] or []
        turns = json.loads(messages) if isinstance(messages, str) else messages
        yield Document(place, place, threads.conversation((turn["role"], turn["content"] or "") for turn in turns))


def message_trees(rows: Rows) -> Iterator[Document]:
    """Open Assistant: of every English tree the best-ranked thread. All rows of the file are held (60 MB)."""
    trees: dict[str, list[Mapping[str, Any]]] = {}
    for _, row in rows:
        if row["lang"] == "en" and not row["deleted"]:
            trees.setdefault(row["message_tree_id"], []).append(row)
    for tree, messages in trees.items():
        if thread := threads.best_thread(messages):
            yield Document(tree, tree, threads.conversation((turn["role"], turn["text"] or "") for turn in thread))
