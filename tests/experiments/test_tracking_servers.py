"""W&B's server is away, fails or is none of one's own: runs are as they were, and one line says what to do."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import stage_folder
from experiments import studies
from experiments.commands import wandb as commands
from experiments.plan.stage import PreparedPlan
from experiments.tracking import push as sending
from experiments.tracking.mode import mode
from store.errors import UserError
from tests.conftest import ROOT, tiny_command
from tests.experiments.tracking import Chain, copied, environment, equal, ledger_of, push, push_here, pushing
from tests.experiments.wandb_server import WandbServer


@contextmanager
def bad_server(kind: str) -> Iterator[WandbServer]:
    """One of MODES, or one that is down."""
    with WandbServer("ok" if kind == "down" else kind) as server:
        if kind != "down":
            yield server
            return
    yield server


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("reject", "rejects the key"),
        ("no streams", "has 0 of the 61 rows"),
        pytest.param("down", "cannot be reached in time", marks=pytest.mark.soak),
        pytest.param("garbage", "gives no answer of W&B's", marks=pytest.mark.soak),
    ],
)
def test_a_bad_server_is_told_in_one_line(kind: str, said: str, chain: Chain) -> None:
    with bad_server(kind) as server:
        (line,) = push(chain[0], server, code=1).stderr.splitlines()
        assert server.url in line and said in line


@pytest.mark.parametrize(
    "kind", ["slow", *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("down", "garbage", "reject"))]
)
def test_a_bad_server_changes_nothing_about_a_run(
    kind: str, finished_store: Path, plan: PreparedPlan, tmp_path: Path
) -> None:
    """Of which one stage is left to train."""
    missing, store = plan.stage(plan.runs["text-only", 0][-1]), tmp_path / "store"
    copied(finished_store, store, *(stage for stage in plan.stages if stage is not missing), checkpoints=True)
    with bad_server(kind) as server:
        done = subprocess.run(
            [*tiny_command(store), "1"], env=environment(server), cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0 and "`ablate wandb push tiny` sends the rest" in done.stderr, done.stderr
    ours, expected = (
        [replace(row, seconds=0.0) for row in ledger_of(each, missing)] for each in (store, finished_store)
    )
    assert ours == expected


def test_a_run_sends_all_that_it_does_to_who_has_logged_in(
    finished_store: Path, plan: PreparedPlan, tmp_path: Path
) -> None:
    first, last = (plan.stage(id) for id in plan.runs["text-only", 0])
    store = tmp_path / "store"
    copied(finished_store, store, *(stage for stage in plan.stages if stage is not last), checkpoints=True)
    with WandbServer() as server:
        done = subprocess.run(
            [*tiny_command(store), "60"], env=environment(server), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "W&B: all is sent" in done.stderr, done.stderr
        for stage in (first, last):
            equal(server.runs[stage.fingerprint], stage, ledger_of(store, stage))
        assert server.runs.keys() == {stage.fingerprint for stage in plan.stages}


def test_following_outlives_a_server_that_fails_and_ends_with_the_study(
    chain: Chain, plan: PreparedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    store, first, last = chain
    runs = {("text-only", 0): plan.runs["text-only", 0]}
    waits: list[float] = []
    lines: list[str] = []
    with WandbServer("garbage") as server:
        monkeypatch.delenv("WANDB_MODE")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)

        def pause(seconds: float) -> bool:
            waits.append(seconds)
            assert len(waits) == 1, lines
            server.mode = "ok"
            return False

        try:
            assert sending.follow(replace(plan, stages=(first, last), runs=runs), store, pause, lines.append)
        finally:
            wandb.teardown()
        assert waits == [2 * sending.SECONDS]
        assert len(lines) == 2 and "gives no answer" in lines[0] and lines[1].startswith("64 rows, 2 runs sent")


def test_a_push_that_is_killed_goes_on_in_the_same_run(chain: Chain) -> None:
    """Rows have arrived and nothing is noted of them; in the meantime training has gone on."""
    store, first, last = chain
    ledger = stage_folder(store, first.folder) / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:20]))
    with WandbServer() as server:
        process = subprocess.Popen(pushing(store), env=environment(server), cwd=ROOT)

        def kill() -> None:
            if server.runs[first.fingerprint].received:
                process.kill()

        server.on_stream = kill
        assert process.wait() == -signal.SIGKILL
        server.on_stream = lambda: None
        assert len(server.runs[first.fingerprint].received) == 20
        ledger.write_bytes(whole)
        push_here(store, server)
        assert server.runs.keys() == {first.fingerprint, last.fingerprint}
        for stage in (first, last):
            equal(server.runs[stage.fingerprint], stage, ledger_of(store, stage))


def test_online_only_for_those_who_have_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mode() == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.example login user password key\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode() == "disabled"


def test_who_has_not_logged_in_is_told_the_ways_out(
    finished_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(ROOT / "tests" / "experiments")])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(UserError, match="`wandb login` or WANDB_API_KEY, or write offline runs with --offline"):
        commands.push("tiny", store=finished_store)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    commands.push("tiny", store=finished_store)
    assert "nothing is sent" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UserError, match="study 'tiny' has no records"):
        commands.push("tiny", store=tmp_path)
    assert not list(finished_store.glob("wandb/sent-*"))
