"""Arms as rows: values with the interval of the difference, relative differences, before and after the cooldown."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.compare import Comparison, Row, against, arm_label, several_baselines
from analysis.metrics import Metric
from analysis.report import traces
from analysis.report.blocks import Figure, Mark, Panel
from analysis.report.figures.drawing import GREY, INK, Drawn, Look, clip, figure, grid, one, rows_for, scale_of
from analysis.report.values import before_after
from analysis.scores import BEFORE, FINAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLISHED = "the paper's"
NOTHING: Mapping[tuple[str, str], float] = {}
DASHED: Any = {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
BARS = (
    "Small dots are seeds, the large marker is their mean. The bar is the 95 % interval of the paired difference, "
    "drawn from the {} mean (dashed): where it crosses the dashed line the arms cannot be told apart. A bar that "
    "leaves the frame is longer than the panel. Axes do not begin at 0."
)


def panels(
    comparison: Comparison,
    metrics: Sequence[Metric],
    look: Look,
    key: str,
    title: str,
    published: Mapping[tuple[str, str], float] = NOTHING,
) -> Figure:
    """A panel for each metric with the arms as rows.

    Small dots are seeds, the marker is their mean. The bar is the 95 % interval of the paired difference, drawn from
    the mean of the arm's baseline (dashed): it crosses the dashed line exactly where it holds 0. Where baselines
    differ, each has its line in the rows of its arms alone. An arm is shown over the seeds that it is compared by.
    What the paper published of an (arm, metric) is a hollow mark.
    """
    arms, marks = list(look), []
    with figure(key, title, rows_for(metrics) * (0.75 + 0.27 * len(arms)) + 0.1) as drawn:
        for axes, metric in grid(drawn, metrics, labels=arms):
            axes.set_yticks(range(len(arms)), arms)
            axes.set_ylim(len(arms) - 0.5, -0.5)
            theirs = {arm: value for (arm, name), value in published.items() if name == metric.name}
            marks += _panel(drawn, axes, comparison, metric, look, key, theirs)
    whose = "arm's own baseline's" if several_baselines(comparison.study) else "baseline's"
    live = (Panel("bar", title, tuple(metric.name for metric in metrics)),)
    hollow = any(mark.at == PUBLISHED for mark in marks)
    caption = BARS.format(whose) + (" A hollow diamond is the paper's own value." if hollow else "")
    return Figure(key, title, drawn.svg, caption, tuple(marks), live)


def _panel(
    drawn: Drawn,
    axes: "Axes",
    comparison: Comparison,
    metric: Metric,
    look: Look,
    key: str,
    theirs: Mapping[str, float],
) -> list[Mark]:
    scale, study, at = scale_of(metric), comparison.study, comparison.points[-1]
    found = {row.arm: row for row in comparison.last if row.metric == metric}
    points, marks = [], []
    n_items = traces.items_of(comparison, metric, at)
    for spot, (arm, style) in enumerate(look.items()):
        by_seed, row = comparison.by_seed(arm, metric.name, at), found.get(arm)
        seeds = [scale * value for value in by_seed.values()]
        if not seeds:
            continue
        mean = scale * row.estimate.value if row else sum(seeds) / len(seeds)
        points += [*seeds, mean]
        low = high = None
        if several_baselines(study):
            level = scale * row.estimate.baseline_value if row else mean
            axes.plot([level] * 2, [spot - 0.5, spot + 0.5], **DASHED)
        elif arm == study.baseline:
            axes.axvline(mean, **DASHED)
        if row:
            its = row.estimate
            low, high = (its.baseline_value + end for end in (its.difference.low, its.difference.high))
            axes.plot([scale * low, scale * high], [spot, spot], **style.bar, alpha=0.8)
        axes.plot(seeds, [spot] * len(seeds), "o", color=style.colour, markersize=2.6, alpha=0.7)
        trace = traces.of_row(comparison, row) if row else traces.of_arm(comparison, arm, at)
        shown = f"{arm}: {metric.score.value_text(mean / scale)}; {trace}"
        axes.plot(mean, spot, **style.mark(6), markeredgecolor="#ffffff", markeredgewidth=0.6, **drawn.trace(shown))
        n_seeds = row.n_seeds if row else len(seeds)
        marks.append(Mark(key, arm, metric.name, at, mean / scale, low, high, None, n_items, n_seeds, trace))
    for spot, arm in enumerate(look):
        if arm in theirs:
            hollow: Any = {"marker": "D", "markersize": 7, "markerfacecolor": "none", "color": INK, "linestyle": ""}
            said = f"{arm} in the paper: {metric.score.value_text(theirs[arm])}"
            axes.plot(scale * theirs[arm], spot, **hollow, **drawn.trace(said))
            points.append(scale * theirs[arm])
            marks.append(Mark(key, arm, metric.name, PUBLISHED, theirs[arm], trace=said))
    if metric.chance:
        axes.axvline(scale * metric.chance, color=GREY, linewidth=0.9, linestyle=":")
        axes.text(scale * metric.chance, len(look) - 0.55, " chance", color=GREY, fontsize=7.5, va="bottom")
        points.append(scale * metric.chance)
    clip(axes, points)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    return marks


def forest(
    comparison: Comparison,
    metrics: Sequence[Metric],
    look: Look,
    key: str = "forest",
    title: str = "Relative differences to the baseline",
) -> Figure | None:
    """Relative differences to each arm's baseline with their 95 % intervals; right of the line is always better."""
    rows = [row for row in comparison.last if row.metric in metrics and row.estimate.relative]
    if not rows:
        return None
    arms = [arm for arm in look if any(row.arm == arm for row in rows)]
    shown = [metric for metric in metrics if any(row.metric == metric for row in rows)]
    block = len(arms) + 0.8
    labels = {arm_label(comparison.study, arm): look[arm] for arm in arms}
    with figure(key, title, 0.7 + 0.17 * block * len(shown), labels) as drawn:
        axes = one(drawn, [metric.label for metric in shown])
        axes.axvline(0, color=INK, linewidth=0.9)
        marks = [
            _relative(drawn, axes, comparison, row, look, key, shown.index(row.metric) * block + arms.index(row.arm))
            for row in rows
        ]
        sign = {metric.name: 100 if metric.score.higher_is_better else -100 for metric in shown}
        clip(axes, [sign[mark.metric] * mark.value for mark in marks if mark.value])
        middles = [i * block + (len(arms) - 1) / 2 for i in range(len(shown))]
        axes.set_yticks(middles, [metric.label for metric in shown])
        axes.set_ylim(block * len(shown) - 0.8, -0.8)
        axes.set_xlabel(f"relative difference to {against(comparison.study)}, %   (worse ← 0 → better)")
    caption = (
        "Relative differences with their 95 % intervals. Filled markers are beyond noise after the correction for many "
        "comparisons, hollow ones are not. A metric that is 0 somewhere has no ratio and is left out."
    )
    return Figure(key, title, drawn.svg, caption, tuple(marks))


