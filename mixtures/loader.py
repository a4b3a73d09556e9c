"""The batch of a step: a pure function of (data plan, step), on any number of hosts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.order import DataPlan, rows
from mixtures.tokens.arrays import TokenStore
from mixtures.tokens.packing import PADDING

_ROWS_AHEAD = 1_024
"""Rows whose places are computed at once: a few milliseconds at a seek, next to nothing per step after it."""
_rows = lru_cache(maxsize=8)(rows)
"""A plan is its own key, so plans compare by identity."""


class Ranked(NamedTuple):
    """Answers of a batch's rows, where they are ranked; E is the most that a row holds.

    Attributes:
        answer_BxS: int32, for every target the number of the answer of its row that it belongs to, from 1; 0 for none,
            as all over the rows of sources that are no examples.
        set_BxE: int32, for every answer the number of its set in the row, from 1; 0 where the row has no such answer.
        score_BxE: int32, of every answer.
    """

    answer_BxS: npt.NDArray[np.int32]
    set_BxE: npt.NDArray[np.int32]
    score_BxE: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """What a host feeds.

    Attributes:
        tokens_BxS: int32, S+1 ids a row: inputs and shifted targets.
        source_id_B: int32, indexes allocation.sources.
        segment_ids_BxS: int32, the document of its window that every input position belongs to, counted from 0; None
            unless the plan asks for a document mask. Positions run 0..S-1 either way.
        weights_BxS: float32, 1 for every target (the token after an input) that carries loss and 0 for others; None
            where the plan reads no examples, and all do.
        ranked: the answers, where they are ranked.
    """

    tokens_BxS: npt.NDArray[np.int32]
    source_id_B: npt.NDArray[np.int32]
    segment_ids_BxS: npt.NDArray[np.int32] | None = None
    weights_BxS: npt.NDArray[np.float32] | None = None
    ranked: Ranked | None = None

    @cached_property
    def digest(self) -> str:
        """Of the bytes that are fed: equal digests mean the same tokens from the same sources, masked the same way."""
        total = hashlib.blake2b(digest_size=16)
        for array in (self.tokens_BxS, self.source_id_B, self.segment_ids_BxS, *(self.ranked or ())):
            if array is not None:
                total.update(np.ascontiguousarray(array, "<i4").data)
        if self.weights_BxS is not None:
            total.update(np.ascontiguousarray(self.weights_BxS, "<f4").data)
        return total.hexdigest()


def load_batch(plan: DataPlan, store: TokenStore, step: int, host: int = 0, hosts: int = 1) -> Batch:
    """The rows of `step` (0-based) that `host` feeds: rows [h*b, (h+1)*b) of the global batch.

    Raises:
        ValueError: the hosts do not divide the batch.
        Failure: a token chunk is missing or corrupt.
    """
    if plan.batch % hosts:
        raise ValueError(f"a batch of {plan.batch} sequences cannot be split over {hosts} hosts")
    count = plan.batch // hosts
    steps = max(1, _ROWS_AHEAD // count)
    inside = step % steps
    placed = _rows(plan, step - inside, host * count, count, steps)
    here = slice(inside * count, (inside + 1) * count)
    source_id_B = placed.source_B[here].astype(np.int32)
    names = plan.allocation.sources
    requests = [(names[s], w) for s, w in zip(source_id_B.tolist(), placed.window_B[here].tolist(), strict=True)]
    segments = store.segments(requests, plan.sequence) if plan.document_mask else None
    weights, ranked = _loss(plan, store, requests)
    return Batch(store.read(requests, plan.sequence), source_id_B, segments, weights, ranked)


def _loss(
    plan: DataPlan, store: TokenStore, requests: Sequence[tuple[str, int]]
) -> tuple[npt.NDArray[np.float32] | None, Ranked | None]:
    """Which targets carry loss, and the answers where they are ranked; None in a plan without examples."""
    most = max((store.most_answers.get(name, 0) for name in plan.allocation.sources), default=0)
    if not most:
        return None, None
    weights_BxS = np.ones((len(requests), plan.sequence), np.float32)
    answer_BxS = np.zeros((len(requests), plan.sequence), np.int32)
    set_BxE, score_BxE = np.zeros((2, len(requests), most), np.int32)
    for row, (name, window) in enumerate(requests):
        if name in store.most_answers:
            lengths_D, table_Dx3 = store.examples(name, window, plan.sequence)
            real_D = table_Dx3[:, 0] != PADDING
            answer_BxS[row] = _answers(lengths_D, table_Dx3[:, 0], real_D)
            weights_BxS[row] = np.repeat(real_D, lengths_D) if plan.loss == "all" else answer_BxS[row] > 0
            set_BxE[row, : real_D.sum()], score_BxE[row, : real_D.sum()] = table_Dx3[real_D, 1:].T
    return weights_BxS, Ranked(answer_BxS, set_BxE, score_BxE) if plan.loss == "ranked" else None


def _answers(
    lengths_D: npt.NDArray[np.int64], prompt_D: npt.NDArray[np.int32], real_D: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """[S]: the number of the answer, from 1, that every target of a window belongs to; 0 for none."""
    starts_D = np.cumsum(lengths_D) - lengths_D
    number_S = np.repeat(np.where(real_D, np.cumsum(real_D), 0), lengths_D)
    return np.where(np.arange(lengths_D.sum()) >= np.repeat(starts_D + prompt_D, lengths_D), number_S, 0)


def token_counts(plan: DataPlan, batch: Batch) -> dict[str, int]:
    """Training tokens per source in a batch, counted from its own source ids."""
    counts = np.bincount(batch.source_id_B, minlength=len(plan.allocation.sources)) * plan.sequence
    return {name: int(n) for name, n in zip(plan.allocation.sources, counts, strict=True)}
