"""The ledger of a stage: a line for every optimizer step, which carries a checksum of itself."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from store import appended, layout
from store.errors import Failure
from store.paths import Unreachable

MAX_SKIPPED = 5
"""Steps in a row whose loss or gradient is not finite before training stops."""


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `counts` are tokens per source, taken from the batch that was fed."""

    step: int
    """Steps done in this stage after this one; the first row has step 1."""
    tokens: int
    """Training tokens read by this stage up to and with this step."""
    loss: float | None
    """The objective's value (models/recipe.py) of the batch before the update, of next tokens nats a token; None when
    it was not finite."""
    grad_norm: float | None
    learning_rate: float
    counts: Mapping[str, int]
    digest: str
    """Of the batch's bytes: tokens and source ids."""
    seconds: float
    """Wall time of the step; the one field that differs between repeated runs."""
    skipped: bool = False
    """The loss or the gradient was not finite, so no update was made."""
    trained: int | None = None
    """Targets of the batch that carry loss, where that is not all of them."""


_LINE_SEAL = b',"checksum":"'


def ledger_line(row: StepRecord) -> bytes:
    """A line of the ledger; its last key is a checksum of the others."""
    values = asdict(row)
    if row.trained is None:  # a line of all tokens is what it was before there were others
        del values["trained"]
    body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()[:-1]
    return body + _LINE_SEAL + _short_checksum(body) + b'"}\n'


def _step(line: bytes) -> StepRecord:
    """Raises ValueError or TypeError for what is not a line of `ledger_line`."""
    body, seal, checksum = line.rpartition(_LINE_SEAL)
    if not seal:
        raise ValueError("it has no checksum, as lines of an older version")
    if checksum != _short_checksum(body) + b'"}':
        raise ValueError("its content is not what its checksum says")
    return StepRecord(**json.loads(body + b"}"))


def _short_checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


_TAIL_BYTES = 8_192  # more than a line of the ledger has, by far


def last_steps(folder: Path) -> list[StepRecord]:
    """The newest rows of a ledger, one at least where there is one, for a look at it; those before are not checked."""
    rows: list[StepRecord] = []
    with suppress(OSError, ValueError, TypeError):  # the first of the lines may be cut
        for line in reversed(appended.tail(folder / layout.LEDGER, _TAIL_BYTES).split(b"\n")[:-1]):
            rows.insert(0, _step(line))
    return rows


def last_step(folder: Path) -> StepRecord | None:
    rows = last_steps(folder)
    return rows[-1] if rows else None


def train_again(folder: Path) -> str:
    """The way out of a damaged ledger."""
    return f"delete {folder}, and its checkpoints where ABLATE_CHECKPOINTS has them elsewhere, to train the stage again"


def read_ledger(folder: Path) -> list[StepRecord]:
    """The steps of a stage, oldest first. A torn last line (a kill while writing) is left out.

    Raises:
        Failure: the file cannot be read, any other line is not as it was written, or the steps do not count up from 1.
    """
    path = folder / layout.LEDGER
    try:
        lines = appended.read(path).split(b"\n")
    except Unreachable:
        raise
    except OSError as error:
        raise Failure(f"ledger {path} cannot be read ({error.strerror}); {train_again(folder)}") from error
    rows: list[StepRecord] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = _step(line)
        except (ValueError, TypeError) as error:
            raise Failure(f"ledger {path} is damaged at line {number} ({error}); {train_again(folder)}") from error
        if row.step != number:
            raise Failure(f"ledger {path} has step {row.step} at line {number}; {train_again(folder)}")
        rows.append(row)
    return rows
