"""Examples packed into sequences of one length, so that none is cut.

The stream of a shard is one `<eod>` and then blocks of S tokens, each of whole examples and `<eod>` up to its end. A
window reads S+1 tokens from a multiple of S on, so its targets are a block, and its first input is the `<eod>` that
ends what was before: every example is predicted from an `<eod>`, as it is when it is scored.

Beside tokens and document offsets a packed shard has a table, three numbers for every document: its prompt's tokens
(-1: padding, as is the first `<eod>`), the number of its set in the window from 1 on, and its score.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PACKING_VERSION = 1
"""Bump when the same examples would be packed otherwise."""
OPEN_BLOCKS = 64
"""Among which a set finds room."""
PADDING = -1
Ids = npt.NDArray[np.unsignedinteger]
Offsets = npt.NDArray[np.int64]
Table = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Examples:
    """The examples of a shard in their order.

    Attributes:
        ids: of all of them: prompt, answer, `<eod>`.
        offsets: int64 [examples + 1], between them.
        prompts: tokens of every prompt.
        sets: the name of every example's set; "" where it is alone.
        scores: of every example.
    """

    ids: Ids
    offsets: Offsets
    prompts: Sequence[int]
    sets: Sequence[str]
    scores: Sequence[int]


class Stream(NamedTuple):
    """A packed shard, as `arrays.write_shard` takes it, and what is to be said of it.

    `counts` are those of `manifest.Packed`, and "tokens".
    """

    tokens_N: Ids
    doc_offsets: Offsets
    table_Dx3: Table
    counts: dict[str, int]
    left_out: dict[str, int]


def pack(examples: Examples, eod: int, sequence: int) -> Stream:
    """The stream of `examples` in sequences of so many tokens."""
    lengths = np.diff(examples.offsets).tolist()
    packed, left_out = _blocks(lengths, examples.sets, sequence)
    tokens_N = np.full(1 + len(packed) * sequence, eod, np.uint32)
    sizes, table, at = [1], [(PADDING, 0, 0)], 1
    for sets in packed:
        end = at + sequence
        for number, members in enumerate(sets, 1):
            for member in members:
                start, size = examples.offsets[member], lengths[member]
                tokens_N[at : at + size] = examples.ids[start : start + size]
                sizes.append(size)
                table.append((examples.prompts[member], number, examples.scores[member]))
                at += size
        if at < end:
            sizes.append(end - at)
            table.append((PADDING, 0, 0))
            at = end
    table_Dx3 = np.array(table, np.int32)
    real_D, sizes_D = table_Dx3[:, 0] != PADDING, np.array(sizes)
    prompts = int(table_Dx3[real_D, 0].sum())
    filled = int(sizes_D[real_D].sum())
    counts = {
        "tokens": len(tokens_N),
        "examples": int(real_D.sum()),
        "prompt_tokens": prompts,
        "answer_tokens": filled - prompts,
        "padding_tokens": len(tokens_N) - 1 - filled,
        "most_answers": max((sum(map(len, sets)) for sets in packed), default=0),
    }
    return Stream(tokens_N, np.cumsum([0, *sizes], dtype=np.int64), table_Dx3, counts, left_out)


def _blocks(lengths: Sequence[int], sets: Sequence[str], sequence: int) -> tuple[list[list[list[int]]], dict[str, int]]:
    """The sets of every block, each as the numbers of its examples, and the examples left out, by reason.

    A set's turn is that of its first example. It goes into the first open block that has room for all of it; where none
    has, into a new one, and of too many open blocks the fullest is closed.
    """
    left_out: Counter[str] = Counter()
    blocks: list[list[list[int]]] = []
    room: dict[int, int] = {}  # of the open blocks, by number
    for members in _members(sets):
        size = sum(lengths[member] for member in members)
        if size > sequence:
            what = "in a set longer" if len(members) > 1 else "longer"
            left_out[f"{what} than {sequence:,} tokens"] += len(members)
            continue
        block = next((number for number, free in room.items() if free >= size), len(blocks))
        if block == len(blocks):
            blocks.append([])
            room[block] = sequence
            if len(room) > OPEN_BLOCKS:
                del room[min(room, key=room.__getitem__)]
        blocks[block].append(members)
        room[block] -= size
    return blocks, dict(left_out)


def _members(sets: Sequence[str]) -> list[list[int]]:
    """The examples of every set, in order; one that is in none is alone."""
    found: list[list[int]] = []
    known: dict[str, list[int]] = {}
    for number, name in enumerate(sets):
        its = known.get(name) if name else None
        if its is None:
            its = known[name] = []
            found.append(its)
        its.append(number)
    return found
