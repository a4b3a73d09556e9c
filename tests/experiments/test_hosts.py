"""Two processes that train one run, on loopback: they stop at one step, carry on alike, and agree with one process."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from analysis.ledger_rows import StepRecord, read_ledger
from experiments.audit import audit
from experiments.commands.run import train_study
from experiments.plan.make import make_plan
from experiments.plan.status import checkpoints
from experiments.run.trainer import done
from models import checkpoint
from tests.experiments import run_host
from tests.experiments.two_hosts import end, start


def _rows(store: Path) -> list[StepRecord]:
    rows = []
    for stage in make_plan(run_host.tiny(), store).stages:
        rows += read_ledger(store / "stages" / stage.folder)
    return [StepRecord(**(row.__dict__ | {"seconds": 0.0})) for row in rows]


@pytest.fixture(scope="module")
def undisturbed(prepared_copy: Path) -> Path:
    """A store in which two processes trained the run to its end."""
    store = prepared_copy.parent / "undisturbed"
    shutil.copytree(prepared_copy, store)
    codes, errors = end(start(store))
    assert codes == [0, 0], errors
    return store


def test_two_processes_stop_at_one_step_and_carry_on_to_the_bit(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(undisturbed, store, ignore=shutil.ignore_patterns("stages"))
    processes = start(store, step_seconds=0.1)
    ledger = store / "stages" / make_plan(run_host.tiny(), store).stages[0].folder / "ledger.jsonl"
    while processes[1].poll() is None and not ledger.exists():
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    codes, errors = end(processes)
    assert codes == [42, 42], errors
    first = make_plan(run_host.tiny(), store).stages[0]
    assert checkpoint.steps(checkpoints(store, first.folder)) == [len(ledger.read_text().splitlines())]
    assert not done(ledger.parent)

    alone = tmp_path / "alone"  # The same checkpoint, carried on by one process.
    shutil.copytree(store, alone)
    assert end(start(store))[0] == [0, 0]
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
