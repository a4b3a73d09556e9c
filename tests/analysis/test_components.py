"""Variance components of crossed seeds, and what shared seeds do to a comparison."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from analysis.compare import Comparison, compare, to_json
from analysis.components import DATA, INIT, ITEMS, REST, Components, next_seed, of_items, of_seeds
from analysis.metrics import SCORES
from analysis.records import read_study, write
from analysis.report.build import build
from analysis.statistics import CROSSED, Pair, Side, estimate
from tests.analysis import synthetic_store as synthetic

TASKS = ("heldout/text", "piqa")


def crossed(store: Path, pairs: Sequence[tuple[int, int]]) -> Comparison:
    """A store whose runs, one a pair, have these seeds of weights and data."""
    arms = {name: synthetic.ARMS[name] for name in (synthetic.BASELINE, "code-to-text")}
    synthetic.write_store(store, range(1, len(pairs) + 1), TASKS, arms, ("heldout/text/bpb",), n_items=60)
    study = read_study(store, "small")
    runs = [replace(run, init_seed=pairs[run.seed - 1][0], data_seed=pairs[run.seed - 1][1]) for run in study.runs]
    write(store / "studies" / "small" / "study.json", replace(study, runs=tuple(runs)))
    return compare(store, "small")


def of_metric(found: Comparison, metric: str, at: str = "final") -> Components:
    (its,) = [c for c in found.components if (c.arm, c.metric.name, c.at) == ("code-to-text", metric, at)]
    return its


def test_the_estimates_are_those_of_the_anova_table() -> None:
    """By hand: means of rows 2, 5, of columns 2, 3.5, 5, in all 3.5; what is left is 0.5 and -0.5."""
    init, data, rest = of_seeds(np.array([[1.0, 1.5, 3.5], [3.0, 5.5, 6.5]]))
    m_rest = 4 * 0.5**2 / 2
    assert (rest.variance, rest.freedom) == (pytest.approx(m_rest), 2)
    assert (init.variance, init.freedom) == (pytest.approx((3 * 2 * 1.5**2 - m_rest) / 3), 1)
    assert (data.variance, data.freedom) == (pytest.approx((2 * 2 * 1.5**2 / 2 - m_rest) / 2), 2)
    assert (rest.low, rest.high) == pytest.approx((2 * m_rest / 7.377759, 2 * m_rest / 0.0506356), rel=1e-5)


def test_a_study_that_crosses_its_seeds_has_components_in_every_output(tmp_path: Path) -> None:
    found = crossed(tmp_path, list(product((1, 2, 3), (7, 8))))
    its = of_metric(found, "heldout/text/bpb")
    assert (its.n_init, its.n_data) == (3, 2)
    values = found.by_seed("code-to-text", "heldout/text/bpb", "final")
    assert [part.variance for part in its.parts[:3]] == pytest.approx(
        [part.variance for part in of_seeds(np.array([values[seed] for seed in range(1, 7)]).reshape(3, 2))]
    )
    assert [part.name for part in its.parts] == [INIT, DATA, REST, ITEMS]
    document = json.loads(json.dumps(to_json(found), allow_nan=False))["components"]
    assert {(c["arm"], c["at"]) for c in document} == {
        (arm, at) for arm in (synthetic.BASELINE, "code-to-text") for at in ("before-cooldown", "final")
    }
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    section = text[text.index("<h2>Where the variance comes from</h2>") : text.index("<h2>Declared and realised")]
    assert "3 × 2" in section and its.advice in section


def test_seeds_that_are_one_or_not_crossed_have_none(tmp_path: Path) -> None:
    found = crossed(tmp_path, [(1, 1), (2, 2), (3, 3)])
    assert not found.components and "components" not in to_json(found) and not found.gaps


def test_an_unbalanced_crossing_is_refused_by_its_arm(tmp_path: Path) -> None:
    found = crossed(tmp_path, [(1, 1), (1, 2), (2, 1)])
    assert not found.components
    assert [gap for gap in found.gaps if "code-to-text" in gap] == [
        "code-to-text: its 3 runs are not one for each of 2 init seeds and 2 data seeds, so there are no variance "
        "components"
    ]


def test_a_run_without_scores_leaves_a_gap_and_the_other_metrics(tmp_path: Path) -> None:
    crossed(tmp_path, list(product((1, 2), (1, 2))))
    for path in (tmp_path / "stages").glob("code-to-text-cooldown-s3-*/evals/piqa@*.json"):
        path.unlink()
    found = compare(tmp_path, "small")
    lines = [gap for gap in found.gaps if gap.startswith("code-to-text, final:")]
    assert len(lines) == 1 and "lack a run, so there are no variance components of them" in lines[0]
    assert of_metric(found, "heldout/text/bpb") and of_metric(found, "piqa/acc", "before-cooldown")


def test_the_advice_is_the_seed_that_lowers_the_error_of_the_mean_more_for_a_run() -> None:
    value_IxJ = np.array([[0.0, 0.1], [4.0, 4.1], [8.0, 8.1]])  # inits differ, data do not
    buy, advice = next_seed(of_seeds(value_IxJ), 3, 2, SCORES["bpb"])
    assert buy == INIT and "its 2 runs take the standard error of the mean from 2.3 to 2," in advice
    assert next_seed(of_seeds(value_IxJ.T), 2, 3, SCORES["bpb"])[0] == DATA


def test_runs_that_share_seeds_do_not_count_as_so_many_seeds() -> None:
    """Four inits with four data seeds each: the noise is of the inits alone, of which there are four."""
    rng = np.random.default_rng(0)
    pairs = list(product(range(4), range(4)))
    luck_S = np.repeat(rng.normal(0, 0.1, 4), 4)
    arm_SxN = luck_S[:, None] + rng.normal(5, 1, 200) + rng.normal(0, 0.1, (16, 200))
    ones = np.ones_like(arm_SxN)
    task = (1.0, Pair(Side(arm_SxN, ones), Side(np.full_like(arm_SxN, 5.0), ones)))
    alone, shared = estimate([task]), estimate([task], pairs)
    assert alone.spread.n_seeds == 16 and shared.spread.n_seeds == 4 and shared.kind == CROSSED
    assert shared.spread.seeds > 3 * alone.spread.seeds
    assert estimate([task], [(n, n) for n in range(16)]) == alone


@pytest.mark.soak
@pytest.mark.parametrize("sds", [(1.0, 1.0, 0.3), (1.0, 0.2, 0.2), (0.2, 0.2, 1.0)])
def test_a_comparison_of_runs_that_share_seeds_covers(sds: tuple[float, float, float]) -> None:
    """Three inits by four data seeds, of mostly one kind of noise or another: 95 % or more."""
    rng, held, pairs = np.random.default_rng(1), 0, list(product(range(3), range(4)))
    ones = np.ones((12, 50))
    for _ in range(1_000):
        value_IxJ = rng.normal(0, sds[0], (3, 1)) + rng.normal(0, sds[1], 4) + rng.normal(0, sds[2], (3, 4))
        arm_SxN = 50 + 0.1 * value_IxJ.reshape(12, 1) + rng.normal(0, 0.1, (12, 50))
        pair = Pair(Side(arm_SxN, ones), Side(np.full_like(arm_SxN, 50.0), ones))
        found = estimate([(1.0, pair)], pairs).difference
        held += found.low <= 0 <= found.high
    assert held >= 940


@pytest.mark.soak
@pytest.mark.parametrize(("n_init", "n_data"), [(3, 3), (5, 3), (10, 5)])
@pytest.mark.parametrize("sds", [(1.0, 1.0, 1.0), (1.0, 0.2, 0.3), (0.2, 1.0, 1.0), (0.0, 1.0, 0.5)])
def test_the_intervals_of_normal_components_cover(n_init: int, n_data: int, sds: tuple[float, float, float]) -> None:
    """95 % within 1.5 points (2,000 draws, whose own error is 0.5): a component of 0 counts where the interval begins
    at 0, and is covered more often."""
    rng = np.random.default_rng([n_init, n_data, *(round(10 * sd) for sd in sds)])
    held = np.zeros(3)
    for _ in range(2_000):
        init_I, data_J = rng.normal(0, sds[0], n_init), rng.normal(0, sds[1], n_data)
        value_IxJ = init_I[:, None] + data_J + rng.normal(0, sds[2], (n_init, n_data))
        held += [part.low <= sd**2 <= part.high for part, sd in zip(of_seeds(value_IxJ), sds, strict=True)]
    assert (held / 2_000 >= 0.935).all() and held[2] / 2_000 <= 0.965


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "claimed"), [("normal", 0.935), ("accuracy", 0.935), (0.5, 0.85), (1.0, 0.6)])
def test_the_interval_of_items_covers(kind: str | float, claimed: float) -> None:
    """Nine runs, 100 and 1,000 items: 95 % where items are normal or answers right or wrong; fewer of log-normal
    scores, whose logarithms have the sd `kind`."""
    rng = np.random.default_rng(0)
    for n_items in (100, 1_000):
        held = 0
        for _ in range(1_000):
            if kind == "accuracy":  # an item's chance is uniform, so its variance between items is 1/12
                score_RxN, truth = (rng.random((9, n_items)) < rng.random(n_items)).astype(float), 1 / 12
            else:
                item_N, square = rng.normal(0, 1, n_items), 0.0 if isinstance(kind, str) else kind**2
                item_N = np.exp(square**0.5 * item_N) if square else item_N
                score_RxN = item_N + rng.normal(0, 0.5, (9, n_items))
                truth = np.exp(square) * (np.exp(square) - 1) if square else 1.0
            value_R = score_RxN.mean(axis=1)
            (part,) = of_items(value_R, [score_RxN - value_R[:, None]], [n_items - 1])
            held += part.low <= truth / n_items <= part.high
        assert held / 1_000 >= claimed
