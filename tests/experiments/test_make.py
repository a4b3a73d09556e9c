"""Data that a checkpoint makes: the same to the byte whatever befalls it, known by all that decides it."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.evals.code import box
from analysis.evals.code.executed import Problem
from analysis.evals.code.judge import Check
from experiments.commands.making import make_sources, print_made
from experiments.make import answers, node
from experiments.make.node import make
from experiments.make.sampling import Drawing, Order, sample
from experiments.plan.make import make_plan
from experiments.plan.sources import folder_of, read_record, stage_of, with_made
from experiments.study import Endpoint, FromStage, Made, Study
from mixtures.catalogue.made import written
from mixtures.documents.parquet import read_documents
from mixtures.prepare import documents_folder, prepare, prepared_folder, read_sources
from mixtures.steps.executors import pool
from store import kept_rows
from store.errors import Failure, UserError
from store.paths import at
from tests.conftest import ROOT, boxes
from tests.experiments.making import MADE, SOLVED, making_store, problems, reading
from tests.experiments.run_making import POINTS, in_small_portions
from tests.experiments.tiny import STUDY, study

needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")


@pytest.fixture(scope="module")
def made(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which it was made without a stop, by two processes; do not change it."""
    store = making_store(finished_store, tmp_path_factory.mktemp("made") / "store")
    make_whole(store, 2)
    return store


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    return making_store(finished_store, tmp_path / "store")


