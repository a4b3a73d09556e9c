"""Writing the ledger: append-only between restarts, cut back to the checkpoint at a restart."""

import os
from collections.abc import Iterable
from pathlib import Path

from analysis.records import StepRecord, ledger_line, read_ledger
from store.errors import Failure
from store.files import whole


def append(folder: Path, rows: Iterable[StepRecord]) -> None:
    """Append rows and wait until they are on the disk: a checkpoint must never be ahead of its ledger.

    Raises:
        Failure: the disk is full.
    """
    path = folder / "ledger.jsonl"
    try:
        with path.open("ab") as file:
            file.write(b"".join(map(ledger_line, rows)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Failure(f"cannot write {path} ({error.strerror}); free some space and run again to carry on") from error


def cut_back(folder: Path, step: int, checkpoints: str | Path) -> None:
    """Drop every row after `step`, of which there is a checkpoint in `checkpoints`.

    Raises:
        Failure: the ledger is damaged or ends before `step`.
    """
    rows = read_ledger(folder)
    if len(rows) < step:
        raise Failure(
            f"ledger {folder / 'ledger.jsonl'} ends at step {len(rows)}, but there is a checkpoint of step {step}; put "
            f"the ledger back, or delete {checkpoints} to train the stage again"
        )
    path = folder / "ledger.jsonl"
    if path.exists():
        kept = path.read_bytes().split(b"\n")[:step]
        with whole(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
