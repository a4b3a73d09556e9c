"""A digit changed in anything that a result rests on is named, and what the message advises helps."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare import compare
from analysis.ledger_rows import read_ledger
from analysis.records import AnswerRecord, answers_path, read_eval, read_study, write
from experiments.audit import audit
from experiments.plan.make import make_plan
from experiments.plan.stage import Plan
from store.errors import Failure
from tests.conftest import run_tiny
from tests.experiments.test_resume import results
from tests.experiments.tiny import study


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    """A copy of the finished store to damage."""
    skipped = shutil.ignore_patterns("xla", "wandb", "checkpoints")
    shutil.copytree(finished_store, tmp_path / "store", ignore=skipped)
    return tmp_path / "store"


@pytest.fixture
def plan(store: Path) -> Plan:
    return make_plan(study(), store)


def _change_a_digit(path: Path) -> None:
    """The last one before the checksum."""
    text = path.read_text()
    at = [match.start() for match in re.finditer(r"\d", text[: text.rindex('"checksum"')])][-1]
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


@pytest.mark.parametrize(
    "name", ["stage.json", "done.json", "ledger.jsonl", "evals/heldout.code@*.json", "answers/*.json"]
)
def test_audit_names_a_digit_changed_in_a_stage(plan: Plan, store: Path, name: str) -> None:
    stage = plan.stages[0]
    folder = store / "stages" / stage.folder
    assert stage.fingerprint is not None
    write(answers_path(folder, "what", stage.steps), AnswerRecord(stage.fingerprint, stage.steps, {}, {"1": "said"}, 0))
    assert audit(plan, store)["equal"]
    (path,) = folder.glob(name)
    _change_a_digit(path)
    document = audit(plan, store)
    assert not document["equal"]
    assert [
        str(path.parent if name == "ledger.jsonl" else path.name) in p for p in document["stages"][0]["problems"]
    ] == [True]
    assert not any(stage["problems"] for stage in document["stages"][1:])


def test_a_damaged_line_of_a_ledger_is_named_with_its_number(plan: Plan, store: Path) -> None:
    folder = store / "stages" / plan.stages[0].folder
    path = folder / "ledger.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    edits: dict[str, bytes] = {
        "line 4 .its content is not": whole.replace(lines[3], re.sub(rb'"loss":(\d)', rb'"loss":9\1', lines[3])),
        "line 3 .its content is not": whole.replace(lines[2], lines[2].replace(b'"skipped":false', b'"skipped":true')),
        "line 5 .it has no checksum": whole.replace(lines[4], re.sub(rb',"checksum":"\w+"', b"", lines[4])),
        "line 2 ": whole.replace(lines[1], re.sub(rb'"loss":[\d.]+', b'"loss":NaN', lines[1])),
        "line 6 ": whole.replace(lines[5], b"{broken\n"),
        "has step 3 at line 2": whole.replace(lines[1], b""),
    }
    for message, content in edits.items():
        path.write_bytes(content)
        with pytest.raises(Failure, match=message) as caught:
            read_ledger(folder)
        assert str(path) in str(caught.value) and "to train the stage again" in str(caught.value)


def test_compare_names_a_digit_changed_in_what_it_reads(plan: Plan, store: Path) -> None:
    folder = store / "stages" / plan.stages[-1].folder
    for path in (*folder.glob("evals/*.json"), folder / "stage.json", store / "studies" / "tiny" / "study.json"):
        before = path.read_text()
        _change_a_digit(path)
        with pytest.raises(Failure, match="is damaged: its content is not what its checksum says") as caught:
            compare(store, "tiny")
        assert str(path) in str(caught.value)
        path.write_text(before)
    compare(store, "tiny")


def test_a_record_of_another_checkpoint_is_not_taken_for_this_one(plan: Plan, store: Path) -> None:
    first, second = (store / "stages" / stage.folder for stage in (plan.stages[0], plan.stages[2]))
    path = next(first.glob("evals/*.json"))
    shutil.copy(next(second.glob(f"evals/{path.name}")), path)
    with pytest.raises(Failure, match=f"evaluation .* is of checkpoint {plan.stages[2].fingerprint}"):
        compare(store, "tiny")
    assert "is of checkpoint" in audit(plan, store)["stages"][0]["problems"][0]


@pytest.mark.parametrize("full", [False, True])
def test_audit_covers_the_prepared_data(plan: Plan, store: Path, full: bool) -> None:
    """Sizes always; every byte with `full`, also where the file's own checksums are right."""
    assert audit(plan, store, full)["problems"] == []
    prose = plan.manifest.tokens / "prose" / "00000"
    program = plan.manifest.tokens / "program" / "00000"
    from mixtures.tokens.arrays import open_tokens, write_shard

    offsets = open_tokens(plan.manifest, 32)._offsets("prose", 0)
    tokens = open_tokens(plan.manifest, 32)._array("prose", 0).read().result()
    tokens[-1] ^= 1
    write_shard(prose, tokens, offsets)
    (held,) = plan.manifest.heldout("prose")
    shutil.copy(plan.manifest.heldout("program")[0], held)
    whole = audit(plan, store, full)["problems"]
    expected = ["the tokens of source 'prose' are not the manifest's", "the held-out text of source 'prose' is not the"]
    assert [any(text in found for found in whole) for text in expected] == [full, full] and len(whole) == 2 * full
    shutil.rmtree(program)
    plan.manifest.tokenizer.write_text("{}")
    found = audit(plan, store, full)["problems"]
    assert any("source 'program' are missing or corrupt" in problem for problem in found)
    assert any("tokenizer.json is missing or not the manifest's" in problem for problem in found)


