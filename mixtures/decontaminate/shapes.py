"""Solutions by their shape: Python with every name of its own and every constant taken out. Part of the rule `align`.

Renaming all that a solution names and changing its constants leaves no five words in a row, and the same program. What
stays is its shape: keywords, builtins that are called, attributes, operators and brackets, which names are called, and
where constants are, however many in a row. Round brackets, commas, comments and line ends go, since formatters move
them. A run of equal shape has to be long (components.py) and its names have to translate one to one.

Only documents that look like Python are read.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from mixtures.decontaminate import lexer
from mixtures.decontaminate.index import Hit, Index
from mixtures.decontaminate.normalise import Buffer
from mixtures.decontaminate.types import Keys

_STRETCH_TOKENS = 1 << 16
_CONSISTENT = 0.9
"""Share of the names in a run that have to translate: a variable that is used twice may become two."""
_BLOCK, _BEFORE = re.compile(rb":[^\S\n]*+[\n#]"), b" \t>+-#"
_OPENS = tuple(b"def ,for ,if ,else,elif ,while ,try,with ,class ".split(b","))


def hits(index: Index, buffer: Buffer) -> Iterator[Hit]:
    """Solutions whose shape is in a document."""
    if not index.shapes:
        return
    seed, found_at = _tables(index)
    overlap = int(np.diff(index.first_shape_S).max())
    size = max(_STRETCH_TOKENS, 4 * overlap)
    for document, (start, stop) in enumerate(itertools.pairwise(buffer.first_D.tolist())):
        if not _is_python(buffer.text[start:stop].tobytes()):
            continue
        for tokens in lexer.stretches(buffer.text, start, stop, seed, size, overlap):
            for last in tokens.last.tolist():
                place = last + 1 - lexer.GRAM
                for solution, offset, core in found_at.get(tokens.shape[place : last + 1].tobytes(), ()):
                    if tokens.shape[place : place + len(core) // 4].tobytes() != core:
                        continue
                    if (run := _run(index, solution, offset, tokens, place)) is not None:
                        length = run[1] - run[0]
                        share = length / int(index.first_shape_S[solution + 1] - index.first_shape_S[solution])
                        yield Hit(document, index.shapes[solution], share, length, int(tokens.begin[run[0]]))


def _is_python(text: bytes) -> bool:
    """Whether a line returns something as in Python, or does it as in C or prose and another opens a block."""
    at, returns = text.find(b"return"), False
    while at >= 0:
        if text[max(0, at - 200) : at].rstrip(_BEFORE)[-1:] in (b"\n", b":", b""):
            returns = True
            rest = text[at : at + 400].partition(b"\n")[0].rstrip()
            brackets = [rest.count(pair) for pair in (b"(", b")", b"[", b"]")]
            if b";" not in rest and rest[-1:] != b"\\" and any(brackets) and brackets[::2] == brackets[1::2]:
                return True
        at = text.find(b"return", at + 6)
    lines = (text[text.rfind(b"\n", 0, found.start()) + 1 : found.start()] for found in _BLOCK.finditer(text))
    return returns and any(line.lstrip(_BEFORE).startswith(_OPENS) for line in lines)


def _run(index: Index, solution: int, offset: int, tokens: lexer.Tokens, place: int) -> tuple[int, int] | None:
    """The run of equal shape around `place`, from and to; None if it is too short or its names do not translate."""
    first, stop = index.first_shape_S[solution : solution + 2].tolist()
    before, after = min(offset, place), min(stop - first - offset, len(tokens.shape) - place)
    mine, theirs = slice(first + offset - before, first + offset + after), slice(place - before, place + after)
    other_R = np.flatnonzero(index.shape_W[mine] != tokens.shape[theirs])
    number = int(np.searchsorted(other_R, before))
    begin = int(other_R[number - 1]) + 1 if number else 0
    end = int(other_R[number]) if number < len(other_R) else before + after
    if end - begin < index.shapes[solution].needs:
        return None
    ours, others = index.shape_name_W[mine][begin:end].tolist(), tokens.name[theirs][begin:end].tolist()
    return (place - before + begin, place - before + end) if _translates(ours, others) else None


def _translates(ours: list[int], others: list[int]) -> bool:
    """Whether the names of one run become those of the other by a translation, and back."""
    pairs = Counter(pair for pair in zip(ours, others, strict=True) if pair != (0, 0))
    there, back = {}, {}
    for (one, other), _ in reversed(pairs.most_common()):
        there[one], back[other] = other, one
    agreed = sum(n for (one, other), n in pairs.items() if there[one] == other and back[other] == one)
    return agreed >= _CONSISTENT * pairs.total()


@lru_cache(maxsize=2)
def _tables(index: Index) -> tuple[Keys, dict[bytes, list[tuple[int, int, bytes]]]]:
    """What the lexer looks grams up in, and of each the (solution, offset, core): one gram a solution.

    Wherever a run that is long enough begins, it holds the tokens from its latest beginning to its earliest end. They
    are the solution's core, which begins with the gram (`components.shape_needs` sees to it that it is as long).
    """
    found_at: dict[bytes, list[tuple[int, int, bytes]]] = {}
    for solution, (first, stop) in enumerate(itertools.pairwise(index.first_shape_S.tolist())):
        needs = index.shapes[solution].needs
        offset = stop - first - needs
        core = index.shape_W[first + offset : first + needs]
        found_at.setdefault(core[: lexer.GRAM].tobytes(), []).append((solution, offset, core.tobytes()))
    return lexer.seeds(np.frombuffer(gram, np.uint32) for gram in found_at), found_at
