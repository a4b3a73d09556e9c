"""Two processes that train one run, on loopback: they stop at one step, carry on alike, and agree with one process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.records import StepRecord, read_ledger
from experiments.audit import audit
from experiments.commands.run import train_study
from experiments.plan.make import make_plan
from experiments.plan.status import checkpoints
from experiments.run.trainer import done
from models import checkpoint
from tests.conftest import ROOT
from tests.experiments import run_host

RUN = ("-m", "tests.experiments.run_host")


def _start(
    store: Path, *steps: int, second: Path | None = None, run: Sequence[str] = RUN
) -> list[subprocess.Popen[str]]:
    """Both processes; the second with other `steps`, or a store of its own, if any are given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *run]
    options = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "WANDB_MODE": "disabled"}
    environment |= {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2"}
    return [
        subprocess.Popen([*command, *map(str, more)], env=environment | {"JAX_PROCESS_ID": rank}, **options)
        for rank, more in (("0", [store]), ("1", [second or store, *steps]))
    ]


def _end(processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    try:
        errors = [process.communicate(timeout=180)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


def _rows(store: Path) -> list[StepRecord]:
    rows = []
    for stage in make_plan(run_host.tiny(), store).stages:
        rows += read_ledger(store / "stages" / stage.folder)
    return [StepRecord(**(row.__dict__ | {"seconds": 0.0})) for row in rows]


@pytest.fixture(scope="module")
def prepared(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("hosts") / "prepared"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    return store


@pytest.fixture(scope="module")
def undisturbed(prepared: Path) -> Path:
    """A store in which two processes trained the run to its end."""
    store = prepared.parent / "undisturbed"
    shutil.copytree(prepared, store)
    codes, errors = _end(_start(store))
    assert codes == [0, 0], errors
    return store


def test_two_processes_stop_at_one_step_and_carry_on_to_the_bit(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(undisturbed, store, ignore=shutil.ignore_patterns("stages"))
    processes = _start(store)
    ledger = store / "stages" / make_plan(run_host.tiny(), store).stages[0].folder / "ledger.jsonl"
    while processes[1].poll() is None and not ledger.exists():
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    codes, errors = _end(processes)
    assert codes == [42, 42], errors
    first = make_plan(run_host.tiny(), store).stages[0]
    assert checkpoint.steps(checkpoints(store, first.folder)) == [len(ledger.read_text().splitlines())]
    assert not done(ledger.parent)

    alone = tmp_path / "alone"  # The same checkpoint, carried on by one process.
    shutil.copytree(store, alone)
    assert _end(_start(store))[0] == [0, 0]
    assert _rows(store) == _rows(undisturbed)

    train_study(run_host.tiny(), alone)
    plan = make_plan(run_host.tiny(), alone)
    for row, expected in zip(_rows(alone), _rows(undisturbed), strict=True):
        assert row.loss == pytest.approx(expected.loss, rel=1e-4)
        assert (row.counts, row.digest, row.learning_rate) == (expected.counts, expected.digest, expected.learning_rate)
    assert audit(plan, alone)["equal"]


def test_the_ledger_of_two_processes_is_exact(undisturbed: Path) -> None:
    """Every process reads half of a batch; counts and digests are of the whole."""
    assert audit(make_plan(run_host.tiny(), undisturbed), undisturbed)["equal"]


def test_processes_that_plan_different_things_do_not_train(prepared: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(prepared, store)
    codes, errors = _end(_start(store, run_host.STEPS + 8))
    assert codes == [1, 1], errors
    assert all("is not what all hosts plan" in error for error in errors)
    assert not (store / "stages").exists()


@pytest.mark.parametrize("name", ["stage.json", "ledger.jsonl"])
def test_what_fails_in_the_first_process_ends_both_with_its_reason(prepared: Path, tmp_path: Path, name: str) -> None:
    """In its claim of the stage, and in cutting back the ledger: nobody waits for it in a collective."""
    store = tmp_path / "store"
    shutil.copytree(prepared, store)
    folder = store / "stages" / make_plan(run_host.tiny(), store).stages[0].folder
    folder.mkdir(parents=True)
    (folder / name).write_text("{broken}\n")
    codes, errors = _end(_start(store))
    assert codes == [1, 1], errors
    assert all(str(folder / name) in error for error in errors)
    assert "ablate: process 0 failed: " in errors[1] and "Traceback" not in "".join(errors)


def test_a_batch_that_one_process_cannot_read_ends_both_with_its_reason(prepared: Path, tmp_path: Path) -> None:
    """The file is there and has its size, so the run has begun when the damage is met."""
    first, second = tmp_path / "first", tmp_path / "second"
    for store in (first, second):
        shutil.copytree(prepared, store)
    (chunk,) = second.glob("prepared/*/tokens/prose/*/tokens/c/0")
    content = bytearray(chunk.read_bytes())
    content[: len(content) // 4] = bytes(len(content) // 4)
    chunk.write_bytes(content)
    codes, errors = _end(_start(first, second=second))
    assert codes == [1, 1], errors
    assert all("the tokens of source 'prose' are missing or corrupt" in error for error in errors)
    assert "ablate: process 1 failed: " in errors[0] and "Traceback" not in "".join(errors)
    ledger = first / "stages" / make_plan(run_host.tiny(), first).stages[0].folder / "ledger.jsonl"
    assert not ledger.exists() or all(row.counts for row in read_ledger(ledger.parent))


@pytest.mark.parametrize("fails", ["0", "1"])
def test_a_step_that_fails_in_one_process_ends_the_other_where_it_waits(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Nobody meets it in a collective any more; the other says why it ends, long before jax notices."""
    monkeypatch.setenv("FAILS", fails)
    store = tmp_path / "store"
    shutil.copytree(prepared, store)
    codes, errors = _end(_start(store))
    assert all(code not in (0, 42) for code in codes), errors
    assert f"ablate: process {fails} failed: RESOURCE_EXHAUSTED: made up" in errors[1 - int(fails)]


LEAVES = """
import jax
from experiments import cli
from experiments.run import train
from models.devices import hosts

def work():
    train._connect()
    with hosts.together():
        if hosts.first():
            raise {}

cli.guard(work)
"""


@pytest.mark.parametrize(("error", "code"), [("KeyboardInterrupt", 130), ("SystemExit(3)", 3)])
def test_a_process_that_is_told_to_end_leaves_nobody_waiting(tmp_path: Path, error: str, code: int) -> None:
    codes, errors = _end(_start(tmp_path, run=("-c", LEAVES.format(error))))
    assert codes == [code, 1], errors
    assert "ablate: process 0 failed: " in errors[1] and "Traceback" not in "".join(errors)
