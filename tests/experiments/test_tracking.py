"""W&B is a replay of the ledger: the real client, against a server that keeps what it is sent."""

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.compare import compare
from analysis.records import JudgeRecord, judge_path, read_study, stage_folder, write
from analysis.scores import BEFORE, FINAL, points
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.tracking.push import Sent
from experiments.tracking.stage_run import history, stage_run, summary
from tests.experiments.tracking import Chain, copied, environment, equal, ledger_of, push, push_here
from tests.experiments.wandb_server import ENTITY, WandbServer

BLOCK = 32_768


@pytest.fixture(scope="module")
def sent(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WandbServer, Path]]:
    """A server that was sent all of the finished study."""
    store = tmp_path_factory.mktemp("sent") / "store"
    copied(finished_store, store)
    with WandbServer() as server:
        push(store, server)
        yield server, store


def test_every_stage_is_a_run_that_holds_its_ledger(sent: tuple[WandbServer, Path], plan: PreparedPlan) -> None:
    server, store = sent
    assert server.runs.keys() == {stage.fingerprint for stage in plan.stages}
    for stage in plan.stages:
        run = server.runs[stage.fingerprint]
        equal(run, stage, ledger_of(store, stage))
        assert {key for key in run.history[-1] if key.startswith("eval/")} == {
            key for key in run.summary if key.startswith("eval/")
        }
        fields = run.fields
        assert (fields["groupName"], fields["jobType"], fields["displayName"]) == ("tiny", stage.stage.kind, stage.id)
        assert (fields["entity"], fields["project"]) == (ENTITY, "code-data-ablation")
        assert {*fields["tags"]} == {*stage.arms, "tiny"} and run.complete
    assert not list(store.glob("wandb/*run*"))


def test_what_a_stage_is_can_be_filtered_by(sent: tuple[WandbServer, Path], plan: PreparedPlan) -> None:
    server, _ = sent
    first, last = (plan.stage(id) for id in plan.runs["half-only", 1])
    config = server.runs[last.fingerprint].config
    assert config["mix"] == {
        "name": "half",
        "sources": {"prose": 0.5, "program": 0.5},
        "kinds": {"text": 0.5, "code": 0.5},
    }
    assert (config["arms"], config["model_size"], config["kind"]) == (["half-only"], "tiny", "cooldown")
    assert (config["seed"], config["init_seed"], config["data_seed"]) == (1, 1, 1)
    assert (config["parent"], config["model"]["width"]) == (first.fingerprint, 16)
    assert (config["tokens_planned"], config["tokens_before"]) == (last.tokens, first.tokens)
    assert config["identity"] == json.loads(json.dumps(last.identity))


def test_scores_and_realised_tokens_are_in_summary_and_tables(
    sent: tuple[WandbServer, Path], plan: PreparedPlan
) -> None:
    server, store = sent
    comparison = compare(store, "tiny")
    by_folder = {stage.folder: stage for stage in plan.stages}
    for run in comparison.study.runs:
        for at, folder in ((at, folder) for at, folder in points(run).items() if at in (BEFORE, FINAL)):
            stage = by_folder[folder]
            summary = server.runs[stage.fingerprint].summary
            values = comparison.values[run.arm, run.seed, at]
            assert values and {f"eval/{name}": of for name, of in values.items()}.items() <= summary.items()
            table = _table(server, stage, "evaluation")
            assert {row["metric"]: row["value"] for row in table} == values
            assert all(row["items"] > 0 for row in table)
            tokens = _table(server, stage, "tokens")
            assert {row["source"]: row["realised"] for row in tokens} == stage.tokens_by_source
            assert all(row["declared"] == row["realised"] for row in tokens)
            assert {
                name: summary[f"realised_tokens/{name}"] for name in stage.tokens_by_source
            } == stage.tokens_by_source
    assert {at for _, _, at in comparison.values} == {BEFORE, FINAL}


def _table(server: WandbServer, stage: PreparedStage, name: str) -> list[dict[str, Any]]:
    where = server.runs[stage.fingerprint].summary[f"table/{name}"]["path"]
    table = json.loads(server.files[f"{stage.fingerprint}/{where}"])
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_a_checkpoint_is_a_reference_and_nothing_of_it_is_uploaded(
    sent: tuple[WandbServer, Path], plan: PreparedPlan
) -> None:
    server, store = sent
    stage = plan.stages[0]
    (artifact,) = (of for of in server.artifacts.values() if of["collection"] == f"checkpoint-{stage.fingerprint}")
    folder = stage_folder(store, stage.folder) / "checkpoints" / f"step-{stage.steps:08d}"
    assert [entry["ref"] for entry in artifact["manifest"]["contents"].values()] == [folder.resolve().as_uri()]
    assert f"step-{stage.steps}" in {alias["alias"] for alias in artifact["aliases"]}
    assert not [path for path in server.files if "checkpoint" in path and not path.startswith("manifest/")]


def test_a_second_push_asks_nothing(sent: tuple[WandbServer, Path]) -> None:
    server, store = sent
    server.asked.clear()
    assert "nothing new" in push(store, server).stdout
    assert not server.asked


