"""Several processes at one study: what they leave is what one leaves, to the bit, whoever of them is killed."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from analysis.records import read_stage, write
from experiments.audit import audit
from experiments.plan.make import prepared_plan
from experiments.plan.status import checkpoints, records, trained
from experiments.workers import ready
from models import checkpoint
from models.step import abstract_state
from store.layout import DONE, LOCK, STAGE
from store.lock import held
from tests.conftest import tiny_command, tiny_options
from tests.experiments.run_worker import again
from tests.experiments.test_resume import results
from tests.experiments.tiny import study

WORKERS = 2
STUDY = study(seeds=(0,))


@pytest.fixture
def store(finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared data and no stage."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    shutil.copytree(finished_store / "prepared", tmp_path / "store" / "prepared")
    return tmp_path / "store"


def _ends(store: Path) -> dict[str, list[bytes]]:
    """Parameters and optimizer at the end of every stage."""
    plan = prepared_plan(STUDY, store)
    like = abstract_state(plan.study.model, plan.study.optimizer)
    states = {each.id: checkpoint.restore(checkpoints(store, each.folder), each.steps, like) for each in plan.stages}
    return {id: [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)] for id, state in states.items()}


def _at_work(store: Path) -> set[int]:
    """The workers that hold a stage."""
    holders = map(held, store.glob(f"stages/*/{LOCK}"))
    return {int(holder) for holder in holders if holder.isdigit()}


def _start(store: Path, checkpoint_seconds: float = 0.2) -> "subprocess.Popen[str]":
    return subprocess.Popen(tiny_command(store, checkpoint_seconds, WORKERS, 1), **tiny_options())


def _wait(until: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    while not until():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def _rows(store: Path) -> int:
    """Of all ledgers."""
    return sum(path.read_bytes().count(b"\n") for path in store.glob("stages/*/ledger.jsonl"))


def test_two_workers_leave_what_one_leaves_and_one_that_is_killed_is_started_again(
    finished_store: Path, store: Path
) -> None:
    """Ledgers, parameters and every item's score; and each of them did a part of it."""
    process = _start(store)
    _wait(lambda: _rows(store) > 20 and len(_at_work(store)) == WORKERS, process)
    victim = min(_at_work(store))
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"(process {victim}) was ended by SIGKILL; it is started again" in errors
    assert results(store) == results(finished_store, "0")
    assert _ends(store) == _ends(finished_store)


@pytest.mark.soak
def test_workers_end_when_the_command_is_killed(finished_store: Path, store: Path) -> None:
    """With a checkpoint: the timer is off, so it is theirs."""
    process = _start(store, 1e9)
    _wait(lambda: _rows(store) > 20 and _at_work(store), process)
    workers = _at_work(store)
    process.kill()
    process.communicate()
    until = time.monotonic() + 120
    while _at_work(store) & workers and time.monotonic() < until:
        time.sleep(0.05)
    assert not _at_work(store) & workers
    assert list(store.glob("stages/*/checkpoints/step-*"))
    again(prepared_plan(STUDY, store), store)
    assert results(store) == results(finished_store, "0")


def test_a_stage_that_fails_ends_its_chain_alone(finished_store: Path, store: Path) -> None:
    """The rest is trained and scored, and the command says what failed, and goes on once that is seen to."""
    plan = prepared_plan(STUDY, store)
    first = plan.stages[0]
    foreign = store / "stages" / first.folder
    foreign.mkdir(parents=True)
    record = read_stage(finished_store / "stages" / first.folder)
    write(foreign / STAGE, replace(record, fingerprint="0" * 16))
    done = subprocess.run(tiny_command(store, 30, WORKERS, 1), **tiny_options(), check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if "fingerprint" in line]
    assert len(said) == 1 and said[0].startswith(f"ablate: folder {foreign} holds")
    below = {stage.id for stage in plan.stages if first.id in (stage.id, stage.parent)}
    assert {stage.id for stage in plan.stages if not trained(stage, store)} == below
    scored = {path.parent.parent.name for path in store.glob("stages/*/evals/*.json")}
    assert scored == {stage.folder for stage in plan.stages if stage.id not in below}
    shutil.rmtree(foreign)
    again(prepared_plan(STUDY, store), store)
    assert results(store) == results(finished_store, "0")


def test_what_the_longest_chain_waits_for_comes_first_and_scores_last(finished_store: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_store / "prepared", tmp_path / "prepared")
    plan = prepared_plan(study(), tmp_path)
    wanted = records(plan, tmp_path)

    def found() -> list[tuple[str, bool]]:
        return [(job.stage.id, job.trains) for job in ready.jobs(plan, tmp_path, wanted)]

    firsts = [stage for stage in plan.stages if stage.parent is None]
    assert found() == [(stage.id, True) for stage in firsts]
    folder = tmp_path / "stages" / firsts[0].folder
    shutil.copytree(finished_store / "stages" / firsts[0].folder, folder, ignore=shutil.ignore_patterns("evals"))
    (child,) = (stage for stage in plan.stages if stage.parent == firsts[0].id)
    longer = [(stage.id, True) for stage in firsts[1:]]
    assert found() == [*longer, (child.id, True), (firsts[0].id, False)]
    (folder / DONE).unlink()
    assert found() == [(firsts[0].id, True), *longer]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_kills_of_anybody_at_random_change_nothing(finished_store: Path, store: Path, seed: int) -> None:
    """The command or a worker, five times in a sweep; whoever is left goes on, and the command is given again."""
    rng, kills = random.Random(seed), 0
    for _ in range(40):
        process = _start(store)
        before = _rows(store)
        while process.poll() is None:
            if kills < 5 and _rows(store) >= before + rng.randint(1, 20):
                victim = rng.choice([process.pid, *sorted(_at_work(store))])
                os.kill(victim, signal.SIGKILL)
                kills, before = kills + 1, _rows(store)
            time.sleep(0.02)
        out, errors = process.communicate()
        assert "Traceback" not in errors, errors
        if process.returncode == 0:
            break
    assert kills == 5 and "report: " in out
    assert results(store) == results(finished_store, "0")
    assert _ends(store) == _ends(finished_store)
    assert audit(prepared_plan(STUDY, store), store)["equal"]
