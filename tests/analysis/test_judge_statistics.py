"""Win rates, length control, strengths and calibration against closed forms, optimisers and the paper's figures."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, special

from analysis.evals.preference import estimates
from analysis.evals.preference.calibrate import calibrate
from analysis.evals.preference.estimates import RIDGE, length_controlled, share, sign_test, win_rate
from analysis.evals.preference.prompts import read_labelled
from analysis.evals.preference.strengths import fit_strengths
from analysis.evals.preference.verdicts import Judged, combine, judge
from analysis.winrates import COLUMNS, cells
from store.errors import Failure
from tests.analysis.judge_server import serving

VERDICTS = {"win": ("arm", "arm"), "tie": ("arm", "baseline"), "loss": ("baseline", "baseline")}
TURNED = {"win": "loss", "tie": "tie", "loss": "win"}


def judged(id_: object, outcome: str, arm_length: int = 100, baseline_length: int = 100) -> Judged:
    return Judged(str(id_), outcome, VERDICTS.get(outcome, (outcome,)), arm_length, baseline_length)


def counted(wins: int, ties: int, losses: int) -> list[Judged]:
    return [judged(n, o) for n, o in enumerate(["win"] * wins + ["tie"] * ties + ["loss"] * losses)]


def turned(rows: list[Judged]) -> list[Judged]:
    return [judged(j.id, TURNED[j.outcome], j.baseline_length, j.arm_length) for j in rows]


@pytest.mark.parametrize(
    ("counts", "rates", "p"),
    [
        ((64, 84, 51), (32.2, 42.2, 25.6), 0.26),  # figure 9, code-to-text
        ((69, 74, 56), (34.7, 37.2, 28.1), 0.28),  # figure 9, balanced-to-text
        ((65, 63, 71), (32.7, 31.7, 35.7), 0.67),  # figure 8, balanced-only
        ((75, 55, 69), (37.7, 27.6, 34.7), 0.68),  # figure 8, balanced-to-text
        ((104, 58, 37), (52.3, 29.1, 18.6), 0.0),  # figure 7, cooldown with code
    ],
)
def test_the_papers_counts_give_its_rates_and_most_of_them_are_noise(
    counts: tuple[int, int, int], rates: tuple[float, float, float], p: float
) -> None:
    found = win_rate(counted(*counts))
    assert found.n == found.prompts == 199
    assert [round(100 * s.value, 1) for s in (found.win, found.tie, found.loss)] == list(rates)
    assert found.sign_p == pytest.approx(p, abs=0.005)
    assert (found.difference.low > 0) == (p < 0.05)
    assert found.half.value == pytest.approx((rates[0] + rates[1] / 2) / 100, abs=1e-3)


def test_the_interval_is_as_wide_as_theory_has_it() -> None:
    found = win_rate(counted(64, 84, 51))
    mean = 13 / 199
    error = np.sqrt((115 / 199 - mean**2) / 199)
    assert found.difference.centre == pytest.approx(mean)
    assert found.difference.low == pytest.approx(mean - 1.96 * error, abs=0.012)
    assert found.difference.high == pytest.approx(mean + 1.96 * error, abs=0.012)


def test_judging_a_prompt_three_times_is_not_three_prompts() -> None:
    once = counted(30, 30, 40)
    again = win_rate(once * 3)
    assert (again.n, again.prompts) == (300, 100)
    assert (again.win.low, again.win.high) == pytest.approx((win_rate(once).win.low, win_rate(once).win.high))
    apart = win_rate([judged(f"{j.id} {n}", j.outcome) for j in once for n in range(3)])
    assert apart.win.high - apart.win.low < 0.7 * (again.win.high - again.win.low)


def test_intervals_by_prompt_cover_what_they_claim() -> None:
    rng = np.random.default_rng(0)
    ids = [str(n) for n in range(60) for _ in range(3)]
    covered = 0
    for _ in range(300):
        chance_P = rng.beta(1, 1, 60)  # prompts differ: three seeds of one prompt go together
        hits = rng.random((60, 3)) < chance_P[:, None]
        found = share(ids, hits.ravel())
        covered += found.low <= 0.5 <= found.high
    assert 0.90 < covered / 300 < 0.98


def test_no_loss_in_ten_is_not_certainty() -> None:
    found = win_rate(counted(10, 0, 0))
    assert (found.win.value, found.win.high) == (1, 1)
    exact = 0.025 ** (1 / 10)
    assert exact - 0.06 < found.win.low < exact, "as wide as the exact binomial interval, and not much wider"
    assert found.loss.high == pytest.approx(1 - found.win.low)
    assert found.difference.low == pytest.approx(2 * found.half.low - 1)
    assert 0.5 < found.length_controlled.low < found.length_controlled.value < 1


@pytest.mark.parametrize("counts", [(0, 50, 0), (50, 0, 0), (0, 0, 50)])
def test_no_interval_shrinks_to_nothing(counts: tuple[int, int, int]) -> None:
    found = win_rate(counted(*counts))
    for share_ in (found.win, found.tie, found.loss, found.half, found.length_controlled, found.agreement, found.first):
        assert share_ is not None and share_.low <= share_.value <= share_.high
        assert 0.02 < share_.high - share_.low < 0.2
    assert found.difference.high - found.difference.low > 0.02
    assert (found.difference.p > 0.05) == (counts == (0, 50, 0))
    games = {(arm, other): counted(*counts) for arm, other in (("a", "b"), ("c", "a"), ("c", "b"))}
    fit = fit_strengths(games, "b")
    assert fit is not None and all(rank.rate.high - rank.rate.low > 0.02 for rank in fit.strengths if rank.arm != "b")


def test_blank_answers_are_lost_and_no_matter_of_length() -> None:
    """Forty blanks and sixty even pairs: 0.4 * 0 + 0.6 * 0.5."""
    blank = [Judged(f"b{n}", "loss", (), 0, 100 + n, "empty") for n in range(40)]
    even = [judged(n, "win" if n % 2 else "loss", 90 + n, 120) for n in range(60)]
    for pairs in (even, [judged(n, "tie", 90 + n, 120) for n in range(60)]):
        found = win_rate(blank + pairs)
        assert found.length_controlled.value == pytest.approx(0.3, abs=0.01)
        assert found.half.value == pytest.approx(0.3)
        assert found.length_controlled.low > 0.18 and found.length_controlled.high < 0.45
    same = [Judged(f"s{n}", "tie", (), 80, 80, "identical") for n in range(100)]
    assert win_rate(same + [judged(n, "win", 90, 60 + n) for n in range(100)]).length_controlled.value > 0.7
    unasked = win_rate(blank)
    assert (unasked.length_controlled.value, unasked.length_controlled.low) == (0, 0)
    assert unasked.length_controlled.high < 0.25


def test_seeds_that_disagree_widen_the_interval() -> None:
    steady = [replace(j, seed=seed) for seed in (1, 2) for j in counted(60, 0, 40)]
    apart = [replace(j, seed=seed) for seed, wins in ((1, 75), (2, 45)) for j in counted(wins, 0, 100 - wins)]
    one, other = win_rate(steady), win_rate(apart)
    assert one.half.value == other.half.value == 0.6
    assert other.half.high - other.half.low > 2 * (one.half.high - one.half.low)


def test_what_has_no_verdict_is_counted_and_left_out() -> None:
    rows = [*counted(3, 2, 1), judged("x", "invalid"), judged("y", "gap"), judged("z", "gap")]
    found = win_rate(rows)
    assert (found.n, found.invalid, found.gaps) == (6, 1, 2)
    assert found.half.value == pytest.approx(4 / 6)
    with pytest.raises(Failure, match=r"no pair has a verdict \(1 invalid, 2 gaps\)"):
        win_rate(rows[6:])
    assert combine(["arm", "invalid"]) == combine(["invalid", "baseline"]) == "invalid"
    assert combine(["gap", "invalid"]) == "gap"


def test_position_bias_shows() -> None:
    found = win_rate(counted(1, 8, 1))  # every tie preferred what came first
    assert found.agreement is not None and found.first is not None
    assert (found.agreement.value, found.first.value) == pytest.approx((0.2, 0.9))
    unordered = win_rate([Judged("a", "win", ("arm",), 3, 4), Judged("b", "loss", (), 0, 4, "empty")])
    assert (unordered.agreement, unordered.first, unordered.empty) == (None, None, 1)


def test_swapping_the_arms_mirrors_everything() -> None:
    rng = np.random.default_rng(1)
    rows = [judged(n, o, *rng.integers(1, 500, 2)) for n, o in enumerate(rng.choice(["win", "tie", "loss"], 80))]
    one, other = win_rate(rows), win_rate(turned(rows))
    assert other.win == one.loss
    assert other.difference.low == pytest.approx(-one.difference.high)
    assert other.length_controlled.value == pytest.approx(1 - one.length_controlled.value)
    assert other.length_controlled.low == pytest.approx(1 - one.length_controlled.high)
    assert other.sign_p == one.sign_p


def test_the_sign_test_is_exact() -> None:
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(3, 3) == 1
    assert sign_test(0, 0) == 1


def test_the_length_controlled_fit_is_the_optimum() -> None:
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 900, (150, 2))
    rows = [judged(n, o, *lengths[n]) for n, o in enumerate(rng.choice(["win", "tie", "loss"], 150))]
    longer = lengths[:, 0] - lengths[:, 1]
    x = np.tanh(longer / longer.std())
    y = np.array([estimates.SCORES[j.outcome] for j in rows])

    def loss(fit: np.ndarray) -> float:
        logit = fit[0] + fit[1] * x
        return float((np.logaddexp(0, logit) - y * logit).sum() + RIDGE / 2 * (fit**2).sum())

    best = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
    rate, effect = length_controlled(rows)
    assert rate.value == pytest.approx(special.expit(best[0]), abs=1e-5)
    assert effect.centre == pytest.approx(best[1], abs=1e-4)


def test_a_win_by_length_alone_vanishes_under_control_and_one_by_merit_stays() -> None:
    """The first judge prefers the longer answer and the arm writes longer ones; the second is blind to length."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(100, 400, (300, 2)) + np.array([60, 0])
    longer = (lengths[:, 0] - lengths[:, 1]) / 150
    by_length = ["win" if u < special.expit(2 * d) else "loss" for u, d in zip(rng.random(300), longer, strict=True)]
    by_merit = ["win" if u < 0.7 else "loss" for u in rng.random(300)]
    gamed = win_rate([judged(n, o, *lengths[n]) for n, o in enumerate(by_length)])
    assert gamed.half.low > 0.5
    assert gamed.length_controlled.low < 0.5 < gamed.length_controlled.high
    assert gamed.length_effect.low > 0
    earned = win_rate([judged(n, o, *lengths[n]) for n, o in enumerate(by_merit)])
    assert earned.length_controlled.low > 0.5
    assert earned.length_effect.low < 0 < earned.length_effect.high


