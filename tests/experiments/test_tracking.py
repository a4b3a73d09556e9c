"""W&B is a replay of the ledger: read back what the real client wrote offline."""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.records import read_ledger, stage_folder
from experiments.plan import make_plan
from experiments.tracking import mode
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


def test_every_stage_is_a_run_that_holds_its_ledger(finished_store: Path) -> None:
    from wandb.proto import wandb_internal_pb2 as pb

    plan = make_plan(study(), finished_store)
    for stage in (plan.stages[0], plan.stages[-1]):
        files = list(finished_store.glob(f"wandb/offline-run-*-{stage.fingerprint}/*.wandb"))
        assert len(files) == 1
        run, history = None, []
        for payload in records(files[0]):
            record = pb.Record()
            record.ParseFromString(payload)
            if record.WhichOneof("record_type") == "run":
                run = record.run
            elif record.WhichOneof("record_type") == "history":
                row = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
                history.append({key: json.loads(value) for key, value in row.items()})
        assert run is not None
        assert (run.run_id, run.run_group, run.job_type) == (stage.fingerprint, "tiny", stage.stage.kind)
        ledger = read_ledger(stage_folder(finished_store, stage.folder))
        assert [row["loss"] for row in history] == [row.loss for row in ledger]
        assert [row["tokens"] for row in history] == [stage.tokens_before + row.tokens for row in ledger]


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
