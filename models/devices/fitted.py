"""What `ablate fit` found, as a table that is committed: plans and training read it, since compiling takes minutes.

A row is of a model's shape, not of its name. benchmarks/fit.md says how the rows were made; `pytest -m tpu_fit` makes
them again and compares. Pure Python.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from models.config import ModelConfig
from models.devices.layout import REMAT, Layout, MeshShape
from models.devices.roofline import ATTAINED, roofline, topology
from store.errors import Failure
from store.files import write_text

TABLE = Path(__file__).with_name("layouts.json")
_VERSION = 1


@dataclass(frozen=True)
class Fitted:
    """A model on its devices, one line of the table.

    Attributes:
        model, vocabulary, width, layers, heads, feed_forward: the model; its name is for people.
        topology: a slice such as v5e:16x16, or `gpu:` and the device's name.
        sequence, batch: tokens of a sequence, sequences of a step.
        precision: a name of recipe.PRECISIONS.
        fits: whether a layout was found.
        hbm_gib: of a device, in that layout, with document masks and z-loss; else the least that any was seen to need.
        data, fsdp, microbatches, remat: the layout; None where none fits.
        scoring_gib: of a device, what scoring needs (models/footprint.py); None where it is not known.
        tokens_per_second, mfu: measured, where it was run.
        made: the day.
        jax, compiler: versions.
    """

    model: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    feed_forward: int
    topology: str
    sequence: int
    batch: int
    precision: str
    fits: bool
    hbm_gib: float
    data: int | None
    fsdp: int | None
    microbatches: int | None
    remat: str | None
    scoring_gib: float | None
    tokens_per_second: float | None
    mfu: float | None
    made: str
    jax: str
    compiler: str

    @property
    def mesh(self) -> MeshShape:
        return MeshShape(self.data or 1, self.fsdp or 1)

    @property
    def layout(self) -> Layout:
        return Layout(self.microbatches or 1, self.remat or "none", scan=True)

    @property
    def basis(self) -> str:
        return f"ablate fit, {self.made}"

    def step_seconds(self, model: ModelConfig) -> float:
        """Of one step on a slice, at the share of the bound's speed that is assumed (`roofline.ATTAINED`)."""
        slice_ = topology(self.topology)
        bound = roofline(model, slice_, self.mesh, self.layout, self.batch, self.sequence, self.precision)
        return bound.seconds / ATTAINED


def shape(model: ModelConfig) -> tuple[int, ...]:
    """What a row's model must share with another to be the same."""
    return model.vocabulary, model.width, model.layers, model.heads, model.feed_forward


def fitted(
    model: ModelConfig, topology: str, sequence: int, batch: int, precision: str, table: Path = TABLE
) -> Fitted | None:
    """The row of a model on a slice or device, which may be one that says that it does not fit; None without a row.

    Raises:
        Failure: the table cannot be read.
    """
    asked = (*shape(model), topology, sequence, batch, precision)
    return next((row for row in rows(table) if _key(row) == asked), None)


def command(model: ModelConfig, topology: str, precision: str, batch: int, sequence: int) -> str:
    """What makes a row."""
    exact = "" if precision == "bfloat16" else f" --precision {precision}"
    return f"ablate fit {model.name} --topology {topology} --sequence {sequence} --batch {batch}{exact}"


def rows(table: Path = TABLE) -> list[Fitted]:
    """All of them.

    Raises:
        Failure: the table is not there, damaged, or of another version of this program.
    """
    try:
        document = json.loads(table.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}, not {_VERSION}")
        return [_checked(Fitted(**row)) for row in document["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            f"table of layouts {table} cannot be read: {error}; check it out again, or make its rows with `ablate fit`"
        ) from error


def keep(row: Fitted, table: Path = TABLE) -> None:
    """Write a row in the place of the one that answers the same, and leave the others.

    Raises:
        Failure: the table cannot be read or written.
    """
    kept = {_key(each): each for each in rows(table)} | {_key(row): row}
    ordered = sorted(kept.values(), key=lambda each: (each.model, *_key(each)))
    lines = ",\n".join(json.dumps(asdict(each)) for each in ordered)
    write_text(table, f'{{"version": {_VERSION}, "rows": [\n{lines}\n]}}\n')


def _key(row: Fitted) -> tuple[Any, ...]:
    """What a row answers."""
    its = (row.vocabulary, row.width, row.layers, row.heads, row.feed_forward)
    return (*its, row.topology, row.sequence, row.batch, row.precision)


def _checked(row: Fitted) -> Fitted:
    """A row as it is.

    Raises:
        ValueError: a value is missing or of another kind than its column.
    """
    for column in fields(row):
        if not isinstance(value := getattr(row, column.name), column.type):  # type: ignore[arg-type]
            raise ValueError(f"{column.name} is {value!r} in the row of '{row.model}' on {row.topology}")
    if row.fits and (row.remat not in REMAT or not all((row.data, row.fsdp, row.microbatches))):
        raise ValueError(f"no whole layout in the row of '{row.model}' on {row.topology}")
    return row
