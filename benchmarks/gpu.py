"""Training speed of the paper's sizes on one GPU: python -m benchmarks.gpu

    [--models "470m 1b 2.8b"] [--sequences "2048 8192"] [--cpu-rehearsal]

bfloat16, vocabulary 256,000, TOKENS tokens a step, no document masks. Every row is a process of its own: of a model, a
sequence and a remat policy the layout that `ablate fit` finds (models/fit_gpu.py), through STEPS steps. Rows come as
JSON on the standard error as soon as they are there, a Markdown table on the standard output at the end. A row takes
some minutes; name fewer models to make it shorter. `--cpu-rehearsal` takes a small model down the same path.
"""

import itertools
import json
import sys

import jax
import typer

from benchmarks.rounds import NotMeasured, apart, print_table
from models.config import config
from models.devices.candidates import Asked
from models.devices.layout import REMAT
from models.devices.roofline import gpu
from models.fit_gpu import fit_gpu, search

TOKENS = 65_536
"""Of a step: what each of 64 chips would have of the paper's batch, so the optimizer weighs as much as there."""
REHEARSAL = ("2m", "64", 512)
"""Model, sequence and tokens of a step."""
STEPS = 12


def measure(model: str, sequence: int, tokens: int, remat: str, rehearsal: bool) -> dict[str, str]:
    """A row. This process has the device for itself: who only imports jax takes none."""
    size, batch = config(model), tokens // sequence
    if rehearsal:
        asked = Asked(size, gpu("rehearsal"), sequence, batch)
        found = search(asked, 4_000_000_000, lambda line: None, (remat,), STEPS, masked=False)
    else:
        found = fit_gpu(size, sequence, batch, remats=(remat,), steps=STEPS, masked=False)
    if found.tokens_per_second is None:
        raise SystemExit(found.way_out)
    return {
        "device": jax.devices()[0].device_kind,
        "microbatches x rows": f"{found.microbatches} x {found.microbatch}",
        "tokens/s": f"{found.tokens_per_second:,.0f}",
        "MFU": "" if found.mfu is None else f"{found.mfu:.1%}",
        "s/step": f"{min(found.step_seconds):.3f}–{max(found.step_seconds):.3f}",
        "GiB by the compiler's count": f"{found.hbm_gib:.1f}",
    }


def main(models: str = "470m 1b 2.8b", sequences: str = "2048 8192", cpu_rehearsal: bool = False) -> None:
    rows, tokens = [], TOKENS
    environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}
    if cpu_rehearsal:
        models, sequences, tokens = REHEARSAL
        environment["JAX_PLATFORMS"] = "cpu"
    for model, sequence, remat in itertools.product(models.split(), map(int, sequences.split()), REMAT[:3]):
        row = {"model": model, "sequence": f"{sequence:,}", "remat": remat}
        try:
            row |= apart(measure, model, sequence, tokens, remat, cpu_rehearsal, **environment)
        except NotMeasured as why:
            row["failed"] = str(why)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table(columns, [[row.get(column, "") for column in columns] for row in rows])


if __name__ == "__main__":
    typer.run(main)
