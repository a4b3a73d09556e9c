"""`ablate plan --plot`: the learning rate of every arm over the tokens of its run. Equal plans give equal bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.report.figures import drawing as figures
from analysis.statistics import Floats
from experiments.plan.stage import Plan, PlannedStage
from store.errors import UserError
from store.files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("svg", "png")
_POINTS = 500
"""Of the curve of a stage."""


@dataclass(frozen=True)
class Segment:
    """The learning rate of one stage.

    Attributes:
        name: the stage's kind, and its mixture where all arms that share the curve have the same.
        tokens_P: float64 [points], tokens that the run has read after each update.
        rate_P: float64 [points].
    """

    name: str
    tokens_P: Floats
    rate_P: Floats


def curves(plan: Plan) -> list[tuple[tuple[str, ...], list[Segment]]]:
    """The arms that have one and the same learning rate, with its segments; every arm is in one entry."""
    seed = plan.study.seeds[0]
    chains = {arm.name: [plan.stage(id) for id in plan.runs[arm.name, seed]] for arm in plan.study.arms}
    groups: dict[tuple[object, ...], list[str]] = {}
    for arm, chain in chains.items():
        key = tuple((s.stage.kind, s.schedule, s.first_step, s.steps, s.tokens_before) for s in chain)
        groups.setdefault(key, []).append(arm)
    return [
        (tuple(arms), [_segment(stages) for stages in zip(*(chains[arm] for arm in arms), strict=True)])
        for arms in groups.values()
    ]


def _segment(stages: Sequence[PlannedStage]) -> Segment:
    """The stages that stand at one place of arms with one learning rate."""
    stage = stages[0]
    mixtures = {other.stage.mixture.name for other in stages}
    name = f"{stage.stage.kind} {mixtures.pop()}" if len(mixtures) == 1 else stage.stage.kind
    corners = [corner - stage.first_step for corner in (stage.schedule.warmup_steps, stage.schedule.before_decay)]
    corners = [step for corner in corners for step in (corner - 1, corner) if 0 <= step < stage.steps]
    steps_P = np.unique([*np.linspace(0, stage.steps - 1, min(_POINTS, stage.steps)).astype(int), *corners])
    tokens_P = stage.tokens_before + (steps_P + 1) * (stage.tokens / stage.steps)
    return Segment(name, tokens_P, np.array([stage.rate(step) for step in steps_P.tolist()]))


def plot(plan: Plan, path: Path) -> None:
    """Draw a row for every curve, with the names of its arms and stages, as SVG or PNG by the name of `path`.

    Raises:
        UserError: the name ends otherwise.
        Failure: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UserError(f"cannot draw to '{path}'; give a name that ends in .svg or .png")
    rows = curves(plan)
    top = max(segments[-1].tokens_P[-1] for _, segments in rows)
    scale, label = figures.tokens_axis(top)
    with figures.drawing("rates", 0.8 + 1.7 * len(rows)) as figure, whole(path) as temporary:
        grid = figure.subplots(len(rows), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (arms, segments) in zip(grid, rows, strict=True):
            _row(axes, arms, segments, scale)
            axes.set_ylabel("learning rate")
        highest = max(segment.rate_P.max() for _, segments in rows for segment in segments)
        grid[-1].set(xlim=(0, 1.01 * top / scale), ylim=(0, 1.05 * highest), xlabel=label)
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(temporary, format=kind, dpi=144, metadata=metadata)


def _row(axes: "Axes", arms: Sequence[str], segments: Sequence[Segment], scale: float) -> None:
    begin = 0.0
    for segment in segments:
        end, last = segment.tokens_P[-1] / scale, segment is segments[-1]
        axes.plot(segment.tokens_P / scale, segment.rate_P, color=figures.PALETTE[0], linewidth=1.5)
        axes.axvline(end, color=figures.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        # The last stage is often a short cooldown, and there is room to its left.
        where, align = (end, "right") if last and begin else ((begin + end) / 2, "center")
        text = axes.text(where, 1.02, segment.name, transform=axes.get_xaxis_transform(), ha=align, fontsize=8)
        text.set_in_layout(False)
        begin = end
    axes.set_title(", ".join(arms), fontsize=9, fontweight="bold", loc="left", pad=16)
    axes.spines[["top", "right"]].set_visible(False)
