"""Generated problems: checked as far as their level says, deterministic, distinct, a source like any other."""

import doctest
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixtures.catalogue import generated
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.own import control
from mixtures.documents.document import Document
from mixtures.prepare import DataSpec, prepare
from mixtures.synthetic import forms, generate
from mixtures.synthetic.forms import VARIANTS
from mixtures.synthetic.gates import Verdict
from mixtures.synthetic.generate import check
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.mutate import apply, mutants, ticks
from mixtures.synthetic.problem import Draft, Problem, shape
from store.errors import UserError
from tests.mixtures.test_prepare import here

GOLDEN = Path(__file__).parents[1] / "golden" / "synthetic.json"
FAMILIES = {stream(compose.Random(n)).family for stream in compose.STREAMS for n in range(9)}


def passed(seed: int, indices: Sequence[int]) -> list[Problem]:
    found = generate.outcomes(seed, indices)
    return [generate.problem(outcome, seed) for outcome in found if not outcome.verdict.reason]


def golden() -> dict[str, object]:
    """Versions and texts of a few items; other values with the same GENERATOR_VERSION are a mistake."""
    problems = passed(7, range(40))
    texts = [forms.render(problem, form) for problem in problems for form in forms.FORMS]
    return {
        "version": generate.GENERATOR_VERSION,
        "indices": [problem.index for problem in problems],
        "digest": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
    }


@pytest.fixture(scope="module")
def outcomes() -> list[generate.Outcome]:
    return generate.outcomes(0, range(300))


@pytest.fixture(scope="module")
def problems(outcomes: list[generate.Outcome]) -> list[Problem]:
    return [generate.problem(outcome) for outcome in outcomes if not outcome.verdict.reason]


def test_every_family_gives_problems_and_no_implementations_differ(
    outcomes: list[generate.Outcome], problems: list[Problem]
) -> None:
    """Drops that show a defect of the grammar would be "differs", "error", "too slow" and the like."""
    assert {outcome.verdict.reason for outcome in outcomes} <= {"", "constant", "weak tests", "too few mutants"}
    assert {problem.family for problem in problems} == FAMILIES
    assert len(problems) > 0.65 * len(outcomes)


def test_tests_and_examples_hold_for_solutions_and_fail_for_mutants(problems: list[Problem]) -> None:
    for problem in problems:
        space: dict[str, object] = {}
        exec(forms.render(problem, "tested"), space)
        for test in doctest.DocTestFinder().find(space[problem.function], problem.function, globs=space):
            assert test.examples
            assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
        wrong: dict[str, object] = {}
        exec(problem.wrong, wrong)
        with pytest.raises(AssertionError):
            exec(problem.failing, wrong)


def test_a_repair_shows_a_test_that_fails_before_and_passes_after(problems: list[Problem]) -> None:
    for problem in problems[:40]:
        before, rest = forms.render(problem, "repair").split("# This test fails:\n")
        test, after = rest.split("# After the fix it passes:\n")
        broken: dict[str, object] = {}
        exec(before, broken)
        with pytest.raises(AssertionError):
            exec(test, broken)
        exec(after + test, {})


def test_levels_claim_no_more_than_was_run(outcomes: list[generate.Outcome]) -> None:
    for outcome in outcomes:
        if not outcome.verdict.reason:
            problem = generate.problem(outcome)
            distinct = {repr(arguments) for arguments in outcome.draft.inputs}
            if problem.level != "differential":
                assert problem.level == f"exhaustive({len(distinct)})"
                low, high = (int(word) for word in problem.statement.split("from ")[1].split(".")[0].split(" to "))
                assert distinct == {repr((n,)) for n in range(low, high + 1)}
    levels = Counter(generate.problem(o).level.partition("(")[0] for o in outcomes if not o.verdict.reason)
    assert levels["differential"] > levels["exhaustive"] > 0


SOLUTION = """def f(x: int) -> int:
    total = 0
    for i in range(x):
        if i % 3 == 1:
            total += i * 2
    return total
"""
REFERENCE = "def reference(x):\n    return sum(2 * i for i in range(1, x, 3))\n"
INPUTS = tuple((n,) for n in (0, 1, 2, 5, 8, 9, *range(10, 40)))


