"""Laws of a share: fitted to what they made, judged by noise that is known, silent on noise alone."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from analysis.compare import compare
from analysis.laws import forms
from analysis.laws.forms import LAWS, LOG, LOG_ODDS, PLAIN, left_out
from analysis.laws.optimum import Optimum, Points, find, scheffe
from analysis.laws.points import of_paper, points
from analysis.laws.told import metrics_named, of_figure, of_sweep, to_json
from analysis.ledgers import read_ledgers, sweep
from analysis.report.build import build
from store.errors import UserError
from tests.analysis import synthetic_store as synthetic
from tests.analysis.test_report_figures import sweep_store

Floats = NDArray[np.float64]
S = np.array([0, 0.25, 0.5, 0.75, 0.9, 1.0])
LAW = {law.name: law for law in LAWS}


def simulated(truth_A: Floats, sd: float, seeds: int, rng: np.random.Generator, higher: bool = False) -> Points:
    """Runs whose seeds move all arms alike, and each a little, as the points that records would give."""
    value_AxS = truth_A[:, None] + rng.normal(0, sd, (S.size, seeds)) + rng.normal(0, 3 * sd, (1, seeds))
    left_AxS = value_AxS - value_AxS.mean(axis=0)
    left_AxS -= left_AxS.mean(axis=1, keepdims=True)
    freedom = (S.size - 1) * (seeds - 1)
    noise_AxA = np.eye(S.size) * (left_AxS**2).sum() / freedom / seeds
    return Points(tuple(map(str, S)), S, value_AxS.mean(axis=1), noise_AxA, freedom, LOG, higher, "")


@pytest.mark.parametrize("c, k, t", [(0.8, 0.5, -3.0), (1.1, 0.02, 4.0), (2.0, -0.4, 0.5), (0.2, 1e-4, 8.0)])
def test_an_exponential_law_is_found_again(c: float, k: float, t: float) -> None:
    found = LAW["exponential"].fit(S, np.log(c + k * np.exp(t * S)), LOG)
    assert [found.parameters[name] for name in "ckt"] == pytest.approx([c, k, t], rel=1e-3)
    assert np.exp(found.predict(S)) == pytest.approx(c + k * np.exp(t * S), abs=1e-6)


@pytest.mark.parametrize("name, moved", [
    ("quadratic", lambda s: s),
    ("quadratic in log-odds", lambda s: np.log((0.05 + 0.9 * s) / (0.95 - 0.9 * s))),
])  # fmt: skip
def test_a_quadratic_law_is_found_again(name: str, moved: Callable[[Floats], Floats]) -> None:
    found = LAW[name].fit(S, 0.3 - 0.2 * moved(S) + 0.7 * moved(S) ** 2, LOG_ODDS)
    assert [found.parameters[key] for key in "abc"] == pytest.approx([0.3, -0.2, 0.7])


@pytest.mark.filterwarnings("ignore:Covariance of the parameters")
def test_the_exponential_law_leaves_no_more_squares_than_a_search_from_many_starts() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        y_A = 1 + rng.normal(0, 0.1, S.size)
        found = LAW["exponential"].fit(S, np.log(y_A), LOG)
        ours = ((np.exp(found.predict(S)) - y_A) ** 2).sum()
        for start in (-10, -3, -0.5, 0.5, 3, 10):
            try:
                theirs, _ = curve_fit(
                    lambda s, c, k, t: c + k * np.exp(t * s), S, y_A, p0=(1, 0.1, start), maxfev=5_000
                )
            except RuntimeError:
                continue
            if 0.05 <= abs(theirs[2]) <= 20:
                assert ours <= ((theirs[0] + theirs[1] * np.exp(theirs[2] * S) - y_A) ** 2).sum() * (1 + 1e-6)


def test_what_is_said_of_a_left_out_arm_is_said_without_it() -> None:
    y_A = np.array([0.3, 0.1, 0.0, 0.2, 0.25, 0.6])
    expected = []
    for arm in range(S.size):
        others = [number for number in range(S.size) if number != arm]
        expected.append(np.polyval(np.polyfit(S[others], y_A[others], 2), S[arm]))
    assert left_out(LAW["quadratic"], S, y_A, PLAIN) == pytest.approx(expected)
    assert left_out(LAW["constant"], S, y_A, PLAIN) == pytest.approx((y_A.sum() - y_A) / 5)
    found = find(Points(tuple("abcdef"), S, y_A, np.eye(6) * 0.01, 10, PLAIN, False, ""))
    errors = {each.law.name: each.error for each in found.laws}
    assert errors["quadratic"] == pytest.approx(math.sqrt(np.mean((np.array(expected) - y_A) ** 2)))


@pytest.mark.parametrize("best", [0.0, 0.35, 0.8, 1.0])
def test_the_best_share_of_a_known_quadratic_is_found_both_ways(best: float) -> None:
    rng = np.random.default_rng(5)
    for higher in (False, True):
        truth_A = (S - best) ** 2 * (-1 if higher else 1)
        found = find(simulated(truth_A, 0.001, 3, rng, higher))
        assert not found.why and found.share == pytest.approx(best, abs=0.02)
        assert found.low <= best <= found.high and found.high - found.low < 0.6


def test_a_monotone_metric_is_best_at_its_end_and_the_end_is_in_the_interval() -> None:
    found = find(simulated(np.log(2 + 0.4 * np.exp(-6 * S)), 0.002, 3, np.random.default_rng(1)))
    assert (found.best.law.name, found.share, found.high) == ("exponential", 1.0, 1.0) and found.low > 0.7


def test_the_best_arm_is_in_the_interval_whatever_the_laws_have() -> None:
    """Reasoning and knowledge of the paper, whose plateau no law follows to its best arm."""
    found = find(of_paper(("reasoning", "knowledge")))
    assert found.low == 0.0 and found.high >= 0.25
    zigzag = find(Points(tuple("abcdef"), S, np.array([0.0, 3, -9, 3, 0, 9]), np.eye(6) * 1e-6, 10, PLAIN, False, ""))
    assert not any(each.fits for each in zigzag.laws) and zigzag.low <= 0.25 and zigzag.high >= 0.75


def test_a_law_that_misses_beyond_noise_is_refuted_where_another_does_not() -> None:
    """Bits per byte of text of a sweep of 2m models, which fall off a cliff that no parabola has."""
    bits_A = np.array([2.045, 2.0861, 2.1428, 2.2362, 2.3706, 2.8898])
    found = find(Points(tuple("abcdef"), S, np.log(bits_A), np.eye(6) * 0.02**2, 8, LOG, False, ""))
    assert {each.law.name for each in found.laws if each.refuted} == {"constant", "quadratic"}
    assert not found.why and (found.share, found.low) == (0.0, 0.0) and found.high < 0.3


def test_noise_is_called_that() -> None:
    rng = np.random.default_rng(8)
    found = [find(simulated(np.zeros(6), 0.01, 3, rng)) for _ in range(25)]
    assert sum(not each.why for each in found) <= 2
    assert {each.why for each in found if each.p > 0.05} == {"arms differ by no more than noise"}


def test_without_noise_that_is_known_nothing_is_told() -> None:
    found = find(Points(tuple("abcdef"), S, S * 0 + 0.3, np.zeros((6, 6)), np.inf, PLAIN, False, ""))
    assert found.why and found.p == 1.0


def test_scheffe_reaches_as_far_as_an_f_test() -> None:
    """√(2 F) at 5 %: F[2, 10] is 4.103 and chi-square[2] 5.991, by any table."""
    assert scheffe(2, 10) == pytest.approx(math.sqrt(2 * 4.103), abs=1e-3)
    assert scheffe(2, np.inf) == pytest.approx(math.sqrt(5.991), abs=1e-3)


@pytest.fixture
def sweep_of_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sweep_store(tmp_path, monkeypatch)
    return tmp_path


def test_points_are_the_records_and_their_noise_is_an_analysis_of_variance(sweep_of_records: Path) -> None:
    comparison = compare(sweep_of_records, "sweep")
    shares = sweep(comparison.study, read_ledgers(sweep_of_records, comparison.study))
    (metric,) = metrics_named(comparison, ["heldout/text/bpb"])
    found, gaps = points(comparison, [(1.0, metric)], shares)
    assert found is not None and not gaps and found.arms == ("zero", "quarter", "half", "most", "all")
    log_AxS = np.log([[*comparison.by_seed(arm, metric.name, "final").values()] for arm in found.arms])
    assert found.mean_A == pytest.approx(log_AxS.mean(axis=1))
    interaction = sum(
        (log_AxS[a, s] - log_AxS[a].mean() - log_AxS[:, s].mean() + log_AxS.mean()) ** 2
        for a in range(5)
        for s in range(3)
    )
    assert found.freedom == 8
    # Items add to it what cannot be less than nothing; here they suit all arms alike but for 2 %.
    of_seeds = interaction / 8 / 3
    assert of_seeds <= found.variance < 3 * of_seeds
    assert np.linalg.eigvalsh(found.noise_AxA - of_seeds * np.eye(5)).min() > -1e-12


def test_what_a_seed_does_to_all_arms_is_of_no_account() -> None:
    rng = np.random.default_rng(2)
    points_ = simulated((S - 0.4) ** 2, 0.01, 3, rng)
    moved = Points(*[*vars(points_).values()][:2], points_.mean_A + 0.7, *[*vars(points_).values()][3:])
    one, other = find(points_), find(moved)
    assert (one.low, one.high) == (other.low, other.high) and one.p == pytest.approx(other.p)


def test_a_sweep_says_where_each_metric_is_best_in_json_and_in_the_report(sweep_of_records: Path) -> None:
    """Code wants all of it and text none (`synthetic_store.nats_per_byte`)."""
    comparison = compare(sweep_of_records, "sweep")
    shares = sweep(comparison.study, read_ledgers(sweep_of_records, comparison.study))
    metrics = metrics_named(comparison, ["heldout/code/bpb", "heldout/text/bpb"])
    code, text = to_json(of_sweep(comparison, metrics, shares))["metrics"]
    assert (code["optimum"], text["optimum"]) == (1.0, 0.0)
    assert code["interval"][1] == 1.0 and text["interval"][0] == 0.0
    synthetic.write_sealed(sweep_of_records / "prepared" / "data1" / "manifest.json", synthetic.manifest())
    page = build(sweep_of_records, "sweep", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert "<h2" in page and "Laws" in page and code["finding"] in page and text["finding"] in page


def test_a_metric_that_was_not_scored_is_named_with_one_that_was(sweep_of_records: Path) -> None:
    with pytest.raises(UserError, match=r"'heldout/cod/bpb' was not scored .* did you mean 'heldout/code/bpb'"):
        metrics_named(compare(sweep_of_records, "sweep"), ["heldout/cod/bpb"])


def test_the_papers_own_figure_does_not_tell_25_percent_from_none() -> None:
    """The standard error of its reasoning is 0.8 points of items alone; 51.9 is 1.5 of those of a difference over 50.2.

    That of a mean by hand: √(Σ 0.25 / n) / 11 over eleven data sets.
    """
    found = of_paper(("reasoning",))
    variance = 0.25 * sum(1 / n for n in (3270, 1838, 1000, 1954, 7354, 56, 100, 1871, 10042, 1267, 2376)) / 121
    points_ = np.sqrt(np.diag(found.noise_AxA)) / found.link.slope(found.link.back(found.mean_A))
    assert points_[0] == pytest.approx(math.sqrt(variance), rel=1e-3) and points_[0] == pytest.approx(0.008, abs=2e-4)
    told = {each.name: each for each in of_figure().metrics}
    for name in ("nl/acc", "reasoning/acc", "knowledge/exact_match"):
        assert told[name].optimum.low == 0.0, name
    assert told["reasoning/acc"].optimum.high >= 0.5
    assert (told["code/pass@1"].optimum.share, told["code/pass@1"].optimum.high) == (1.0, 1.0)


def log_odds(s: Floats) -> Floats:
    return np.log((forms.MARGIN + 0.9 * s) / (0.95 - 0.9 * s))


TRUTHS: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "quadratic": (lambda s: 0.1 * (s - 0.3) ** 2, 0.3),
    "at an end": (lambda s: 0.1 * s**2, 0.0),
    "slow exponential": (lambda s: np.log(2 + 0.05 * np.exp(s)), 0.0),
    "cliff": (lambda s: np.log(2 + 0.2 * np.exp(8 * (s - 1))), 0.0),
    "saturating": (lambda s: np.log(2 + 0.4 * np.exp(-6 * s)), 1.0),
    "steep": (lambda s: 0.02 * (log_odds(s) - log_odds(np.array(0.1))) ** 2, 0.1),
    "none of the laws": (lambda s: -0.01 * np.log(s + 0.02) - 0.03 * np.log(1.02 - s), 0.24),
}
REPLICATIONS = 500


@pytest.mark.soak
@pytest.mark.parametrize("sd", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("name", TRUTHS)
def test_intervals_hold_the_best_share(name: str, sd: float) -> None:
    truth, best = TRUTHS[name]
    rng = np.random.default_rng([list(TRUTHS).index(name), round(1000 * sd)])
    found = [find(simulated(truth(S), sd, 3, rng)) for _ in range(REPLICATIONS)]
    held = sum(each.low - 0.005 <= best <= each.high + 0.005 for each in found)
    assert held >= REPLICATIONS * 0.95 - 3 * math.sqrt(REPLICATIONS * 0.05 * 0.95)


@pytest.mark.soak
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_on_noise_an_optimum_is_claimed_in_one_of_twenty_at_most(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    claimed = sum(_told(find(simulated(np.zeros(6), 0.02, seeds, rng))) for _ in range(REPLICATIONS))
    assert claimed <= REPLICATIONS * 0.05 + 3 * math.sqrt(REPLICATIONS * 0.05 * 0.95)


def _told(found: Optimum) -> bool:
    return not found.why