def make_whole(store: Path, processes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        in_small_portions(patch.setattr, processes)
        make(reading(MADE), store)


def make_and_kill(store: Path, point: str) -> None:
    command = [sys.executable, "-m", "tests.experiments.run_making", str(store), point]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL, (point, done.stderr)


def results(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("made/*/*.json*")}


def examples(store: Path) -> list[dict[str, Any]]:
    (path,) = store.glob("made/*/examples.jsonl")
    return list(map(json.loads, path.read_text().splitlines()))


def record(store: Path, of: Made = MADE) -> dict[str, Any]:
    folder = folder_of(of, store)
    assert folder is not None
    return read_record(folder) or {}


@needs_bwrap
def test_killed_while_it_samples_executes_or_writes_it_ends_in_the_same_bytes(made: Path, store: Path) -> None:
    for point in POINTS:
        make_and_kill(store, point)
        assert not list(store.glob("made/*/record.json"))
        assert list(store.glob("made/*/answers/*.jsonl" if point == "sampling" else "made/*/verdicts.jsonl"))
    make_whole(store, 1)
    assert results(store) == results(made) and len(results(store)) == 2
    assert not list(store.glob("made/*/answers/*")) and not list(store.glob("made/*/verdicts*"))


@needs_bwrap
def test_of_sources_that_differ_in_their_problems_alone_every_problem_is_asked_once(
    made: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer, passed = replace(MADE, source="fewer", problems=3), replace(MADE, source="passed", keep="passed")
    in_small_portions(monkeypatch.setattr, 1)
    asked: list[int] = []
    answered = node._answered
    monkeypatch.setattr(
        node, "_answered", lambda of, task, *rest: asked.append(len(task.problems)) or answered(of, task, *rest)
    )
    make(reading(fewer, passed, MADE), store)
    assert asked == [len(problems())] * 2, "those of other rules are others"
    assert results(store).items() >= results(made).items(), "it is what it is alone"
    alone = making_store(made, store.parent / "alone")
    make(reading(fewer), alone)
    assert results(alone).items() <= results(store).items() and asked == [6, 6, 3]
    assert sum(record(store, fewer)["problems"].values()) == 3


@needs_bwrap
def test_what_is_made_is_counted_to_the_last_problem_and_answer(made: Path) -> None:
    found = record(made)
    drawn = {name: sum(counts.values()) for name, counts in found["answers"].items()}
    assert sum(found["problems"].values()) == len(problems())
    assert found["problems"]["its tests do not run here"] == found["problems"]["its tests run within a program's reach"]
    assert drawn == {"student, text-only of tiny": SOLVED * MADE.samples, "teacher 1, reference solutions": SOLVED}
    rows = examples(made)
    assert found["documents"] == len(rows) and len({row["id"] for row in rows}) == len(rows)
    for number in range(found["problems"]["kept"]):
        its = [row for row in rows if row["set"] == str(number)]
        assert its[0]["answer"] == f"def add(x):\n    return x + {number}" and its[0]["score"] == 3
        assert [row["score"] for row in its] == sorted((row["score"] for row in its), reverse=True)
        assert {row["group"] for row in its} == {str(number)} and len({row["prompt"] for row in its}) == 1


@needs_bwrap
def test_a_second_run_does_nothing_and_shows_the_same(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.coding, "load", lambda *_: pytest.fail("asked again"))
    before = {path: path.stat().st_mtime_ns for path in made.glob("made/*/*.json*")}
    document = json.loads(json.dumps(make_sources(reading(MADE), made)))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    console = Console(width=200, record=True)
    print_made(document, console)
    shown = console.export_text()
    assert "its tests do not run here" in shown and "fails tests" in shown and "16 documents" in shown


@needs_bwrap
def test_another_study_that_asks_the_same_has_it_made(made: Path) -> None:
    again = replace(MADE, student=FromStage(replace(study(), name="other"), "text-only", seed=0), expected_tokens=5)
    assert folder_of(again, made) == folder_of(MADE, made)


@needs_bwrap
def test_it_is_read_as_a_source_wherever_the_store_is(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, moved := tmp_path / "elsewhere" / "runs")
    its = {store: with_made(reading(MADE), store).data.sources[-1] for store in (made, moved)}
    assert documents_folder(its[made], made) == documents_folder(its[moved], moved)
    assert folder_of(MADE, made).name in json.dumps(its[made].read.args[1].args)  # type: ignore[union-attr]
    (paths,) = read_sources([its[moved]], moved, lambda *_: None, pool(1))
    texts = [document.text for path in paths for document in read_documents(path)]
    assert 'Add 3.\nassert add(1) == 4\n"""\ndef add(x):\n    return x + 3' in "\n".join(texts)
    (file,) = moved.glob("made/*/examples.jsonl")
    file.write_text(file.read_text().replace("x + 3", "x + 4"))
    with pytest.raises(Failure, match="source 'taught': its examples are not those that were made"):
        list(its[moved].read("all", moved / "downloads"))


def test_a_study_is_planned_before_its_source_is_made_and_cannot_be_prepared(finished_store: Path) -> None:
    declared = reading(replace(MADE, expected_tokens=10_000))
    planned = with_made(declared, finished_store)
    assert planned.data == declared.data
    assert [stage.tokens for stage in make_plan(planned, finished_store).stages]
    with pytest.raises(UserError, match="source 'taught': it is not made yet; first `ablate make` its study"):
        list(planned.data.sources[-1].read("all", finished_store / "downloads"))


@needs_bwrap
def test_planning_with_what_is_made_loads_no_jax() -> None:
    probe = "import sys; import experiments.plan.sources; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_is_kept_and_read_may_lie_in_a_bucket(bucket: object) -> None:
    folder = at("gs://bucket/store/made/taught-0")
    key, row = {"made": "taught-0"}, {"problem": "p", "sample": 1, "text": "    return '\ud800'"}
    kept_rows.keep(answers.place(folder, 0, 1), key, [row])
    assert answers.said(folder, 0, key) == {("p", 1): row} and answers.said(folder, 1, key) == {}
    row = {"id": "p/0", "group": "p", "prompt": "One more:\n", "answer": "    x + 1", "set": "p", "score": 3}
    digest = node.write_rows(folder / "examples.jsonl", [row])
    source = written(MADE.placeholder, "taught-0", digest)
    (document,) = source.read("all", at("gs://bucket/store/downloads"))
    assert document.text[: document.prompt] == "One more:\n" and document.text[document.prompt :] == "    x + 1"
    assert (document.id, document.group, document.set, document.score) == ("p/0", "p", "p", 3)


def test_a_checkpoint_answers_by_step_and_what_it_says_is_a_function_of_the_request(
    finished_store: Path, tmp_path: Path
) -> None:
    stage = stage_of(MADE.student, finished_store)
    assert stage is not None
    problems = [Problem(str(n), f"the river {n}", (), "", Check((), ""), "") for n in range(3)]
    drawing = Drawing(2, (0.0, 0.9), 0.95)
    pairs = tuple((problem, draw) for problem in problems for draw in range(2))

    def said(step: int | None, *portions: tuple[tuple[Problem, int], ...]) -> answers.Said:
        folder = tmp_path / f"{step}-{len(portions)}"
        sample(Order(finished_store, stage.folder, step, "t", portions, drawing, {}, answers.place(folder, 0)))
        return answers.said(folder, 0, {})

    whole = said(None, pairs)
    assert said(stage.steps, pairs) == whole and len({row["text"] for row in whole.values()}) > 3
    assert said(None, pairs[3:], pairs[:3]) == whole
    with pytest.raises(Failure, match=r"step-?0*1.* does not exist; its folder has steps"):
        said(1, pairs)


@needs_bwrap
def test_what_is_made_loses_no_answer_to_another_source(made: Path, tmp_path: Path) -> None:
    """But for the sets that another one holds out, which go whole."""
    shutil.copytree(made, store := tmp_path / "store")
    fewer = replace(MADE, source="fewer", problems=3)
    with pytest.MonkeyPatch.context() as patch:
        in_small_portions(patch.setattr, 1)
        make(reading(fewer, MADE), store)
    data = replace(with_made(reading(fewer, MADE), store).data, packing=(512,))
    manifest = prepare(data, store, lambda *_: None, pool(1))
    its = {name: manifest.sources[name] for name in ("fewer", "taught")}
    for name, of in (("fewer", fewer), ("taught", MADE)):
        assert its[name].dropped.keys() <= {"copy of a held-out document"}
        kept = its[name].documents + its[name].heldout_documents + sum(its[name].dropped.values())
        assert kept == record(store, of)["documents"]
    assert sum(its["taught"].dropped.values()) == its["fewer"].heldout_documents


def test_a_made_source_changes_the_data_that_a_study_reads(made: Path) -> None:
    promised, kept = reading(MADE).data, with_made(reading(MADE), made).data
    assert prepared_folder(promised, made) != prepared_folder(kept, made)
    assert kept.sources[-1].examples and kept.sources[-1].kind == "instruct"


CHANGES: dict[str, Made] = {
    "problems": replace(MADE, problems=2),
    "seed": replace(MADE, student=replace(MADE.student, seed=1)),
    "arm": replace(MADE, student=replace(MADE.student, arm="half-only")),
    "stage": replace(MADE, student=replace(MADE.student, stage=0)),
    "step": replace(MADE, student=replace(MADE.student, step=2)),
    "no teacher": replace(MADE, teachers=()),
    "teacher": replace(MADE, teachers=(MADE.student,)),
    "server": replace(MADE, teachers=(Endpoint("m", "http://a/v1"),)),
    "another server": replace(MADE, teachers=(Endpoint("m", "http://b/v1"),)),
    "model": replace(MADE, teachers=(Endpoint("n", "http://a/v1"),)),
    "samples": replace(MADE, samples=4),
    "temperatures": replace(MADE, temperatures=(0.8, 0.2)),
    "top_p": replace(MADE, top_p=0.9),
    "keep": replace(MADE, keep="passed"),
    "rule": replace(MADE, drop_worse_teacher=False),
    "task": replace(MADE, task="humaneval_exec"),
}


def test_everything_that_decides_it_is_in_its_name(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: folder_of(made, store) for name, made in CHANGES.items()} | {"as it is": folder_of(MADE, store)}
    assert len(set(folders.values())) == len(folders)
    secret = folder_of(replace(MADE, teachers=(Endpoint("m", "http://me:word@a/v1?key=1"),)), store)
    assert secret == folders["server"]
    rows = store / "benchmarks" / "mbpp.jsonl"
    rows.write_text(rows.read_text().replace("Add 1", "Add one"))
    assert folder_of(MADE, store) not in folders.values()
    monkeypatch.setattr("experiments.plan.sources.MAKE_VERSION", 2)
    assert folder_of(MADE, store) not in folders.values()


REFUSED: dict[str, tuple[Study, str]] = {
    "no arm 'none'": (
        reading(replace(MADE, student=FromStage(STUDY, "none"))),
        "has no arm 'none'; its arms are text-only",
    ),
    "no seed 7": (
        reading(replace(MADE, student=FromStage(STUDY, "text-only", seed=7))),
        "has no seed 7; its seeds are",
    ),
    "no stage 2": (reading(replace(MADE, student=FromStage(STUDY, "text-only", 2))), "has 2 stages, from 0 on"),
    "no step": (reading(replace(MADE, student=FromStage(STUDY, "text-only", step=999))), "ends at step "),
    "no task": (reading(replace(MADE, task="boolq")), "task 'boolq' executes no programs; choose one of"),
    "alone": (reading(replace(MADE, samples=1, teachers=())), "one answer to a problem cannot be ranked"),
    "cold": (reading(replace(MADE, temperatures=())), "there are no temperatures"),
    "no source": (replace(STUDY, made=(MADE,)), "makes source 'taught', which its data do not have"),
    "scored": (
        replace(reading(MADE), evaluation=replace(STUDY.evaluation, executed=("mbpp_exec",))),
        "is made of the problems of 'mbpp_exec', by which study 'reads' is scored",
    ),
    "not trained": (
        reading(replace(MADE, student=FromStage(replace(study(7), name="next"), "text-only"))),
        "arm 'text-only' of study 'next' is to answer and is not trained; first `ablate run next`",
    ),
}


@pytest.mark.parametrize("slip", REFUSED)
def test_a_slip_is_named_before_anything_is_asked(slip: str, store: Path) -> None:
    declared, said = REFUSED[slip]
    with pytest.raises(UserError) as refused:
        make(declared, store)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (store / "made").exists()


def test_without_a_sandbox_nothing_is_asked_and_nothing_written(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "BWRAP", str(store / "none"))
    monkeypatch.setenv("PATH", str(store))
    with pytest.raises(Failure, match=r"^source 'taught': no sandbox: bubblewrap is not installed"):
        make(reading(MADE), store)
    assert not (store / "made").exists()
