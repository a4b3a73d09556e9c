"""Evaluations that are killed, that cannot be had, that were done before; and those of one model, in no study."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import pytest

from analysis.compare import compare
from analysis.evals import scoring
from analysis.evals.model import opened
from analysis.evals.questions import Question, prompt_hash
from analysis.evals.tasks import Task
from analysis.records import gap_path, read_eval, read_study, write
from analysis.scores import item_notes
from analysis.task_scores import scores_of
from experiments.commands.evaluate import evaluate_target
from experiments.plan import status
from experiments.plan.make import make_plan
from experiments.plan.warnings import part_warnings
from experiments.run.train import study_record
from experiments.run.trained import export_stage, open_stage
from experiments.score import asked, checkpoints
from experiments.study import Evaluation
from mixtures.tokens import tokenizer as bpe
from models import export
from store import kept_rows
from store.errors import Failure, UserError
from tests.analysis import language
from tests.conftest import ROOT
from tests.experiments import run_evaluation
from tests.experiments.run_worker import again
from tests.experiments.tiny import study

KEY = {
    "fingerprint": run_evaluation.CHECKPOINT.fingerprint,
    "step": run_evaluation.CHECKPOINT.step,
    "version": run_evaluation.TASK.version,
    "prompts": prompt_hash(run_evaluation.QUESTIONS),
}


def kept(path: Path) -> Path:
    return path.with_suffix(".partial.jsonl")


def test_kill_9_in_the_middle_changes_nothing(tmp_path):
    undisturbed = run_evaluation.score(tmp_path / "whole.json")
    path = tmp_path / "killed.json"
    command = [sys.executable, "-m", "tests.experiments.run_evaluation", str(path), "5"]  # of 8 portions
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not path.exists() and len(kept_rows.read(kept(path), KEY)) == 5 * run_evaluation.PORTION
    kept(path).write_bytes(kept(path).read_bytes()[:-9])  # and the last write was torn
    assert run_evaluation.score(path).items == undisturbed.items
    assert read_eval(path) == replace(undisturbed, seconds=read_eval(path).seconds)
    assert {file.name for file in tmp_path.iterdir()} == {"whole.json", "killed.json"}


def test_only_what_is_missing_is_asked_and_a_damaged_line_is_missing(tmp_path):
    """Made-up answers tell what was taken from the disk: they would never be a model's."""
    path = tmp_path / "record.json"
    rows = [{"item": number, "what": "nats", "value": [1e6]} for number in range(2 * run_evaluation.PORTION)]
    kept_rows.keep(kept(path), KEY, rows)
    kept_rows.keep(kept(path), KEY | {"step": 6}, [{"item": 9, "what": "nats", "value": [1e6]}])
    line = b'{"item": 5, "what": "nats", "value": [10'
    damaged = kept(path).read_bytes().replace(line, line[:-1] + b"1")
    kept(path).write_bytes(damaged)
    nats = {item["id"]: item["nats"] for item in run_evaluation.score(path).items}
    first, second = (range(4), range(4, 8))
    assert {nats[f"t{n}"] for n in first} == {1e6}
    assert all(0 < nats[f"t{n}"] < 1e4 for n in second)


