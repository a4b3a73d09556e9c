"""Figures as inline SVG text: equal data give equal bytes. Matplotlib is loaded on the first drawing.

Every arm keeps one colour and one marker in all figures; neither is needed to read a figure whose rows are labelled.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.compare import Comparison, against, arm_label, several_baselines
from analysis.metrics import Metric
from analysis.scores import FINAL
from analysis.statistics import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.4
"""Inches; 900 px at 96 px an inch."""
GREY = "#767676"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#882255", "#999933")
"""Okabe and Ito's colours, told apart with any colour vision; where theirs are too pale for lines on white, Tol's."""
BASELINE_COLOUR = "#222222"
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.2, 1.4)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 3)),
    (0, (3, 1, 1, 1, 1, 1)),
)
"""Of lines that carry no marker."""
COLUMNS, LEGEND_COLUMNS = 3, 5
LETTER, LEGEND_HANDLE = 0.075, 0.7
"""Inches of a letter, on average, and of the line before a label with the gaps around it."""
SMOOTHED_SHARE = 40
"""Losses are averaged over 1/40 of a run's steps."""


@dataclass(frozen=True)
class Losses:
    """The loss of one run along its whole lineage, each array of shape T (steps of all its stages)."""

    arm: str
    seed: int
    tokens_T: Floats
    """Training tokens that the lineage had read."""
    loss_T: Floats
    """Nats per token; NaN where it was not finite."""
    stage_T: Floats
    """Index of the stage that the step belongs to."""


@dataclass(frozen=True)
class Style:
    colour: str
    marker: str
    dash: Any = "-"


