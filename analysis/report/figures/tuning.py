"""What fine-tuning does, by epochs and by the size of its data, as PanGu-Coder2's Fig. 4 has it (arXiv:2307.14936)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.compare import Comparison
from analysis.metrics import Metric, value
from analysis.records import RunRecord, StageRecord
from analysis.report import traces
from analysis.report.blocks import Figure, Mark, Panel
from analysis.report.figures.drawing import Look, clip, figure, grid, rows_for, scale_of, tokens_axis
from analysis.scores import FINAL, Evaluated

FEWEST_SIZES = 3
"""Of the data, for a figure of them."""


@dataclass(frozen=True)
class Spot:
    """Where a checkpoint stands: how often its lineage has read the data that it is tuned on, and how much they are.

    `tokens` are those of one epoch.
    """

    epochs: float
    tokens: int


def spots(run: RunRecord, stages: Mapping[str, StageRecord]) -> dict[str, Spot]:
    """By point of a run that ends in fine-tuning, from the stage before it on; {} for others, or if not all is trained.

    What it is tuned on is the source that the first stage of fine-tuning reads most of.
    """
    if "finetune" not in run.kinds or any(folder not in stages for folder in run.stages):
        return {}
    first = run.kinds.index("finetune")
    tuned = stages[run.stages[first]]
    source = max(tuned.tokens_by_source, key=lambda name: (tuned.tokens_by_source[name], name))
    names = [*(f"stage-{number}" for number in range(1, len(run.stages))), FINAL]
    found, read = {}, 0
    for number, (at, folder) in enumerate(zip(names, run.stages, strict=True)):
        stage = stages[folder]
        read += stage.tokens_by_source.get(source, 0)
        epochs = stage.epochs_by_source.get(source, 0.0) if read else 0.0
        if number >= first - 1:
            found[at] = Spot(epochs, round(read / epochs) if epochs else 0)
    return found


def by_epoch(
    found: Evaluated,
    places: Mapping[tuple[str, int], Mapping[str, Spot]],
    metrics: Sequence[Metric],
    look: Look,
) -> Figure | None:
    """Metrics over the epochs of what the arms are tuned on; `found` has all points of the runs, `places` their spots.

    None unless some arm was scored at two of them.
    """
    values: dict[tuple[str, str], dict[float, list[float]]] = {}
    for (arm, seed, at), scores in found.scores.items():
        spot = places.get((arm, seed), {}).get(at)
        for metric in metrics if spot else ():
            number = value(metric, scores)
            if number is not None and spot:
                values.setdefault((arm, metric.name), {}).setdefault(round(spot.epochs, 3), []).append(number)
    metrics = [m for m in metrics if any(len(of) > 1 for (_, name), of in values.items() if name == m.name)]
    if not metrics:
        return None
    title, marks = "Epoch by epoch", []
    tuned = {arm: style for arm, style in look.items() if any((arm, metric.name) in values for metric in metrics)}
    with figure("epochs", title, 2.1 * rows_for(metrics) + 0.1, tuned) as drawn:
        for axes, metric in grid(drawn, metrics, named=True):
            factor, points = scale_of(metric), []
            for arm, style in tuned.items():
                means = {x: sum(of) / len(of) for x, of in sorted(values.get((arm, metric.name), {}).items())}
                for x, of in values.get((arm, metric.name), {}).items():
                    axes.plot([x] * len(of), [factor * each for each in of], "o", color=style.colour, markersize=2)
                    points += [factor * each for each in of]
                    marks.append(Mark("epochs", arm, metric.name, f"{x:g} epochs", means[x], x=x, n_seeds=len(of)))
                drawn_as = style.mark(4) | {"linestyle": style.dash, "linewidth": 1.2}
                axes.plot(list(means), [factor * mean for mean in means.values()], **drawn_as)
            clip(axes, points, "y")
            axes.set_xlabel("epochs of the fine-tuning data", fontsize=8)
    caption = (
        "Lines are means over seeds, small dots are seeds; 0 is the checkpoint that fine-tuning starts from. What arms "
        "differ by at their ends, with intervals, is under “All comparisons”."
    )
    live = tuple(Panel("line", metric.label, (metric.name,), "tokens") for metric in metrics)
    return Figure("epochs", title, drawn.svg, caption, tuple(marks), live)


def by_size(
    comparison: Comparison, places: Mapping[tuple[str, int], Mapping[str, Spot]], metrics: Sequence[Metric], look: Look
) -> Figure | None:
    """Metrics at the ends of the runs over how much there is to tune on; None unless arms have three sizes."""
    ends: dict[str, int] = {}
    for (arm, _), its in places.items():
        if FINAL in its and its[FINAL].tokens:
            ends.setdefault(arm, its[FINAL].tokens)
    # Windows are whole, so that equal data may differ by a few tokens.
    if len({round(tokens, -2) for tokens in ends.values()}) < FEWEST_SIZES:
        return None
    at, title, marks = comparison.points[-1], "By the size of the fine-tuning data", []
    tuned = {arm: look[arm] for arm in look if arm in ends}
    unit, _ = tokens_axis(max(ends.values()))
    with figure("sizes", title, 2.1 * rows_for(metrics) + 0.1, tuned) as drawn:
        for axes, metric in grid(drawn, metrics, named=True):
            factor, points = scale_of(metric), []
            for arm, style in tuned.items():
                seeds = [factor * each for each in comparison.by_seed(arm, metric.name, at).values()]
                if not seeds:
                    continue
                mean, x, trace = sum(seeds) / len(seeds), ends[arm], traces.of_arm(comparison, arm, at)
                points += seeds
                axes.plot([x / unit] * len(seeds), seeds, "o", color=style.colour, markersize=2)
                axes.plot(x / unit, mean, **style.mark(5), **drawn.trace(f"{arm}: {trace}"))
                marks.append(Mark("sizes", arm, metric.name, at, mean / factor, x=x, n_seeds=len(seeds), trace=trace))
            clip(axes, points, "y")
            name = {1e9: "billion ", 1e6: "million ", 1e3: "thousand "}.get(unit, "")
            axes.set_xlabel(f"{name}tokens of one epoch", fontsize=8)
    caption = (
        "Means over seeds at the end of the runs, dots are seeds; arms that differ in more than size stand beside."
    )
    return Figure("sizes", title, drawn.svg, caption, tuple(marks))