def test_what_a_full_disk_tore_is_asked_again_once_there_is_space(tmp_path):
    undisturbed = run_evaluation.score(tmp_path / "whole.json")
    path = tmp_path / "record.json"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, limits[1]))  # bytes of any file
        with pytest.raises(Failure, match=r"cannot write \S+ \(File too large\); free some space, then run again"):
            run_evaluation.score(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists() and kept(path).stat().st_size == 700
    assert 0 < len(kept_rows.read(kept(path), KEY)) < len(undisturbed.items)
    assert run_evaluation.score(path).items == undisturbed.items


def _scoring(plan, stage, store) -> str:
    return status.scoring(plan, store, status.states(plan, store))[stage.id]


def test_a_gap_is_recorded_shown_and_tried_again(finished_store, tmp_path, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    asks = study(evaluation=Evaluation(2_000, every_stage=(), compared=("quac",), items=5))
    plan = make_plan(asks, store)
    write(store / "studies" / "tiny" / "study.json", study_record(plan, store))  # as a run does first
    last = next(stage for stage in plan.stages if stage.stage.kind == "cooldown")
    assert _scoring(plan, last, store) == "ready"
    again(plan, store)
    path = status.records(plan, store)[last.id]["quac"]
    assert not path.exists() and "no package" in read_eval(gap_path(path)).gap
    assert _scoring(plan, last, store) == "gaps"
    gaps = [gap for gap in compare(store, "tiny").gaps if "quac was not scored" in gap]
    assert gaps and all("put its val_v0.2.json" in gap for gap in gaps)
    question = Question("1", (("is it", " so"), ("is it", " not so")), 1)
    found = Task("quac", status.task_version("quac"), (question,))
    monkeypatch.setattr(asked, "benchmark_task", lambda *_: found)
    again(plan, store)
    assert len(read_eval(path).items) == 1 and not gap_path(path).exists()
    assert _scoring(plan, last, store) == "done"


def test_what_is_asked_otherwise_is_asked_again(finished_store, tmp_path):
    """Stages are shared by studies that ask them differently, and a file of rows may change."""
    store, rows = finished_store, tmp_path / "rows.jsonl"
    rows.write_text('{"question": "a", "answer": "b"}\n')

    def paths(**changes) -> dict[str, Path]:
        plan = make_plan(study(evaluation=Evaluation(2_000, (), (str(rows),), 5, **changes)), store)
        last = next(stage for stage in plan.stages if stage.stage.kind == "cooldown")
        return status.records(plan, store)[last.id]

    first = paths()
    assert first["heldout/code"].exists() and not first["rows"].exists()
    other = paths(heldout_window=100)
    assert not other["heldout/code"].exists() and other["rows"] == first["rows"]
    assert paths(heldout_place="start")["heldout/code"] not in (first["heldout/code"], other["heldout/code"])
    rows.write_text('{"question": "a", "answer": "c"}\n')
    assert paths() == first | {"rows": paths()["rows"]} and paths()["rows"] != first["rows"]
    rows.unlink()
    with pytest.raises(UserError, match=r"rows.jsonl cannot be read \(no such file\)"):
        paths()


def test_the_plan_says_where_only_a_part_of_a_split_is_here(tmp_path):
    asks = [study(evaluation=Evaluation(2_000, (), ("nq_open", "piqa"), items)) for items in (1_000, 3_610)]
    assert part_warnings(asks[0], tmp_path) == []
    (line,) = part_warnings(asks[1], tmp_path)
    assert line == "'nq_open' has 1,000 of its 3,610 rows here; get all by `ablate benchmarks --fetch nq_open`"


def test_what_cannot_be_had_is_a_gap_and_held_out_text_that_is_damaged_is_none(finished_store, tmp_path, monkeypatch):
    def lost(*_: object) -> Task:
        raise Failure("its rows are lost")

    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    manifest, size = make_plan(study(), store).manifest, Evaluation(2_000, (), ("copa",), 5)
    monkeypatch.setattr(asked, "benchmark_task", lost)
    assert asked.load_task("copa", size, manifest, store).gap == "its rows are lost"
    for path in manifest.heldout("program"):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Failure, match="heldout"):
        asked.load_task("heldout/code", size, manifest, store)


def test_a_model_that_diverged_leaves_a_gap_with_the_count(tmp_path):
    good = language.model()
    params = {name: jnp.full_like(array, jnp.nan) for name, array in good.params.items()}
    task, path = Task("boolq", 1, run_evaluation.QUESTIONS[8:12]), tmp_path / "record.json"
    checkpoints.score(run_evaluation.CHECKPOINT, {path: task}, lambda: replace(good, params=params), lambda done: None)
    assert read_eval(gap_path(path)).gap.startswith("4 of 4 items have no finite likelihood")
    assert not path.exists()


def test_a_prompt_of_100_thousand_tokens_is_scored_by_its_end(tmp_path):
    long, short = ("bird " * 100_000, " answer"), ("bird " * 500, " answer")
    task = Task("boolq", 1, tuple(Question(str(n), (pair,), 0) for n, pair in enumerate((long, short))))
    work = {tmp_path / "record.json": task}
    (record,) = checkpoints.score(run_evaluation.CHECKPOINT, work, language.model, lambda done: None).values()
    assert record.items[0]["nats"] == pytest.approx(record.items[1]["nats"], abs=1e-4)


def test_contexts_that_lost_their_beginning_are_counted(tmp_path):
    """Also after a kill: what was kept of the first portion says so too."""
    long, pair = "bird " * 500, ("bird", " answer")
    asked = Question("said", ((long, " bird"),), 0, ("bird",), ("\n",), 6)
    questions = (Question("whole", (pair, ("bird", " bird")), 0), Question("cut", (pair, (long, " answer")), 0), asked)
    text = Question("text", (("", long),), 0, delimiter="")  # is scored whole, in windows
    task, path = Task("boolq", 1, (*questions, text)), tmp_path / "record.json"
    (record,) = checkpoints.score(run_evaluation.CHECKPOINT, {path: task}, language.model, lambda done: None).values()
    assert {item["id"] for item in record.items if item.get("cut")} == {"cut", "said"}
    (line,) = item_notes(scores_of(replace(record, items=record.items[:2]), "here")[record.task])
    assert line == "boolq: 1 of 2 contexts are longer than the window and lost their beginning"
    key = KEY | {"version": 1, "prompts": prompt_hash(task.questions)}
    kept_rows.keep(kept(path), key, [{"item": 0, "what": "nats", "value": [1.0, 2.0], "cut": True}])
    begun = checkpoints._begun(run_evaluation.CHECKPOINT, task, path)
    assert begun.cut == {0}


def test_an_item_has_what_the_metrics_are_made_of():
    choice = Question("7", (("where", " here"), ("where", " Zürich")), 1)
    assert scoring.item(choice, [3.0, 2.0], None) == {
        "id": "7", "nats": 2.0, "bytes": 7, "correct": 1, "gold": 1,
        "choice_nats": [3.0, 2.0], "choice_bytes": [4, 7], "choice_chars": [4, 6],
    }  # fmt: skip
    asked = Question("8", (("who?", " Ada"),), 0, ("Ada",), ("\n",), 5, "ours")
    assert scoring.item(asked, [1.0], "")["correct"] == 0
    assert len(scoring.item(asked, [1.0], "x" * 9_999)["said"]) == scoring.SAID


_ASKED = {"question": "cause", "choice1": "It rained.", "choice2": "It was day."}
COPA = [{"idx": n, "premise": f"Bird {n} sang.", "label": n % 2, **_ASKED} for n in range(6)]


@pytest.fixture
def exported(tmp_path):
    """A folder with a model, and a store with a benchmark's rows from the user."""
    model = language.model()
    bpe.save(model.tokenizer, tmp_path / "tokenizer.json")
    export.export(
        model.config, lambda names: model.params, tmp_path / "tokenizer.json", tmp_path / "model", eod=0, sequence=48
    )
    rows = tmp_path / "store" / "benchmarks" / "copa.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text("\n".join(map(json.dumps, COPA)))
    return tmp_path


def test_a_finished_stage_is_exported_with_what_it_was_trained_with(finished_store, tmp_path, monkeypatch):
    monkeypatch.setattr(export.export, "__kwdefaults__", {"part_bytes": 20_000})
    folder = next((finished_store / "stages").iterdir())
    ours = open_stage(folder, finished_store)
    theirs = opened(export_stage(folder.name, finished_store, tmp_path / "out"))
    assert (ours.config, ours.eod, ours.window) == (theirs.config, theirs.eod, theirs.window)
    assert ours.tokenizer.to_str() == theirs.tokenizer.to_str() and ours.params.keys() == theirs.params.keys()
    assert all((theirs.params[name] == array).all() for name, array in ours.params.items())
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
    with pytest.raises(UserError, match="is not empty"):
        export_stage(folder.name, finished_store, tmp_path / "out")


def evaluated(exported: Path, tasks: str, items: int = 4, shots: int = 0, out: Path | None = None) -> dict:
    return evaluate_target(str(exported / "model"), exported / "store", tasks, items, shots, out)


def test_an_exported_folder_is_scored_once_with_intervals_and_gaps(exported):
    out = exported / "scores.json"
    document = evaluated(exported, "copa,quac", out=out)
    (accuracy,) = (row for row in document["scores"] if row["metric"] == "copa/acc")
    assert accuracy["n"] == 4 and accuracy["chance"] == 0.5
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["high"] - accuracy["low"] > 0.3, "of four items"
    assert [(task["task"], task["n"], bool(task["gap"])) for task in document["tasks"]] == [
        ("copa", 4, False),
        ("quac", 0, True),
    ]
    assert {item["id"] for item in json.loads(out.read_text())["items"]["copa"]} <= {str(n) for n in range(6)}
    (record,) = (exported / "store" / "evaluations").glob("*/copa@*.json")
    written = record.stat().st_mtime_ns
    assert evaluated(exported, "copa,quac") == document
    assert record.stat().st_mtime_ns == written
    every = evaluated(exported, "copa", items=0)["tasks"]
    assert every[0]["n"] == 6, "another selection is another record"
    assert evaluated(exported, "copa", shots=2)["tasks"][0]["task"] == "copa@2shot"


def test_a_folder_says_which_token_ends_its_texts_and_has_no_ids_beyond_its_model(exported):
    tokenizer, end = language.model().tokenizer, bpe.load(exported / "tokenizer.json").token_to_id(bpe.FIM_SUFFIX)
    params = language.model().params
    arguments = (language.CONFIG, lambda names: params, exported / "tokenizer.json", exported / "named")
    export.export(*arguments, eod=end, sequence=48)
    assert opened(exported / "named").eod == end != bpe.eod_id(tokenizer) == opened(exported / "model").eod
    larger = bpe.load(exported / "tokenizer.json")
    larger.add_tokens([f"word{number}" for number in range(300)])
    bpe.save(larger, exported / "model" / "tokenizer.json")
    with pytest.raises(Failure, match="ids and the model a vocabulary of 300"):
        opened(exported / "model")


def test_a_tokenizer_that_loses_text_gives_no_bits_per_byte(exported):
    path = exported / "model" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}))
    scored = {row["metric"] for row in evaluated(exported, "copa")["scores"]}
    assert "copa/acc" in scored and not [name for name in scored if name.endswith("bpb")]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ("coppa", "unknown task 'coppa'; did you mean 'copa'"),
        ("copa,heldout/code", "its prepared data are not in the store"),
        ("fresh/markup", "no fresh text of kind 'markup'; there is of code, text"),
    ],
)
def test_a_task_that_is_not_to_be_had_is_named(exported, tasks, said):
    with pytest.raises(UserError, match=said):
        evaluated(exported, tasks)
    assert not (exported / "store" / "evaluations").exists()