def planted(code: str = SOLUTION, reference: str = REFERENCE, **other: object) -> Verdict:
    draft = Draft("mine", "f", "Do it.", code, reference, INPUTS, 6)
    return check([replace(draft, **other)])[0]  # type: ignore[arg-type]


def test_a_good_problem_passes() -> None:
    verdict = planted()
    assert (verdict.reason, verdict.survived) == ("", 0)
    assert verdict.killed > 5


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("differs", SOLUTION.replace("* 2", "* 2 + x // 39")),
        ("error", SOLUTION.replace("* 2", "// (x - 20)")),
        ("error", "def f(x: int) -> int:\n    return len(bytearray(10 ** 13))\n"),
        ("too slow", "def f(x: int) -> int:\n    while True:\n        x += 1\n    return x\n"),
        ("too slow", "def f(x: int) -> int:\n    if x < 0:\n        return 1\n    return f(x - 1) + f(x - 1)\n"),
        ("constant", "def f(x: int) -> int:\n    return 0 * x\n"),
        ("too few mutants", "def f(x: int) -> str:\n    return str(x)\n"),
    ],
)
def test_bad_solutions_are_dropped_for_the_right_reason(reason: str, code: str) -> None:
    same = "def reference(x):\n    return str(x)\n" if reason == "too few mutants" else REFERENCE
    assert planted(code, same).reason == reason


def test_an_order_that_depends_on_the_hash_seed_is_dropped() -> None:
    order = "''.join({w for w in ('amber', 'bell', 'cat', 'dove', 'elm')} - {str(x)}) + str(x * 2 + 1)"
    verdict = planted(
        f"def f(x: int) -> str:\n    return {order}\n",
        f"def reference(x):\n    return {order}\n",
    )
    assert verdict.reason == "hash order"


def test_tests_that_miss_mutants_are_dropped() -> None:
    verdict = planted(inputs=((0,), (2,), *INPUTS[6:]), shown=2)
    assert verdict.reason == "weak tests"
    assert verdict.mutation_score < 0.9


def test_a_solution_that_changes_its_arguments_is_dropped() -> None:
    verdict = planted(
        "def f(x: list[int]) -> int:\n    x.sort()\n    return x[0] * 2 + 1\n",
        "def reference(x):\n    return min(x) * 2 + 1\n",
        inputs=(([3, 2],), ([5, 4, 9],), ([1],)),
        shown=3,
    )
    assert verdict.reason == "changes its arguments"


def test_a_runaway_costs_its_own_job_alone() -> None:
    good = Draft("mine", "f", "Do it.", SOLUTION, REFERENCE, INPUTS, 6)
    runaway = replace(good, code="def f(x: int) -> int:\n    return sum(x for _ in iter(int, 1))\n")
    assert [answer and answer.reason for answer in generate.execute("judge", [good, runaway, good], 1)] == [
        "",
        None,
        "",
    ]


def test_mutants_are_single_changes_that_compile_and_do_not_depend_on_names() -> None:
    found = mutants(SOLUTION)
    sources = {apply(SOLUTION, [fault]) for fault in found}
    assert len(sources) == len(found)
    for change in ("i % 3 != 1", "i // 3 == 1", "i % 4 == 1", "total -= i", "i * 3", "i + 2", "return 0"):
        assert any(change in source for source in sources), change
    for source in sources:
        compile(apply(source, ticks(source)), "mutant", "exec")
    renamed = SOLUTION.replace("total", "a_longer_name")
    assert [fault.text for fault in mutants(renamed)] == [fault.text for fault in found]
    assert mutants("def f(x):\n    '''1 + 1'''\n    return f'{x + 1}'\n") == []


def test_shape_ignores_names_and_docstrings_and_sees_everything_else() -> None:
    one = "def f(a):\n    b = a + 1\n    return max(b, a)\n"
    same = 'def g(x):\n    """Text."""\n    y = x + 1  # more\n    return max(y, x)\n'
    others = [one.replace(*change) for change in (("1", "2"), ("max", "min"), ("b, a", "a, b"))]
    assert shape(one) == shape(same)
    assert len({shape(one), *map(shape, others)}) == 4


