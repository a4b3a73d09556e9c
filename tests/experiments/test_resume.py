"""A run killed anywhere and started again ends bit-equal to one that was not, and its tokens are still exact."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from experiments.audit import audit
from experiments.plan.make import make_plan, prepared_plan
from store import appended
from store.paths import glob
from tests.conftest import run_tiny, tiny_command, tiny_options
from tests.experiments.run_worker import again
from tests.experiments.tiny import study


def results(store: Path, seeds: str = "01") -> dict[str, list[str]]:
    """Everything a run leaves that must not depend on interruptions: all ledger rows but their seconds, all scores."""
    out = {}
    for folder in glob(store, f"stages/*-s[{seeds}]-*"):
        lines = appended.read(folder / "ledger.jsonl").splitlines()
        rows = [json.loads(line) | {"seconds": 0, "checksum": ""} for line in lines]
        out[folder.name] = [json.dumps(row, sort_keys=True) for row in rows]
    for scores in glob(store, f"stages/*-s[{seeds}]-*/evals/*.json"):
        out[f"{scores.parent.parent.name}/{scores.name}"] = [str(json.loads(scores.read_text())["items"])]
    return out


def _copy_of_prepared(source: Path, store: Path) -> Path:
    """Start from prepared data, so that the kills fall into training."""
    shutil.copytree(source / "prepared", store / "prepared")
    return store


def test_sigkill_at_several_points_changes_nothing(finished_store: Path, tmp_path: Path) -> None:
    store = _copy_of_prepared(finished_store, tmp_path / "store")
    rng = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(tiny_command(store, 0.2, seeds=1), **tiny_options(), start_new_session=True)
        until = _progress(store) + rng.randint(1, 50)
        while process.poll() is None and _progress(store) < until:
            time.sleep(0.02)
        assert process.poll() is None, "the run was too short to be killed; raise STEPS"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert _checkpoints(store), "there is something to carry on from"
    again(prepared_plan(study(seeds=(0,)), store), store)
    assert results(store) == results(finished_store, "0")
    assert audit(make_plan(study(seeds=(0,)), store), store)["equal"]


def _progress(store: Path) -> int:
    """Bytes of all ledgers, in rows of about 200."""
    return sum(path.stat().st_size for path in store.glob("stages/*/ledger.jsonl")) // 200


def test_a_polite_stop_checkpoints_first(finished_store: Path, tmp_path: Path) -> None:
    """Ctrl-C ends with 130, SIGTERM asks to be requeued (42); the timer is off, so every checkpoint is theirs."""
    store = _copy_of_prepared(finished_store, tmp_path / "store")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 42)):
        rows, saved = _progress(store), _checkpoints(store)
        process = subprocess.Popen(tiny_command(store, 1e9, seeds=1), **tiny_options())
        while process.poll() is None and _progress(store) < rows + 10:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        assert "run the same command again" in errors.splitlines()[-1]
        assert _checkpoints(store) - saved
    again(prepared_plan(study(seeds=(0,)), store), store)
    assert results(store) == results(finished_store, "0")


def _checkpoints(store: Path) -> set[Path]:
    return set(store.glob("stages/*/checkpoints/step-*"))


def test_a_second_call_finds_everything_done(finished_store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_store.glob("stages/*/*") if path.name != "lock"}
    assert run_tiny(finished_store).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_corrupt_checkpoint_is_named_and_the_one_before_it_used(finished_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    last = next(stage for stage in make_plan(study(), store).stages if stage.stage.kind == "cooldown")
    folder = store / "stages" / last.folder
    (folder / "done.json").unlink()
    for file in (folder / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"\0" * file.stat().st_size)
    done = run_tiny(store)
    assert done.returncode == 0, done.stderr
    assert "using the one before" in done.stderr
    assert results(store) == results(finished_store)