def test_equal_lengths_leave_the_rate_alone() -> None:
    found = win_rate(counted(30, 10, 60))
    assert found.length_controlled.value == pytest.approx(found.half.value, abs=1e-3)
    assert found.length_effect.centre == 0


def test_a_fit_is_the_optimum_of_the_likelihood() -> None:
    wins_KxK = np.array([[0, 12.5, 30, 4], [7.5, 0, 9, 11], [10, 11, 0, 2.5], [16, 9, 17.5, 0]])

    def loss(fit_K: np.ndarray) -> float:
        return float((wins_KxK * np.logaddexp(0, fit_K[None, :] - fit_K[:, None])).sum() + RIDGE / 2 * (fit_K**2).sum())

    best_K = optimize.minimize(loss, np.zeros(4), tol=1e-12).x
    won, lost = np.nonzero(wins_KxK)
    design_KxR = (np.eye(4)[won] - np.eye(4)[lost]).T
    found_K, _ = estimates.logistic(design_KxR, np.ones(len(won)), wins_KxK[won, lost])
    assert found_K == pytest.approx(best_K, abs=1e-4)


def round_robin(
    true: dict[str, float], seeds: int = 1, n: int = 100, seed: int = 4
) -> dict[tuple[str, str], list[Judged]]:
    """Every two arms of given strengths on the same prompts, a later arm before an earlier one."""
    rng = np.random.default_rng(seed)
    return {
        (b, a): [judged(k, "win" if rng.random() < special.expit(true[b] - true[a]) else "loss") for k in range(n)]
        for a, b in itertools.combinations(true, 2)
    }


