"""The folder of a stage: whose it is, with what it was begun, and that it is done."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax

from analysis.ledger_rows import read_ledger
from analysis.records import EndRecord, StageRecord, read_stage, write
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.version import code_version, lock_digest
from store import appended, layout
from store.errors import Failure


def done(folder: Path) -> bool:
    """Whether the stage has reached its exact target step."""
    return (folder / layout.DONE).exists()


def claim(plan: PreparedPlan, stage: PreparedStage, folder: Path) -> None:
    """Write the stage record, or check that the folder is this stage's."""
    if (folder / layout.STAGE).exists():
        found = read_stage(folder)
        if found.fingerprint != stage.fingerprint:
            raise Failure(
                f"folder {folder} holds a stage with fingerprint {found.fingerprint}, not {stage.fingerprint}; "
                "move it away or choose another --store"
            )
        return
    record = StageRecord(
        id=stage.id,
        fingerprint=stage.fingerprint,
        kind=stage.stage.kind,
        model=stage.model.name,
        parent=stage.identity["parent"],
        seed=stage.seed,
        steps=stage.steps,
        tokens=stage.tokens,
        tokens_by_source=stage.tokens_by_source,
        tokens_by_kind=plan.tokens_by_kind(stage),
        epochs_by_source=stage.epochs,
        flops=plan.flops(stage),
        tokens_before=stage.tokens_before,
        identity=stage.identity,
        environment={
            "code": code_version(),
            "lock": lock_digest(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "flax", "optax", "tensorstore", "tokenizers")},
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    )
    write(folder / layout.STAGE, record)


def finish(folder: Path, stage: PreparedStage) -> None:
    """Write that the stage has reached its end."""
    appended.join(folder / layout.LEDGER)
    rows = read_ledger(folder)
    seconds = round(sum(row.seconds for row in rows), 3)
    write(folder / layout.DONE, EndRecord(stage.steps, stage.tokens, rows[-1].loss, seconds))
