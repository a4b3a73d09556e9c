"""Tables of layouts for tests."""

from dataclasses import replace
from pathlib import Path

from models.config import ModelConfig
from models.devices.fitted import Fitted, keep, shape

EMPTY = '{"version": 1, "rows": []}'


def row_of(
    model: ModelConfig, topology: str, sequence: int, batch: int, precision: str = "bfloat16", **layout: object
) -> Fitted:
    """A row that fits one device unless `layout` says otherwise."""
    plain = Fitted(
        *(model.name, *shape(model), topology, sequence, batch, precision, True, 1.0, 1, 1, 1, "full"),
        *(None, None, None, "2026-11-30", "0.10.2", "libtpu 0.0.42.1"),
    )
    return replace(plain, **layout)


def table_with(folder: Path, *rows: Fitted) -> Path:
    table = folder / "layouts.json"
    table.write_text(EMPTY)
    for row in rows:
        keep(row, table)
    return table
