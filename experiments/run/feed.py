"""The batches that one process of a run feeds, read ahead of their step."""

import functools

import jax

from mixtures.loader import Batch, load_batch
from mixtures.order import DataPlan
from mixtures.tokens.arrays import TokenStore
from models.devices import hosts


class Feed:
    """Batches in their order, each read while the device is at work on the one before.

    A read that fails in one process must not leave the others in the midst of a step. So the last batch goes round
    again until all of them meet (`check`), and what was computed of it is kept nowhere.
    """

    def __init__(self, data: DataPlan, tokens: TokenStore, steps: range) -> None:
        self._load = functools.partial(_load, data, tokens)
        self._steps = iter(steps)
        self._failed: Exception | None = None
        with hosts.together():
            self._next = self._load(next(self._steps)) if steps else None

    def taken(self) -> tuple[Batch, Batch]:
        """The rows that this process feeds, and the batch as the ledger has it."""
        assert self._next is not None
        return self._next

    def read_ahead(self) -> None:
        """Read the batch of the next step."""
        try:
            step = next(self._steps, None)
            self._next = self._next if step is None or self._failed else self._load(step)
        except Exception as error:
            self._failed = error

    def check(self) -> None:
        """Raise what a read raised."""
        if self._failed is not None:
            raise self._failed


def _load(data: DataPlan, tokens: TokenStore, step: int) -> tuple[Batch, Batch]:
    """The rows that this process feeds, and the batch as the ledger has it, which the first process writes.

    For that the first of several reads all rows, so that a digest is the same for any number of hosts.
    """
    mine = load_batch(data, tokens, step, jax.process_index(), jax.process_count())
    return mine, load_batch(data, tokens, step) if jax.process_count() > 1 and hosts.first() else mine
