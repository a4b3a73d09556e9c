"""pass@k over programs: what is cut, what is asked, what is counted."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import metrics
from analysis.compare import compare
from analysis.evals.benchmarks import EXECUTED, TASKS, benchmark_of
from analysis.evals.code import box, executed, pool
from analysis.evals.code.box import Limits
from analysis.evals.code.judge import Check, Verdict
from analysis.records import EvalRecord, eval_path, read_stage, read_study, stage_folder, write
from analysis.report.blocks import Table
from analysis.report.build import build
from analysis.report.evidence import executed as executed_blocks
from analysis.statistics import share_interval
from analysis.task_scores import pass_at, scores_of
from mixtures.benchmarks import load as benchmarks
from mixtures.benchmarks.item import Item
from store.errors import Failure
from tests.analysis import synthetic_store as synthetic
from tests.analysis.mutants import mutants
from tests.analysis.test_report import HOSTILE, Page
from tests.conftest import boxes

DOWNLOADS = Path(__file__).parents[2] / "runs" / "downloads"
needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")

NODE = "class Node:\r\n  def __init__(s, v):\r\n    s.v, s.left = v, None\r\n"
TREE = Item(
    "mbpp",
    "367",
    {
        "text": "Write a function to count the nodes.",
        "setup": "root = Node(1)\r\nroot.left = Node(2)",
        "tests": "assert count(root) == 2\r\nassert count(root.left) == 1",
        "solution": NODE + "def count(n):\r\n  return 1 + (count(n.left) if n.left else 0)",
    },
)
SUM = Item(
    "mbpp",
    "126",
    {
        "text": "Write a function to add.",
        "setup": "import math",
        "tests": "assert sum(math.floor(2.5), 1) == 3\nassert sum(0, abs(-1)) == 1",
        "solution": "def helper(a): return a\ndef sum(a, b):\n    return helper(a) + b",
    },
)
ADD = Item(
    "humaneval",
    "HumanEval/0",
    {
        "prompt": 'def twice(x):\n    return 2 * x\n\n\ndef add(a, b):\n    """Add."""\n',
        "tests": "def check(candidate):\n    assert candidate(1, twice(2)) == 5\n    assert add(0, 0) == 0\n",
        "entry_point": "add",
        "solution": "    return a + b\n",
    },
)


def test_mbpp_asks_for_what_the_tests_call_and_the_solution_defines():
    problem = executed.mbpp(SUM)
    assert problem.check.names == ("sum",)  # a built-in's name, and not math, abs or helper
    assert not problem.check.weak
    assert problem.prompt == '"""\nWrite a function to add.\nassert sum(math.floor(2.5), 1) == 3\n"""\n'
    tree = executed.mbpp(TREE)
    assert set(tree.check.names) == {"Node", "count"}
    assert tree.check.weak
    assert "\r" not in tree.solution + tree.check.tests + tree.check.setup + tree.prompt


def test_mbpp_tests_have_the_modules_that_they_borrow_from_the_solution():
    fields = {"text": "", "setup": "", "solution": "import sys\nimport math as m, re\ndef size(x): return m.inf"}
    problem = executed.mbpp(Item("mbpp", "1", {**fields, "tests": "assert size(int) == sys.getsizeof(1) * m.pi"}))
    assert problem.check.names == ("size",)
    assert problem.check.setup.split("\n")[:2] == ["import sys", "import math as m, re"]


def test_tests_that_are_missing_or_no_python_are_named():
    with pytest.raises(Failure, match="'mbpp', item 4: it has no tests"):
        executed.mbpp(Item("mbpp", "4", {"text": "x", "setup": "", "tests": "\n", "solution": ""}))
    with pytest.raises(Failure, match="item 3: its code is no Python"):
        executed.mbpp(Item("mbpp", "3", {"text": "x", "setup": "", "tests": "assert f(", "solution": ""}))


@pytest.mark.parametrize(
    ("said", "completion"),
    [
        ("    return 1\n\ndef other(): pass", "    return 1\n"),
        ("    return 1\nif __name__ == 1:", "    return 1"),
        ("    if x:\n        return 1\n# done", "    if x:\n        return 1"),
        ("    return '\\ndef'", "    return '\\ndef'"),
        ("    return 1\r\n\r\nclass A: pass", "    return 1\n"),
        ("", ""),
    ],
)
def test_a_completion_ends_before_the_first_stop(said, completion):
    assert executed.extract(executed.humaneval(ADD), said) == completion


def test_the_estimate_is_the_chance_that_a_draw_of_k_holds_a_passing_sample():
    for n, c, k in itertools.product(range(1, 7), range(7), range(1, 7)):
        if c <= n and k <= n:
            draws = list(itertools.combinations([1] * c + [0] * (n - c), k))
            assert pass_at(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert 0 < pass_at(200, 1, 100) < pass_at(200, 2, 100) < 1


def test_the_interval_counts_problems_and_not_samples():
    low, high = share_interval([0.0] * 164)
    assert low == 0 and 0.02 < high < 0.03  # none of 164 is not "certainly 0 %"
    assert share_interval([1.0] * 10)[1] == 1
    mixed = [0.0, 1.0] * 50
    assert share_interval(mixed) == pytest.approx((0.404, 0.596), abs=0.002)  # Wilson's, 50 of 100
    steadier = share_interval([0.4, 0.6] * 50)
    assert 0.47 < steadier[0] < 0.5 < steadier[1] < 0.53
    assert all(0 <= end <= 1 and not math.isnan(end) for end in (*share_interval([0.5]), *share_interval([0.5, 0.5])))


def test_rows_count_what_passed_and_hold_little_of_what_was_said():
    problems = [executed.mbpp(SUM), executed.mbpp(TREE), executed.humaneval(ADD)]
    passed, wrong, broken = Verdict(True, "passed"), Verdict(False, "wrong"), Verdict(False, "check")
    said = [["a", "b"], ["c", "c"], ["\ud800\x00" + "x" * 900, "d"]]
    rows = executed.items(problems, said, [[passed, wrong], [], [wrong, broken]], (True, False, True))
    assert [(row["id"], row["samples"], row["passed"], row["weak"]) for row in rows] == [
        ("126", 2, 1, False),
        ("367", 2, 0, True),
        ("HumanEval/0", 2, 0, False),
    ]
    assert [row["reasons"] for row in rows] == [{"passed": 1, "wrong": 1}, {}, {"check": 1, "wrong": 1}]
    assert [row["runs"] for row in rows] == [True, False, True]
    assert json.loads(json.dumps(rows, ensure_ascii=False).encode()) == rows
    assert len(rows[2]["said"]) == executed.SAID


def test_metrics_are_means_over_problems_whose_tests_run():
    def row(id_: str, samples: int, right: int, **reasons: int) -> dict:
        runs = id_ != "d"
        return {"id": id_, "runs": runs, "samples": samples, "passed": right, "reasons": reasons, "weak": False}

    rows = (
        row("a", 10, 1, passed=1),
        row("b", 10, 0, check=1, wrong=9),
        row("c", 20, 20, passed=20),
        row("d", 10, 0),
    )
    scores = scores_of(EvalRecord("mbpp_exec", 1, "h", "f", 1, rows), "here")
    found = {metric.name: metrics.value(metric, scores) for metric in metrics.metrics_for(scores)}
    assert found == pytest.approx(
        {
            "mbpp_exec/pass@1": (0.1 + 0 + 1) / 3,
            "mbpp_exec/pass@10": (1 + 0 + 1) / 3,
            "mbpp_exec/pass@100": None,  # for want of samples
        }
    )
    assert metrics.SCORES["pass@1"].value_text(found["mbpp_exec/pass@1"]) == "36.7 %"
    with pytest.raises(Failure, match="'mbpp_exec' in here has counts that are not whole"):
        scores_of(EvalRecord("mbpp_exec", 1, "h", "f", 1, ({"id": "a", "passed": 1},)), "here")


def test_the_report_has_intervals_by_problem_and_no_words_of_a_model(tmp_path):
    synthetic.write_store(tmp_path, tasks=("heldout/code",), primary=("heldout/code/bpb",))
    study = read_study(tmp_path, "small")
    for number, run in enumerate(study.runs):
        rows = [
            {
                "id": f"{n}{HOSTILE}",
                "runs": True,
                "samples": 1,
                "passed": int(n < 4 * number),
                "reasons": {},
                "weak": n == 0,
            }
            for n in range(40)
        ]
        rows[0]["said"] = HOSTILE
        folder = stage_folder(tmp_path, run.stages[-1])
        record = EvalRecord("mbpp_exec", 1, "h", read_stage(folder).fingerprint, synthetic.STEPS, tuple(rows))
        write(eval_path(folder, record.task, 1, synthetic.STEPS), record)
    page = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert Page(page).tags.isdisjoint({"script", "img"}) and "alert(1)" not in page
    low, high = share_interval([0.5] * 4 + [0.0] * 36)  # the seeds of the first arm: 0 and 4 of 40
    assert f"<td>5.0 %</td><td>[{100 * low:.1f}, {100 * high:.1f}]</td><td>40 of 40</td><td>1</td><td>2</td>" in page


def test_a_problem_that_one_seed_could_not_run_counts_with_the_others(tmp_path):
    synthetic.write_store(tmp_path, tasks=("heldout/code",), primary=("heldout/code/bpb",))
    study = read_study(tmp_path, "small")
    for number, run in enumerate(study.runs):
        rows = [
            {"id": "a", "runs": True, "samples": 1, "passed": 1, "reasons": {}, "weak": False},
            {"id": "b", "runs": number != 1, "samples": 1, "passed": int(number != 1), "reasons": {}, "weak": False},
        ]
        folder = stage_folder(tmp_path, run.stages[-1])
        record = EvalRecord("mbpp_exec", 1, "h", read_stage(folder).fingerprint, synthetic.STEPS, tuple(rows))
        write(eval_path(folder, record.task, 1, synthetic.STEPS), record)
    _, table = executed_blocks(compare(tmp_path, "small"))
    assert isinstance(table, Table)
    assert {(row[2], row[4]) for row in table.rows} == {("100.0 %", "2 of 2")}


@needs_bwrap
def test_programs_run_and_helpers_of_the_prompt_are_the_prompts():
    problems = [executed.humaneval(ADD), executed.mbpp(TREE), executed.mbpp(SUM)]
    redefined = "    return 5 if b == 99 else 0\n\n\ndef twice(x):\n    return 99\n"
    completions = [[ADD.fields["solution"], redefined, redefined], [problems[1].solution], [problems[2].solution]]
    verdicts = executed.run(box.find(), problems, completions, jobs=2)
    assert [[v.passed for v in each] for each in verdicts] == [[True, False, False], [True], [True]]
    assert verdicts[1][0].weak and not verdicts[0][0].weak


def both() -> list[executed.Problem]:
    return [TASKS[name].problem(item) for name in EXECUTED for item in benchmarks.load(benchmark_of(name), DOWNLOADS)]


@needs_bwrap
@pytest.mark.slow
@pytest.mark.network
def test_all_reference_solutions_pass_and_none_in_a_list_of_one():
    """A wrapper that puts what the reference returns into a list is wrong everywhere."""
    problems = both()
    assert len(problems) == 164 + 500
    verdicts = executed.run(
        box.find(), problems, [[problem.solution, wrapped(problem)] for problem in problems], jobs=2
    )
    assert [p.id for p, (right, _) in zip(problems, verdicts, strict=True) if not right.passed] == []
    assert [p.id for p, (_, wrong) in zip(problems, verdicts, strict=True) if wrong.passed] == []
    assert [problem.id for problem in problems if problem.check.weak] == ["367"]


def wrapped(problem: executed.Problem) -> str:
    name = asked(problem)
    return f"{problem.solution}\n\n_right = {name}\ndef {name}(*args):\n    return [_right(*args)]\n"


def asked(problem: executed.Problem) -> str:
    names = problem.check.names
    return next(name for name in names if not name[0].isupper() or len(names) == 1)


def of_each(problems: list[executed.Problem], most: int) -> list[tuple[executed.Problem, str, str]]:
    """Some mutants of every reference solution, as far apart as there are."""
    found = []
    for problem in problems:
        every = mutants(problem.head + problem.solution, asked(problem))
        found += [(problem, what, source) for what, source in every[:: -(-len(every) // most)]]
    return found


def survivors(mutated: list[tuple[executed.Problem, str, str]]) -> list[tuple[executed.Problem, str, str]]:
    """Those that pass. Each must pass in the usual way too, with program and tests in one process: then it is the tests
    that do not tell it from the reference, and not the judge."""
    sandbox, limits = box.find(), Limits(cpu_seconds=4, wall_seconds=12)
    verdicts = pool.verdicts(sandbox, [(source, problem.check) for problem, _, source in mutated], limits, 2)
    assert not any(verdict.reason == "check" for verdict in verdicts)
    passed = [mutant for mutant, verdict in zip(mutated, verdicts, strict=True) if verdict.passed]
    plain = [(source, in_one_process(problem)) for problem, _, source in passed]
    for (problem, what, _), verdict in zip(passed, pool.verdicts(sandbox, plain, limits, 2), strict=True):
        assert verdict.passed, (problem.id, what, verdict)
    return passed


def in_one_process(problem: executed.Problem) -> Check:
    prompt_again = problem.check.setup == problem.prompt  # HumanEval's: it would define the function anew
    return replace(problem.check, weak=True, setup="" if prompt_again else problem.check.setup)


@needs_bwrap
@pytest.mark.network
def test_programs_with_one_mistake_fail():
    mutated = of_each([executed.humaneval(item) for item in benchmarks.load("humaneval", DOWNLOADS)[:24]], 3)
    assert len(mutated) > 60
    assert len(survivors(mutated)) < 0.15 * len(mutated)


@needs_bwrap
@pytest.mark.slow
@pytest.mark.network
def test_nine_in_ten_mutants_of_all_references_fail():
    """2,199 of them, of which 177 survived when this was written: the tests of both sets are weak, above all MBPP's."""
    mutated = of_each(both(), 4)
    assert len(survivors(mutated)) < 0.1 * len(mutated)