def test_a_problem_depends_on_seed_and_index_alone(problems: list[Problem]) -> None:
    some = problems[10:13]
    indices = [problem.index for problem in some]
    assert passed(0, indices) == some
    assert passed(1, indices) != some


def test_problems_are_those_of_this_generator_version() -> None:
    """Changed on purpose? Bump GENERATOR_VERSION and run python -m tests.golden.write."""
    assert golden() == json.loads(GOLDEN.read_text())


def documents(variant: str = "verified", seed_bytes: int = 30_000, seeds: int = 1) -> dict[str, Document]:
    source = generated("mine", seeds, seed_bytes, variant)
    found = [d for shard in source.shards(Path("unused")) for d in source.read(shard, Path("unused"))]
    assert len({document.id for document in found}) == len(found)
    return {document.id: document for document in found}


def test_the_source_has_distinct_solutions_grouped_by_family() -> None:
    found = documents(seed_bytes=120_000).values()
    assert sum(len(document.text.encode()) for document in found) >= 120_000
    families = {document.group.removeprefix("synthetic/") for document in found}
    assert families <= FAMILIES and len(families) > 15
    assert all(document.id.startswith(document.group.replace("synthetic", "seed-0000") + "#") for document in found)
    assert len({document.same for document in found} - {""}) == len(found)


def test_repeated_programs_are_kept_once_and_failed_ones_take_no_place(outcomes: list[generate.Outcome]) -> None:
    seen: set[str] = set()
    first = generate.distinct(outcomes[:50], seen)
    assert not generate.distinct(outcomes[:50], seen)
    failed = replace(first[0], verdict=Verdict("constant"))
    assert generate.distinct([failed, first[0]], set(), with_failed=True) == [failed, first[0]]


def test_a_control_is_made_of_what_makes_the_verified_problems() -> None:
    verified = replace(generated("mine", 3, 2_000, expected_tokens=5), max_bytes=900)
    made, wanted = control(verified, "wrong"), generated("mine-wrong", 3, 2_000, "wrong", expected_tokens=5)
    assert made.read.args[-1].args == wanted.read.args[-1].args  # type: ignore[attr-defined]
    assert made.shards(Path()) == verified.shards(Path()) and made.max_bytes == 900
    assert replace(made, read=wanted.read, shards=wanted.shards, max_bytes=None) == wanted
    with pytest.raises(
        UserError, match="source 'python' has no generated problems to be wrong; make it with generated"
    ):
        control(next(source for source in QUICKSTART if source.name == "python"), "wrong")


def test_variants_hold_the_same_items() -> None:
    verified, unverified, wrong = (documents(variant) for variant in VARIANTS)
    common = verified.keys() & unverified.keys()
    assert all(unverified[name] == verified[name] for name in common)
    assert len(unverified) > len(common) > 0.6 * len(verified)
    same = wrong.keys() & verified.keys()
    assert len(same) > 0.9 * len(verified)
    for name in same:
        assert wrong[name].text != verified[name].text
        assert len(wrong[name].text) == pytest.approx(len(verified[name].text), abs=40)
        assert (wrong[name].group, wrong[name].same) == (verified[name].group, verified[name].same)


def test_a_study_reads_verified_problems_once_over_all_seeds_and_controls_beside_them(tmp_path: Path) -> None:
    sources = (generated("good", 2, 30_000), generated("bad", 2, 30_000, "wrong"))
    spec = DataSpec(sources, vocabulary=400, heldout=0.1, tokenizer_bytes_per_kind=20_000)
    manifest = prepare(spec, tmp_path, lambda what, done, total: None, here)
    good, bad = (manifest.sources[name] for name in ("good", "bad"))
    assert good.documents > 30 and good.heldout_documents > 0
    assert good.tokens > 5_000
    assert abs(good.documents - bad.documents) < 5  # in the control, too, what is held out is not trained on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "good"}, "source 'mine': there is no variant 'good'; choose one of verified, unverified, wrong"),
        ({"seeds": 0}, "source 'mine': seeds is 0"),
        ({"seed_bytes": 1e6}, "source 'mine': seed_bytes is 1000000.0"),
    ],
)
def test_a_source_refuses_what_it_cannot_mean(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generated("mine", **arguments)