def _relative(drawn: Drawn, axes: "Axes", comparison: Comparison, row: Row, look: Look, key: str, spot: float) -> Mark:
    relative, style = row.estimate.relative, look[row.arm]
    assert relative is not None
    percent = 100 if row.metric.score.higher_is_better else -100
    ends = sorted(percent * end for end in (relative.low, relative.high))
    axes.plot(ends, [spot, spot], **style.bar)
    trace = traces.of_row(comparison, row)
    face = style.colour if row.judged.firm else "#ffffff"
    axes.plot(percent * relative.centre, spot, **style.mark(5.5), markerfacecolor=face, **drawn.trace(trace))
    at = (row.at, relative.centre, relative.low, relative.high)
    return Mark(key, row.arm, row.metric.name, *at, None, row.n_items, row.n_seeds, trace)


def cooldown(comparison: Comparison, metrics: Sequence[Metric], look: Look) -> Figure:
    """Each arm's means before and after the cooldown, over the seeds that have both."""
    title, marks = "Before and after the cooldown", []
    with figure("cooldown", title, 1.9 * rows_for(metrics) + 0.1, look) as drawn:
        for axes, metric in grid(drawn, metrics):
            for arm, style in look.items():
                means, n_seeds = before_after(comparison, metric, arm)
                if not n_seeds:
                    continue
                ends = [scale_of(metric) * mean for mean in means]
                axes.plot([0, 1], ends, **style.mark(5) | {"linestyle": style.dash}, linewidth=1.5)
                for at, mean in zip((BEFORE, FINAL), means, strict=True):
                    trace = traces.of_arm(comparison, arm, at)
                    marks.append(Mark("cooldown", arm, metric.name, at, mean, n_seeds=n_seeds, trace=trace))
            if axes.dataLim.y0 == axes.dataLim.y1 == 0:
                axes.set_ylim(-0.2, 5)
            axes.set_xticks([0, 1], ["before", "after"])
            axes.set_xlim(-0.25, 1.25)
    caption = (
        "Means over the seeds that have both, at the end of the stage before the cooldown and at the end of the run."
    )
    return Figure("cooldown", title, drawn.svg, caption, tuple(marks))
