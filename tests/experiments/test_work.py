"""Workers that share a store, on a disk or in a bucket: what they leave is what one undisturbed worker leaves."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger_rows import read_ledger
from analysis.records import stage_folder
from experiments.audit import audit
from experiments.commands.work_on import TRIES, Asked, work_on
from experiments.plan import status
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.run.stops import StopRequested
from experiments.show.report import write_report
from experiments.workers import limits, ready
from experiments.workers import work as working
from mixtures.prepare import prepare
from store import paths
from store.errors import Failure, UserError
from store.files import write_text
from store.layout import LOCK, STAGE
from store.lock import exclusive
from tests.bucket import Bucket
from tests.conftest import ROOT
from tests.experiments import two_hosts
from tests.experiments.run_work import small
from tests.experiments.test_resume import results
from tests.experiments.tiny import study


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    """Prepared data and no stage."""
    shutil.copytree(finished_store / "prepared", tmp_path / "store" / "prepared")
    return tmp_path / "store"


STEPS = 1_500
"""Of a first stage, where workers are to be killed several times."""


def _worker(store: Path, seconds: float = 0.2, steps: int = 0, **options: object) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "tests.experiments.run_work",
        str(store),
        str(seconds),
        str(steps),
        json.dumps(options),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)  # type: ignore[call-overload]


def _checkpoints(store: Path) -> int:
    return len(paths.glob(store, "stages/*/checkpoints/*/checksums.json"))


def _here(work: Callable[[Any], None], jobs: Sequence[Any], done: Callable[[int], None]) -> None:
    """An executor without processes, each of which takes seconds to load the store's client."""
    for number, job in enumerate(jobs, 1):
        work(job)
        done(number)


def _of(found: dict[str, list[str]], folders: set[str]) -> dict[str, list[str]]:
    return {name: of for name, of in found.items() if name.partition("/")[0] in folders}


