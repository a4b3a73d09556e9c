"""How the tests of tracking push the tiny study to a server, and what they hold of it against the ledger."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.ledger_rows import StepRecord, read_ledger
from analysis.records import stage_folder
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedStage
from experiments.tracking import push as sending
from experiments.tracking.push import Sent
from tests.conftest import ROOT
from tests.experiments.tiny import study
from tests.experiments.wandb_server import Run, WandbServer

Chain = tuple[Path, PreparedStage, PreparedStage]
"""A store with the two stages of one run."""


def environment(server: WandbServer) -> dict[str, str]:
    """Of a user who has logged in."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return others | server.environment


def pushing(store: Path) -> list[str]:
    return [sys.executable, "-m", "tests.experiments.run_ablate", "wandb", "push", "tiny", "--store", str(store)]


def push(store: Path, server: WandbServer, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        pushing(store),
        env=environment(server),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def push_here(store: Path, server: WandbServer | None) -> Sent:
    """The same in this process, which spares its start; offline without a server."""
    import wandb

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        for name, value in (server.environment if server else {}).items():
            patch.setenv(name, value)
        try:
            return sending.push(prepared_plan(study(), store), store, offline=server is None)[0]
        finally:
            wandb.teardown()


def copied(finished_store: Path, store: Path, *kept: PreparedStage, checkpoints: bool = False) -> None:
    """The records of a finished store, with all stages or with those of `kept` alone."""
    skipped = ["xla", "wandb", *([] if checkpoints else ["checkpoints"])]
    shutil.copytree(finished_store, store, ignore=shutil.ignore_patterns(*skipped))
    for folder in (store / "stages").iterdir():
        if kept and folder.name not in {stage.folder for stage in kept}:
            shutil.rmtree(folder)


def equal(run: Run, stage: PreparedStage, ledger: list[StepRecord]) -> None:
    """What W&B has of a run is the ledger to the last digit, and every row came once, in order; then scores, if any."""
    scored = [row for row in run.history if "stage_tokens" not in row]
    rows = run.history[: len(run.history) - len(scored)]
    assert [row["_step"] for row in rows] == [row.step for row in ledger]
    assert len(run.received) == len(run.history)
    assert [row["_step"] for row in scored] == [stage.steps + 1] * len(scored), "after the last step, at its tokens"
    assert {row["tokens"] for row in scored} <= {stage.tokens_before + stage.tokens}
    assert [row["tokens"] for row in rows] == [stage.tokens_before + row.tokens for row in ledger]
    for name in ("loss", "grad_norm", "learning_rate", "seconds"):
        assert [row.get(name) for row in rows] == [getattr(row, name) for row in ledger]
    sources = [key for key in rows[-1] if key.startswith("tokens_in_step/")]
    assert {key.partition("/")[2] for key in sources} == {*stage.tokens_by_source}
    for key in sources:
        assert [row[key] for row in rows] == [row.counts[key.partition("/")[2]] for row in ledger]


def ledger_of(store: Path, stage: PreparedStage) -> list[StepRecord]:
    return read_ledger(stage_folder(store, stage.folder))
