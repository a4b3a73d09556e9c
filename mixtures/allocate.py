"""From token fractions to whole sequences: exact at any number of slots, never more than one sequence off.

Slots are gathered in blocks, and inside a block they are permuted (mixtures/order.py): what a model has read is within
one sequence of its share at the end of every block, which from 8 sequences a batch on is the end of every step.

Slots are given out one by one by Tijdeman's rule ("The chairman assignment problem", 1980): slot i goes to
the source that is still entitled to one and whose deadline comes first. With fractions p_s/T the sequence of
slots repeats every T slots, so one period is all that is ever computed and a seek costs O(1).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from store.errors import UserError

Counts = npt.NDArray[np.int64]

MIN_BLOCK = 8
"""Sequences in a block at the least, so that a block resembles its mixture."""


_MARK = 512
"""Slots from one count of all sources to the next: with 35 sources the counts at every slot are 280 MB."""


@dataclass(frozen=True)
class Allocation:
    """How many of the first n sequences each source has, for any n: see `cumulative`.

    Attributes:
        sources: names, in the order of the columns of counts.
        parts: numerators p_s over the common denominator T.
        slots: uint16 [T]; the source of every slot of a period.
        marks: int64 [ceil(T / 512), sources]; the counts before every 512th slot.
    """

    sources: tuple[str, ...]
    parts: tuple[int, ...]
    slots: npt.NDArray[np.uint16]
    marks: Counts


def allocate(shares: Mapping[str, Fraction]) -> Allocation:
    """Lay out one period of slots for fractions that sum to one; a mixture's are remembered.

    A source that has c of its slots is entitled to the next one from slot floor(c*T/p) on, with the deadline
    ceil((c+1)*T/p); the earliest deadline wins, ties by source order.

    Raises:
        ValueError: the shares do not sum to one or one is not positive.
    """
    return _allocate(tuple(shares.items()))


@lru_cache(maxsize=64)
def _allocate(shares: tuple[tuple[str, Fraction], ...]) -> Allocation:
    fractions = [share for _, share in shares]
    if sum(fractions) != 1 or min(fractions) <= 0:
        raise ValueError(f"shares must be positive and sum to one: {dict(shares)}")
    period = math.lcm(*(share.denominator for share in fractions))
    parts = tuple(int(share * period) for share in fractions)
    counts = [0] * len(parts)
    waiting = [(0, source) for source in range(len(parts))]
    entitled: list[tuple[int, int]] = []
    slots, marks = np.zeros(period, np.uint16), []
    for slot in range(period):
        if slot % _MARK == 0:
            marks.append(tuple(counts))
        while waiting and waiting[0][0] <= slot:
            _, source = heappop(waiting)
            heappush(entitled, (-(-(counts[source] + 1) * period // parts[source]), source))
        _, winner = heappop(entitled)
        counts[winner] += 1
        slots[slot] = winner
        heappush(waiting, (counts[winner] * period // parts[winner], winner))
    return Allocation(tuple(name for name, _ in shares), parts, slots, np.array(marks, np.int64))


def cumulative(allocation: Allocation, sequences: int | Counts) -> Counts:
    """int64 [sources], or [n, sources] for n lengths: sequences of each source among the first `sequences`."""
    periods, rest = np.divmod(np.asarray(sequences, np.int64), len(allocation.slots))
    since = [allocation.slots[n - n % _MARK : n] for n in rest.ravel().tolist()]
    sources = len(allocation.parts)
    counts = np.reshape([np.bincount(slots, minlength=sources) for slots in since], (*rest.shape, sources))
    return periods[..., None] * np.asarray(allocation.parts, np.int64) + allocation.marks[rest // _MARK] + counts


def steps_for(tokens: int, batch: int, sequence: int) -> int:
    """Whole optimizer steps for a token budget, rounded up (200B at 512 x 8,192 is 47,684 steps)."""
    if tokens <= 0:
        raise UserError(f"a budget of {tokens:,} tokens is empty; give a positive number of tokens")
    return -(-tokens // (batch * sequence))


def block_size(batch: int) -> int:
    """Sequences in a block: the global batch, or its smallest multiple that has MIN_BLOCK sequences."""
    return batch * -(-MIN_BLOCK // batch)


def check_supply(source: str, used: int, windows: int, sequence: int, max_epochs: Fraction | int) -> None:
    """Refuse a plan that a source cannot meet.

    Args:
        source: its name, for the message.
        used: sequences read from it up to the end of the stage, over the whole lineage.
        windows: sequences in one epoch of it.
        sequence: tokens in a sequence.
        max_epochs: how often the study lets a source be read.

    Raises:
        UserError: the source would be read too often.
    """
    if windows == 0 or used > max_epochs * windows:
        have, need = windows * sequence, used * sequence
        epochs = f"{used / windows:.2f}" if windows else "endless"
        fits = int(max_epochs * windows) * sequence
        raise UserError(
            f"source '{source}' has {have:,} tokens; the plan needs {need:,} ({epochs} epochs) and max_epochs is "
            f"{max_epochs}: {need - fits:,} tokens are missing; lower its weight or the budget to {fits:,} tokens, "
            "prepare more of it, or raise max_epochs"
        )
