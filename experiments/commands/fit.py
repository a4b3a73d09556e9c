"""`ablate fit`: find a layout, and keep its row in the table that training reads."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.config import config
from models.devices.fitted import TABLE, keep, rows
from models.recipe import PRECISIONS
from store.errors import require_known


def fit_model(
    model: str, topology: str, sequence: int, batch: int, tokens: float, precision: str, table: Path = TABLE
) -> dict[str, Any]:
    """What `models.fit.fit` or `models.fit_gpu.fit_gpu` found, as JSON; its row is in `table` by then.

    Raises:
        UserError: an unknown model, topology or precision, or chips that do not divide.
        Failure: no compiler, no GPU, or a table that cannot be read or written.
    """
    from models.fit import described, fit, row

    size = config(model)
    require_known("precision", precision, PRECISIONS)
    rows(table)  # what cannot be read is said before minutes of compiling
    if topology == "gpu":
        from models.fit_gpu import fit_gpu

        found, compiler = fit_gpu(size, sequence, batch, tokens, precision, _say), "jaxlib"
    else:
        found, compiler = fit(size, topology, sequence, batch, tokens, precision, _say), "libtpu"
        if found.fits:
            from models.footprint import scoring_gib

            keep(row(found, size, compiler), table)  # training needs no more, and the rest takes minutes again
            found = replace(found, scoring_gib=scoring_gib(size, described(topology), sequence, _say))
    keep(row(found, size, compiler), table)
    return asdict(found)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