def test_what_is_new_is_sent_and_nothing_twice(chain: Chain) -> None:
    """While a stage is trained, after training fell back to an older checkpoint, at the end, and without the note."""
    store, first, last = chain
    folder, away = stage_folder(store, first.folder), store.parent / "away"
    shutil.move(stage_folder(store, last.folder), away)
    (end := folder / "done.json").rename(store / "done.json")
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)

    def ledger(rows: int) -> None:
        (folder / "ledger.jsonl").write_bytes(b"".join(lines[:rows]))

    with WandbServer() as server:
        ledger(20)
        assert push_here(store, server) == Sent(runs=1, rows=20)
        run = server.runs[first.fingerprint]
        assert not run.complete and "eval/heldout/code/bpb" not in run.summary  # it goes on
        ledger(10)
        assert push_here(store, server) == Sent(0, 0)
        ledger(len(lines))
        (store / "done.json").rename(end)
        shutil.move(away, stage_folder(store, last.folder))
        assert push_here(store, server) == Sent(2, len(lines) - 20 + last.steps)
        assert run.complete and "eval/heldout/code/bpb" in run.summary
        server.asked.clear()
        next(store.glob("wandb/sent-*.json")).unlink()
        assert push_here(store, server) == Sent(2, 0)
        assert not {"CommitArtifact", "CreateArtifactFiles"} & server.count().keys()
        for stage in (first, last):
            equal(server.runs[stage.fingerprint], stage, ledger_of(store, stage))


def test_offline_runs_are_read_back_and_synced_by_the_real_client(
    chain: Chain,
) -> None:
    """In two parts, with training between them."""
    store, first, _ = chain
    ledger = stage_folder(store, first.folder) / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:20]))
    push_here(store, None)
    ledger.write_bytes(whole)
    push_here(store, None)
    assert push_here(store, None) == Sent(0, 0)
    files = sorted(store.glob(f"wandb/offline-run-*-{first.fingerprint}*/*.wandb"))
    found = [history_of(file) for file in files]
    assert [run.run_id for run, _ in found] == [first.fingerprint] * 2
    rows = ledger_of(store, first)
    losses = [row["loss"] for _, part in found for row in part if "loss" in row]
    assert losses == [row.loss for row in rows]
    with WandbServer() as server:
        folders = sorted(store.glob("wandb/offline-run-*"))
        command = [str(Path(sys.executable).parent / "wandb"), "sync", *map(str, folders)]
        subprocess.run(command, env=environment(server), cwd=store, check=True, capture_output=True)
        equal(server.runs[first.fingerprint], first, rows)


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


def history_of(path: Path) -> tuple[Any, list[dict[str, Any]]]:
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


def test_win_rates_of_an_arm_are_with_the_ends_of_its_runs(
    finished_store: Path, plan: PreparedPlan, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    copied(finished_store, store)
    ends = {(arm, seed): plan.stage(chain[-1]) for (arm, seed), chain in plan.runs.items()}
    pairs = tuple(
        {
            **{"seed": seed, "id": str(n), "outcome": outcome, "verdicts": ["arm", "arm"], "note": ""},
            **{"arm_length": 10, "baseline_length": 10},
        }
        for seed, outcomes in enumerate((("win", "tie"), ("loss", "tie")))
        for n, outcome in enumerate(outcomes)
    )
    record = JudgeRecord(
        **{"study": "tiny", "arm": "half-only", "baseline": "text-only", "judge": "a judge", "weak": False},
        **{"parameters": {}, "prompts": "2 prompts", "n_prompts": 2, "decoding": "greedily", "examples": (), "cut": 0},
        checkpoints={
            str(seed): (ends["half-only", seed].fingerprint, ends["text-only", seed].fingerprint) for seed in (0, 1)
        },
        pairs=pairs,
        cost={"requests": 4, "tokens_in": 1, "tokens_out": 1, "dollars": None},
    )
    stage, other = ends["half-only", 1], ends["text-only", 1]
    before = [stage_run(plan, each, store) for each in (stage, plan.stages[0])]
    write(judge_path(store, "tiny", "judge", "answers", "half-only"), record)
    after = [stage_run(plan, each, store) for each in (stage, plan.stages[0])]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False]
    study_record = read_study(store, "tiny")
    found = {
        each.id: summary(plan, run, ledger_of(store, each), study_record, store)
        for each in (stage, other)
        if (run := stage_run(plan, each, store))
    }
    assert found[stage.id].numbers["win_rate/judge/answers"] == 0.25
    (row,) = found[stage.id].tables["win_rates"]
    assert (row["baseline"], row["of_all_seeds"], row["pairs"]) == ("text-only", 0.5, 4)
    assert "win_rates" not in found[other.id].tables


def test_a_step_that_was_skipped_is_counted_and_has_no_loss(plan: PreparedPlan, finished_store: Path) -> None:
    run = stage_run(plan, plan.stages[0], finished_store)
    assert run is not None
    row = ledger_of(finished_store, plan.stages[0])[0]
    skipped = replace(row, step=2, loss=None, grad_norm=None, skipped=True)
    rows = [row, skipped, replace(row, step=3), replace(skipped, step=4, loss=2.0)]
    found = dict(history(run, rows))
    assert [values.get("loss") for values in found.values()] == [row.loss, None, row.loss, 2.0]
    assert [values["skipped"] for values in found.values()] == [0, 1, 0, 1]
    assert [values["skipped_steps"] for values in found.values()] == [0, 1, 1, 2]
    assert dict(history(run, rows, after=2)) == {step: values for step, values in found.items() if step > 2}
