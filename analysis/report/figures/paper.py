"""The forms of arXiv:2408.10914's figures: the proportion curve (Fig. 4), two sizes (Fig. 3), win rates (Fig. 7 to 9).

Beside them a metric over the tokens of a run, where it was scored along the way, and what every arm read.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.compare import Comparison, contrast
from analysis.ledgers import Ledgers, shares_by_kind, tokens_by_arm
from analysis.metrics import HELDOUT_KINDS, Metric, value
from analysis.report import traces
from analysis.report.blocks import Figure, Mark, Panel
from analysis.report.figures.drawing import (
    GREY,
    INK,
    PALETTE,
    Drawn,
    Look,
    Style,
    clip,
    figure,
    grid,
    one,
    rows_for,
    scale_of,
    tokens_axis,
)
from analysis.scores import Evaluated
from analysis.statistics import ALPHA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTCOMES = {"loss": Style(PALETTE[1], "s"), "tie": Style("#bbbbbb", "s"), "win": Style(PALETTE[5], "s")}
KIND_STYLES = {
    kind: Style(colour, "s")
    for kind, colour in zip(
        (*HELDOUT_KINDS, "math", "instruct"),
        (PALETTE[0], PALETTE[1], PALETTE[4], PALETTE[3], PALETTE[2], PALETTE[5], GREY),
        strict=True,
    )
}


def curve(comparison: Comparison, metrics: Sequence[Metric], shares: Mapping[str, float]) -> Figure:
    """Each metric against the share of code, with the best arm and those that cannot be told from it."""
    title, said = "The share of code", []
    marks: list[Mark] = []
    with figure("curve", title, 2.2 * rows_for(metrics) + 0.2) as drawn:
        for axes, metric in grid(drawn, metrics, named=True):
            its = [mark for arm, share in shares.items() if (mark := _share(comparison, metric, arm, share))]
            if not its:
                continue
            means = {mark.arm: mark.value for mark in its}
            best, alike = optimum(comparison, metric, means)
            _curve(drawn, axes, comparison, metric, its, best)
            said.append(_said(metric, best, alike))
            marks += its
    caption = (
        "Means over seeds, dots are seeds; a bar is the 95 % interval of the difference to the baseline, around the "
        f"baseline's mean. A ring is the best mean. {' '.join(said)} (95 % intervals of single comparisons.)"
    )
    live = tuple(Panel("scatter", metric.label, (metric.name,), "mix.kinds.text") for metric in metrics)
    return Figure("curve", title, drawn.svg, caption, tuple(marks), live)


def _share(comparison: Comparison, metric: Metric, arm: str, share: float) -> Mark | None:
    at = comparison.points[-1]
    seeds = list(comparison.by_seed(arm, metric.name, at).values())
    if not seeds:
        return None
    row = next((row for row in comparison.last if (row.arm, row.metric) == (arm, metric)), None)
    n_items = traces.items_of(comparison, metric, at)
    if row is None:
        trace = traces.of_arm(comparison, arm, at)
        return Mark(
            "curve", arm, metric.name, at, sum(seeds) / len(seeds), None, None, share, n_items, len(seeds), trace
        )
    found, trace = row.estimate, traces.of_row(comparison, row)
    low, high = (found.baseline_value + end for end in (found.difference.low, found.difference.high))
    return Mark("curve", arm, metric.name, at, found.value, low, high, share, n_items, row.n_seeds, trace)


def _curve(
    drawn: Drawn, axes: "Axes", comparison: Comparison, metric: Metric, marks: Sequence[Mark], best: str
) -> None:
    scale, style, points = scale_of(metric), Style(PALETTE[0], "o"), []
    for mark in marks:
        spot, seeds = 100 * (mark.x or 0.0), comparison.by_seed(mark.arm, metric.name, mark.at).values()
        if mark.low is not None and mark.high is not None:
            axes.plot([spot] * 2, [scale * mark.low, scale * mark.high], color=GREY, linewidth=1.1)
        axes.plot([spot] * len(seeds), [scale * value for value in seeds], "o", color=GREY, markersize=2.4)
        points += [scale * value for value in seeds]
    axes.plot([100 * (m.x or 0.0) for m in marks], [scale * m.value for m in marks], color=style.colour, linewidth=1.4)
    for mark in marks:
        shown = f"{mark.arm}: {metric.score.value_text(mark.value)}; {mark.trace}"
        at = (100 * (mark.x or 0.0), scale * mark.value)
        axes.plot(*at, **style.mark(5), **drawn.trace(shown))
        if mark.arm == best:
            axes.plot(*at, "o", markersize=10, markerfacecolor="none", color=INK)
    clip(axes, points, "y")
    axes.set_xlabel("tokens that are not text, %", fontsize=8)


def optimum(comparison: Comparison, metric: Metric, means: Mapping[str, float]) -> tuple[str, list[str]]:
    """The arm with the best mean, and those that cannot be told from it at 5 %, uncorrected."""
    pick = max if metric.score.higher_is_better else min
    best = pick(means, key=lambda arm: means[arm])
    alike = []
    for arm in means:
        row = contrast(comparison, arm, best, metric, comparison.points[-1]) if arm != best else None
        if row is not None and row.p > ALPHA:
            alike.append(arm)
    return best, alike


def _said(metric: Metric, best: str, alike: Sequence[str]) -> str:
    rest = f", which cannot be told from {', '.join(alike)}" if alike else ", beyond noise against each of the others"
    return f"{metric.subject}: {best}{rest}."


def sizes(comparison: Comparison, ledgers: Ledgers) -> dict[str, dict[str, str]]:
    """By recipe, its arm by model size, where a study has several sizes: {"balanced-only": {"1m": ..., "2m": ...}}."""
    found: dict[str, dict[str, str]] = {}
    for run in comparison.study.runs:
        models = [ledgers[folder][0].model for folder in run.stages if folder in ledgers]
        if models:
            recipe = run.arm.removesuffix(f"-{models[-1]}")
            found.setdefault(recipe, {})[models[-1]] = run.arm
    return {recipe: arms for recipe, arms in found.items() if len(arms) > 1}


def scale(comparison: Comparison, metrics: Sequence[Metric], recipes: Mapping[str, Mapping[str, str]]) -> Figure:
    """Each recipe at each size of model, as Fig. 3 has them."""
    title, marks = "From the small model to the large one", []
    order = list(dict.fromkeys(size for arms in recipes.values() for size in arms))
    look = {recipe: Style(PALETTE[number % len(PALETTE)], "o") for number, recipe in enumerate(recipes)}
    with figure("scale", title, 2.1 * rows_for(metrics) + 0.1, look) as drawn:
        for axes, metric in grid(drawn, metrics):
            points: list[float] = []
            for recipe, arms in recipes.items():
                found = [(order.index(size), arms[size]) for size in order if size in arms]
                marks += _size_line(drawn, axes, comparison, metric, found, look[recipe], points)
            axes.set_xticks(range(len(order)), order)
            axes.set_xlim(-0.3, len(order) - 0.7)
            clip(axes, points, "y")
    caption = (
        "Means over seeds at the end of the runs; dots are seeds. What arms differ by at each size, with intervals, is "
        "under “All comparisons”."
    )
    return Figure("scale", title, drawn.svg, caption, tuple(marks))


def _size_line(
    drawn: Drawn,
    axes: "Axes",
    comparison: Comparison,
    metric: Metric,
    arms: Sequence[tuple[int, str]],
    style: Style,
    points: list[float],
) -> list[Mark]:
    """One recipe; what it draws is added to `points`, which set the view."""
    factor, at, marks, means = scale_of(metric), comparison.points[-1], [], {}
    for spot, arm in arms:
        seeds = [factor * value for value in comparison.by_seed(arm, metric.name, at).values()]
        if not seeds:
            continue
        means[spot] = sum(seeds) / len(seeds)
        points += seeds
        trace = traces.of_arm(comparison, arm, at)
        axes.plot([spot] * len(seeds), seeds, "o", color=style.colour, markersize=2.2)
        axes.plot(spot, means[spot], **style.mark(5), **drawn.trace(trace))
        marks.append(Mark("scale", arm, metric.name, at, means[spot] / factor, n_seeds=len(seeds), trace=trace))
    axes.plot(list(means), list(means.values()), color=style.colour, linewidth=1.3)
    return marks


def along(found: Evaluated, metrics: Sequence[Metric], look: Look) -> Figure | None:
    """Metrics over the tokens of the runs, where they were scored along the way; `found` has all points of the runs."""
    values: dict[tuple[str, str], dict[int, list[float]]] = {}
    for point, scores in found.scores.items():
        tokens = found.stages[point].tokens_read
        for metric in metrics:
            number = value(metric, scores)
            if number is not None:
                values.setdefault((point[0], metric.name), {}).setdefault(tokens, []).append(number)
    metrics = [m for m in metrics if any(len(at) > 1 for (_, name), at in values.items() if name == m.name)]
    if not metrics:
        return None
    unit, label = tokens_axis(max(tokens for at in values.values() for tokens in at))
    title, marks = "Along the runs", []
    with figure("along", title, 2.1 * rows_for(metrics) + 0.1, look) as drawn:
        for axes, metric in grid(drawn, metrics, named=True):
            for arm, style in look.items():
                by_tokens = sorted(values.get((arm, metric.name), {}).items())
                means = [sum(of) / len(of) for _, of in by_tokens]
                spots = [tokens / unit for tokens, _ in by_tokens]
                drawn_as = style.mark(3.5) | {"linestyle": style.dash, "linewidth": 1.2}
                axes.plot(spots, [scale_of(metric) * mean for mean in means], **drawn_as)
                for (tokens, of), mean in zip(by_tokens, means, strict=True):
                    marks.append(Mark("along", arm, metric.name, f"{tokens} tokens", mean, x=tokens, n_seeds=len(of)))
            axes.set_xlabel(label, fontsize=8)
    caption = "Means over the seeds that were scored at that many tokens of their lineage; a marker is a checkpoint."
    live = tuple(Panel("line", metric.label, (metric.name,), "tokens") for metric in metrics)
    return Figure("along", title, drawn.svg, caption, tuple(marks), live)


def what_was_read(comparison: Comparison, ledgers: Ledgers) -> Figure | None:
    """The share of each kind of source in what a run of every arm reads."""
    study = comparison.study
    shares = {arm: shares_by_kind(study, arm, ledgers) for arm in study.arms}
    kinds = [kind for kind in KIND_STYLES if any(kind in of for of in shares.values())]
    arms = [arm for arm in study.arms if shares[arm]]
    if not kinds:
        return None
    tokens, title, marks = tokens_by_arm(study, ledgers), "What each arm reads", []
    look = {kind: KIND_STYLES[kind] for kind in kinds}
    with figure("read", title, 0.6 + 0.24 * len(arms), look) as drawn:
        axes = one(drawn, arms)
        for spot, arm in enumerate(arms):
            left = 0.0
            for kind in kinds:
                width = 100 * shares[arm].get(kind, 0.0)
                shown = f"{arm}: {width:.4g} % {kind} of {tokens[arm]:,} tokens"
                if width:
                    axes.barh(spot, width, 0.7, left, color=look[kind].colour)[0].set_gid(drawn.trace(shown)["gid"])
                    marks.append(Mark("read", arm, kind, "whole run", width / 100, trace=f"{tokens[arm]} tokens"))
                left += width
        axes.set_yticks(range(len(arms)), arms)
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the tokens of a run, %")
    caption = "Declared shares over all stages of a run; the audit below compares them with what was fed, to the token."
    return Figure("read", title, drawn.svg, caption, tuple(marks))


def win_bars(judges: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Loss, tie and win of every arm in per cent of the judged pairs, as Fig. 7 to 9 have them."""
    rows = [(judge, arm) for judge in judges for arm in judge["arms"]]
    if not rows:
        return None
    title = "Win rates"
    marks: list[Mark] = []
    with figure("wins", title, 0.6 + 0.26 * len(rows), OUTCOMES) as drawn:
        names = [f"{arm['arm']} against {judge['baseline']}" for judge, arm in rows]
        axes = one(drawn, names)
        for spot, (judge, arm) in enumerate(rows):
            marks += _win_bar(drawn, axes, spot, judge, arm)
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("judged pairs, %")
    caption = "Loss, tie and win in per cent of the pairs with a verdict; intervals are in the table and the CSV."
    return Figure("wins", title, drawn.svg, caption, tuple(marks))


def _win_bar(drawn: Drawn, axes: "Axes", spot: int, judge: Mapping[str, Any], arm: Mapping[str, Any]) -> list[Mark]:
    left, marks = 0.0, []
    whom = f"{arm['arm']} against {judge['baseline']}"
    for part, style in OUTCOMES.items():
        share, width = arm[part], 100 * arm[part]["value"]
        said = f"{whom}: {part} {width:.1f} % of {arm['n']:,} pairs ({judge['judge']})"
        axes.barh(spot, width, 0.72, left, color=style.colour)[0].set_gid(drawn.trace(said)["gid"])
        if width > 6:
            text: Any = {"ha": "center", "va": "center", "fontsize": 7.5}
            axes.text(left + width / 2, spot, f"{width:.1f}", **text)
        ends = (share["value"], share["low"], share["high"])
        marks.append(Mark("wins", arm["arm"], part, judge["judge"], *ends, n_items=arm["n"], trace=said))
        left += width
    return marks
