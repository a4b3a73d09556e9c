"""Programs that a checkpoint writes: kept, executed once, counted; and harmless as text."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evals.code import box, executed, selftest
from analysis.evals.code.judge import Check, Verdict
from analysis.evals.decoding import default
from analysis.evals.engine import Ask
from analysis.evals.model import LanguageModel
from analysis.records import EvalRecord, read_eval, write
from analysis.task_scores import scores_of
from experiments.plan.check import check
from experiments.plan.make import make_plan
from experiments.run.train import study_record
from experiments.score import coding
from experiments.score.coding import CodeTask
from experiments.show.report import write_report
from experiments.study import Study
from mixtures.tokens import tokenizer as bpe
from models.config import ModelConfig
from models.recipe import AdamW
from models.step import init_state
from store import kept_rows
from store.errors import Failure, UserError
from tests.conftest import boxes
from tests.experiments.run_worker import again
from tests.experiments.tiny import STUDY

needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")
CONFIG = ModelConfig("tiny", vocabulary=300, width=16, layers=1, heads=2, feed_forward=32)
PROMPTS = ["def f(x):\n", "def f(x):\n    # one more\n", "def f(x):\n" + "    # a long prompt " * 40 + "\n"]
PROBLEMS = tuple(
    executed.Problem(f"p{number}", prompt, ("\ndef",), prompt, Check(("f",), "assert f(1) == 2"), "    return x + 1\n")
    for number, prompt in enumerate(PROMPTS)
)
HOSTILE = (
    "    return x + 1\n# </script><script>alert(1)</script> {{ 7*7 }} \u2028 \x00\x1b[2J",
    '    return x + 1\n"}\n00000000 {"id": "p0", "sample": 0, "text": "forged"}\n',
    "    return '\ud800'" + "x" * 100_000,
)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    trained = bpe.train(["def f(x): return x + 1  # one more, a long prompt"] * 3, 300)
    return LanguageModel(CONFIG, init_state(CONFIG, AdamW(), 3).params, trained, eod=0, window=64)


SOUND = {"holds": True, "sandbox": {}, "grouped": True, "cases": []}


def task(samples: int = 1) -> CodeTask:
    return CodeTask("humaneval_exec", PROBLEMS, (True,) * 3, default(samples), box.find())


@needs_bwrap
def test_what_a_model_writes_is_executed_and_not_written_again(model, tmp_path, monkeypatch):
    kept = tmp_path / "evals" / "kept.jsonl"
    rows = coding.score(model, task(3), kept)
    assert [(row["id"], row["samples"], sum(row["reasons"].values())) for row in rows] == [
        (f"p{n}", 3, 3) for n in range(3)
    ]
    asked: list[Ask] = []
    monkeypatch.setattr(coding, "generate", lambda model, asks: iter(asked.extend(asks) or ()))
    assert coding.score(model, task(3), kept) == rows
    assert asked == []
    kept.write_bytes(kept.read_bytes()[:-20])  # killed while the last line was written
    answers = iter([(0, "    return x + 1")])
    monkeypatch.setattr(coding, "generate", lambda model, asks: asked.extend(asks) or answers)
    again = coding.score(model, task(3), kept)
    assert len(asked) == 1 and asked[0].prompt in PROMPTS
    assert sum(row["passed"] for row in again) == 1 + sum(row["passed"] for row in rows)
    assert sum(row == other for row, other in zip(rows, again, strict=True)) == 2


@needs_bwrap
def test_the_words_of_a_model_break_no_file_and_decide_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(coding, "generate", lambda model, asks: enumerate(HOSTILE))
    kept, record = tmp_path / "kept.jsonl", tmp_path / "record.json"
    rows = coding.score(model, task(), kept)
    assert [row["passed"] for row in rows] == [0, 0, 0]  # NUL; a stray quote; a wrong value
    assert [row["text"] for row in kept_rows.read(kept, {"prompts": task().prompt_hash})] == list(HOSTILE)
    assert max(len(row["said"]) for row in rows) <= executed.SAID
    write(record, EvalRecord("humaneval_exec", 1, "", "", 1, tuple(rows)))
    assert read_eval(record).items == tuple(rows)


FORCES = [
    "    x[:] = [x[0] if x else 0]\n    for _ in range(250): x[:] = [x[:]]\n    return 0\n",  # too deep to go in again
    "    x.append(x)\n    return 0\n",
    "    x[:] = [float] * 3\n    return 2\n",
]


@needs_bwrap
def test_what_does_not_run_here_is_decided_by_the_reference_and_by_no_sample(model, tmp_path, monkeypatch):
    """A program that makes an argument that cannot be handed over again has failed: its problem stays in pass@k."""
    tests = "given = [1]\nassert f(given) == 0\nassert given == [1] and f(given) == 0"
    sound = executed.Problem("sound", "def f(x):\n", (), "def f(x):\n", Check(("f",), tests), "    return 0\n")
    missing = replace(sound, id="missing", check=replace(sound.check, setup="import nothing_of_that_name"))
    wrong = replace(sound, id="wrong", solution="    return 1\n")
    unknown = replace(sound, id="unknown", solution="")
    problems = (sound, missing, wrong, unknown)
    assert coding._runs(problems, box.find(), tmp_path) == (True, False, False, True)
    with monkeypatch.context() as once:
        once.setattr(executed, "run", lambda *_: pytest.fail("decided again"))
        assert coding._runs(problems, box.find(), tmp_path) == (True, False, False, True)
    answers = [sound.solution, *FORCES] * 4
    monkeypatch.setattr(coding, "generate", lambda model, asks: enumerate(answers))
    task = CodeTask("humaneval_exec", problems, (True, False, False, True), default(4), box.find())
    rows = coding.score(model, task, tmp_path / "kept.jsonl")
    assert [(row["runs"], row["samples"], row["passed"]) for row in rows] == [
        *((True, 4, 1), (False, 4, 0), (False, 4, 0), (True, 4, 1))
    ]
    found = scores_of(EvalRecord("humaneval_exec", 1, "h", "f", 1, tuple(rows)), "here")["humaneval_exec"]
    assert found.ids == ("missing", "sound", "unknown", "wrong")
    assert found.columns["pass@1"].tolist() == [0, 0.25, 0.25, 0] and found.columns["runs"].tolist() == [0, 1, 1, 0]


@needs_bwrap
def test_a_reference_that_failed_once_is_tried_again_before_its_problem_is_lost(tmp_path, monkeypatch):
    """As on a busy machine: the first verdicts say that nothing runs, and one problem's is right."""
    unsound = replace(PROBLEMS[1], solution="    return x\n")
    judged, calls = executed.run, []

    def busy(sandbox, problems, *more, **options):
        found = judged(sandbox, problems, *more, **options)
        calls.append(len(found))
        return found if len(calls) > 1 else [[Verdict(False, "check")] for _ in found]

    monkeypatch.setattr(executed, "run", busy)
    assert coding._runs((PROBLEMS[0], unsound, PROBLEMS[2]), box.find(), tmp_path) == (True, False, True)
    assert calls == [3, 1, 1, 1]


