"""W&B is a replay of the ledger: read back what the real client wrote offline."""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.records import read_ledger, stage_folder
from experiments.plan.make import make_plan
from experiments.run.tracking import Tracker, mode
from tests.experiments.tiny import study

BLOCK = 32_768


def records(path: Path) -> Iterator[bytes]:
    """Payloads of a .wandb file, which has the framing of a LevelDB log after a header of seven bytes."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, part = 7, b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        crc, size, kind = struct.unpack("<IHB", data[at : at + 7]) if left >= 7 else (0, 0, 0)
        if kind == 0:
            at += left
            continue
        body = data[at + 7 : at + 7 + size]
        assert zlib.crc32(body, zlib.crc32(bytes([kind]))) & 0xFFFFFFFF == crc
        at += 7 + size
        part = body if kind in (1, 2) else part + body
        if kind in (1, 4):
            yield part


def history(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    """The run of a .wandb file, and what was logged at every step."""
    from wandb.proto import wandb_internal_pb2 as pb

    run, rows = None, []
    for payload in records(path):
        record = pb.Record()
        record.ParseFromString(payload)
        if record.WhichOneof("record_type") == "run":
            run = record.run
        elif record.WhichOneof("record_type") == "history":
            row = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            rows.append({key: json.loads(value) for key, value in row.items()})
    return run, rows


def test_every_stage_is_a_run_that_holds_its_ledger(finished_store: Path) -> None:
    plan = make_plan(study(), finished_store)
    for stage in (plan.stages[0], plan.stages[-1]):
        files = list(finished_store.glob(f"wandb/offline-run-*-{stage.fingerprint}/*.wandb"))
        assert len(files) == 1
        run, rows = history(files[0])
        assert run is not None
        assert (run.run_id, run.run_group, run.job_type) == (stage.fingerprint, "tiny", stage.stage.kind)
        ledger = read_ledger(stage_folder(finished_store, stage.folder))
        assert [row["loss"] for row in rows] == [row.loss for row in ledger]
        assert [row["tokens"] for row in rows] == [stage.tokens_before + row.tokens for row in ledger]
        assert {row["skipped_steps"] for row in rows} == {0}


def test_a_step_that_was_skipped_is_counted_and_has_no_loss(
    finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    plan = make_plan(study(), finished_store)
    row = read_ledger(stage_folder(finished_store, plan.stages[0].folder))[0]
    # A run of its own: the client of this process knows those of other tests by their ids.
    stage = replace(plan.stages[0], identity={**(plan.stages[0].identity or {}), "skips": True})
    tracker = Tracker(plan, stage, tmp_path)
    skipped = replace(row, step=2, loss=None, grad_norm=None, skipped=True)
    tracker.log([row, skipped])
    tracker.log([replace(row, step=3), replace(skipped, step=4, loss=2.0)])
    tracker.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    _, rows = history(file)
    assert [row.get("loss") for row in rows] == [rows[0]["loss"], None, rows[0]["loss"], 2.0]
    assert [row["skipped"] for row in rows] == [0, 1, 0, 1]
    assert [row["skipped_steps"] for row in rows] == [0, 1, 1, 2]


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
