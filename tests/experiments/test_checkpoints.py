"""Which checkpoint a stage starts from again, which it refuses, and whether the way out that it names is one."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.ledger_rows import StepRecord, read_ledger
from experiments.plan import status
from experiments.plan.make import make_plan
from experiments.plan.stage import Plan, PlannedStage
from experiments.plan.status import checkpoints
from experiments.run import trainer
from experiments.study import Arm
from models import checkpoint
from store.errors import Failure
from tests.experiments.tiny import HALF, TEXT, stage, study

STEPS = 6


@pytest.fixture(scope="module")
def once(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a finished run of two stages that saved at every step, of which the last two are kept."""
    store = tmp_path_factory.mktemp("once") / "store"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "interval", lambda blocked: -1.0)
        for planned in (plan := _planned(store)).stages:
            trainer.train_stage(plan, planned, store, lambda step: None)
    assert checkpoint.steps(checkpoints(store, plan.stages[0].folder)) == [STEPS - 1, STEPS]
    return store


@pytest.fixture
def trained(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, PlannedStage, Path]:
    """A copy of it, and its first stage."""
    store = tmp_path / "store"
    shutil.copytree(once, store)
    monkeypatch.setattr(trainer, "interval", lambda blocked: -1.0)
    plan = _planned(store)
    return plan, plan.stages[0], store


def _planned(store: Path) -> Plan:
    arm = Arm("text-only", "", (stage("pretrain", HALF, STEPS), stage("cooldown", TEXT, 2)))
    return make_plan(study(arms=(arm,), seeds=(0,)), store)


def _train(plan: Plan, store: Path) -> None:
    """What is missing, as a worker does."""
    for each in plan.stages:
        if not status.trained(each, store):
            trainer.train_stage(plan, each, store, lambda step: None)


def _rows(plan: Plan, store: Path) -> list[StepRecord]:
    rows = [row for each in plan.stages for row in read_ledger(store / "stages" / each.folder)]
    return [replace(row, seconds=0.0) for row in rows]


def _damage(folder: Path) -> None:
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(bytes(largest.stat().st_size))


def test_a_damaged_checkpoint_is_named_and_the_one_before_carries_on(
    trained: tuple[Plan, PlannedStage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plan, planned, store = trained
    folder = store / "stages" / planned.folder
    before = (folder / "ledger.jsonl").read_text().splitlines()
    loss = read_ledger(folder)[-1].loss
    _damage(folder / "checkpoints" / f"step-{STEPS:08d}" / "state")
    (folder / "done.json").unlink()
    _train(plan, store)
    assert f"step-{STEPS:08d} is damaged" in capsys.readouterr().err
    after = (folder / "ledger.jsonl").read_text().splitlines()
    # With their seconds: no step but the last was taken again.
    assert after[:-1] == before[:-1] and after[-1] != before[-1]
    assert read_ledger(folder)[-1].loss == loss


def _lose_the_ledger(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[0] / "done.json").unlink()
    (stages[0] / "ledger.jsonl").unlink()


def _change_the_ledger(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[0] / "done.json").unlink()
    ledger = stages[0] / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"step":3', '"step":4'))


def _put_a_checkpoint_past_the_end(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[0] / "done.json").unlink()
    shutil.copytree(checkpoints[0] / f"step-{STEPS:08d}", checkpoints[0] / f"step-{STEPS + 1:08d}")


def _damage_the_end_of_the_first(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[1] / "done.json").unlink()
    shutil.rmtree(checkpoints[1])
    _damage(checkpoints[0] / f"step-{STEPS:08d}" / "state")


def _lose_the_end_of_the_first(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[1] / "done.json").unlink()
    for folder in checkpoints:
        shutil.rmtree(folder)


def _change_the_stage(stages: list[Path], checkpoints: list[Path]) -> None:
    (stages[0] / "done.json").unlink()
    (stages[0] / "stage.json").write_text((stages[0] / "stage.json").read_text().replace("1", "2"))


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lose_the_ledger, "ends at step 0, but there is a checkpoint of step 6; put the ledger back, or delete"),
        (_change_the_ledger, "is damaged at line 3"),
        (_put_a_checkpoint_past_the_end, "ends at step 6, but .* has a checkpoint of step 7; move"),
        (
            _damage_the_end_of_the_first,
            "step-00000006 is damaged: array .*; delete .*done.json and run the study again",
        ),
        (_lose_the_end_of_the_first, "step-00000006 does not exist; delete .*done.json and run the study again"),
        (_change_the_stage, "is damaged.*; delete it and run the study again"),
    ],
)
def test_the_way_out_that_a_message_names_is_one(
    trained: tuple[Plan, PlannedStage, Path],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[list[Path], list[Path]], None],
    message: str,
    elsewhere: bool,
) -> None:
    """What it says to delete is deleted, nothing else, and the run ends as an undisturbed one; wherever the
    checkpoints are."""
    plan, _, store = trained
    expected = _rows(plan, store)
    if elsewhere:
        monkeypatch.setenv("ABLATE_CHECKPOINTS", str(store.parent / "elsewhere"))
        for each in plan.stages:
            shutil.move(store / "stages" / each.folder / "checkpoints", checkpoints(store, each.folder))
    stages = [store / "stages" / each.folder for each in plan.stages]
    damage(stages, [Path(checkpoints(store, each.folder)) for each in plan.stages])
    with pytest.raises(Failure, match=message) as caught:
        _train(plan, store)
    text = str(caught.value)
    assert "\n" not in text
    named = re.findall(rf"{re.escape(str(store.parent))}[^ ,;:()]+", text.partition("; delete it")[0])
    _remove(Path(named[-1]))
    if "its checkpoints where ABLATE_CHECKPOINTS has them elsewhere" in text and elsewhere:
        _remove(store.parent / "elsewhere" / plan.stages[0].folder)
    _train(plan, store)
    assert _rows(plan, store) == expected
    assert set(status.states(plan, store).values()) == {"done"}


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_stage_without_its_record_gets_it_again_and_is_not_trained_again(
    trained: tuple[Plan, PlannedStage, Path],
) -> None:
    plan, planned, store = trained
    folder = store / "stages" / planned.folder
    ledger = (folder / "ledger.jsonl").read_bytes()
    (folder / "stage.json").unlink()
    _train(plan, store)
    assert status.states(plan, store)[planned.id] == "done" and (folder / "ledger.jsonl").read_bytes() == ledger
