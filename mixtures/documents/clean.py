"""What happens to a text before it is tokenised: plain functions that preparation and the seqio Tasks share."""

import re
from collections.abc import Iterator

MIN_CHARACTERS = 16
MAX_BYTES = 1_000_000
"""Of a file that is no prose: larger ones are data, bundles and logs."""
PART_BYTES = 4_000_000
"""Of prose in one document: a novel is one, collected works are several."""
LINE_END = re.compile(r"\r+\n")
BEFORE = "\ufeff\n"
PROSE = ("text", "math", "instruct")
"""Kinds whose texts are kept at any length."""


def clean(text: str) -> str:
    """Unix line ends, no byte-order mark, no empty lines around the text.

    Nothing within a line is touched, whatever the kind: a blank at a line's end is a context line of a diff, a hunk
    that changes white space, a hard break of Markdown, or part of a string.
    """
    text = LINE_END.sub("\n", text).lstrip(BEFORE).rstrip("\n")
    if "\n" not in text:  # an old file, whose lines end in \r; elsewhere that is a character of its line
        text = text.replace("\r", "\n").lstrip(BEFORE).rstrip("\n")
    return text


def clean_example(text: str, prompt: int) -> tuple[str, int]:
    """`clean` of an example, whose prompt is the first `prompt` characters, and its prompt's characters then.

    Prompt and answer are cleaned apart, and where they meet nothing is: what the prompt ends with is asked, what the
    answer begins with is answered, be it a blank or an empty line.
    """
    asked, answer = (LINE_END.sub("\n", part) for part in (text[:prompt], text[prompt:]))
    if "\n" not in asked + answer:
        asked, answer = asked.replace("\r", "\n"), answer.replace("\r", "\n")
    asked, answer = asked.lstrip(BEFORE), answer.lstrip(BEFORE[0]).rstrip("\n")
    return asked + answer, len(asked)


def example_drop_reason(text: str, prompt: int, kind: str) -> str | None:
    """`drop_reason` of an example, which may be short and not without a prompt or an answer."""
    if not text[:prompt].strip():
        return "no prompt"
    return _unfit(text, kind) if text[prompt:].strip() else "no answer"


def drop_reason(text: str, kind: str) -> str | None:
    """Why a cleaned document of a source of `kind` is left out, or None.

    Every drop is counted by its reason in the manifest.
    """
    visible = text.strip()
    if not visible:
        return "empty"
    return "shorter than 16 characters" if len(visible) < MIN_CHARACTERS else _unfit(text, kind)


def _unfit(text: str, kind: str) -> str | None:
    if "\0" in text:
        return "NUL bytes"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "invalid Unicode"
    return "larger than 1 MB" if size > MAX_BYTES and kind not in PROSE else None


def parts(text: str) -> Iterator[str]:
    """`text`, or pieces of it of at most PART_BYTES: cut between paragraphs, else lines, else words, else characters.

    The empty lines or the blank at which it is cut are left out, and nothing else.
    """
    raw = text.encode()
    start = 0
    while len(raw) - start > PART_BYTES:
        stop = _cut(raw, start, start + PART_BYTES)
        if piece := raw[start:stop].decode().strip("\n"):
            yield piece
        start = stop
    if rest := raw[start:].decode().strip("\n"):
        yield rest


def _cut(raw: bytes, start: int, stop: int) -> int:
    for border in (b"\n\n", b"\n", b" "):
        # In the second half, so that pieces stay of a size and every round moves on.
        if (found := raw.rfind(border, start + PART_BYTES // 2, stop)) > 0:
            return found + len(border)
    while raw[stop] & 0xC0 == 0x80:  # the middle of a character
        stop -= 1
    return stop
