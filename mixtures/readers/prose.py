"""English prose written about code: docstrings and package descriptions, with all that is not a sentence taken out.

A text-only arm must not read code, so a paragraph that might hold any is dropped whole. What is left reads like
documentation, which is still a register of its own: the report should not call it general English.
"""

import ast
import gc
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from packaging.utils import canonicalize_name

from mixtures.documents.document import Document
from mixtures.readers.installed import distribution

READER_VERSION = 1

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

CODE_TOKEN = re.compile(
    r"""
      [_=<>{}\[\]\\|@#$^*~`]         # operators, brackets, markup, names with underscores
    | \w\(                           # a call
    | ::|->|&&|\.\.\s
    | (?<!\w)--?\w                   # a command's option
    | \b\w+\.\w*[a-z]\w*\.\w         # a.b.c
    | \b[a-z]\w*[A-Z]\w*             # camelCase
    | \b\w{2,}\.[a-z]\w*             # module.name, file.py
    | \([\w.-]+,(\s[\w.-]+,?)*\)    # a tuple
    | https?:|www\.|/\w+/|\w+/\w+/
    | \b\d*[A-Za-z]+\d+[A-Za-z]*\b   # int32, x1
    | \b(None|True|False|NaN|args|kwargs|ndarray|dtype|str|bool|def|elif|iff|stdin|stdout)\b
    | :[a-z]+:
    """,
    re.VERBOSE,
)
LIST_ITEM = re.compile(r"^([-+*•]|\d+[.)]|[a-z][.)]|\(\w+\))\s")
UNDERLINE = re.compile(r"\s*([-=~^])\1{2,}\s*")
FUNCTION_WORDS = frozenset(
    "a an and are as at be been but by can for from has have if in into is it its not of on or so that the their then "
    "there these they this to was were when which will with you".split()
)
MIN_WORDS = 8
MAX_DIGITS = 0.05
"""Share of the characters."""


def docstrings(files: Iterable[Document]) -> Iterator[Document]:
    """The sentences of every docstring of a Python file, one document a file, under the file's own id and group.

    Files that this interpreter cannot parse and files without a plain paragraph are left out.
    """
    for file in files:
        prose = "\n\n".join(dict.fromkeys(_of_docstrings(file.text)))
        if prose:
            yield Document(file.id, file.group, prose)


def descriptions(names: Sequence[str], downloads: Path) -> Iterator[Document]:
    """The sentences of the descriptions of the installed distributions `names`; id = group = distribution.

    Raises:
        Failure: a distribution is not installed.
    """
    for name in names:
        metadata = distribution(name).metadata
        description = metadata["Description"] if "Description" in metadata else str(metadata.get_payload() or "")  # type: ignore[attr-defined]
        prose = "\n\n".join(dict.fromkeys(plain_paragraphs(without_markup(description))))
        if prose:
            yield Document(canonicalize_name(name), canonicalize_name(name), prose)


def _of_docstrings(source: str) -> Iterator[str]:
    if '"""' not in source and "'''" not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's own escapes
            tree = _parsed(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in _documented(tree):
        docstring = ast.get_docstring(node)
        if docstring:
            yield from plain_paragraphs(docstring)


def _parsed(source: str) -> ast.Module:
    """A tree is a million small objects and no garbage: the collector would take half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collecting:
            gc.enable()


def _documented(node: Documented) -> Iterator[Documented]:
    """The module, classes and functions in the order of the file; not those inside functions or conditions."""
    yield node
    for child in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
        if isinstance(child, Documented):
            yield from _documented(child)


def without_markup(description: str) -> str:
    """Markdown or reStructuredText without code blocks, pictures and HTML; a link becomes its text."""
    for pattern, replacement in (
        (r"(?ms)^\s*(```|~~~).*?^\s*\1\s*$", "\n\n"),
        (r"(?s)<!--.*?-->|<(pre|table|picture)\b.*?</\1>", ""),
        (r"(?m)^\s*\.\. .*(\n[ \t]+.*|\n(?=\n[ \t]))*", ""),
        (r"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)|!\[[^\]]*\]\([^)]*\)", ""),
        (r"\[([^\]]+)\](\([^)]*\)|\[[^\]]*\])", r"\1"),
        (r"`([^`<]+?)\s*<[^`>]+>`__?", r"\1"),
        (r"</?[a-zA-Z][^>]*>", ""),
        (r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2"),
        (r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
    ):
        description = re.sub(pattern, replacement, description)
    return description


def plain_paragraphs(docstring: str) -> Iterator[str]:
    """The paragraphs that are plain English sentences, each on one line.

    A paragraph is kept when it is flush left, follows no list or code introduction, is no list, table, heading or
    field list, has no token that could be code, and reads as sentences: capital, full stop, function words.
    """
    blocks = [block for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)) if block.strip()]
    for block in blocks:
        lines = block.strip("\n").splitlines()
        underlined = any(a.strip() and UNDERLINE.fullmatch(b) for a, b in pairwise(lines))
        if underlined or any(line[:1].isspace() or LIST_ITEM.match(line) for line in lines):
            continue
        paragraph = " ".join(" ".join(lines).split())
        if _reads_as_sentences(paragraph):
            yield paragraph


def _reads_as_sentences(paragraph: str) -> bool:
    words = re.findall(r"[A-Za-z']+", paragraph)
    if len(words) < MIN_WORDS or not re.match(r"[\"'(]?[A-Z]", paragraph) or not re.search(r"[.!?][\"')]*$", paragraph):
        return False
    if CODE_TOKEN.search(paragraph) or sum(c.isdigit() for c in paragraph) > MAX_DIGITS * len(paragraph):
        return False
    return sum(word.lower() in FUNCTION_WORDS for word in words) >= max(2, len(words) // 6)
