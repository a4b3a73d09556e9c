"""What all figures share: a look for every arm, and SVG text of which equal data give equal bytes.

Matplotlib is loaded on the first drawing. Every arm keeps one colour and one marker in all figures; neither is needed
to read a figure whose rows are labelled. Colours are CSS variables where a page has them, for light and for dark.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.metrics import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.4
"""Inches; 900 px at 96 px an inch."""
GREY = "#767676"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9", "#882255", "#999933")
"""Okabe and Ito's colours, told apart with any colour vision; where theirs are too pale for lines on white, Tol's."""
INK = "#222222"
"""Of the baseline, axes and text."""
GRID = "#e4e4e4"
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
VARIABLES = {
    **{colour: f"var(--arm-{number}, {colour})" for number, colour in enumerate(PALETTE)},
    **{INK: "currentColor", "#000000": "currentColor", "#ffffff": "var(--page, #fff)", GRID: "var(--grid, #e4e4e4)"},
    GREY: "var(--soft, #767676)",
}
"""What a page may draw otherwise, in the dark."""


@dataclass(frozen=True)
class Style:
    colour: str
    marker: str
    dash: Any = "-"

    @property
    def bar(self) -> dict[str, Any]:
        return {"color": self.colour, "linewidth": 1.6, "solid_capstyle": "butt"}

    def mark(self, size: float) -> dict[str, Any]:
        return {"color": self.colour, "marker": self.marker, "markersize": size, "linestyle": ""}


Look = Mapping[str, Style]
"""By arm, in the order in which to show them."""
NOBODY: Look = {}


def styles(arms: Sequence[str], baseline: str) -> dict[str, Style]:
    """One look for each arm: the baseline black and round, the others in the palette's order.

    Each round through the palette has its own dash, and meets the markers one further on: of some forty arms no two
    have one colour and marker, or one colour and dash.
    """
    look = {}
    for i, arm in enumerate(arm for arm in arms if arm != baseline):
        turn, colour = divmod(i, len(PALETTE))
        look[arm] = Style(PALETTE[colour], MARKERS[(colour + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])
    return {arm: look.get(arm, Style(INK, "o")) for arm in arms}


@dataclass
class Drawn:
    """A figure while it is drawn; `svg` is there when its block has ended."""

    figure: "Figure"
    look: Look
    """What the legend is of."""
    traces: list[str] = field(default_factory=list)
    svg: str = ""

    def trace(self, text: str) -> dict[str, Any]:
        """What marks a drawing so that its origin shows where the pointer rests."""
        self.traces.append(text)
        return {"gid": f"trace-{len(self.traces) - 1}"}


@contextmanager
def drawing(salt: str, height: float, measured: bool = True) -> Iterator["Figure"]:
    """An empty figure that equal drawings make equal bytes of; ids in it are by its salt, as in a page none repeats.

    Texts are measured to make room for them, or else `one` and `grid` reckon it.
    """
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
        yield Figure(figsize=(WIDTH, height), layout="constrained" if measured else None)


@contextmanager
def figure(key: str, title: str, height: float, look: Look = NOBODY, markers: bool = True) -> Iterator[Drawn]:
    """A figure that becomes part of a page, called `title` for those who cannot see it.

    Below what is drawn, `height` inches, there is room for a legend of `look`, which stands there in the end.
    """
    with drawing(key, height + legend_height(look), measured=False) as empty:
        drawn = Drawn(empty, look)
        yield drawn
        if drawn.look:
            legend(empty, drawn.look, markers)
        file = io.StringIO()
        empty.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn.svg = _inline(file.getvalue(), title, drawn.traces)


def _inline(svg: str, title: str, traces: Sequence[str]) -> str:
    svg = svg[svg.index("<svg") :]
    # Group ids (figure_1, axes_1, ...) repeat between figures and nothing refers to them.
    svg = re.sub(r'<g id="[A-Za-z0-9.]+_[0-9]+"', "<g", svg)
    svg = re.sub(r'<g id="trace-([0-9]+)">', lambda found: f"<g><title>{escape(traces[int(found[1])])}</title>", svg)
    svg = svg.replace("'DejaVu Sans', sans-serif", "inherit").replace(
        "font-family: 'DejaVu Sans'", "font-family: inherit"
    )
    # The drawing's own style block would hold for the whole page; the page has the same rule for its drawings.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    # Only in declarations: a colour's name in a text stays text.
    svg = re.sub(
        r"(fill|stroke): (#[0-9a-f]{6})", lambda found: f"{found[1]}: {VARIABLES.get(found[2], found[2])}", svg
    )
    return re.sub(r'width="[0-9.]+pt" height="[0-9.]+pt"', f'role="img" aria-label="{escape(title)}"', svg, count=1)


def tokens_axis(most: float) -> tuple[float, str]:
    """What to divide tokens by, and how an axis names them."""
    units = ((1e9, ", billions"), (1e6, ", millions"), (1e3, ", thousands"), (1, ""))
    scale, unit = next((size, name) for size, name in units if most >= size)
    return scale, f"training tokens read by the lineage{unit}"


def plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def rows_for(metrics: Sequence[Metric]) -> int:
    return math.ceil(len(metrics) / min(len(metrics), COLUMNS))


def one(drawn: Drawn, labels: Iterable[str] = ()) -> "Axes":
    """Axes with a name below, room for these labels at their left, and for a legend."""
    axes: Axes = drawn.figure.subplots()
    _arrange(drawn, (1, 1), labels, named=True)
    plain(axes)
    return axes


def grid(
    drawn: Drawn, metrics: Sequence[Metric], labels: Iterable[str] = (), named: bool = False
) -> list[tuple["Axes", Metric]]:
    """Axes for each metric, with its name above them and, where they are `named`, another below.

    With `labels` at the left all have these rows, else numbers of their own.
    """
    labels = list(labels)
    shape = (rows_for(metrics), min(len(metrics), COLUMNS))
    cells = drawn.figure.subplots(*shape, squeeze=False, sharey=bool(labels))
    _arrange(drawn, shape, labels, named)
    for axes in cells.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(cells.flat, metrics, strict=False):
        plain(axes)
        axes.set_title(metric.label + (", %" if metric.score.share else ""), fontsize=9, loc="left")
    return list(zip(cells.flat, metrics, strict=False))


def _arrange(drawn: Drawn, shape: tuple[int, int], labels: Iterable[str], named: bool) -> None:
    """Set margins by the lengths of texts: what matplotlib measures in their stead takes half of a drawing's time."""
    labels = list(labels)
    width, height = drawn.figure.get_size_inches()
    left = 0.15 + LETTER * max(map(len, labels)) if labels else 0.5
    below = 0.42 if named else 0.25
    bottom = below + legend_height(drawn.look) + 0.05
    between = (0.2 if labels else 0.5, below + 0.3)
    sizes = [
        (extent - gap * (n - 1)) / n
        for extent, gap, n in zip((width - left - 0.1, height - bottom - 0.25), between, reversed(shape), strict=True)
    ]
    drawn.figure.subplots_adjust(
        left=left / width,
        right=1 - 0.1 / width,
        bottom=bottom / height,
        top=1 - 0.25 / height,
        wspace=between[0] / sizes[0],
        hspace=between[1] / sizes[1],
    )


def scale_of(metric: Metric) -> int:
    return 100 if metric.score.share else 1


def clip(axes: "Axes", points: Sequence[float], axis: str = "x") -> None:
    """Keep an interval of two seeds, which can be ten times as wide as the data, from flattening all the others.

    The view reaches twice the spread of the points beyond them; a bar that is longer runs out of the frame.
    """
    if not points:
        return
    low, high = min(points), max(points)
    setter = axes.set_xlim if axis == "x" else axes.set_ylim
    if low == high == 0:
        setter(-0.2, 5)
        return
    room = 2.0 * ((high - low) or abs(high) * 0.05 or 1.0)
    view_low, view_high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    setter(max(view_low, low - room), min(view_high, high + room))


def legend(figure: "Figure", look: Look, markers: bool = True) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.colour, linestyle=style.dash, marker=style.marker if markers else "", linewidth=1.6)
        for style in look.values()
    ]
    figure.legend(
        handles,
        list(look),
        loc="lower center",
        borderaxespad=0.1,
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


def legend_height(labels: Iterable[str]) -> float:
    """Inches."""
    labels = list(labels)
    return 0.2 * math.ceil(len(labels) / _legend_columns(labels)) if labels else 0.0
