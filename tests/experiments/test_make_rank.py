"""Levels, sets and the rules that drop problems; and what attacks the sandbox while it is ranked gains nothing."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evals.code import box, selftest
from analysis.evals.code.box import Limits
from analysis.evals.code.executed import Problem
from analysis.evals.code.judge import Check
from experiments.make import answers, levels, rank
from experiments.make.answers import answer
from experiments.make.levels import PASSES, executed_levels, level
from experiments.make.rank import KEPT, Answered, Rules, documents
from tests.conftest import boxes

needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")
PROBLEM = Problem("p", "def f(x):\n", (), "def f(x):\n", selftest.ADDS_ONE, "    return x + 1")
RANKED = Rules("ranked", True, 1)
WRITTEN = {
    "    return x +": 0,
    "  return (x\n    + 1": 0,
    "    return x + nothing": 1,
    "    return x\nraise SystemExit": 1,
    "    while True: pass": 1,
    "    return x": 2,
    "    return x + 1 if x == 1 else 0": 2,
    "    return x + 1": 3,
}
LIMITS = Limits(cpu_seconds=1, wall_seconds=8)


@needs_bwrap
def test_programs_get_as_far_as_they_get_and_each_is_executed_once(tmp_path: Path, monkeypatch) -> None:
    kept, seen = tmp_path / "verdicts.jsonl", []
    given = (box.find(), [PROBLEM], {"p": tuple(WRITTEN)}, kept, {"made": "x"}, seen.append, LIMITS)
    found = executed_levels(*given)
    assert {text: found["p", text] for text in WRITTEN} == WRITTEN
    assert seen == [0, len(WRITTEN)]
    monkeypatch.setattr(levels.executed, "run", lambda *_: pytest.fail("executed again"))
    assert executed_levels(*given) == found


@needs_bwrap
def test_a_program_that_attacks_the_sandbox_gains_nothing(tmp_path: Path) -> None:
    """Objects equal to all, exits, forged replies and verdicts, patched builtins: none is as good as what is right."""
    cases = selftest.forgery()
    problems = [Problem(case.name, "", (), "", case.check, selftest.HONEST) for case in cases]
    answered = [
        Answered(problem, True, (answer(0, 0, case.source), answer(0, 1, selftest.HONEST)))
        for problem, case in zip(problems, cases, strict=True)
    ]
    texts = {each.problem.id: each.texts for each in answered}
    found = executed_levels(box.find(), problems, texts, tmp_path / "v.jsonl", {}, lambda done: None)
    assert len(cases) > 15 and {found[name, attack] for name, (attack, _) in texts.items()} <= set(range(PASSES))
    assert {found[name, honest] for name, (_, honest) in texts.items()} == {PASSES}
    rows, counts = documents(answered, found, replace(RANKED, teachers=0))
    assert counts == {KEPT: len(cases)}
    assert [row["answer"] for row in rows if row["score"] == PASSES] == [selftest.HONEST] * len(cases)
    first, _ = documents(answered, found, Rules("passed", False, 0))
    assert [row["answer"] for row in first] == [selftest.HONEST] * len(cases)


def test_a_programs_own_words_never_raise_its_level() -> None:
    """The detail of a verdict is partly the program's: it can say that it is no Python, and is then at the bottom."""
    assert level("load", "SyntaxError: unexpected") == 0 and level("load", "NameError: SyntaxError") == 1
    for reason in ("wrong", "raised", "time", "limit", "reply", "load", "check", "of no such kind"):
        for said in ("passed", "SyntaxError: x", "", "passed: SyntaxError"):
            assert level(reason, said) < PASSES


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", answers.BLANK),
        (" \n\t\f ", answers.BLANK),
        ("x" * (answers.LONGEST + 1), answers.TOO_LONG),
        ("    return x\0", answers.CONTROL),
        ("    return '\x1b[2J'", answers.CONTROL),
        ("    return '\ud800'", answers.HALF),
        ("    return x\r    # and more", answers.CONTROL),
        ("\ufeff    return x", answers.CONTROL),
        ("    return '\u2028'", ""),
        ("\treturn x\r\n\f", ""),
    ],
)
def test_answers_that_nobody_could_read_are_not_executed_and_counted(text: str, fault: str) -> None:
    given = Answered(PROBLEM, True, (answer(0, 0, text),))
    assert answer(0, 0, text).fault == fault and len(given.texts) == (not fault)
    if fault:
        assert documents([given], {}, replace(RANKED, teachers=0)) == ([], {rank.UNANSWERED: 1})
        assert rank.of_answers([given], {}, 0)[fault] == 1


