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

from mixtures.decontaminate import kernels, lexer, lookup
from mixtures.decontaminate.components import SHAPE_FLOOR
from mixtures.decontaminate.index import Hit, Index
from mixtures.decontaminate.normalise import Buffer
from mixtures.decontaminate.types import Grams, Texts

GRAM = SHAPE_FLOOR
"""Tokens of the grams that solutions are looked up by."""
_CONSISTENT = 0.9
"""Share of the names in a run that have to translate: a variable that is used twice may become two."""
_BLOCK, _BEFORE = re.compile(rb":[^\S\n]*+[\n#]"), b" \t>+-#"
_OPENS = tuple(b"def ,for ,if ,else,elif ,while ,try,with ,class ".split(b","))


def hits(index: Index, buffer: Buffer) -> Iterator[Hit]:
    """Solutions whose shape is in a document."""
    if not index.shapes:
        return
    grams, cores = _tables(index)
    size_S = np.diff(index.first_shape_S).tolist()
    for document, (start, stop) in enumerate(itertools.pairwise(buffer.first_D.tolist())):
        text = buffer.text[start:stop]
        if not _is_python(text.tobytes()):
            continue
        tokens = lexer.tokens_of(text)
        places = kernels.find_grams(kernels.gram_keys(tokens.shape, GRAM), grams)
        whole = np.array([0, len(tokens.shape)])
        for _, solution, _, place in kernels.match(tokens.shape, whole, GRAM, False, *places, grams, cores):
            if (run := _run(index, solution, tokens, place)) is not None:
                length = run[1] - run[0]
                entry, share = index.shapes[solution], length / size_S[solution]
                yield Hit(document, entry, share, length, start + int(tokens.begin[run[0]]))


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


def _run(index: Index, solution: int, tokens: lexer.Tokens, place: int) -> tuple[int, int] | None:
    """The run of equal shape around a core, from and to; None if it is too short or its names do not translate."""
    first, stop = index.first_shape_S[solution : solution + 2].tolist()
    offset = stop - first - index.shapes[solution].needs
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
def _tables(index: Index) -> tuple[Grams, Texts]:
    """Of every solution its core: where it begins, and how many tokens of it have to be equal.

    Wherever a run that is long enough begins, it holds the tokens from its latest beginning to its earliest end. They
    are the core, which begins with the gram (`components.shape_needs` sees to it that it is as long).
    """
    first, size_S = index.first_shape_S, np.diff(index.first_shape_S)
    needs_S = np.array([entry.needs for entry in index.shapes])
    begins_W = np.zeros(len(index.shape_W), np.bool_)
    begins_W[first[1:] - needs_S] = True
    cores = Texts(index.shape_W, first, 2 * needs_S - size_S, np.ones(len(size_S), np.bool_))
    return lookup.grams_of(cores, GRAM, begins_W), cores