def test_a_file_of_rows_is_scored_by_its_path(exported):
    rows = exported / "birds.jsonl"
    rows.write_text('{"question": "Who sang?", "answer": "a bird"}\n{"question": "Who flew?", "answer": "a bird"}\n')
    document = evaluated(exported, str(rows))
    assert [(task["task"], task["n"]) for task in document["tasks"]] == [("birds", 2)]
    assert [row["metric"] for row in document["scores"]] == ["birds/gold_bpb", "birds/exact_match"]
    with pytest.raises(UserError, match=r"no.jsonl cannot be read \(no such file\)"):
        evaluated(exported, "no.jsonl")


def test_a_data_file_without_a_field_is_named_with_its_row(exported):
    rows = [{key: value for key, value in row.items() if key != "premise"} for row in COPA]
    (exported / "store" / "benchmarks" / "copa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match=r"copa.*premise"):
        evaluated(exported, "copa")


def test_a_truncated_record_is_named_and_deleting_it_as_advised_helps(exported):
    before = evaluated(exported, "copa")
    (record,) = (exported / "store" / "evaluations").glob("*/copa@*.json")
    record.write_text(record.read_text()[:-40])
    said = r"evaluation copa.*\((\S+): .*delete it, and the next run or evaluation scores it"
    with pytest.raises(Failure, match=said) as caught:
        evaluated(exported, "copa")
    Path(re.search(said, str(caught.value))[1]).unlink()
    assert evaluated(exported, "copa") == before


def test_scores_are_written_to_a_json_file_or_not_at_all(exported, tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name in ("x.txt", "x", "folder.json"):
        with pytest.raises(UserError, match=r"ends in [.]json"):
            evaluated(exported, "copa", out=tmp_path / name)


def test_a_stage_is_scored_beside_its_study(finished_store, tmp_path):
    """Its own record answers where the prompts are the same; another number of items never gets among its own."""
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    stage = read_study(store, "tiny").runs[0].stages[-1]
    before = sorted((store / "stages" / stage).rglob("*.json"))
    (store / "benchmarks").mkdir()
    (store / "benchmarks" / "copa.jsonl").write_text("\n".join(map(json.dumps, COPA)))
    document = evaluate_target(stage[:-4], store, "heldout/code,copa,copa,heldout/code", 3, 0, None)
    assert [task["n"] > 0 for task in document["tasks"]] == [True, True]
    assert sorted((store / "stages" / stage).rglob("*.json")) == before
    (asked,) = (store / "evaluations" / stage).glob("*.json")
    assert asked.name.startswith("copa@"), "its held-out text was scored with its study"
