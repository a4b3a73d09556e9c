"""Code with one thing changed, as controls of what in code helps: names, order, comments or all but those.

A scanner by rules tells comments, strings, names and numbers apart: it gives the same on every version of Python, which
the standard library's `tokenize` does not (f-strings), and goes through files that are broken. For Python it is exact
but for strings within the braces of an f-string; elsewhere it takes regular expressions and heredocs for code. Every
change depends on the text alone, so that copies of a file stay copies.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mixtures.documents.document import Document, hash64

READER_VERSION = 1

# What is never closed goes to the end of its line or file, so that no text is searched to its end again and again; an
# apostrophe may be none that opens.
_DOUBLE = r'"(?:\\.|[^"\\\n])*+(?:"|(?=\n)|\\?\Z)'
_SINGLE = r"'(?:\\.|[^'\\\n])*+(?:'|(?=\n)|\\?\Z)"
_QUOTED = _DOUBLE + r"|'(?:\\.|[^'\\\n]){0,1000}+'"
_TRIPLE = r'"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|' + r"'''(?:\\.|[^\\])*?(?:'''|\\?\Z)"
_NUMBER = r"\.?\d\w*(?:\.\d\w*|\.[eEjJ]\w*)?"

PYTHON_WORDS = frozenset(
    """
    False None True and as assert async await break class continue def del elif else except finally for from global if
    import in is lambda nonlocal not or pass raise return try while with yield _ case match type abs aiter all anext any
    ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright credits delattr dict
    dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash help hex id input int
    isinstance issubclass iter len license list locals map max memoryview min next object oct open ord pow print
    property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple vars zip Ellipsis
    NotImplemented ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError EncodingWarning EnvironmentError Exception
    ExceptionGroup FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError
    ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError
    MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError OverflowError
    PendingDeprecationWarning PermissionError ProcessLookupError RecursionError ReferenceError ResourceWarning
    RuntimeError RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError SystemExit
    TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError
    UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError
    """.split()
)
"""Keywords, those that are so in places, and builtins, of Python 3.11 whatever runs this."""
WORDS = frozenset(
    """
    abstract alignas alignof and any as asm assert async auto await base bool boolean break byte case cast catch
    char checked class clone code const consteval constexpr continue declare def default defer define defined deinit
    delegate delete do done double drop dyn echo elif else elseif elsif end endif ensure enum error esac except
    explicit export extends extension extern fallthrough false fi final finally float fn for foreach foreign from
    fun func function get global go goto guard if ifdef ifndef impl implements implicit import in include init
    inline inout instanceof insteadof int integer interface internal into is isset lateinit lazy let local lock long
    loop make match mod module move mut mutable namespace native new next nil noexcept none not null object of on
    open operator or out over override package params partial pass pragma private procedure protected protocol
    public raise range readonly rec redo ref repeat require rescue restrict return sealed select self short signed
    sizeof some static strictfp string struct sub super suspend switch symbol synchronized template then this throw
    throws trait transient true try type typealias typedef typename typeof ubyte uint ulong undef undefined union
    unique unless unsafe unset unsigned until use ushort using val var vararg variant virtual void volatile weak
    when where while with xor yield
    """.split()
)
"""Keywords and names of basic types in the other languages, in lower case: one of any of them is kept in all."""
SQL_WORDS = frozenset(
    """
    add all alter and any as asc begin between by case check column commit constraint create cross database default
    delete desc distinct drop else end exists foreign from full function group having if in index inner insert int
    integer into is join key left like limit not null on or order outer primary procedure references right rollback
    select set table then trigger union unique update values varchar view when where with
    """.split()
)


@dataclass(frozen=True)
class Syntax:
    """How a family of languages writes what is no code: regular expressions of comments and strings."""

    comment: str
    string: str = _QUOTED
    words: frozenset[str] = WORDS
    docstrings: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = (
            rf"(?P<comment>{self.comment})|(?P<string>{self.string})|(?P<number>{_NUMBER})",
            r"(?P<name>[^\W\d]\w*)|(?P<bracket>[()\[\]{}])",
        )
        return re.compile("|".join(parts), re.DOTALL)  # re keeps what it compiled

    def keeps(self, name: str) -> bool:
        return name in self.words if self.docstrings else name.lower() in self.words


_HASH = r"(?<!\S)#[^\n]*"
_BLOCK = r"/\*.*?(?:\*/|\Z)"
_SLASHES = rf"//[^\n]*|{_BLOCK}"
PYTHON = Syntax(r"#[^\n]*", rf"(?i:[rbuf]{{1,2}})?(?:{_TRIPLE}|{_DOUBLE}|{_SINGLE})", PYTHON_WORDS, docstrings=True)
C = Syntax(_SLASHES, rf"{_QUOTED}|`(?:\\.|[^`\\])*+(?:`|\\?\Z)")
_HASHES = Syntax(_HASH)
FAMILIES: Mapping[str, Syntax] = {
    "python": PYTHON,
    **dict.fromkeys(("ruby", "shell", "makefile", "perl", "r"), _HASHES),
    **dict.fromkeys(("c", "cpp", "java", "javascript", "typescript", "c-sharp", "go", "kotlin", "swift"), C),
    **dict.fromkeys(("rust", "scala", "dart", "jsx", "vue"), C),
    "php": Syntax(rf"{_SLASHES}|#(?!\[)[^\n]*"),
    "sql": Syntax(rf"--[^\n]*|{_BLOCK}", words=SQL_WORDS),
    "lua": Syntax(r"--\[\[.*?(?:\]\]|\Z)|--[^\n]*"),
    "haskell": Syntax(r"\{-.*?(?:-\}|\Z)|--[^\n]*", _DOUBLE),
    "tex": Syntax(r"(?<!\\)%[^\n]*", r"(?!)"),
    "clojure": Syntax(r";[^\n]*", r'"(?:\\.|[^"\\])*+(?:"|\\?\Z)'),
    "smalltalk": Syntax(r'"[^"]*+(?:"|\Z)', r"'[^']*+(?:'|\Z)"),
}
"""By the names that the paper's Table 3 has, in lower case."""


