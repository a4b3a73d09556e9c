"""What goes wrong in one of two processes that train one run ends both, with its reason."""

import shutil
from pathlib import Path

import pytest

from analysis.ledger_rows import read_ledger
from experiments.plan.make import make_plan
from experiments.plan.status import why_failed
from tests.experiments import run_host
from tests.experiments.two_hosts import end, start


def test_processes_that_plan_different_things_do_not_train(prepared_copy: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(prepared_copy, store)
    codes, errors = end(start(store, run_host.STEPS + 8))
    assert codes == [1, 1], errors
    assert all("is not what all hosts plan" in error for error in errors)
    assert not (store / "stages").exists()


@pytest.mark.parametrize("name", ["stage.json", pytest.param("ledger.jsonl", marks=pytest.mark.soak)])
def test_what_fails_in_the_first_process_ends_both_with_its_reason(
    prepared_copy: Path, tmp_path: Path, name: str
) -> None:
    """In its claim of the stage, and in cutting back the ledger: nobody waits for it in a collective."""
    store = tmp_path / "store"
    shutil.copytree(prepared_copy, store)
    folder = store / "stages" / make_plan(run_host.tiny(), store).stages[0].folder
    folder.mkdir(parents=True)
    (folder / name).write_text("{broken}\n")
    codes, errors = end(start(store))
    assert codes == [1, 1], errors
    assert all(str(folder / name) in error for error in errors)
    assert "ablate: process 0 failed: " in errors[1] and "Traceback" not in "".join(errors)


def test_a_batch_that_one_process_cannot_read_ends_both_with_its_reason(prepared_copy: Path, tmp_path: Path) -> None:
    """The file is there and has its size, so the run has begun when the damage is met."""
    first, second = tmp_path / "first", tmp_path / "second"
    for store in (first, second):
        shutil.copytree(prepared_copy, store)
    (chunk,) = second.glob("prepared/*/tokens/prose/*/tokens/c/0")
    content = bytearray(chunk.read_bytes())
    content[: len(content) // 4] = bytes(len(content) // 4)
    chunk.write_bytes(content)
    codes, errors = end(start(first, second=second))
    assert codes == [1, 1], errors
    assert all("the tokens of source 'prose' are missing or corrupt" in error for error in errors)
    assert "ablate: process 1 failed: " in errors[0] and "Traceback" not in "".join(errors)
    ledger = first / "stages" / make_plan(run_host.tiny(), first).stages[0].folder / "ledger.jsonl"
    assert not ledger.exists() or all(row.counts for row in read_ledger(ledger.parent))


@pytest.mark.parametrize("fails", [pytest.param("0", marks=pytest.mark.soak), "1"])
def test_a_step_that_fails_in_one_process_ends_the_other_where_it_waits(
    prepared_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Nobody meets it in a collective any more; the other says why it ends, long before jax notices."""
    monkeypatch.setenv("FAILS", fails)
    store = tmp_path / "store"
    shutil.copytree(prepared_copy, store)
    codes, errors = end(start(store))
    assert all(code not in (0, 42) for code in codes), errors
    assert f"ablate: process {fails} failed: RESOURCE_EXHAUSTED: made up" in errors[1 - int(fails)]
    (stage,) = (each for each in make_plan(run_host.tiny(), store).stages if each.parent is None)
    assert "RESOURCE_EXHAUSTED: made up" in why_failed(stage, store)


LEAVES = """
import jax
from experiments import cli
from experiments.workers import gang
from models.devices import hosts

def work():
    gang._connect()
    with hosts.together():
        if hosts.first():
            raise {}

cli.guard(work)
"""


@pytest.mark.parametrize(("error", "code"), [("KeyboardInterrupt", 130), ("SystemExit(3)", 3)])
def test_a_process_that_is_told_to_end_leaves_nobody_waiting(tmp_path: Path, error: str, code: int) -> None:
    codes, errors = end(start(tmp_path, run=("-c", LEAVES.format(error))))
    assert codes == [code, 1], errors
    assert "ablate: process 0 failed: " in errors[1] and "Traceback" not in "".join(errors)
