"""Writing the ledger: append-only between restarts, cut back to the checkpoint at a restart."""

import time
from collections.abc import Sequence
from pathlib import Path

from analysis.ledger_rows import StepRecord, ledger_line, read_ledger
from store import appended, paths
from store.errors import Failure
from store.layout import LEDGER

REMOTE_SECONDS = 20.0
"""Between additions to a ledger in an object store, where each is an object of its own."""


class Ledger:
    """The ledger of a stage in training; an object, for rows that are not kept yet wait here."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self._waiting: list[StepRecord] = []
        self._kept_at = time.monotonic()

    def append(self, rows: Sequence[StepRecord], now: bool) -> None:
        """Add rows. With `now` all are kept when it returns: a checkpoint must never be ahead of its ledger.

        On a disk they always are.

        Raises:
            Failure: the disk is full, or the object store cannot be written.
        """
        self._waiting += rows
        if now or not paths.remote(self._path) or time.monotonic() - self._kept_at > REMOTE_SECONDS:
            appended.append(self._path, b"".join(map(ledger_line, self._waiting)))
            self._waiting, self._kept_at = [], time.monotonic()


def cut_back(folder: Path, step: int, checkpoints: str | Path) -> None:
    """Drop every row after `step`, of which there is a checkpoint in `checkpoints`.

    Raises:
        Failure: the ledger is damaged or ends before `step`.
    """
    rows = read_ledger(folder)
    if len(rows) < step:
        raise Failure(
            f"ledger {folder / LEDGER} ends at step {len(rows)}, but there is a checkpoint of step {step}; put "
            f"the ledger back, or delete {checkpoints} to train the stage again"
        )
    appended.cut(folder / LEDGER, step)
