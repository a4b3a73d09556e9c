"""A panel's verdicts, and its judges' agreement against closed forms."""

import pytest

from analysis.evals.preference.estimates import win_rate
from analysis.evals.preference.panel import alike, by_majority, fleiss
from analysis.evals.preference.verdicts import Judged


def judged(outcome: str, note: str = "", id_: str = "p", seed: int = 1) -> Judged:
    return Judged(id_, outcome, ("arm", "baseline"), 10, 20, note, seed)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ("win win loss", "win"),
        ("loss loss gap", "loss"),
        ("win loss", "tie"),
        ("win tie", "tie"),
        ("win tie loss", "tie"),
        ("win win loss tie", "tie"),
        ("tie tie win", "tie"),
        ("win gap invalid", "gap"),
        ("invalid invalid", "gap"),
        ("win win invalid", "win"),
    ],
)
def test_a_majority_takes_more_than_half_of_two_verdicts_at_least(outcomes: str, said: str) -> None:
    found = by_majority([judged(outcome) for outcome in outcomes.split()])
    assert (found.outcome, found.id, found.seed, found.arm_length, found.baseline_length) == (said, "p", 1, 10, 20)
    assert bool(found.note) == (said == "gap")


def test_what_no_judge_was_asked_stays_so_and_its_length_is_not_controlled_for() -> None:
    blank = by_majority([judged("loss", "empty")] * 3)
    assert (blank.outcome, blank.note) == ("loss", "empty")
    asked = [by_majority([judged("win", id_=str(n))] * 2) for n in range(9)]
    found = win_rate([blank, *asked])
    assert (found.empty, found.agreement) == (1, None)
    assert found.length_controlled.value == pytest.approx(0.9, abs=0.01)


def rows(outcomes: str, note: str = "") -> dict[tuple[str, int, str], Judged]:
    return {("a b", 1, str(n)): judged(outcome, note, str(n)) for n, outcome in enumerate(outcomes.split())}


def test_kappas_are_agreement_beyond_chance() -> None:
    # Cohen's own form: 20 and 15 alike of 50; p_o 0.7, p_e 0.5, kappa 0.4.
    one = rows(" ".join(["win"] * 25 + ["loss"] * 25))
    other = rows(" ".join(["win"] * 20 + ["loss"] * 5 + ["win"] * 10 + ["loss"] * 15))
    (found,) = alike({"x": one, "y": other})
    assert found.same is not None and (found.same.value, found.same.n) == (0.7, 50)
    assert found.kappa == pytest.approx(0.4)
    (same,) = alike({"x": rows("win win"), "y": rows("win win")})
    assert same.kappa is None, "with one word only, chance is all"
    # Three judges, two pairs: P = (1, 1/3), of six words four wins and two losses: P_e = 20/36.
    three = [rows("win win"), rows("win loss"), rows("win loss")]
    assert fleiss(three) == pytest.approx((2 / 3 - 20 / 36) / (1 - 20 / 36))


def test_pairs_that_were_not_asked_or_have_no_verdict_say_nothing_of_agreement() -> None:
    (found,) = alike({"x": rows("win gap win"), "y": rows("loss win invalid")})
    assert found.same is not None and (found.same.n, found.same.value) == (1, 0)
    (unasked,) = alike({"x": rows("tie tie", "identical"), "y": rows("tie tie", "identical")})
    assert (unasked.same, unasked.kappa) == (None, None)
    assert fleiss([rows("tie", "identical")] * 3) is None
