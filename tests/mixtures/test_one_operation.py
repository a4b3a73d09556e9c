"""Programs of one operation: solutions pass, what is held out is in no source, and tasks ask what sources say."""

import ast
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.evals.code import executed
from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import load, pin
from mixtures.catalogue.own import one_operation
from mixtures.decontaminate.index import build
from mixtures.decontaminate.normalise import words_of
from mixtures.decontaminate.scan import Rule, scan
from mixtures.documents.document import Document
from mixtures.synthetic import one_operation as one
from mixtures.synthetic.one_operation import Combination, OneOperation, Split
from store.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "one_operation.json"
NOWHERE = Path("unused")
SPLITS: tuple[Split, ...] = ("train", "heldout-combination", "heldout-wording")
HELD_OUT = ("one_operation", "one_operation_instruct", "one_operation_wording")


def golden() -> dict[str, object]:
    """Of all problems; another digest under the same version is a mistake."""
    said = [[which, *_told(problem)] for which in SPLITS for problem in one.problems(which)]
    return {"version": one.READER_VERSION, "digest": hashlib.sha256(json.dumps(said).encode()).hexdigest()}


def _told(problem: OneOperation) -> list[object]:
    texts = [one.texts(problem.signature, problem.statement, problem.code, variant) for variant in one.VARIANTS]
    return [problem.id, problem.tests, texts]


@pytest.fixture(scope="module")
def problems() -> dict[Split, list[OneOperation]]:
    return {which: list(one.problems(which)) for which in SPLITS}


@pytest.fixture(scope="module")
def held_out() -> list[Item]:
    return [item for name in HELD_OUT for item in load(name, NOWHERE)]


@pytest.fixture(scope="module")
def documents() -> dict[str, list[Document]]:
    sources = {variant: one_operation(variant, variant) for variant in one.VARIANTS}
    return {name: list(source.read("all", NOWHERE)) for name, source in sources.items()}


def test_problems_are_those_of_this_version() -> None:
    """Changed on purpose? Bump READER_VERSION and run python -m tests.golden.write."""
    assert golden() == json.loads(GOLDEN.read_text())


def test_every_combination_passes_the_gates() -> None:
    assert [combination for combination, _ in one.checked()] == list(one.combinations())
    assert len(one.combinations()) > 1_000


def test_tests_pass_for_the_solution_and_for_no_other_combination() -> None:
    functions: dict[str, dict[Combination, Callable[[Any], Any]]] = defaultdict(dict)
    for combination in one.combinations():
        space: dict[str, Any] = {}
        exec(one.draft(combination).code, space)
        functions[combination.operation.type][combination] = space[one.draft(combination).function]
    for combination, tests in one.checked():
        calls = [(ast.literal_eval(argument), ast.literal_eval(result)) for argument, result in tests]
        rivals = functions[combination.operation.type]
        assert [rival.id for rival in rivals if _passes(rivals[rival], calls)] == [combination.id]


def _passes(function: Callable[[Any], Any], calls: Sequence[tuple[Any, Any]]) -> bool:
    try:
        return all(function(argument) == result for argument, result in calls)
    except (TypeError, ValueError):  # an empty list has no largest value
        return False


def test_the_split_is_of_combinations_and_then_of_wordings(problems: dict[Split, list[OneOperation]]) -> None:
    combined = {which: {p.combination for p in problems[which]} for which in SPLITS}
    assert not combined["heldout-combination"] & (combined["train"] | combined["heldout-wording"])
    assert combined["heldout-wording"] <= combined["train"]
    said = {which: {p.statement for p in problems[which]} for which in SPLITS}
    assert not said["train"] & (said["heldout-combination"] | said["heldout-wording"])
    total = sum(map(len, problems.values()))
    assert total == len(one.combinations()) * one.INDICES
    assert 0.12 < len(problems["heldout-combination"]) / total < 0.19
    assert 0.06 < len(problems["heldout-wording"]) / total < 0.12


