"""Workers as processes of this machine: gangs that find each other, are started again, and end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.launch import local
from experiments.plan.make import make_plan
from experiments.run.stops import StopRequested
from experiments.run.trainer import done
from store.errors import Failure, UserError
from tests.conftest import ROOT
from tests.experiments import run_host

NOTES = """
import os, pathlib, sys, time
note = pathlib.Path(sys.argv[1]) / f"{os.getpid()}"
rank = os.environ.get("JAX_PROCESS_ID", "0")
note.write_text(" ".join([rank, *map(os.environ.get, ["JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS"])]))
"""


def script(text: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", text, *map(str, arguments)]


def test_the_processes_of_a_gang_are_told_of_one_another(tmp_path: Path) -> None:
    local.run([(script(NOTES, tmp_path), 2)] * 2)
    found = sorted(path.read_text().split() for path in tmp_path.iterdir())
    assert [(rank, of) for rank, of, _ in found] == [("0", "2"), ("0", "2"), ("1", "2"), ("1", "2")]
    addresses = [address for *_, address in found]
    assert len(set(addresses)) == 2 and all(address.startswith("127.0.0.1:") for address in addresses)
    assert sorted(addresses[:2]) == sorted(addresses[2:])


ENDS = """
import os, pathlib, sys
folder, codes = pathlib.Path(sys.argv[1]), sys.argv[2:]
lives = len(list(folder.iterdir()))
(folder / str(lives)).touch()
sys.exit(int(codes[lives]) if lives < len(codes) else 0)
"""


def test_a_checkpointed_worker_is_started_again_as_often_as_it_asks(tmp_path: Path) -> None:
    codes = ["42"] * (local.LIVES + 2)
    local.run([(script(ENDS, tmp_path, *codes), 1)])
    assert len(list(tmp_path.iterdir())) == len(codes) + 1


def test_one_that_fails_again_and_again_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure, match=f"worker 0 ended with exit code 7 for the {local.LIVES + 1}th time"):
        local.run([(script(ENDS, tmp_path, *["7"] * 9), 1)])
    assert len(list(tmp_path.iterdir())) == local.LIVES + 1
    assert capsys.readouterr().err.count("it is started again") == local.LIVES


ONE_FAILS = """
import os, pathlib, sys, time
if os.environ["JAX_PROCESS_ID"] == "1":
    sys.exit(3)
(pathlib.Path(sys.argv[1]) / str(os.getpid())).touch()
time.sleep(600)
"""


def test_no_process_waits_for_one_that_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """skypilot#3116: one node exits 1, and the others run on."""
    monkeypatch.setattr(local, "LEAVE_SECONDS", 0.2)
    with pytest.raises(Failure, match="exit code"):
        local.run([(script(ONE_FAILS, tmp_path), 2)])
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


RUNS = """
import sys
from experiments.cli import guard
from experiments.launch import local
print(local.this_process(), flush=True)
guard(lambda: local.run([(sys.argv[1:], 1)]))
"""
WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print("here", flush=True)
time.sleep(600)
"""


def test_who_looks_after_workers_is_told_to_stop_and_tells_them() -> None:
    """It ends as checkpointed, and so do they; a process that has its number by now is left alone."""
    command = [sys.executable, "-c", RUNS, *script(WAITS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        known = eval(process.stdout.readline())
        assert process.stdout.readline() == "here\n"
        assert not local.cancel("it", known | {"started": "1"}) and process.poll() is None
        with pytest.raises(UserError, match="runs on elsewhere; cancel it there"):
            local.cancel("it", known | {"host": "elsewhere"})
        assert local.cancel("it", known)
        assert process.wait(timeout=60) == StopRequested.exit_code
    assert not local.cancel("it", known)


@pytest.mark.soak
def test_two_processes_train_a_run_and_carry_on_from_a_signal(finished_store: Path, tmp_path: Path) -> None:
    """As a pod: both are told, both checkpoint at one step, and the same command carries on to the end."""
    store = tmp_path / "store"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    words = [sys.executable, "-m", "tests.experiments.run_host", str(store)]
    text = "import sys; from experiments.cli import guard; from experiments.launch import local\n"
    text += "guard(lambda: local.run([(sys.argv[1:], 2)]))"
    plan = make_plan(run_host.tiny(), store)
    ledger = store / "stages" / plan.stages[0].folder / "ledger.jsonl"
    with subprocess.Popen([sys.executable, "-c", text, *words], cwd=ROOT) as process:
        while process.poll() is None and not ledger.exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == StopRequested.exit_code
    assert not done(ledger.parent)
    assert subprocess.run([sys.executable, "-c", text, *words], cwd=ROOT, check=False).returncode == 0
    assert all(done(store / "stages" / stage.folder) for stage in plan.stages)
