"""Which checkpoint a stage starts from again, and which it refuses."""

import shutil
from pathlib import Path

import pytest

from experiments import trainer
from experiments.nodes import checkpoints
from experiments.plan import Plan, PlannedStage, make_plan
from experiments.study import Arm
from mixtures.errors import Failure
from models import checkpoint
from tests.experiments.tiny import HALF, stage, study

STEPS = 6


@pytest.fixture
def trained(finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, PlannedStage, Path]:
    """One finished stage that saved at every step, of which the last two are kept."""
    store = tmp_path / "store"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
    arm = Arm("text-only", "", (stage("pretrain", HALF, STEPS),))
    plan = make_plan(study(arms=(arm,), seeds=(0,)), store)
    _train(plan, store)
    assert checkpoint.steps(checkpoints(store, plan.stages[0].folder)) == [STEPS - 1, STEPS]
    return plan, plan.stages[0], store


def _train(plan: Plan, store: Path) -> None:
    trainer.train_stage(plan, plan.stages[0], store, lambda step: None, lambda rows: None)


def test_a_damaged_checkpoint_is_named_and_the_one_before_carries_on(
    trained: tuple[Plan, PlannedStage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plan, planned, store = trained
    folder = store / "stages" / planned.folder
    before = (folder / "ledger.jsonl").read_text().splitlines()
    loss = trainer.read_ledger(folder)[-1].loss
    data = [path for path in (folder / "checkpoints" / f"step-{STEPS:08d}" / "state").rglob("*") if path.is_file()]
    largest = max(data, key=lambda path: path.stat().st_size)
    largest.write_bytes(bytes(largest.stat().st_size))
    (folder / "done.json").unlink()
    _train(plan, store)
    assert f"step-{STEPS:08d} is damaged" in capsys.readouterr().err
    after = (folder / "ledger.jsonl").read_text().splitlines()
    # With their seconds: no step but the last was taken again.
    assert after[:-1] == before[:-1] and after[-1] != before[-1]
    assert trainer.read_ledger(folder)[-1].loss == loss


def test_a_checkpoint_past_the_target_step_is_refused(trained: tuple[Plan, PlannedStage, Path]) -> None:
    plan, planned, store = trained
    folder = store / "stages" / planned.folder
    shutil.copytree(folder / "checkpoints" / f"step-{STEPS:08d}", folder / "checkpoints" / f"step-{STEPS + 1:08d}")
    (folder / "done.json").unlink()
    rows = (folder / "ledger.jsonl").read_bytes()
    with pytest.raises(Failure, match=rf"ends at step {STEPS}, but .* has a checkpoint of step {STEPS + 1}; move"):
        _train(plan, store)
    assert (folder / "ledger.jsonl").read_bytes() == rows
    assert not (folder / "done.json").exists()