def test_held_out_combinations_are_of_operations_and_constants_that_are_learnt(
    problems: dict[Split, list[OneOperation]],
) -> None:
    def parts(which: Split, what: str) -> set[object]:
        return {getattr(problem.combination, what) for problem in problems[which]}

    for what in ("operation", "constant"):
        assert parts("heldout-combination", what) <= parts("train", what)
    functions = Counter(problem.function for problem in problems["train"])
    assert all(problem.function in functions for problem in problems["heldout-combination"])


def test_nothing_that_is_held_out_is_in_a_source(
    problems: dict[Split, list[OneOperation]], documents: dict[str, list[Document]]
) -> None:
    """No run of a text's words is a held-out statement."""
    hidden = {tuple(words_of(p.statement)) for which in SPLITS[1:] for p in problems[which]}
    verbs, longest = {statement[0] for statement in hidden}, max(map(len, hidden))
    for found in documents.values():
        assert len(found) == len(problems["train"])
        for document in found:
            words = tuple(words_of(document.text))
            starts = [i for i, word in enumerate(words) if word in verbs]
            assert hidden.isdisjoint(words[i : i + size] for i in starts for size in range(5, longest + 1))


def test_cleaning_finds_every_leak_and_no_training_text(
    held_out: list[Item], documents: dict[str, list[Document]]
) -> None:
    index = build(held_out)
    assert scan(index, Rule(), [*documents["completion"], *documents["instruction"]]) == []
    leaks = [
        Document(f"{n}", "", f"# From a page.\n\n{item.fields['prompt']}{item.fields['solution']}\n")
        for n, item in enumerate(held_out)
    ]
    assert {match.document for match in scan(index, Rule(), leaks) if match.drop} == {leak.id for leak in leaks}


def test_tasks_ask_what_the_sources_say(
    problems: dict[Split, list[OneOperation]], documents: dict[str, list[Document]]
) -> None:
    """A model that learnt the source is asked in its very words, and its answer with them is the document."""
    told = {document.id: document for document in documents["instruction"]}
    function = TASKS["one_operation_train"].problem
    assert function is not None
    for item in load("one_operation_train", NOWHERE)[::97]:
        asked, document = function(item), told[item.id]
        assert asked.prompt == document.text[: document.prompt]
        assert asked.solution == document.text[document.prompt :]
        assert executed.extract(asked, asked.solution + "\n\nProblem:\nMore") == asked.solution + "\n"
    assert {d.prompt for d in documents["completion"]} == {0}


@pytest.mark.parametrize("task", [f"{name}_exec" for name in HELD_OUT] + ["one_operation_train"])
def test_a_reference_is_a_whole_program_that_passes(task: str) -> None:
    function = TASKS[task].problem
    assert function is not None
    for item in load(benchmark_of(task), NOWHERE)[::59]:
        problem = function(item)
        space: dict[str, object] = {}
        exec(problem.head + problem.solution, space)
        exec(problem.check.tests, space)
        assert item.cluster and problem.check.names == (item.fields["entry_point"],)


def test_held_out_problems_are_one_of_each_combination(held_out: list[Item]) -> None:
    by: Mapping[str, list[Item]] = {name: [i for i in held_out if i.benchmark == name] for name in HELD_OUT}
    assert [i.id for i in by["one_operation"]] == [i.id for i in by["one_operation_instruct"]]
    for items in by.values():
        assert len({item.id.partition("#")[0] for item in items}) == len(items) > 150
    assert pin("one_operation", NOWHERE) != pin("one_operation_wording", NOWHERE)
    assert all(BENCHMARKS[name].version == one.READER_VERSION for name in HELD_OUT)


def test_a_fraction_is_in_every_larger_one() -> None:
    whole = [{d.id for d in one_operation("p", fraction=f).read("all", NOWHERE)} for f in (0.25, 0.5, 1.0)]
    assert whole[0] < whole[1] < whole[2]
    assert len(whole[0]) / len(whole[2]) == pytest.approx(0.25, abs=0.02)
    assert one_operation("p", fraction=0.5).expected_tokens == one.TOKENS["completion"] // 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="source 'p': there is no variant 'poem'; choose one of completion, instr"):
        one_operation("p", "poem")
    with pytest.raises(UserError, match=r"source 'p': fraction is 0; give a number from 0\.01 to 1"):
        one_operation("p", fraction=0)