def syntax_of(document: Document, form: str) -> Syntax:
    """That of a source's form, such as "c and c++", or else of a folder of the document's path; C's, if none is known.

    Sources of many languages have one folder for each.
    """
    names = (form.split()[0].lower(), *(part.lower() for part in PurePosixPath(document.id).parts))
    return next((FAMILIES[name] for name in names if name in FAMILIES), C)


def comments(text: str, syntax: Syntax) -> str:
    """What is said in comments and docstrings, without the marks around it; what stands apart is a paragraph."""
    parts, end = [], 0
    for match in _said(text, syntax):
        between = text[end : match.start()]
        parts += ["\n" if between.count("\n") == 1 and not between.strip() else "\n\n", _inner(match)]
        end = match.end()
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).strip("\n")


def bare(text: str, syntax: Syntax) -> str:
    """All but the comments and docstrings, and the lines that they leave empty."""
    kept, end, marked = [], 0, "\0"
    for match in _said(text, syntax):
        stands_alone = match.lastgroup == "string" and _empties_a_block(text, match)
        kept += [text[end : match.start()], "pass" if stands_alone else marked]
        end = match.end()
    lines = "".join([*kept, text[end:]]).split("\n")
    without = (line.replace(marked, "").rstrip() if marked in line else line for line in lines)
    return "\n".join(new for new, line in zip(without, lines, strict=True) if new or marked not in line)


def scrambled(text: str, syntax: Syntax) -> str:
    """Every name that is no word of the language, in its every place, is another invented word; all else stands.

    Comments and strings keep theirs, and names with two underscores at both ends, which Python gives a meaning.
    """
    key, names, taken = str(hash64(text)), dict[str, str](), set[str]()

    def renamed(match: re.Match[str]) -> str:
        name = match[0]
        if match.lastgroup != "name" or syntax.keeps(name) or (name.startswith("__") and name.endswith("__")):
            return name
        if name not in names:
            tries = (_invented(f"{key} {name} {number}", len(name)) for number in range(len(text) + 1))
            names[name] = next(word for word in tries if word not in taken and not syntax.keeps(word))
            taken.add(names[name])
        return names[name]

    return syntax.pattern.sub(renamed, text)


def shuffled(text: str, syntax: Syntax) -> str:
    """The same lines in a random order."""
    lines = text.split("\n")
    random.Random(hash64(text)).shuffle(lines)
    return "\n".join(lines)


CHANGES: Mapping[str, Callable[[str, Syntax], str]] = {
    "comments": comments,
    "bare": bare,
    "scrambled": scrambled,
    "shuffled": shuffled,
}


def read(documents: Iterable[Document], change: str, form: str) -> Iterator[Document]:
    """Every document under its own id and group, with its text changed; empty where nothing is left."""
    for document in documents:
        yield replace(document, text=CHANGES[change](document.text, syntax_of(document, form)))


def _said(text: str, syntax: Syntax) -> Iterator[re.Match[str]]:
    """Comments and, in Python, strings that are statements of their own."""
    depth = 0
    for match in syntax.pattern.finditer(text):
        if match.lastgroup == "bracket":
            depth = max(0, depth + (1 if match[0] in "([{" else -1))
        docstring = match.lastgroup == "string" and syntax.docstrings and depth == 0 and _is_statement(text, match)
        if match.lastgroup == "comment" or docstring:
            yield match


def _is_statement(text: str, match: re.Match[str]) -> bool:
    """Whether nothing else is on its lines but a comment; they are not searched for it, since they may be long."""
    start, end = match.span()
    while start and text[start - 1] in " \t\f":
        start -= 1
    while end < len(text) and text[end] in " \t\f":
        end += 1
    begins = start == 0 or (text[start - 1] == "\n" and text[start - 2 : start - 1] != "\\")
    return begins and text[end : end + 1] in ("", "\n", "#")


def _empties_a_block(text: str, match: re.Match[str]) -> bool:
    """Whether a docstring is all that a Python function or class has."""
    start = text.rfind("\n", 0, match.start()) + 1
    following = re.compile(r"[^\n]*\n(?:[ \t\f]*(?:#[^\n]*)?\n)*([ \t]*)[^\s#]").match(text, match.end())
    return match.start() > start and (following is None or len(following[1]) < match.start() - start)


def _inner(match: re.Match[str]) -> str:
    text = match[0]
    if match.lastgroup == "string":
        text = re.sub(r"^\w*(\"\"\"|'''|\"|')(.*)\1$", r"\2", text, flags=re.DOTALL)
    text = re.sub(r"^(--\[\[|\{-|\")|(\]\]|-\}|\")$", "", text)
    lines = (re.sub(r"^[\s/#*;%!-]+|[\s*/-]+$", "", line) for line in text.split("\n"))
    return "\n".join(lines).strip("\n")


def _invented(key: str, length: int) -> str:
    """A word of syllables, about as long as a name of `length`."""
    digest = hashlib.sha256(key.encode()).digest()
    return "".join("bdfgjklmnprstvwz"[byte >> 4] + "aeiou"[byte % 5] for byte in digest[: min(8, max(2, length // 2))])