def test_a_digit_changed_in_the_manifest_is_named(plan: Plan, store: Path) -> None:
    _change_a_digit(plan.manifest.folder / "manifest.json")
    with pytest.raises(Failure, match=r"manifest of the prepared data is damaged: .*; delete .* and prepare again"):
        make_plan(study(), store)


def test_what_is_advised_for_data_and_records_helps(finished_store: Path, tmp_path: Path) -> None:
    """The paths that the messages name are deleted, and the next run gives what an undisturbed one gave."""
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    plan = make_plan(study(), store)
    (chunk,) = plan.manifest.tokens.glob("prose/*/tokens/c/0")
    chunk.write_bytes(bytes(chunk.stat().st_size))
    (held,) = plan.manifest.heldout("prose")
    held.write_bytes(held.read_bytes()[:-100])
    _change_a_digit(next((store / "stages" / plan.stages[0].folder).glob("evals/*.json")))
    _change_a_digit(store / "stages" / plan.stages[1].folder / "stage.json")
    _change_a_digit(store / "stages" / plan.stages[2].folder / "done.json")
    document = audit(plan, store, full=True)
    found = [*document["problems"], *(problem for stage in document["stages"] for problem in stage["problems"])]
    assert len(found) > 5 and all("; delete " in problem for problem in found)
    for problem in found:
        named = re.search(r"; delete (/[^ ]+)", problem) or re.search(r"\((/[^ ]+\.json)\); delete it", problem)
        assert named is not None, problem
        path = Path(named[1])
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = run_tiny(store)
    assert done.returncode == 0, done.stderr
    assert results(store) == results(finished_store)
    assert audit(make_plan(study(), store), store, full=True)["equal"]


def test_what_is_advised_for_scores_that_are_not_alike_helps(finished_store: Path, tmp_path: Path) -> None:
    """Records as a run would write them that hold too little: the files that the messages name are deleted."""
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    folders = [store / "stages" / run.stages[-1] for run in read_study(store, "tiny").runs]
    (fewer,), (lacking,) = (folders[n].glob(f"evals/heldout.{kind}@*.json") for n, kind in ((0, "text"), (1, "code")))
    record = read_eval(fewer)
    write(fewer, replace(record, items=record.items[1:]))
    record = read_eval(lacking)
    write(lacking, replace(record, items=({"id": record.items[0]["id"]}, *record.items[1:])))
    for _ in range(2):
        with pytest.raises(Failure, match=r"; delete \S+@\*\.json (there|of both) and ") as caught:
            compare(store, "tiny")
        pattern = re.search(r"; delete (\S+) ", str(caught.value))
        named = [folder for folder in (store / "stages").iterdir() if folder.name in str(caught.value)]
        assert pattern is not None and len(named) == (2 if "of both" in str(caught.value) else 1)
        for path in (path for folder in named for path in folder.glob(f"evals/{pattern[1]}")):
            path.unlink()
    done = run_tiny(store)
    assert done.returncode == 0, done.stderr
    assert results(store) == results(finished_store)
    compare(store, "tiny")
