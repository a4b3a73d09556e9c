"""Generated problems: checked as far as their level says, deterministic, distinct, resumable."""

import doctest
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mixtures.catalogue import files as own_files
from mixtures.readers.files import read_files
from mixtures.synthetic import forms, generate, verdicts, write
from mixtures.synthetic.gates import Job, Verdict
from mixtures.synthetic.generate import check
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.mutate import apply, mutants, ticks
from mixtures.synthetic.problem import Draft, Problem, shape
from store.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "synthetic.json"
FAMILIES = {stream(compose.Random(n)).family for stream in compose.STREAMS for n in range(9)}


def passed(seed: int, indices: Sequence[int]) -> list[Problem]:
    found = generate.outcomes(seed, indices)
    return [generate.verified(outcome, seed) for outcome in found if not outcome.verdict.reason]


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
    return [generate.verified(outcome) for outcome in outcomes if not outcome.verdict.reason]


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
            problem = generate.verified(outcome)
            distinct = {repr(arguments) for arguments in outcome.draft.inputs}
            if problem.level != "differential":
                assert problem.level == f"exhaustive({len(distinct)})"
                low, high = (int(word) for word in problem.statement.split("from ")[1].split(".")[0].split(" to "))
                assert distinct == {repr((n,)) for n in range(low, high + 1)}
    levels = Counter(generate.verified(o).level.partition("(")[0] for o in outcomes if not o.verdict.reason)
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
    return check([replace(draft, **other)])[0][1]  # type: ignore[arg-type]


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
    runaway = Job("f", "def f(x: int) -> int:\n    return sum(x for _ in iter(int, 1))\n", REFERENCE, INPUTS, 6)
    good = Job("f", SOLUTION, REFERENCE, INPUTS, 6)
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
    assert shape(one, constants=False) == shape(others[0], constants=False) != shape(others[1], constants=False)


def test_a_problem_depends_on_seed_and_index_alone(problems: list[Problem]) -> None:
    some = problems[10:13]
    indices = [problem.index for problem in some]
    assert passed(0, indices) == some
    assert passed(1, indices) != some


def test_problems_are_those_of_this_generator_version() -> None:
    """Changed on purpose? Bump GENERATOR_VERSION and run python -m tests.golden.write."""
    assert golden() == json.loads(GOLDEN.read_text())


def test_the_source_has_distinct_solutions_grouped_by_family() -> None:
    documents = list(generate.read(120_000))
    assert sum(len(document.text.encode()) for document in documents) >= 120_000
    assert len({document.id for document in documents}) == len(documents)
    assert len({document.group for document in documents}) > 20
    assert all(document.id.startswith(document.group.removeprefix("synthetic/") + "#") for document in documents)
    assert len({document.same for document in documents} - {""}) == len(documents)


def test_repeated_programs_are_kept_once_and_failed_ones_take_no_place(outcomes: list[generate.Outcome]) -> None:
    seen: set[str] = set()
    first, _ = generate.distinct(outcomes[:50], seen)
    again, drops = generate.distinct(outcomes[:50], seen)
    assert not again
    assert drops["duplicate"] == len(first)
    failed = replace(first[0], verdict=Verdict("constant"))
    both, _ = generate.distinct([failed, first[0]], set(), with_failed=True)
    assert both == [failed, first[0]]


def test_kept_verdicts_change_nothing_and_survive_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Verdict] = {}
    fresh = generate.outcomes(0, range(20), kept)
    path = tmp_path / "verdicts.jsonl"
    verdicts.append(path, kept)
    path.write_bytes(path.read_bytes() + path.read_bytes()[1:150] + b"\n")
    verdicts.append(path, dict(list(kept.items())[:1]))
    loaded = verdicts.load(path)
    assert loaded == kept
    monkeypatch.setattr(generate, "execute", lambda task, jobs, seed: [] if not jobs else pytest.fail("executed again"))
    assert generate.outcomes(0, range(20), loaded) == fresh
    path.write_bytes(path.read_bytes().replace(b'"killed": 1', b'"killed": 9'))
    assert all(verdict == kept[name] for name, verdict in verdicts.load(path).items())


def count(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.json*"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "whole"
    write.write(folder, 3, 9_000, count, shard_size=20)
    return folder


def rows(folder: Path) -> list[list[str]]:
    return [json.loads(line) for path in sorted(folder.glob("shard-*.jsonl")) for line in path.read_text().splitlines()]


def test_write_gives_the_tokens_asked_for_and_says_what_they_are(written: Path) -> None:
    report = json.loads((written / "summary.json").read_text())
    found = rows(written)
    lengths = count([row[2] for row in found])
    assert sum(lengths) == report["tokens"] >= 9_000 > sum(lengths[:-1])
    assert report["items"] == len(found) == report["diversity"]["unique_programs"]
    assert report["levels"] == dict(sorted(Counter(row[3] for row in found).items()))
    last = int(found[-1][0].partition("#")[2])
    assert report["items"] + sum(report["drops"].values()) == last + 1
    assert report["diversity"]["family_entropy_bits"] > 4


def test_what_was_written_is_read_back_and_nothing_else(written: Path, tmp_path: Path) -> None:
    source = own_files("mine", "synthetic", written)
    found = [document for shard in source.shards(tmp_path) for document in source.read(shard, tmp_path)]
    assert [(document.group, document.text) for document in found] == [(row[1], row[2]) for row in rows(written)]
    assert [document.text for document in read_files(written)] == [row[2] for row in rows(written)]


def test_a_killed_write_goes_on_to_the_same_bytes(written: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def stop(tokens: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        write.write(tmp_path, 3, 9_000, count, shard_size=20, progress=stop)
    assert not (tmp_path / "summary.json").exists()
    (tmp_path / "shard-00001.jsonl").write_text('["half a')
    write.write(tmp_path, 3, 6_000, count, shard_size=20, workers=2)
    write.write(tmp_path, 3, 9_000, count, shard_size=20, workers=2)
    assert files(tmp_path) == files(written)
    with pytest.raises(UserError, match=r"holds more than 1,000 tokens"):
        write.write(tmp_path, 3, 1_000, count, shard_size=20)


def test_variants_hold_the_same_items(written: Path, tmp_path: Path) -> None:
    tables = {}
    for variant in ("unverified", "wrong"):
        write.write(tmp_path / variant, 3, 9_000, count, variant, shard_size=20, verdict_folder=written / ".verdicts")
        tables[variant] = {row[0]: row for row in rows(tmp_path / variant)}
    verified = {row[0]: row for row in rows(written)}
    common = [name for name in verified if name in tables["unverified"]]
    assert all(tables["unverified"][name][2] == verified[name][2] for name in common)
    assert len(tables["unverified"]) > len(common)
    assert {row[3] for row in tables["wrong"].values()} == {"wrong"}
    same = [name for name in tables["wrong"] if name in verified]
    assert len(same) > 0.9 * len(verified)
    assert all(tables["wrong"][name][2] != verified[name][2] for name in same)


def test_write_refuses_what_it_cannot_mean(written: Path) -> None:
    with pytest.raises(UserError, match="there is no variant 'good'"):
        write.write(written, 3, 10, count, "good")
    with pytest.raises(UserError, match="holds other problems"):
        write.write(written, 4, 10, count, shard_size=20)
    with pytest.raises(UserError, match="0 tokens"):
        write.write(written, 3, 0, count, shard_size=20)