def test_the_tiny_study_is_prepared_trained_killed_scored_and_reported_in_a_bucket(
    finished_store: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To the bit what it is on a disk; and of this machine's disk nothing is asked again."""
    monkeypatch.setenv("ABLATE_LEASE_SECONDS", "2")
    monkeypatch.setattr(working, "WAIT_SECONDS", dict.fromkeys((False, True), 0.2))
    monkeypatch.chdir(tmp_path)
    store = paths.at("gs://bucket/suite/runs")
    prepare(small().data, store, lambda *_: None, _here)
    worker = _worker(store)
    while worker.poll() is None and not _checkpoints(store):
        time.sleep(0.05)
    assert worker.poll() is None, worker.communicate()
    worker.kill()
    worker.communicate()
    work_on(small(), store, Asked())
    plan = prepared_plan(small(), store)
    assert set(status.states(plan, store).values()) == {"done"}
    ours = {stage.folder for stage in plan.stages}
    assert results(store) == _of(results(finished_store), ours) and len(ours) == 2
    assert audit(plan, store)["equal"]
    report = str(write_report(plan, store))
    assert bucket[report.removeprefix("gs://bucket/")].startswith(b"<!DOCTYPE html>")
    assert not list(tmp_path.iterdir()) and not [name for name in bucket.names() if not name.startswith("suite/runs/")]


@pytest.mark.soak
@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_four_workers_that_are_killed_at_random_leave_what_one_leaves(
    store: Path, bucket: Bucket, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To the bit. Each is started again when it was killed."""
    monkeypatch.setenv("ABLATE_LEASE_SECONDS", "3")
    one = tmp_path / "one"
    shutil.copytree(store, one)
    alone = _worker(one, steps=STEPS)
    _, errors = alone.communicate()
    assert alone.returncode == 0, errors
    if where == "bucket":
        store = paths.at("gs://bucket/runs")
        prepare(study().data, store, lambda *_: None)
    rng, kills = random.Random(0), 0
    workers = [_worker(store, steps=STEPS) for _ in range(4)]
    while any(worker.returncode != 0 for worker in workers):
        for n, worker in enumerate(workers):
            if worker.poll() not in (None, 0):
                assert worker.returncode == -signal.SIGKILL, worker.communicate()
                workers[n] = _worker(store, steps=STEPS)
        time.sleep(1)
        alive = [worker for worker in workers if worker.poll() is None]
        if alive and kills < 8 and _checkpoints(store) > kills // 2 and rng.random() < 0.4:
            rng.choice(alive).kill()
            kills += 1
    assert kills >= 4
    assert results(store) == results(one)


@pytest.mark.soak
def test_two_hosts_that_train_together_and_one_that_scores_share_a_bucket(
    finished_store: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two is killed in the midst of a stage, the other ends with it, and both are started again."""
    monkeypatch.setenv("ABLATE_LEASE_SECONDS", "3")
    store, kills = paths.at("gs://bucket/runs"), 0
    prepare(small().data, store, lambda *_: None)
    scorer = _worker(store, only="score")
    run = ("-m", "tests.experiments.run_work", str(store), "0.2", "0", '{"distributed": true}')
    hosts = two_hosts.start(store, run=run, given=False)
    while scorer.poll() is None:
        codes = [host.poll() for host in hosts]
        if None not in codes and set(codes) != {0}:
            assert kills, [host.communicate() for host in hosts]
            hosts = two_hosts.start(store, run=run, given=False)
        if not kills and _checkpoints(store):
            hosts[1].kill()
            kills += 1
        time.sleep(0.2)
    assert scorer.returncode == 0, scorer.communicate()
    assert two_hosts.end(hosts)[0] == [0, 0] and kills
    plan = prepared_plan(small(), store)
    assert audit(plan, store)["equal"]
    for stage in plan.stages:
        rows = [read_ledger(stage_folder(where, stage.folder)) for where in (store, finished_store)]
        for row, expected in zip(*rows, strict=True):
            assert row.loss == pytest.approx(expected.loss, rel=1e-3)
            assert (row.digest, row.counts) == (expected.digest, expected.counts)


def test_a_worker_does_what_it_is_asked_for_and_says_what_it_takes(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One stage; then training alone; then scoring alone."""
    tiny = study(4, seeds=(0,))
    plan = prepared_plan(tiny, store)
    work_on(tiny, store, Asked(max_stages=1, json=True))
    (line,) = capsys.readouterr().out.splitlines()
    taken = json.loads(line)
    assert taken["node"] == "train" and status.trained(plan.stage(taken["stage"]), store)
    work_on(tiny, store, Asked(only="train", json=True))
    assert {json.loads(line)["node"] for line in capsys.readouterr().out.splitlines()} == {"train"}
    states = status.states(plan, store)
    assert set(states.values()) == {"done"} and set(status.scoring(plan, store, states).values()) == {"ready"}
    work_on(tiny, store, Asked(only="score"))
    assert set(status.scoring(plan, store, states).values()) == {"done"}
    assert "scoring" in capsys.readouterr().err
    work_on(tiny, store, Asked())


def test_who_scores_waits_for_what_others_train(store: Path, finished_store: Path) -> None:
    """It is started when nothing is trained, as the worker of a launch that scores."""
    plan = prepared_plan(study(), store)
    stage = plan.stages[0].folder

    def trained() -> None:
        shutil.copytree(finished_store / "stages" / stage, store / "new", ignore=shutil.ignore_patterns("evals"))
        (store / "stages").mkdir(exist_ok=True)
        (store / "new").rename(store / "stages" / stage)

    other = threading.Timer(0.5, trained)
    other.start()
    work_on(study(), store, Asked(only="score", max_stages=1))
    other.join()
    scored = status.scoring(plan, store, status.states(plan, store))
    assert [id for id, state in scored.items() if state == "done"] == [plan.stages[0].id]


def test_a_stage_that_fails_is_tried_three_times_more_and_the_rest_is_done(store: Path) -> None:
    tiny = study(4, seeds=(0,))
    plan = prepared_plan(tiny, store)
    bad = plan.stages[0]
    write_text(stage_folder(store, bad.folder) / STAGE, "{broken}\n")
    with pytest.raises(Failure, match=f"^{bad.id}: stage {bad.folder} cannot be read"):
        work_on(tiny, store, Asked(only="train"))
    assert ready.failures(stage_folder(store, bad.folder)) == TRIES
    states = status.states(plan, store)
    below = {stage.id for stage in plan.stages if bad.id in (stage.id, stage.parent)}
    assert {id for id, state in states.items() if state != "done"} == below and states[bad.id] == "failed"


def test_before_the_canary_has_a_checkpoint_nothing_else_is_begun(store: Path) -> None:
    """All reach for the stage that is first in order, so that it is one however many come at a moment."""
    tiny = study(4, seeds=(0,))
    plan = prepared_plan(tiny, store)
    released = limits.canary(plan, store, TRIES)
    first, other = (job.stage for job in ready.jobs(plan, store, {}))
    assert not released()
    with exclusive(stage_folder(store, first.folder) / LOCK, "the canary"), ExitStack() as lease:
        terms = working.Terms(released=released)
        number, _ = working._taken(plan, ready.jobs(plan, store, {}), store, terms, lease)
        assert number == working._WAIT
        number, _ = working._taken(plan, ready.jobs(plan, store, {}), store, working.Terms(), lease)
        assert plan.stages[number // 2] is other
    for n in range(TRIES):
        ready.note_failure(stage_folder(store, other.folder), f"reason {n}")
    with pytest.raises(Failure, match=rf"the canary, {other.id}, has failed, .*: reason {TRIES - 1}"):
        released()
    ready.forget_failure(stage_folder(store, other.folder))
    work_on(tiny, store, Asked(only="train", max_stages=1, canary=True))
    assert trained_stages(plan, store) == {first.id} and released()


def trained_stages(plan: PreparedPlan, store: Path) -> set[str]:
    return {stage.id for stage in plan.stages if status.trained(stage, store)}


def test_what_was_spent_is_what_ledgers_say_and_the_cap_binds(
    store: Path, finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepared_plan(study(), finished_store)
    from analysis.records import read_end

    seconds = sum(read_end(stage_folder(finished_store, stage.folder)).seconds for stage in plan.stages)
    assert limits.spent(plan, finished_store, 3600.0) == pytest.approx(seconds)
    with pytest.raises(Failure, match=r"are spent; give a higher --max-cost"):
        work_on(study(), finished_store, Asked(price=3600.0, max_cost=seconds / 2))
    monkeypatch.setattr(limits, "CAP_SECONDS", 0.05)
    with pytest.raises(StopRequested):
        work_on(study(2_000, seeds=(0,)), store, Asked(price=3600.0, max_cost=0.05))
    assert _checkpoints(store) == 1


def test_a_store_that_does_not_answer_for_a_while_is_waited_for(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no failure of a stage."""
    from store.errors import Away

    monkeypatch.setattr(working, "AWAY_SECONDS", 0.0)
    real, asked = ready.jobs, []

    def jobs(*arguments: object) -> object:
        asked.append(1)
        if len(asked) <= working.AWAY_TIMES - 1:
            raise Away("the bucket is away")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ready, "jobs", jobs)
    work_on(study(4, seeds=(0,)), store, Asked(max_stages=1))
    assert capsys.readouterr().err.count("warning: the bucket is away; tried again") == working.AWAY_TIMES - 1
    asked.clear()
    monkeypatch.setattr(working, "AWAY_TIMES", 3)
    monkeypatch.setattr(ready, "jobs", lambda *_: (_ for _ in ()).throw(Away("the bucket is away")))
    with pytest.raises(Away):
        work_on(study(4, seeds=(0,)), store, Asked())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(only="both"), "neither train nor score"),
        (Asked(max_cost=3.0), "--max-cost needs --price-per-chip-hour"),
        (Asked(price=3.0), "--max-cost needs --price-per-chip-hour"),
    ],
)
def test_what_does_not_go_together_is_one_line(store: Path, asked: Asked, said: str) -> None:
    with pytest.raises(UserError, match=said):
        work_on(small(), store, asked)