def styles(arms: Sequence[str], baseline: str) -> dict[str, Style]:
    """One look for each arm: the baseline black and round, the others in the palette's order.

    Each round through the palette has its own dash, and meets the markers one further on: of some forty arms no two
    have one colour and marker, or one colour and dash.
    """
    look = {}
    for i, arm in enumerate(arm for arm in arms if arm != baseline):
        turn, colour = divmod(i, len(PALETTE))
        look[arm] = Style(PALETTE[colour], MARKERS[(colour + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])
    return {arm: look.get(arm, Style(BASELINE_COLOUR, "o")) for arm in arms}


def smoothed(loss_T: Floats, window: int) -> Floats:
    """Running mean over the last `window` steps (fewer at the start): never looks ahead of a step.

    A loss that is not finite leaves the means of later steps alone and stays a gap itself.
    """
    finite_T = np.isfinite(loss_T)
    sums, counts = (np.concatenate([[0.0], np.cumsum(x)]) for x in (np.where(finite_T, loss_T, 0.0), finite_T))
    ends = np.arange(1, loss_T.size + 1)
    starts = np.maximum(0, ends - window)
    means_T = (sums[ends] - sums[starts]) / np.maximum(1, counts[ends] - counts[starts])
    return np.where(finite_T, means_T, np.nan)


def losses(runs: Sequence[Losses], look: Mapping[str, Style]) -> str:
    """Training loss against the tokens of the lineage: seeds thin, their mean thick, stage boundaries dashed."""
    top = max(float(run.tokens_T[-1]) for run in runs)
    scale, label = tokens_axis(top)
    with _figure("losses", 4.0 + _legend_height(look)) as (figure, out):
        axes = figure.subplots()
        _plain(axes)
        for boundary in _boundaries(runs):
            axes.axvline(boundary / scale, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        shown: list[str] = []
        for arm, style in look.items():
            curves = [_curve(run) for run in runs if run.arm == arm]
            for tokens_P, loss_P in curves:
                axes.plot(tokens_P / scale, loss_P, color=style.colour, linewidth=0.6, alpha=0.45)
            if curves:
                # Seeds of an arm share their token grid unless one is unfinished: the mean stops at the shortest.
                length = min(len(tokens_P) for tokens_P, _ in curves)
                mean_P = np.mean([loss_P[:length] for _, loss_P in curves], axis=0)
                tokens_P = curves[0][0][:length] / scale
                axes.plot(tokens_P, mean_P, color=style.colour, linestyle=style.dash, linewidth=1.9)
                shown.append(arm)
        _loss_limits(axes, runs)
        axes.set_xlabel(label)
        axes.set_ylabel("training loss, nats per token")
        axes.margins(x=0.01)
        _legend(figure, {arm: look[arm] for arm in shown}, markers=False)
    return out[0]


def panels(comparison: Comparison, metrics: Sequence[Metric], look: Mapping[str, Style], key: str) -> str:
    """A panel for each metric with the arms as rows, at the end of the runs.

    Small dots are seeds, the marker is their mean. The bar is the 95 % interval of the paired difference, drawn from
    the mean of the arm's baseline (dashed): it crosses the dashed line exactly where it holds 0. Where baselines
    differ, each has its line in the rows of its arms alone.
    """
    arms = list(look)
    with _figure(key, _rows(metrics) * (0.75 + 0.27 * len(arms)) + 0.1) as (figure, out):
        for axes, metric in _grid(figure, metrics, sharey=True):
            axes.set_yticks(range(len(arms)), arms)
            axes.set_ylim(len(arms) - 0.5, -0.5)
            _panel(axes, comparison, metric, look)
    return out[0]


def forest(comparison: Comparison, metrics: Sequence[Metric], look: Mapping[str, Style]) -> str:
    """Relative differences to each arm's baseline with their 95 % intervals; right of the line is always better."""
    rows = [
        (row, row.estimate.relative) for row in comparison.at(FINAL) if row.metric in metrics and row.estimate.relative
    ]
    arms = [arm for arm in look if any(row.arm == arm for row, _ in rows)]
    shown = [metric for metric in metrics if any(row.metric == metric for row, _ in rows)]
    block = len(arms) + 0.8
    labels = {arm_label(comparison.study, arm): look[arm] for arm in arms}
    with _figure("forest", 0.7 + 0.17 * block * len(shown) + _legend_height(labels)) as (figure, out):
        axes, points = figure.subplots(), []
        _plain(axes)
        axes.axvline(0, color=BASELINE_COLOUR, linewidth=0.9)
        for row, relative in rows:
            style, percent = look[row.arm], 100 if row.metric.score.higher_is_better else -100
            spot = shown.index(row.metric) * block + arms.index(row.arm)
            face = style.colour if row.judged.firm else "white"
            ends = sorted(percent * end for end in (relative.low, relative.high))
            axes.plot(ends, [spot, spot], **_bar(style))
            axes.plot(percent * relative.centre, spot, **_mark(style, 5.5), markerfacecolor=face)
            points += [percent * relative.centre] if relative.centre else []
        _clip(axes, points)
        middles = [i * block + (len(arms) - 1) / 2 for i in range(len(shown))]
        axes.set_yticks(middles, [metric.label for metric in shown])
        axes.set_ylim(block * len(shown) - 0.8, -0.8)
        axes.set_xlabel(f"relative difference to {against(comparison.study)}, %   (worse ← 0 → better)")
        _legend(figure, labels)
    return out[0]


def cooldown(table: Sequence[Mapping[str, Any]], look: Mapping[str, Style]) -> str:
    """Each arm's means before and after the cooldown, as `analysis.tables.cooldown_table` has them."""
    metrics = [row["metric"] for row in table]
    with _figure("cooldown", 1.9 * _rows(metrics) + 0.1 + _legend_height(look)) as (figure, out):
        for (axes, metric), row in zip(_grid(figure, metrics), table, strict=True):
            for style, cell in zip(look.values(), row["cells"], strict=True):
                if cell:
                    means = [_scale(metric) * mean for mean in cell]
                    axes.plot([0, 1], means, **_mark(style, 5) | {"linestyle": style.dash}, linewidth=1.5)
            if axes.dataLim.y0 == axes.dataLim.y1 == 0:
                axes.set_ylim(-0.2, 5)
            axes.set_xticks([0, 1], ["before", "after"])
            axes.set_xlim(-0.25, 1.25)
        _legend(figure, look)
    return out[0]


@contextmanager
def drawing(salt: str, height: float) -> Iterator["Figure"]:
    """An empty figure that equal drawings make equal bytes of; ids in it are by its salt, as in a page none repeats."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        # An arm may be called "$x$".
        "text.parse_math": False,
        "axes.unicode_minus": True,
    }
    with rc_context(settings):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


@contextmanager
def _figure(key: str, height: float) -> Iterator[tuple["Figure", list[str]]]:
    """Yield an empty figure and a list that holds its SVG when the block has ended."""
    out: list[str] = []
    with drawing(key, height) as figure:
        yield figure, out
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    out.append(_inline(file.getvalue(), key))


def tokens_axis(most: float) -> tuple[float, str]:
    """What to divide tokens by, and how an axis names them."""
    units = ((1e9, ", billions"), (1e6, ", millions"), (1e3, ", thousands"), (1, ""))
    scale, unit = next((size, name) for size, name in units if most >= size)
    return scale, f"training tokens read by the lineage{unit}"


def _inline(svg: str, key: str) -> str:
    svg = svg[svg.index("<svg") :]
    # Group ids (figure_1, axes_1, ...) repeat between figures and nothing refers to them.
    svg = re.sub(r'<g id="[A-Za-z0-9.]+_[0-9]+"', "<g", svg)
    svg = svg.replace("'DejaVu Sans', sans-serif", "inherit").replace(
        "font-family: 'DejaVu Sans'", "font-family: inherit"
    )
    # The drawing's own style block would hold for the whole page; the page has the same rule for its drawings.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    return re.sub(r'width="[0-9.]+pt" height="[0-9.]+pt"', f'role="img" aria-label="{key}"', svg, count=1)


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _rows(metrics: Sequence[Metric]) -> int:
    return math.ceil(len(metrics) / min(len(metrics), COLUMNS))


def _grid(figure: "Figure", metrics: Sequence[Metric], **options: Any) -> list[tuple["Axes", Metric]]:
    """Axes for each metric, with its name above them."""
    grid = figure.subplots(_rows(metrics), min(len(metrics), COLUMNS), squeeze=False, **options)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(grid.flat, metrics, strict=False):
        _plain(axes)
        axes.set_title(metric.label + (", %" if metric.score.share else ""), fontsize=9, loc="left")
    return list(zip(grid.flat, metrics, strict=False))


def _mark(style: Style, size: float) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.marker, "markersize": size, "linestyle": ""}


def _bar(style: Style) -> dict[str, Any]:
    return {"color": style.colour, "linewidth": 1.6, "solid_capstyle": "butt"}


def _scale(metric: Metric) -> int:
    return 100 if metric.score.share else 1


def _panel(axes: "Axes", comparison: Comparison, metric: Metric, look: Mapping[str, Style]) -> None:
    scale, points, study = _scale(metric), [], comparison.study
    dashed: Any = {"color": BASELINE_COLOUR, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
    found = {row.arm: row.estimate for row in comparison.at(FINAL) if row.metric == metric}
    for spot, (arm, style) in enumerate(look.items()):
        seeds = [scale * value for value in comparison.by_seed(arm, metric.name, FINAL).values()]
        if not seeds:
            continue
        mean = sum(seeds) / len(seeds)
        points += seeds
        if several_baselines(study):
            level = scale * found[arm].baseline_value if arm in found else mean
            axes.plot([level] * 2, [spot - 0.5, spot + 0.5], **dashed)
        elif arm == study.baseline:
            axes.axvline(mean, **dashed)
        if arm in found:
            its = found[arm]
            ends = [scale * (its.baseline_value + end) for end in (its.difference.low, its.difference.high)]
            axes.plot(ends, [spot, spot], **_bar(style), alpha=0.8)
        axes.plot(seeds, [spot] * len(seeds), "o", color=style.colour, markersize=2.6, alpha=0.7)
        axes.plot(mean, spot, **_mark(style, 6), markeredgecolor="white", markeredgewidth=0.6)
    if metric.chance:
        axes.axvline(scale * metric.chance, color=GREY, linewidth=0.9, linestyle=":")
        axes.text(scale * metric.chance, len(look) - 0.55, " chance", color=GREY, fontsize=7.5, va="bottom")
        points.append(scale * metric.chance)
    _clip(axes, points)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)


def _clip(axes: "Axes", points: Sequence[float]) -> None:
    """Keep an interval of two seeds, which can be ten times as wide as the data, from flattening all the others.

    The view reaches twice the spread of the points beyond them; a bar that is longer runs out of the frame.
    """
    if not points:
        return
    low, high = min(points), max(points)
    if low == high == 0:
        axes.set_xlim(-0.2, 5)
        return
    room = 2.0 * ((high - low) or abs(high) * 0.05 or 1.0)
    view_low, view_high = axes.get_xlim()
    axes.set_xlim(max(view_low, low - room), min(view_high, high + room))


def _legend(figure: "Figure", look: Mapping[str, Style], markers: bool = True) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.colour, linestyle=style.dash, marker=style.marker if markers else "", linewidth=1.6)
        for style in look.values()
    ]
    figure.legend(
        handles,
        list(look),
        loc="outside lower center",
        ncols=_legend_columns(list(look)),
        frameon=False,
        handlelength=3.2,
    )


def _legend_columns(labels: Sequence[str]) -> int:
    """As many as fit beside each other; it is filled column by column."""
    for columns in range(min(len(labels), LEGEND_COLUMNS), 1, -1):
        longest = [max(map(len, its)) for its in np.array_split(np.array(labels), columns)]
        if sum(longest) * LETTER + columns * LEGEND_HANDLE <= WIDTH:
            return columns
    return 1


def _legend_height(labels: Iterable[str]) -> float:
    """Inches."""
    labels = list(labels)
    return 0.2 * math.ceil(len(labels) / _legend_columns(labels))


def _boundaries(runs: Sequence[Losses]) -> Floats:
    return np.unique(np.concatenate([run.tokens_T[:-1][np.diff(run.stage_T) > 0] for run in runs]))


def _curve(run: Losses) -> tuple[Floats, Floats]:
    """Smoothed within each stage and thinned to at most some 400 points; one that stands for a gap is NaN."""
    window = _window(run)
    parts = [smoothed(run.loss_T[run.stage_T == stage], window) for stage in np.unique(run.stage_T)]
    kept = np.unique(np.linspace(0, run.loss_T.size - 1, min(400, run.loss_T.size)).astype(int))
    gaps = np.diff(np.cumsum(~np.isfinite(run.loss_T))[kept], prepend=0) > 0
    return run.tokens_T[kept], np.where(gaps, np.nan, np.concatenate(parts)[kept])


def _window(run: Losses) -> int:
    """Steps that the running mean takes: one for the whole lineage, so that its stages look alike."""
    return max(1, run.loss_T.size // SMOOTHED_SHARE)


def _loss_limits(axes: "Axes", runs: Sequence[Losses]) -> None:
    """Leave out the steep start, alike in every run: the loss axis fits what follows the first tenth of the tokens."""
    curves = ((run.tokens_T[-1], *_curve(run)) for run in runs)
    later_P = np.concatenate([loss_P[tokens_P > 0.1 * end] for end, tokens_P, loss_P in curves])
    later_P = later_P[np.isfinite(later_P)]
    if later_P.size:
        low, high = later_P.min(), later_P.max()
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.12 * (high - low or 1))


def losses_caption(runs: Sequence[Losses]) -> str:
    """How the losses are smoothed, in steps, and what gaps are."""
    windows = sorted({_window(run) for run in runs}) or [1]
    span = " to ".join(str(w) for w in dict.fromkeys((windows[0], windows[-1])))
    smoothing = "Not smoothed" if windows == [1] else f"Running mean over {span} steps, begun anew at each stage"
    gaps = " A gap is a step whose loss was not finite." if any(np.isnan(run.loss_T).any() for run in runs) else ""
    return f"{smoothing}.{gaps}"
