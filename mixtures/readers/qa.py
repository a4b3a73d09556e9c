"""Questions and answers, as one thread each.

    Question: How do I ...?

    Answer: Like this.

    Answer: Or like that.

`parse` reads the Stack Exchange threads of SlimPajama, whose answers stand by falling score. `read` takes the sections
of a project's pages whose heading ends in a question mark, markup kept; they have one answer.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

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


def read(archives: Sequence[Archive], cache: Path) -> Iterator[Document]:
    """All questions of the documentation folders; id = project/path#number, group = project.

    Raises:
        Failure: an archive cannot be had.
    """
    for archive, name, page in texts(archives, cache, _wanted):
        pairs = markdown_pairs(page) if name.endswith(".md") else restructured_pairs(page)
        for number, (question, answer) in enumerate(pairs):
            yield Document(f"{archive.project}/{name}#{number:02}", archive.project, render(question, [answer]))


def render(question: str, answers: Iterable[str]) -> str:
    """The one format of threads."""
    return "\n\n".join([f"Question: {question.strip()}", *(f"Answer: {answer.strip()}" for answer in answers)])


ANSWER = re.compile(r"^A: ", re.MULTILINE)


def parse(thread: str) -> str:
    """A thread of RedPajama's Stack Exchange part ("Q: ", then "A: " at the start of lines) in our format.

    An answer with a line that itself begins with "A: " comes out as two. "" if there is no question.
    """
    question, *answers = ANSWER.split(thread)
    return render(question.removeprefix("Q:"), answers) if question.startswith("Q:") else ""


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