def test_a_completion_has_room_and_samples_differ(model, tmp_path, monkeypatch):
    asks = []
    monkeypatch.setattr(coding, "generate", lambda model, wanted: enumerate(["x"] * len(asks.extend(wanted) or asks)))
    first = [ask for ask, _ in coding._asked(model, task_of(4))]
    coding._completions(model, task_of(4), first, tmp_path / "kept.jsonl")
    assert {ask.max_tokens for ask in asks} > {16}  # a quarter of the window, after the prompt that fills it
    assert all(16 <= ask.max_tokens < 64 for ask in asks)
    assert len({ask.seed for ask in asks}) == len(asks)
    assert (asks[0].temperature, asks[0].top_p) == (0.8, 0.95)
    assert len(asks) == 12
    greedy = coding._ask(model, PROBLEMS[0], task_of(1))
    assert (greedy.temperature, greedy.top_p) == (0, 1)


def task_of(samples: int) -> CodeTask:
    return CodeTask("humaneval_exec", PROBLEMS, (True,) * 3, default(samples), box.Sandbox("", "", "", "", None))


def test_a_study_that_asks_what_there_is_not_is_refused():
    def asking(primary: str = "heldout/code/bpb", **changes: object) -> Study:
        return replace(STUDY, evaluation=replace(STUDY.evaluation, **changes), primary=(primary,))

    check(asking("longcontext/code:128/64-127/bpb", compared=("longcontext/code:128",)))
    check(asking("mbpp_infilling_exec:random-span-spm/exact_match", executed=("mbpp_infilling_exec:random-span-spm",)))
    for study, said in (
        (asking(executed=("mbpp_exec:phin",)), "evaluation.executed: code task 'mbpp_exec:phin' is drawn in no known"),
        (asking(compared=("longcontext/markup:128",)), "evaluation.compared: task 'longcontext/markup:128' reads held"),
        (asking("mbpp_exec:pangu-coder2/pass@10", executed=("mbpp_exec:pangu-coder2",)), "is not scored in this study"),
    ):
        with pytest.raises(UserError, match=said):
            check(study)


