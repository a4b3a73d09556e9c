"""Holes in solutions: which there are, how they are shown, what fills them; and the names and presets of programs."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from analysis import metrics
from analysis.evals import decoding, filling
from analysis.evals.code import box, executed, infilling
from analysis.evals.code.judge import Check
from analysis.evals.engine import generate, token_nats, too_long
from analysis.evals.executed_tasks import executed_task, is_executed, row_of
from analysis.records import EvalRecord
from analysis.task_scores import scores_of
from experiments.score import coding
from experiments.score.coding import CodeTask
from mixtures.benchmarks import load as benchmarks
from mixtures.tokens import fim
from mixtures.tokens import tokenizer as bpe
from store.errors import Failure, UserError
from tests.analysis import language
from tests.conftest import boxes

needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")
DOWNLOADS = Path(__file__).parents[2] / "runs" / "downloads"
HEAD = 'def f(x):\n    """One more, not below 1."""\n'
SOLUTION = "    y = x + 1\n\n    if y < 1:\n        return 1\n    return y\n"
TESTS = "assert f(1) == 2\nassert f(-5) == 1"
PROBLEM = executed.Problem("Made/7", HEAD, ("\ndef",), HEAD, Check(("f",), TESTS), SOLUTION)
SHORT = replace(PROBLEM, id="Made/8", solution="    return max(1, x + 1)\n")


def test_every_hole_and_what_is_around_it_are_the_program():
    for kind in infilling.HOLES:
        holes = infilling.holes(kind, [PROBLEM, SHORT])
        for hole in holes:
            whole = PROBLEM if hole.base == PROBLEM.id else SHORT
            assert hole.prefix + hole.middle + hole.suffix == whole.prompt + whole.solution
            assert hole.problem.head + hole.problem.solution == whole.head + whole.solution
            assert hole.middle and hole.problem.check == whole.check
        assert len({hole.problem.id for hole in holes}) == len(holes)


def test_there_are_as_many_as_in_the_published_sets_rule():
    """Lines that are not blank, runs between two of them, and ten spans; of HumanEval 1,033, 5,815 and 1,640."""
    counts = {kind: Counter(h.base for h in infilling.holes(kind, [PROBLEM, SHORT])) for kind in infilling.HOLES}
    assert counts == {
        "single-line": {"Made/7": 4, "Made/8": 1},
        "multi-line": {"Made/7": 10, "Made/8": 1},
        "random-span": {"Made/7": 10, "Made/8": 10},
    }
    assert [h.middle for h in infilling.holes("single-line", [PROBLEM])][1:3] == ["    if y < 1:", "        return 1"]
    assert "    y = x + 1\n\n    if y < 1:" in [h.middle for h in infilling.holes("multi-line", [PROBLEM])]


@pytest.mark.network
def test_humaneval_has_the_published_number_of_holes():
    problems = [executed.humaneval(item) for item in benchmarks.load("humaneval", DOWNLOADS)]
    sizes = {kind: len(infilling.holes(kind, problems)) for kind in infilling.HOLES}
    assert sizes == {"single-line": 1_033, "multi-line": 5_815, "random-span": 1_640}


def test_spans_are_anywhere_and_the_same_each_time():
    many = [replace(PROBLEM, id=f"Made/{n}") for n in range(300)]
    spans = [place for problem in many for place in infilling.random_span(problem)]
    assert spans == [place for problem in many for place in infilling.random_span(problem)]
    size = len(SOLUTION)
    starts, ends = np.array([[start, end] for _, start, end in spans]).T
    assert (starts < ends).all() and starts.min() == 0 and ends.max() == size
    # Two places drawn uniformly are a third of the whole apart, and lie at a third and at two thirds of it.
    for found, expected in ((starts.mean(), size / 3), (ends.mean(), 2 * size / 3)):
        assert found == pytest.approx(expected, abs=5 * size * (1 / 18 / len(spans)) ** 0.5 + 1)


@pytest.fixture(scope="module")
def wide():
    """Its window takes the whole problem."""
    return replace(language.model(), window=400)


def test_a_model_is_shown_what_it_was_trained_on(wide, tmp_path: Path):
    bpe.save(wide.tokenizer, tmp_path / "tokenizer.json")
    encoder = bpe.encoder(tmp_path / "tokenizer.json")
    for suffix_first in (False, True):
        for hole in infilling.holes("single-line", [PROBLEM], suffix_first):
            ((ids, cut),) = filling.prompts(wide, [hole], [390])
            # With the suffix first training encodes prefix and middle as one text, and the prompt ends before the hole.
            middle = [] if suffix_first else wide.encoded([hole.middle])[0]
            pieces = fim.Pieces(hole.prefix, "" if suffix_first else hole.middle, hole.suffix, suffix_first)
            assert [*ids, *middle] == fim.permuted(encoder, [pieces])[0].tolist()
            assert not cut


def test_what_is_nearest_to_a_hole_is_shown_where_not_all_is(wide):
    (hole,) = [h for h in infilling.holes("single-line", [PROBLEM]) if h.middle == "        return 1"]
    marks = fim.marks(wide.tokenizer)
    before, after = wide.encoded([hole.prefix, hole.suffix])
    assert len(after) < len(before)
    for room in (3, 4, 20, 3 + len(before) + len(after), 300):
        ((ids, cut),) = filling.prompts(wide, [hole], [room])
        prefix, suffix = list(ids[1:-1])[: ids.index(marks[2]) - 1], list(ids[ids.index(marks[2]) + 1 : -1])
        assert (ids[0], ids[-1]) == (marks[0], marks[1]) and len(ids) <= room
        assert prefix == before[len(before) - len(prefix) :] and suffix == after[: len(suffix)]
        assert cut == (len(prefix) + len(suffix) < len(before) + len(after)) == (room < 3 + len(before) + len(after))


def test_what_was_in_a_hole_is_scored_after_what_is_shown(wide):
    holes = infilling.holes("single-line", [SHORT])
    (row,) = filling.gold(wide, holes)
    ((ids, _),) = filling.prompts(wide, holes, [390])
    middle = wide.encoded([holes[0].middle])[0]
    text = wide.tokenizer.decode([*ids, *middle], skip_special_tokens=False)
    wide.tokenizer.encode_special_tokens = False  # so that the marks in the text are the tokens
    try:
        assert wide.encoded([text])[0] == [*ids, *middle]
        ((_, nats_T),) = token_nats(wide, [((wide.eod, *ids, *middle), 1)])
    finally:
        wide.tokenizer.encode_special_tokens = True
    assert row["nats"] == pytest.approx(nats_T[-len(middle) :].sum(), abs=1e-4)
    assert (row["bytes"], row["cluster"]) == (len(holes[0].middle), "Made/8")


def test_a_prompt_of_ids_is_continued_as_its_text_is():
    model = language.model()
    for ask in language.ASKS:
        as_ids = replace(ask, prompt=tuple(language.encode(ask.prompt)))
        assert dict(generate(model, [as_ids])) == dict(generate(model, [ask]))
        assert too_long(model, [as_ids]) == too_long(model, [ask])


def test_a_tokenizer_without_marks_cannot_be_asked():
    plain = replace(language.model(), tokenizer=type(language.model().tokenizer).from_str(_without_marks()))
    with pytest.raises(Failure, match=r"^infilling cannot be asked: the tokenizer has no <fim-prefix>"):
        filling.prompts(plain, infilling.holes("single-line", [PROBLEM]), [99] * 4)


def _without_marks() -> str:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.BPE({"a": 0}, [])).to_str()


def task(holes: list[infilling.Hole], name: str = "humaneval_infilling_exec:single-line") -> CodeTask:
    problems, runs = tuple(hole.problem for hole in holes), (True,) * len(holes)
    return CodeTask(name, problems, runs, decoding.default(1), box.find(), tuple(holes))


@needs_bwrap
def test_what_was_there_passes_and_what_is_wrong_does_not(wide, tmp_path, monkeypatch):
    holes = infilling.holes("single-line", [PROBLEM])
    answers = [" y = 1 + x  ", holes[1].middle, "        return 2", f"{holes[3].middle} \n    garbage("]
    answers[0] = f"   {answers[0]}"
    monkeypatch.setattr(coding, "generate", lambda model, asks: enumerate(answers))
    rows = coding.score(wide, task(holes), tmp_path / "kept.jsonl")
    assert [(row["passed"], row["exact"]) for row in rows] == [(1, 0), (1, 1), (0, 0), (1, 1)]
    assert {row["cluster"] for row in rows} == {"Made/7"}
    record = EvalRecord("humaneval_infilling_exec:single-line", 1, "h", "f", 1, tuple(rows))
    found = scores_of(record, "here")
    values = {m.name.rpartition("/")[2]: metrics.value(m, found) for m in metrics.metrics_for(found)}
    assert (values["pass@1"], values["exact_match"]) == (0.75, 0.5)
    assert values["gold_bpb"] > 0


@needs_bwrap
def test_fillings_are_kept_and_not_written_again(wide, tmp_path, monkeypatch):
    holes = infilling.holes("random-span", [SHORT])
    monkeypatch.setattr(coding, "PORTION", 3)
    its = task(holes, "humaneval_infilling_exec:random-span")
    its = replace(its, decoding=replace(its.decoding, new_tokens=6))
    whole = coding.score(wide, its, tmp_path / "whole.jsonl")
    asked = []

    def killed(model, asks):
        asked.append(len(asks))
        for number, (n, text) in enumerate(generate(model, asks)):
            if number == 5 and len(asked) == 1:
                raise KeyboardInterrupt
            yield n, text

    monkeypatch.setattr(coding, "generate", killed)
    kept = tmp_path / "kept.jsonl"
    with pytest.raises(KeyboardInterrupt):
        coding.score(wide, its, kept)
    assert coding.score(wide, its, kept) == whole
    assert asked == [10, 7]  # the portion that was whole is not written again


def test_names_of_programs_and_their_presets():
    phind = executed_task("humaneval_exec:phind").preset
    assert (phind.temperature, phind.top_p, phind.top_k, phind.new_tokens) == (0.1, 0.75, 40, 256)
    its = executed_task("mbpp_infilling_exec:multi-line-spm")
    assert (its.task, its.holes, its.suffix_first) == ("mbpp_exec", "multi-line", True)
    for name, said in (
        ("humaneval_exec:phin", "known are paper, code-llama"),
        ("humaneval_infilling_exec", "humaneval_infilling_exec:single-line"),
        ("humaneval_infilling_exec:phind", "no known kind of hole"),
        ("nothing_exec", "known are humaneval_exec"),
    ):
        with pytest.raises(UserError, match=said):
            executed_task(name)
    assert not is_executed("humaneval") and not is_executed("boolq:plain")
    assert row_of("humaneval_infilling_exec:single-line", "HumanEval/0/L3") == "HumanEval/0"
    assert row_of("humaneval_exec:phind", "HumanEval/0") == "HumanEval/0"


def test_a_preset_decides_what_is_asked_and_another_is_another_task():
    def hash_of(name: str, how: decoding.Decoding, problem: executed.Problem = PROBLEM) -> str:
        return CodeTask(name, (problem,), (True,), how, box.Sandbox("", "", "", "", None)).prompt_hash

    presets = decoding.PRESETS
    hashes = {hash_of(f"humaneval_exec:{name}", preset) for name, preset in presets.items()}
    hashes |= {hash_of("humaneval_exec", decoding.default(n)) for n in (1, 5)}
    assert len(hashes) == len(presets) + 2
    without = json.dumps([[asdict(PROBLEM)], 5, {"temperature": 0.8, "top_p": 0.95}, 512])  # as before there were any
    assert hashlib.sha256(without.encode()).hexdigest()[:16] in hashes
    posed = decoding.posed(PROBLEM, presets["phind-task"])
    assert (posed.prompt, posed.stops, posed.head) == (f"{HEAD}\n: ", ("\n\n\n",), HEAD)
    assert executed.extract(posed, "    return 2\n\n    pass\n\n\nrest") == "    return 2\n\n    pass"


def test_metrics_are_those_of_the_preset_and_say_which():
    tasks = ("humaneval_exec", "humaneval_exec:phind", "humaneval_exec:pangu-coder2-many", "boolq")
    found = {m.name: m.label for m in metrics.metrics_for(tasks) if "_exec" in m.name}
    assert found == {
        "humaneval_exec/pass@1": "HumanEval (exec), pass@1",
        "humaneval_exec/pass@10": "HumanEval (exec), pass@10",
        "humaneval_exec/pass@100": "HumanEval (exec), pass@100",
        "humaneval_exec:pangu-coder2-many/pass@10": "HumanEval (pangu-coder2-many decoding), pass@10",
        "humaneval_exec:pangu-coder2-many/pass@100": "HumanEval (pangu-coder2-many decoding), pass@100",
        "humaneval_exec:phind/pass@1": "HumanEval (phind decoding), pass@1",
    }
