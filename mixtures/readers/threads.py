"""Threads as one text each: questions with their answers, issues, conversations.

    Question: How do I ...?      Issue: It does not start                          User: What is it?

    Answer: Like this.           username_0: When I start it, nothing happens.     Assistant: It is this.

    Answer: Or like that.        Closed.

Plain words and no tokens of a chat template: the paper anneals on instruct-style text (§2.1), it does not fine-tune.
Names in issues are the placeholders that the StarCoder data put in their place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from mixtures.documents.document import Document
from mixtures.readers.fetch import Archive, texts

READER_VERSION = 1

SUFFIXES = frozenset({".rst", ".txt", ".md"})
PAGES = re.compile(r"(^|/)docs?[^/]*/")
ADORNMENT = re.compile(r"^([-=~^\"'`#*+.])\1{2,}\s*$")
RELEASE_NOTES = re.compile(r"changelog|whatsnew|releases?/|release_notes|announce")
"""Pages headed "What's new in 1.2?" answer nobody's question."""
MIN_ANSWER = 80
"""Characters; a shorter section only points to another page."""
MIN_WORDS = 4
"""Of a question that can be understood without its page."""
ANSWER = re.compile(r"^A: ", re.MULTILINE)
TITLE = re.compile(r"\s*Title:[ \t]*(.*)\n?")
CLOSED = "<issue_closed>"
SPEAKERS = {"user": "User", "prompter": "User", "assistant": "Assistant", "system": "System"}


def read(archives: Sequence[Archive], cache: Path) -> Iterator[Document]:
    """The sections of documentation pages whose heading asks, with what stands below it as the one answer, markup kept.

    id = project/path#number, group = project.

    Raises:
        Failure: an archive cannot be had.
    """
    for archive, name, page in texts(archives, cache, _wanted):
        pairs = markdown_pairs(page) if name.endswith(".md") else restructured_pairs(page)
        for number, (question, answer) in enumerate(pairs):
            yield Document(f"{archive.project}/{name}#{number:02}", archive.project, answered(question, [answer]))


def answered(question: str, answers: Iterable[str]) -> str:
    """A question and its answers in our format."""
    return "\n\n".join([f"Question: {question.strip()}", *(f"Answer: {answer.strip()}" for answer in answers)])


def stack_exchange(thread: str) -> str:
    """A thread of RedPajama's Stack Exchange part ("Q: ", then "A: " at the start of lines) in our format.

    Its answers stand by falling score. One with a line that itself begins with "A: " comes out as two. "" if there is
    no question.
    """
    question, *answers = ANSWER.split(thread)
    return answered(question.removeprefix("Q:"), answers) if question.startswith("Q:") else ""


def issue(content: str) -> str:
    """An issue between StarCoder's tags (arXiv:2305.06161, section 5) in our format; "" if it is none."""
    before, tag, thread = content.partition("<issue_start>")
    if not tag or before.strip():
        return ""
    closed = CLOSED in thread
    comments = [comment.strip() for comment in thread.replace(CLOSED, "").split("<issue_comment>")]
    title = TITLE.match(comments[0])
    head = []
    if title:
        head = [f"Issue: {title[1].strip()}"]
        comments[0] = comments[0][title.end() :].strip()
    return "\n\n".join([*head, *filter(None, comments), *(["Closed."] if closed else [])])


def conversation(turns: Iterable[tuple[str, str]]) -> str:
    """(role, text) in order; "" when a role is none of `SPEAKERS`, such as a tool, or a turn says nothing."""
    turns = list(turns)
    if not all(role in SPEAKERS and text.strip() for role, text in turns):
        return ""
    return "\n\n".join(f"{SPEAKERS[role]}: {text.strip()}" for role, text in turns)


def best_thread(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of a tree of messages the thread that follows the best-ranked reply, down to the last answer.

    Args:
        messages: with message_id, parent_id (None for the root), role and rank (0 is best; None when there was nothing
            to rank), as Open Assistant has them (arXiv:2304.07327).
    """
    replies: dict[str | None, list[Mapping[str, Any]]] = {}
    for message in messages:
        replies.setdefault(message["parent_id"], []).append(message)
    thread: list[Mapping[str, Any]] = []
    parent = None
    while parent in replies and len(thread) < 1_000:
        best = min(replies[parent], key=_rank)
        thread.append(best)
        parent = best["message_id"]
    while thread and thread[-1]["role"] != "assistant":
        thread.pop()
    return thread


def _rank(message: Mapping[str, Any]) -> tuple[bool, int, str]:
    rank = message["rank"]
    return rank is None, rank or 0, message["message_id"]


def restructured_pairs(page: str) -> Iterator[tuple[str, str]]:
    """(question, answer) of a reStructuredText page: underlined headings."""
    lines = page.splitlines()
    headings = [
        number
        for number in range(len(lines) - 1)
        if lines[number].strip()
        and not lines[number][0].isspace()
        and not ADORNMENT.match(lines[number])
        and ADORNMENT.match(lines[number + 1])
        and len(lines[number + 1].rstrip()) >= len(lines[number].rstrip()) - 1
    ]
    for heading, following in pairwise([*headings, len(lines)]):
        body = [line for line in lines[heading + 2 : following] if not re.match(r"^\.\. _.*:$", line)]
        while body and (ADORNMENT.match(body[-1]) or not body[-1].strip()):
            body.pop()  # the overline of the next heading
        yield from _pair(lines[heading], body)


def markdown_pairs(page: str) -> Iterator[tuple[str, str]]:
    """(question, answer) of a Markdown page: headings that start with #, outside code blocks."""
    lines = page.splitlines()
    fenced, headings = False, []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and re.match(r"^#{1,6} ", line):
            headings.append(number)
    for heading, following in pairwise([*headings, len(lines)]):
        question = re.sub(r"\s*\{[#:][^}]*\}\s*$", "", lines[heading].lstrip("#"))
        yield from _pair(question, lines[heading + 1 : following])


def _pair(heading: str, body: list[str]) -> Iterator[tuple[str, str]]:
    question, answer = heading.strip(), "\n".join(body).strip()
    asks = question.rstrip("\"'”’)").endswith("?") and len(question.split()) >= MIN_WORDS
    if asks and question[0].isalnum() and len(answer) >= MIN_ANSWER:
        yield question, answer


def _wanted(name: str) -> bool:
    if PurePosixPath(name).suffix not in SUFFIXES:
        return False
    return PAGES.search(name) is not None and not RELEASE_NOTES.search(name)