def test_a_round_robin_has_the_strengths_that_maximise_the_likelihood_of_all_its_pairs() -> None:
    games = {("a", "b"): counted(40, 40, 20), ("c", "b"): counted(20, 10, 70), ("c", "a"): counted(10, 30, 60)}
    fit = fit_strengths(games, "b")
    assert fit is not None and fit.comparisons == 300
    assert [s.arm for s in fit.strengths] == ["a", "b", "c"] and [s.rate.n for s in fit.strengths] == [200] * 3

    def loss(at: np.ndarray) -> float:
        of = {"a": at[0], "b": 0.0, "c": at[1]}
        return RIDGE / 2 * float((at**2).sum()) + sum(
            np.logaddexp(0, of[i] - of[j]) - estimates.SCORES[one.outcome] * (of[i] - of[j])
            for (i, j), its in games.items()
            for one in its
        )

    best = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
    found = {s.arm: s.logit.centre for s in fit.strengths}
    assert (found["a"], found["c"]) == pytest.approx(tuple(best), abs=1e-4)
    other = fit_strengths({(j, i): turned(its) for (i, j), its in games.items()}, "b")
    assert other is not None
    for one, two in zip(fit.strengths, other.strengths, strict=True):
        assert (two.logit.low, two.logit.high) == pytest.approx((one.logit.low, one.logit.high), abs=1e-4)


