"""The batch of a step: a pure function of (data plan, step), on any number of hosts."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mixtures.allocate import Allocation
from mixtures.order import rows
from mixtures.store import TokenStore


@dataclass(frozen=True)
class DataPlan:
    """Everything that decides what a stage reads.

    Attributes:
        allocation: the mixture as slots.
        windows: sequences in one epoch of every source.
        starts: sequences of every source that the lineage read before this stage.
        data_seed: names the order.
        batch: sequences in the global batch.
        sequence: training tokens in a sequence.
    """

    allocation: Allocation
    windows: Mapping[str, int]
    starts: Mapping[str, int]
    data_seed: int
    batch: int
    sequence: int


@dataclass(frozen=True)
class Batch:
    """tokens_BxS holds S+1 ids a row (inputs and shifted targets); source_id_B indexes allocation.sources."""

    tokens_BxS: npt.NDArray[np.int32]
    source_id_B: npt.NDArray[np.int32]

    @cached_property
    def digest(self) -> str:
        """Of the bytes that are fed: equal digests mean the same tokens from the same sources."""
        data = self.tokens_BxS.astype("<i4").tobytes() + self.source_id_B.astype("<i4").tobytes()
        return hashlib.blake2b(data, digest_size=16).hexdigest()


def load_batch(plan: DataPlan, store: TokenStore, step: int, host: int = 0, hosts: int = 1) -> Batch:
    """The rows of `step` (0-based) that `host` feeds: rows [h*b, (h+1)*b) of the global batch.

    Raises:
        ValueError: the hosts do not divide the batch.
        Failure: a token chunk is missing or corrupt.
    """
    if plan.batch % hosts:
        raise ValueError(f"a batch of {plan.batch} sequences cannot be split over {hosts} hosts")
    count = plan.batch // hosts
    placed = rows(plan.allocation, plan.windows, plan.starts, plan.data_seed, plan.batch, step, host * count, count)
    names = plan.allocation.sources
    requests = [(names[s], int(w)) for s, w in zip(placed.source_B, placed.window_B, strict=True)]
    return Batch(store.read(requests, plan.sequence), placed.source_B.astype(np.int32))


def token_counts(plan: DataPlan, batch: Batch) -> dict[str, int]:
    """Training tokens per source in a batch, counted from its own source ids."""
    counts = np.bincount(batch.source_id_B, minlength=len(plan.allocation.sources)) * plan.sequence
    return {name: int(n) for name, n in zip(plan.allocation.sources, counts, strict=True)}
