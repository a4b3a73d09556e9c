"""What a planned study can find, by the noise of one that was run with another number of seeds."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.compare import compare
from analysis.records import read_study, write
from analysis.spread import smallest, spreads
from analysis.statistics import Spread, detectable, estimate
from tests.analysis import synthetic_store as synthetic
from tests.analysis.simulated import MIXES, Mix, latent, paired

SPREAD = Spread(seeds=0.04, items=0.03, both=0.01, n_seeds=3, freedom=299.0)


def test_with_the_seeds_that_were_measured_it_is_what_the_report_says() -> None:
    assert smallest(SPREAD, 3, 9) == detectable(SPREAD, 9)


def test_more_seeds_lower_the_part_of_seeds_alone() -> None:
    found = [smallest(SPREAD, n, 1) or 0.0 for n in (2, 3, 8, 1_000_000)]
    assert found == sorted(found, reverse=True)
    only_items = detectable(Spread(0.0, 0.02, 0.0, 2, 299.0))
    assert found[-1] == pytest.approx(only_items, rel=1e-3), "b − c of items stays whatever the seeds"
    assert smallest(SPREAD, 8, 20) > found[2]  # type: ignore[operator]


def test_one_seed_tells_nothing() -> None:
    assert smallest(replace(SPREAD, n_seeds=1), 3, 1) is None and smallest(SPREAD, 1, 1) is None


def test_a_store_gives_the_spread_of_every_primary_comparison(tmp_path: Path) -> None:
    arms = {arm: synthetic.ARMS[arm] for arm in (synthetic.BASELINE, "balanced-only", "code-to-text")}
    primary = ("heldout/text/bpb", "piqa/gold_bpb")
    synthetic.write_store(tmp_path, (1, 2, 3), ("heldout/text", "piqa"), arms, primary)
    found = spreads(tmp_path, "small")
    rows = {(r.metric.name, r.arm): r.estimate.spread for r in compare(tmp_path, "small").at("final")}
    assert {metric: set(of) for metric, of in found.items()} == {
        metric: {"balanced-only", "code-to-text"} for metric in primary
    }
    assert all(spread == rows[metric, arm] for metric, of in found.items() for arm, spread in of.items())
    study = read_study(tmp_path, "small")
    last = {run.seed: run.stages for run in study.runs if run.arm == synthetic.BASELINE}
    runs = [replace(run, stages=last[run.seed]) if run.arm == "balanced-only" else run for run in study.runs]
    runs = [run for run in runs if run.arm != "code-to-text" or run.seed == 1]
    write(tmp_path / "studies" / "small" / "study.json", replace(study, runs=tuple(runs)))
    assert spreads(tmp_path, "small") == {metric: {} for metric in primary}, (
        "the baseline's own checkpoints, and one seed"
    )


def test_planning_with_it_loads_no_jax() -> None:
    code = "import sys, analysis.spread; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def power(mix: Mix, measured: int, planned: int, comparisons: int, replications: int) -> float:
    """How often a difference of the size that a study of `measured` seeds promises `planned` ones is found."""
    rng, items = np.random.default_rng([measured, planned, comparisons]), 300

    def one(seeds: int, effect: float) -> tuple[Spread, float]:
        found = estimate([paired(*latent(rng, mix, seeds, items, (effect, 0.0)))])
        return found.spread, found.difference.p

    runs = [one(measured, 0.0)[0] for _ in range(400)]
    parts = (float(np.mean([getattr(spread, name) for spread in runs])) for name in ("seeds", "items", "both"))
    effect = smallest(Spread(*parts, measured, items - 1.0), planned, comparisons)
    assert effect is not None
    return float(np.mean([one(planned, effect)[1] <= 0.05 / comparisons for _ in range(replications)]))


@pytest.mark.parametrize(("measured", "planned"), [(3, 8), (5, 3)])
def test_what_is_promised_for_other_seeds_is_found_four_times_in_five(measured: int, planned: int) -> None:
    assert 0.68 <= power(MIXES["seeds"], measured, planned, 9, 200) <= 0.96


@pytest.mark.soak
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("measured", "planned"), [(2, 3), (2, 8), (3, 5), (8, 3)])
def test_the_power_is_near_what_is_meant_whatever_the_noise(mix: str, measured: int, planned: int) -> None:
    """0.8 is meant; components are averaged over draws, so that their own noise is not in it."""
    assert 0.73 <= power(MIXES[mix], measured, planned, 9, 1_000) <= 0.87
