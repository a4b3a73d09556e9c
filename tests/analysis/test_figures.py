"""What a reader must be able to tell apart in a figure, and what must not be drawn."""

import re

import numpy as np
import pytest

from analysis.report.figures import drawing, losses
from analysis.report.figures.losses import Losses


@pytest.mark.parametrize("count", [2, 9, 10, 17, 40])
def test_no_two_arms_look_alike(count: int) -> None:
    """By colour and marker where points are drawn, by colour and dash where there are lines alone."""
    arms = [f"arm {number}" for number in range(count)]
    look = drawing.styles(arms, baseline="arm 1")
    assert list(look) == arms
    assert len({(style.colour, style.marker) for style in look.values()}) == count
    assert len({(style.colour, style.dash) for style in look.values()}) == count


def _run(loss: list[float]) -> Losses:
    loss_T = np.array(loss)
    return Losses("a", 0, np.arange(1.0, len(loss) + 1), loss_T, np.zeros(len(loss)), False)


def test_a_step_without_a_finite_loss_is_a_gap_and_moves_no_other() -> None:
    whole, broken = [3.0, 2.0, 4.0, 1.0, 2.0], [3.0, 2.0, np.nan, 1.0, 2.0]
    np.testing.assert_allclose(losses.smoothed(np.array(whole), 2), [3.0, 2.5, 3.0, 2.5, 1.5])
    np.testing.assert_allclose(losses.smoothed(np.array(broken), 2), [3.0, 2.5, np.nan, 1.0, 1.5])


def test_a_gap_is_drawn_however_long_the_run() -> None:
    """5,000 steps are thinned to 400 points, and one step among them is not left out for that."""
    loss = np.random.default_rng(0).normal(2.0, 0.1, 5_000).tolist()  # a straight line would be simplified
    loss[3_333] = np.nan
    svg = losses.losses([_run(loss)], drawing.styles(["a"], "a")).svg
    lines = [path for path in re.findall(r'<path d="([^"]+)"', svg) if path.count("L") > 100]
    assert lines and all(path.count("M") == 2 for path in lines)
    assert "not finite" in losses.losses_caption([_run(loss)])


def test_a_run_without_any_finite_loss_is_drawn_as_nothing() -> None:
    svg = losses.losses(
        [_run([np.nan] * 5), Losses("b", 0, *(np.array([1.0, 2.0]),) * 3, True)], drawing.styles(["a", "b"], "a")
    ).svg
    assert "nan" not in svg.lower()


def test_a_value_that_is_no_loss_of_tokens_is_told_apart() -> None:
    ranking = Losses("b", 0, *(np.array([1.0, 2.0]),) * 3, True)
    assert "Where b ranks answers, it is that" in losses.losses_caption([_run([1.0, 2.0]), ranking])
    assert "ranks" not in losses.losses_caption([_run([1.0, 2.0])])


@pytest.mark.parametrize("longest", [4, 12, 25, 40, 70])
@pytest.mark.parametrize("count", [1, 3, 8, 41])
def test_a_legend_stays_inside_its_figure(longest: int, count: int) -> None:
    """As matplotlib measures it; the names are of wide and narrow letters and of all lengths."""
    letters = "balanced+synth-to-text (against BALANCED-ONLY) " * 2
    labels = [f"{n} {letters[n : n + longest * (1 + n % 3) // 3]}" for n in range(count)]
    with drawing.drawing("legend", 1 + drawing.legend_height(labels)) as figure:
        figure.subplots()
        drawing.legend(figure, drawing.styles(labels, labels[0]))
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert box.height <= figure.dpi * drawing.legend_height(labels) + 30
