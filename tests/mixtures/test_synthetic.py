"""Generated problems: executed, deterministic, distinct."""

import doctest
import hashlib
from random import Random

import pytest

from mixtures.errors import Failure
from mixtures.synthetic import generate
from mixtures.synthetic.problem import Draft, Template, code, render, shape

COUNT = len(generate.TEMPLATES)


@pytest.fixture(scope="module")
def problems() -> list[generate.Problem]:
    return generate.generate_many(0, range(3 * COUNT))


def template(solution: str, reference: str = "", inputs: tuple[tuple[int], ...] = ((0,), (1,), (2,))) -> Template:
    return Template("mine", lambda rng: Draft("f", "x: int", "int", "Double x.", solution, reference, inputs))


def verify(candidate: Template) -> list[generate.Problem | None]:
    return generate.verify([candidate], [candidate.draw(Random(0))])


def test_every_template_gives_problems_whose_tests_hold(problems: list[generate.Problem]) -> None:
    assert {problem.template for problem in problems} == {entry.name for entry in generate.TEMPLATES}
    for problem in problems:
        namespace: dict[str, object] = {}
        exec(render(problem), namespace)
        found = doctest.DocTestFinder().find(namespace[problem.function], problem.function, globs=namespace)
        assert sum(len(test.examples) for test in found) == 2
        for test in found:
            assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_there_are_templates_to_hold_out_and_their_names_are_distinct() -> None:
    assert len({entry.name for entry in generate.TEMPLATES}) == COUNT >= 20


def test_a_problem_depends_on_seed_and_index_alone(problems: list[generate.Problem]) -> None:
    index = COUNT + 5
    assert generate.generate(0, index) == problems[index]
    assert generate.generate(1, index) != problems[index]


def test_problems_are_those_of_this_generator_version(problems: list[generate.Problem]) -> None:
    """Changed on purpose? Bump GENERATOR_VERSION and take the new digest."""
    text = "\n".join(render(problem) for problem in problems)
    assert generate.GENERATOR_VERSION == 1
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "b0dc6d292cd00b6f"


def test_levels_say_what_was_checked() -> None:
    (one,) = verify(template("return 2 * x", "return x + x"))
    (two,) = verify(template("return 2 * x"))
    assert one is not None and two is not None
    assert (one.level, two.level) == ("differential", "executed")


def test_implementations_that_differ_are_refused() -> None:
    with pytest.raises(Failure, match=r"'mine' is wrong: f\(1\) gives 2 and, the other way, 1; mend it"):
        verify(template("return 2 * x", "return x * x"))


def test_a_solution_that_fails_or_never_ends_is_refused() -> None:
    with pytest.raises(Failure, match="ZeroDivisionError"):
        verify(template("return 1 // x"))
    with pytest.raises(Failure, match=r"too much time or memory|MemoryError"):
        verify(template("return len(bytearray(10 ** 12))"))
    with pytest.raises(Failure, match="too much time or memory"):
        verify(template("while True: pass"))


def test_results_that_depend_on_the_hash_seed_are_refused() -> None:
    with pytest.raises(Failure, match="its tests fail"):
        verify(template("return hash(str(x))"))


def test_problems_whose_results_are_all_the_same_do_not_count() -> None:
    assert verify(template("return 0")) == [None]


def test_shape_ignores_names_and_docstrings_and_sees_everything_else() -> None:
    one = "def f(a):\n    b = a + 1\n    return max(b, a)\n"
    same = 'def g(x):\n    """Text."""\n    y = x + 1\n    return max(y, x)\n'
    other_constant = "def f(a):\n    b = a + 2\n    return max(b, a)\n"
    other_builtin = "def f(a):\n    b = a + 1\n    return min(b, a)\n"
    other_use = "def f(a):\n    b = a + 1\n    return max(a, b)\n"
    assert shape(one) == shape(same)
    assert len({shape(one), shape(other_constant), shape(other_builtin), shape(other_use)}) == 4


def test_the_source_has_distinct_solutions_grouped_by_template() -> None:
    documents = list(generate.read(60_000))
    assert sum(len(document.text.encode()) for document in documents) >= 60_000
    assert {document.group for document in documents} == {f"synthetic/{t.name}" for t in generate.TEMPLATES}
    assert len({document.id for document in documents}) == len(documents)
    solutions = [document.text.partition("\n\n\nassert")[0] for document in documents]
    assert len({shape(solution) for solution in solutions}) == len(solutions)


def test_code_is_dedented() -> None:
    assert code("\n    if x:\n        y\n    ") == "if x:\n    y"