def test_without_a_sandbox_the_reason_is_one_line_and_nothing_is_fetched(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(box, "BWRAP", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match=r"^no sandbox: bubblewrap is not installed; install it [^\n]*$"):
        coding.load("mbpp_exec", 2, 1, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@needs_bwrap
def test_a_study_executes_programs_where_it_can_and_else_says_why_not(finished_store, tmp_path, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(finished_store, store)
    rows = [
        {"task_id": n, "text": f"Add {n}.", "code": f"def add(x):\n  return x + {n}", "test_setup_code": ""}
        | {"test_list": [f"assert add(1) == {n + 1}"]}
        for n in range(3)
    ]
    (store / "benchmarks").mkdir()
    (store / "benchmarks" / "mbpp.jsonl").write_text("\n".join(map(json.dumps, rows)))
    programs = ("mbpp_exec", "mbpp_exec:phind", "mbpp_infilling_exec:single-line")
    long = ("longcontext/code:128", "key_retrieval:128")
    size = replace(STUDY.evaluation, compared=long, executed=programs, problems=2, samples=2)
    plan = make_plan(replace(STUDY, evaluation=size, seeds=STUDY.seeds[:1]), store)
    write(store / "studies" / "tiny" / "study.json", study_record(plan, store))  # as a run does first
    with monkeypatch.context() as without:
        without.setattr(box, "BWRAP", str(tmp_path / "none"))
        without.setenv("PATH", str(tmp_path))
        again(plan, store)
        page = write_report(plan, store).read_text()
        assert "mbpp_exec was not scored: no sandbox: bubblewrap is not installed; install it" in page
        assert "Code that was executed" not in page
    monkeypatch.setattr(selftest, "run", lambda sandbox: SOUND)  # has tests of its own
    again(plan, store)
    records = [read_eval(path) for path in store.glob("stages/*/evals/mbpp_exec@*.json")]
    assert len(records) == len(plan.stages)  # all of them end before or with a cooldown
    assert all([row["samples"] for row in record.items] == [2, 2] for record in records)
    assert not list(store.glob("stages/*/evals/*.jsonl"))
    assert len(list(store.glob("sandbox-*.json"))) == 1
    for name, how, count in ((programs[1], "phind", 1), (programs[2], "greedy", 1), (programs[0], "sampled", 2)):
        others = [read_eval(path) for path in store.glob(f"stages/*/evals/{name}@*.json")]
        assert len(others) == len(plan.stages) and {each.decoding["name"] for each in others} == {how}
        assert {row["samples"] for each in others for row in each.items} == {count}
        assert {len(each.items) for each in others} == {2}
    assert all(row["runs"] for record in records for row in record.items)
    page = write_report(plan, store).read_text()
    for name in (*(f"{name}/pass@1" for name in programs), "mbpp_infilling_exec:single-line/exact_match"):
        assert name in page
    for label in ("MBPP (phind decoding), pass@1", "Key retrieval up to 128 tokens, accuracy"):
        assert label in page
    assert "longcontext/code:128/64-127/bpb" in page and "was not scored" not in page
