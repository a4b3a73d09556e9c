"""What an arm's end is worth in tokens, against curves whose truth is known and by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.compare import compare
from analysis.records import read_study
from analysis.report import worth
from analysis.report.blocks import Table
from analysis.report.build import gather
from analysis.rungs.multiplier import (
    BEFORE,
    BEYOND,
    CANNOT_TELL,
    FARTHEST,
    LARGER,
    NO_FALL,
    SMALLER,
    TOO_FEW,
    Multiplier,
    held,
    multipliers,
    needed,
    over_seeds,
    power_law,
    scored_along,
)
from analysis.statistics import CROSSED, ONE_SEED, Interval, Pair, Side, estimate
from tests.analysis import rungs
from tests.analysis.synthetic_store import EXTRAS


def measured(store: Path, key: str = rungs.SMALL) -> dict[str, Multiplier]:
    comparison = compare(store, key)
    return {
        each.arm: each for each in multipliers(comparison, scored_along(store, comparison.study), comparison.metrics)
    }


def test_between_points_it_is_a_straight_line_over_log_tokens() -> None:
    curve = {100: 3.0, 400: 2.0, 1_600: 1.5}
    assert needed(curve, 2.5).tokens == pytest.approx(200), "half of the way from log 100 to log 400"
    assert needed(curve, 1.75).tokens == pytest.approx(800)
    assert needed(curve, 2.5).slope == pytest.approx(math.log(4)) and needed(curve, 1.75).slope == pytest.approx(
        math.log(4) / 0.5
    )
    assert [needed(curve, level).tokens for level in (3.0, 2.0, 1.5)] == pytest.approx([100, 400, 1_600])


def test_beyond_the_last_point_it_is_the_power_law_through_points_that_are_of_one() -> None:
    """By hand: 1 + 2 x^-0.5 at 4, 16 and 64 is 2, 1.5 and 1.25; it is 1.2 at 100, and 1.18 at 123."""
    curve = {4: 2.0, 16: 1.5, 64: 1.25}
    found = needed(curve, 1.2)
    assert found.tokens == pytest.approx(100, rel=1e-4) and not found.why
    assert needed(curve, 1.18).why == "" and needed(curve, 1.176).why == BEYOND, "1.177 at 128, twice the last"
    step = 1e-5
    by_difference = (math.log(needed(curve, 1.2 - step).tokens) - math.log(needed(curve, 1.2 + step).tokens)) / 2 / step
    assert found.slope == pytest.approx(by_difference, rel=1e-4)
    assert power_law(np.array([4.0, 16, 64]), np.array([2.0, 1.5, 1.25])) == pytest.approx((2, 0.5), rel=1e-3)


@pytest.mark.parametrize(
    ("curve", "level", "why"),
    [
        ({1: 3.0, 2: 2.0, 3: 1.5}, 3.1, BEFORE),
        ({1: 3.0, 2: 2.0, 3: 1.5}, 0.1, BEYOND),
        ({1: 3.0, 2: 2.0, 3: 2.1}, 2.1, NO_FALL),
        ({1: 2.0, 2: 2.0, 3: 2.0}, 2.0, NO_FALL),
    ],
)
def test_where_a_curve_says_nothing_there_is_no_number(curve: dict[int, float], level: float, why: str) -> None:
    found = needed(curve, level)
    assert found.why == why and math.isnan(found.tokens)


def test_a_hump_on_the_way_is_passed_by(tmp_path: Path) -> None:
    """The second point is worse than the first: the curve is first as good as 2.5 between the first and the third."""
    assert needed({1: 3.0, 2: 3.2, 4: 2.0}, 2.5).tokens == pytest.approx(2)


def test_arms_are_worth_what_they_were_made_to_be(tmp_path: Path) -> None:
    truth = {"text": 1.0, "half": 0.5, "less": 0.8, "same": 1.0, "more": 1.25, "far": 1.7, "too-far": 2.6}
    rungs.write_rung(tmp_path, rungs.SMALL, truth)
    found = measured(tmp_path)
    assert list(found) == list(truth)[1:]
    for arm in ("half", "less", "same", "more", "far"):
        times, each = found[arm].times, found[arm]
        assert (
            times is not None
            and times.low < truth[arm] < times.high
            and times.centre == pytest.approx(truth[arm], rel=0.04)
        )
        assert (each.points, each.n_seeds, each.kind, each.why, each.flops) == (rungs.PIECES, 3, CROSSED, "", True)
    assert found["far"].extrapolated and not found["less"].extrapolated
    assert found["too-far"].times is None and found["too-far"].why == BEYOND.format("text")


def test_equal_arms_are_worth_one_and_a_better_one_more(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "same": 1.0, "better": 1.4}, luck=0.0)
    found = measured(tmp_path)
    assert found["better"].times is not None and found["better"].times.centre == pytest.approx(1.4, rel=1e-3)
    same = found["same"].times
    assert same is not None and same.centre == pytest.approx(1.0)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_baseline_of_few_points_has_no_curve_and_is_told_how_to_get_one(tmp_path: Path, pieces: int) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2}, pieces=pieces)
    more = measured(tmp_path)["more"]
    assert more.times is None and more.points == pieces
    assert more.why == TOO_FEW.format("text") and "experiments.pieces.cut" in more.why
    assert worth.in_tokens([more]) == []


def test_the_report_says_what_an_interval_is_of(tmp_path: Path) -> None:
    """Fewer than 20 documents speak of no others."""
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2}, n_items=12, models={"more": "2m"})
    (table,) = [block for block in worth.in_tokens(list(measured(tmp_path).values())) if isinstance(block, Table)]
    assert table.rows[0][-1] == f"on these documents only; {worth.OTHER_SIZES}"


def test_other_stages_of_the_baseline_are_no_points_of_its_curve(tmp_path: Path) -> None:
    """What it read before it turned to another stage says nothing of the one that it ends with."""
    kinds = ("pretrain",) * 4 + ("cooldown",) * 2
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2}, kinds=kinds)
    assert measured(tmp_path)["more"].points == 2


def test_one_seed_has_an_interval_of_items_alone_and_says_so(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2}, seeds=(0,), fit=0.01)
    more = measured(tmp_path)["more"]
    assert more.kind == ONE_SEED and more.times is not None and more.times.low < more.times.centre < more.times.high


def test_items_widen_the_interval_as_they_do_that_of_the_difference(tmp_path: Path) -> None:
    """At equal seeds the interval is that of the difference carried through the slope where the arm ends."""
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.1}, luck=1e-6, fit=0.01)
    comparison = compare(tmp_path, rungs.SMALL)
    difference, log = comparison.last[0].estimate.difference, measured(tmp_path)["more"].log
    assert log is not None
    slope = 1 / (rungs.B * rungs.BETA * 1.1**-rungs.BETA)
    assert (log.high - log.low) / (difference.high - difference.low) == pytest.approx(slope, rel=0.02)


def test_an_end_beyond_what_the_curve_carries_is_open(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "far": 1.5, "near": 1.05}, luck=0.02, number=4)
    far, near = measured(tmp_path)["far"], measured(tmp_path)["near"]
    assert far.times is not None and far.times.high == math.inf and far.times.low > 0
    assert near.times is not None and near.times.high <= FARTHEST
    (table,) = [block for block in worth.in_tokens([far, near]) if isinstance(block, Table)]
    assert ["open" in str(row[4]) for row in table.rows] == [True, False]


def test_arms_of_other_sizes_are_worth_no_flops(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "large": 1.3}, models={"large": "2m"})
    large = measured(tmp_path)["large"]
    assert large.times is not None and not large.flops


def test_accuracies_are_worth_no_tokens(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2})
    comparison = compare(tmp_path, rungs.SMALL)
    (metric,) = comparison.metrics
    other = replace(metric, score=replace(metric.score, name="acc"))
    assert multipliers(comparison, scored_along(tmp_path, comparison.study), [other]) == []


def test_the_points_are_those_of_the_records(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2})
    along = scored_along(tmp_path, read_study(tmp_path, rungs.SMALL))
    assert sorted({at for _, _, at in along.scores}) == ["final", *(f"stage-{n}" for n in range(1, rungs.PIECES))]


def test_the_report_of_one_study_has_them_along_the_runs(tmp_path: Path) -> None:
    rungs.write_rung(tmp_path, rungs.SMALL, {"text": 1.0, "more": 1.2, "less": 0.7, "far": 3.0})
    sections = {section.title: section.blocks for section in gather(tmp_path, rungs.SMALL, EXTRAS).report.sections}
    (table,) = [
        block for block in sections["Along the runs"] if isinstance(block, Table) and "worth" in map(str, block.head)
    ]
    said = {str(row[1]): [str(cell) for cell in row[3:6]] for row in table.rows}
    assert said["more"][0].startswith("1.2") and said["more"][0].endswith("x †") and said["more"][2] == "3"
    assert said["less"][0].startswith("0.7") and said["less"][0].endswith("x")
    assert said["far"][0] == "cannot tell"
    rungs.write_rung(tmp_path, rungs.LARGE, {"text": 1.0, "more": 1.2}, pieces=1)
    whole = {section.title for section in gather(tmp_path, rungs.LARGE, EXTRAS).report.sections}
    assert "Along the runs" not in whole


def told(centre: float, half: float) -> Multiplier:
    nobody: Multiplier = Multiplier("a", "b", None, 3, 3, 6, None, False, True)  # type: ignore[arg-type]
    return replace(nobody, log=Interval(math.log(centre), math.log(centre) - half, math.log(centre) + half, math.nan))


def test_whether_a_multiplier_held_by_hand() -> None:
    """1.70 at the small rung and 1.07 at the large one, each to 20 % or so: the ratio to √2 times that."""
    found = held(told(1.70, 0.2), told(1.07, 0.2))
    assert found.found == SMALLER and found.ratio is not None
    ends = [0.629 * math.exp(sign * 0.2 * math.sqrt(2)) for sign in (-1, 1)]
    assert [found.ratio.centre, found.ratio.low, found.ratio.high] == pytest.approx([0.629, *ends], rel=1e-3)
    assert held(told(1.0, 0.1), told(1.5, 0.1)).found == LARGER
    assert held(told(1.70, 0.4), told(1.07, 0.4)).found == CANNOT_TELL
    assert held(told(1.70, 0.1), told(1.07, math.inf)).found == CANNOT_TELL
    assert held(replace(told(1.7, 0.1), log=None), told(1.07, 0.1)).ratio is None


def covered(worth_: float, n_seeds: int, replications: int, luck: float, fit: float) -> tuple[int, int]:
    """How many intervals hold the truth, of how many that can be told; each draw has other seeds and other items."""
    rng, hits, told_ = np.random.default_rng([n_seeds, round(100 * worth_)]), 0, 0
    tokens = [rungs.END * (n + 1) // rungs.PIECES for n in range(rungs.PIECES)]
    for _ in range(replications):
        size_N, suits_2xN = rng.lognormal(5, 0.5, 60), rng.normal(0, fit, (2, 60))
        luck_2xSx1 = rng.normal(0, luck, (2, n_seeds, 1))
        seen = [
            size_N
            * (
                rungs.bits(1.0, share / rungs.END)
                + luck_2xSx1[0]
                + suits_2xN[0]
                + rng.normal(0, luck / 3, (n_seeds, 1))
            )
            for share in tokens
        ]  # by point, S x N
        arm_SxN = size_N * (rungs.bits(worth_) + luck_2xSx1[1] + suits_2xN[1])
        size_SxN = np.broadcast_to(size_N, arm_SxN.shape)
        spread = estimate([(1.0, Pair(Side(arm_SxN, size_SxN), Side(seen[-1], size_SxN)))]).spread
        curves = [
            dict(zip(tokens, (float(of[seed].sum() / size_N.sum()) for of in seen), strict=True))
            for seed in range(n_seeds)
        ]
        at = [needed(curve, float(of_N.sum() / size_N.sum())) for curve, of_N in zip(curves, arm_SxN, strict=True)]
        if not any(each.why for each in at):
            found = over_seeds(at, [rungs.END] * n_seeds, spread)
            told_ += 1
            hits += found.low <= math.log(worth_) <= found.high
    return hits, told_


@pytest.mark.parametrize("worth_", [0.7, 1.3])
def test_intervals_hold_the_truth(worth_: float) -> None:
    """At 95 % fewer than 53 of 60 would be one draw in 100."""
    hits, told_ = covered(worth_, 3, 60, 0.01, 0.01)
    assert told_ == 60 and hits >= 53


@pytest.mark.soak
@pytest.mark.parametrize("luck, fit", [(0.01, 0.0), (0.01, 0.05), (0.003, 0.08)])
@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize("worth_", [0.5, 0.8, 1.0, 1.25, 1.5])
def test_intervals_hold_the_truth_at_their_level(worth_: float, n_seeds: int, luck: float, fit: float) -> None:
    hits, told_ = covered(worth_, n_seeds, 600, luck, fit)
    assert told_ >= 540 and hits / told_ >= 0.925