def test_without_a_circle_there_are_no_strengths() -> None:
    assert fit_strengths({}, "b") is None
    star = {("a", "b"): counted(40, 40, 20), ("c", "b"): counted(20, 10, 70)}
    chain = {**star, ("d", "c"): counted(5, 5, 5)}
    assert fit_strengths(star, "b") is None and fit_strengths(chain, "b") is None
    apart = {**star, ("x", "y"): counted(3, 3, 3), ("y", "z"): counted(3, 3, 3), ("x", "z"): counted(3, 3, 3)}
    assert fit_strengths(apart, "b") is None
    silent = {**star, ("a", "c"): [judged(1, "invalid")]}
    assert fit_strengths(silent, "b") is None
    assert fit_strengths({**star, ("a", "c"): counted(9, 1, 2)}, "b") is not None


def test_pairs_that_no_strengths_explain_are_told() -> None:
    """a beats b, b beats c, and c beats a: each strength is 0, and every prediction outside what was found."""
    rock = {("a", "b"): counted(70, 10, 20), ("b", "c"): counted(70, 10, 20), ("c", "a"): counted(70, 10, 20)}
    fit = fit_strengths(rock, "b")
    assert fit is not None
    assert [round(s.logit.centre, 3) for s in fit.strengths] == [0, 0, 0]
    assert [(pair.apart, round(pair.predicted, 3)) for pair in fit.pairs] == [(True, 0.5)] * 3
    true = {"text-only": 0.0, "balanced": 0.8, "code": -1.0}
    fair = fit_strengths(round_robin(true, n=200), "text-only")
    assert fair is not None and not any(pair.apart for pair in fair.pairs)


def test_true_strengths_lie_in_their_intervals_as_often_as_these_claim() -> None:
    true, covered = {"text-only": 0.0, "balanced": 0.8, "code": -1.0}, 0
    for seed in range(200):
        fit = fit_strengths(round_robin(true, seed=seed), "text-only")
        assert fit is not None and [s.arm for s in fit.strengths] == ["balanced", "text-only", "code"]
        covered += sum(s.logit.low <= true[s.arm] <= s.logit.high for s in fit.strengths if s.arm != "text-only")
    assert 0.92 < covered / 400 < 0.98


def test_an_arm_that_never_loses_has_a_finite_strength() -> None:
    games = {("a", "b"): counted(50, 0, 0), ("a", "c"): counted(50, 0, 0), ("b", "c"): counted(25, 0, 25)}
    fit = fit_strengths(games, "c")
    assert fit is not None and fit.strengths[0].arm == "a"
    assert 3 < fit.strengths[0].logit.centre < 20 and fit.strengths[0].logit.low > 0


