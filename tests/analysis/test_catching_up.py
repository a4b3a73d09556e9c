"""When an arm reaches what its baseline ends with."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.catching_up import crossing, reached
from analysis.compare import compare
from analysis.report import results
from analysis.report.values import shown
from analysis.scores import evaluated, points
from analysis.statistics import Interval
from tests.analysis import synthetic_store as synthetic


@pytest.mark.parametrize(
    ("curve", "level", "higher", "tokens"),
    [
        ({10: 2.0, 20: 1.5, 30: 1.0}, 1.25, False, 25.0),
        ({10: 2.0, 20: 1.5, 30: 1.0}, 2.5, False, 10.0),  # better from the first point on
        ({10: 2.0, 20: 1.5, 30: 1.0}, 0.9, False, None),
        ({10: 0.1, 20: 0.3, 30: 0.2, 40: 0.5}, 0.25, True, 17.5),  # the first time counts
        ({30: 1.0, 10: 2.0, 20: 1.5}, 1.0, False, 30.0),  # in any order
    ],
)
def test_a_level_is_crossed_between_two_points(
    curve: dict[int, float], level: float, higher: bool, tokens: float | None
) -> None:
    assert crossing(curve, level, higher) == tokens


def test_an_arm_that_learns_faster_is_where_its_baseline_ends_before_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage takes 0.1 off; one arm is so much better that it begins beyond the end."""
    monkeypatch.setattr(synthetic, "CODE_SHARE", {**dict.fromkeys(synthetic.ARMS, 0.0), "code-to-text": 0.6})
    synthetic.write_store(tmp_path, (1, 2, 3), ("heldout/code", "heldout/text"))
    comparison = compare(tmp_path, "small")
    study = comparison.study
    every = [at for at in points(study.runs[0]) if at != "before-cooldown"]
    rows = {
        (row.arm, row.metric.name): row
        for row in reached(study, evaluated(tmp_path, study, every)[0], shown(comparison))
    }
    stage = synthetic.STEPS * synthetic.TOKENS_PER_STEP
    fast = rows["code-to-text", "heldout/code/bpb"]
    assert fast.when == (stage,) * 3 and fast.of == 3 and fast.end == 3 * stage
    assert fast.earlier is not None and fast.earlier.centre == 2 * stage
    # Code costs it text: it never gets there, and no number says that it does.
    slow = rows["code-to-text", "heldout/text/bpb"]
    assert slow.when == () and slow.earlier is None
    # An arm that learns as fast reaches the level near its end, in some seeds.
    alike = rows["balanced-only", "heldout/code/bpb"]
    assert len(alike.when) <= 3 and all(tokens > 2 * stage for tokens in alike.when)
    table = results.caught_up(list(rows.values()))[-1]
    assert any("never" in row for row in table.rows) and any("3 of 3" in row for row in table.rows)


def test_an_arm_that_goes_on_from_its_baseline_is_left_out(tmp_path: Path) -> None:
    """As Python after the mixture of code: it is where its baseline ends before it begins."""
    synthetic.write_store(tmp_path, (1, 2), ("heldout/code",))
    comparison = compare(tmp_path, "small")
    study = comparison.study
    found, _ = evaluated(tmp_path, study, [at for at in points(study.runs[0]) if at != "before-cooldown"])
    shared = {("code-to-text", 1, "stage-2"): found.stages[study.baseline, 1, "final"]}
    goes_on = replace(found, stages={**found.stages, **shared})
    arms = [{row.arm for row in reached(study, each, shown(comparison))} for each in (found, goes_on)]
    assert arms[0] - arms[1] == {"code-to-text"}
    level = replace(reached(study, found, shown(comparison))[0], earlier=Interval(3.0, -math.inf, math.inf, 1.0))
    assert results.caught_up([level])[-1].rows[0][-1] == "–"


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1,), ("heldout/code",))
    comparison = compare(tmp_path, "small")
    every = [at for at in points(comparison.study.runs[0]) if at != "before-cooldown"]
    rows = reached(comparison.study, evaluated(tmp_path, comparison.study, every)[0], shown(comparison))
    sure = [row.earlier for row in rows if row.earlier is not None]
    assert sure and all(math.isinf(each.low) and math.isinf(each.high) for each in sure)
    ends_alone = evaluated(tmp_path, comparison.study, ["final"])[0]
    assert reached(comparison.study, ends_alone, shown(comparison)) == []