def ranked(*said: tuple[int, str, int], rules: Rules = RANKED) -> tuple[list[tuple[str, int]], Counter[str]]:
    """What comes of (who, text, level) on one problem."""
    answered = Answered(PROBLEM, True, tuple(answer(who, at, text) for at, (who, text, _) in enumerate(said)))
    rows, counts = documents([answered], {("p", text): its for _, text, its in said}, rules)
    return [(str(row["answer"]), int(row["score"])) for row in rows], counts


def test_the_best_answer_is_first_and_a_teachers_before_a_students() -> None:
    found, _ = ranked((0, "a", 2), (0, "b", 3), (0, "c", 0), (0, "b", 3), (1, "d", 3), (1, "a", 2), (2, "e", 2))
    assert found == [("d", 3), ("b", 3), ("a", 2), ("e", 2), ("c", 0)]
    found, _ = ranked((0, "same", 3), (0, "x", 1), (1, "same", 3), rules=Rules("passed", True, 1))
    assert found == [("same", 0)]


def test_rules_drop_what_they_say() -> None:
    assert ranked((0, "a", 3), (1, "b", 2))[1] == {rank.WORSE_TEACHER: 1}
    assert ranked((0, "a", 3), (1, "b", 2), rules=replace(RANKED, drop_worse_teacher=False))[1] == {KEPT: 1}
    assert ranked((0, "a", 3), (1, "b", 2), (2, "c", 3))[1] == {KEPT: 1}  # one teacher is as good
    assert ranked((0, "a", 3), (1, "b", 3))[1] == {rank.LEVEL: 1}
    assert ranked((0, "a", 1), rules=replace(RANKED, teachers=0))[1] == {rank.LEVEL: 1}
    assert ranked((0, "a", 1), (1, " ", 0))[1] == {rank.NO_TEACHER: 1}
    assert ranked((0, "a", 1), (1, "b", 2), rules=Rules("passed", True, 1))[1] == {rank.NONE_PASSES: 1}
    weak = replace(PROBLEM, check=Check(("f",), "assert f(1)", weak=True))
    forged = Answered(weak, True, (answer(0, 0, "a"),))
    assert forged.texts == () and documents([forged], {}, RANKED)[1] == {rank.WEAK: 1}
    assert documents([replace(forged, problem=PROBLEM, runs=False)], {}, RANKED)[1] == {rank.NOT_RUN: 1}


@pytest.mark.parametrize("keep", ["ranked", "passed"])
def test_every_problem_is_kept_or_dropped_by_one_rule(keep) -> None:
    rng = random.Random(3)
    given: list[Answered] = []
    for number in range(300):
        who = sorted(rng.randrange(3) for _ in range(rng.randrange(6)))
        said = tuple(answer(each, at, rng.choice(["a", "b", "c", " ", "d\0"])) for at, each in enumerate(who))
        check = replace(PROBLEM.check, weak=rng.random() < 0.1)
        given.append(Answered(replace(PROBLEM, id=f"p{number}", check=check), rng.random() < 0.9, said))
    at = {(each.problem.id, text): rng.randrange(4) for each in given for text in each.texts}
    rows, counts = documents(given, at, Rules(keep, True, 2))
    assert sum(counts.values()) == len(given) and len(counts) >= 5
    assert len({row["group"] for row in rows}) == counts[KEPT] and len({row["id"] for row in rows}) == len(rows)
    _check_sets(rows, keep)
    for who in range(3):
        its = rank.of_answers(given, at, who)
        assert sum(its.values()) == sum(answer.who == who for each in given for answer in each.answers)


def _check_sets(rows: Sequence[rank.Row], keep: str) -> None:
    sets = {name: [row for row in rows if row["group"] == name] for name in {row["group"] for row in rows}}
    for its in sets.values():
        scores = [row["score"] for row in its]
        if keep == "passed":
            assert len(its) == 1 and its[0]["set"] == "" and scores == [0]
        else:
            assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
            assert len({row["answer"] for row in its}) == len(its) and {row["set"] for row in its} == {its[0]["group"]}