def test_the_papers_two_numbers_are_named() -> None:
    """6.6 is the difference of its rounded shares (figure 9); 13 of 199 are 6.5."""
    for wins, ties, losses, shares in ((64, 84, 51, "25.6-32.2-42.2"), (69, 74, 56, "28.1-34.7-37.2")):
        found = win_rate(counted(wins, ties, losses))
        assert round(round(100 * found.win.value, 1) - round(100 * found.loss.value, 1), 1) == 6.6
        shown = dict(zip(COLUMNS, cells({"arm": "a", "seeds": {}, "clean": None, **asdict(found)}), strict=True))
        assert shown["loss-win-tie, %"] == shares
        assert shown["win − loss, points (the paper's 6.6 %)"].startswith("+6.5 [")
        assert shown["win + tie/2 (the findings box's 53.3 %)"].startswith("53.3 [")


def test_runs_that_share_seeds_are_not_as_many_seeds() -> None:
    """Four runs of two seeds of the weights and two of the data, which alone decide: two seeds, not four."""
    rows = [replace(j, seed=seed) for seed, wins in enumerate((70, 70, 40, 40)) for j in counted(wins, 0, 100 - wins)]
    crossed = {seed: (seed // 2, seed % 2) for seed in range(4)}
    own = {seed: (seed, seed) for seed in range(4)}
    width = {
        name: found.half.high - found.half.low
        for name, found in (
            ("unsaid", win_rate(rows)),
            ("own", win_rate(rows, own)),
            ("crossed", win_rate(rows, crossed)),
        )
    }
    assert width["own"] == width["unsaid"]
    assert width["crossed"] > 1.5 * width["own"]
    games = {pair: rows for pair in (("a", "b"), ("c", "b"))} | {("c", "a"): rows}
    one, other = fit_strengths(games, "b", own), fit_strengths(games, "b", crossed)
    assert one is not None and other is not None
    assert all(
        b.logit.high - b.logit.low > 1.5 * (a.logit.high - a.logit.low)
        for a, b in zip(one.strengths, other.strengths, strict=True)
        if a.arm == "c"
    )


def test_agreement_with_people_is_measured(tmp_path: Path) -> None:
    """The judge on loopback prefers the longer answer, and what comes first where the prompt says so."""
    short, long = "brief", "at some length"
    rows = [
        *({"prompt": f"p{n}", "answer_a": long, "answer_b": short, "preferred": "a"} for n in range(6)),
        *({"prompt": f"q{n}", "answer_a": long, "answer_b": short, "preferred": "b"} for n in range(2)),
        {"prompt": "first", "answer_a": short, "answer_b": long, "preferred": "tie"},
        {"prompt": "r", "answer_a": short, "answer_b": long, "preferred": "tie"},
        {"prompt": "babble", "answer_a": short, "answer_b": long, "preferred": "a"},
        {"prompt": "refuse", "answer_a": short, "answer_b": long, "preferred": "a"},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labelled = read_labelled(tmp_path / "labels.jsonl")
    with serving() as server:
        found = calibrate(labelled, lambda pairs: judge(pairs, server.endpoint(), tmp_path / "c.sqlite", None))
        with pytest.raises(Failure, match="no verdict on any of 1 labelled pairs"):
            calibrate(labelled[10:11], lambda pairs: judge(pairs, server.endpoint(), tmp_path / "c.sqlite", None))
    assert (found.agreement.value, found.agreement.n) == (0.7, 10)
    assert found.decided is not None and (found.decided.value, found.decided.n) == (0.75, 8)
    assert found.longer is not None and (found.longer.value, found.longer.n) == (0.75, 8)
    assert found.orders is not None and (found.orders.value, found.orders.n) == (0.9, 10)
    assert found.confusion["win", "win"] == 6 and found.confusion["loss", "win"] == 2
    assert found.confusion["tie", "tie"] == 1 and found.confusion["tie", "loss"] == 1
    assert (found.invalid, found.gaps) == (1, 1)
