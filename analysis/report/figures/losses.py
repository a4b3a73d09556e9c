"""Training loss against the tokens that a lineage has read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.ledgers import Ledgers
from analysis.records import StudyRecord
from analysis.report.blocks import Figure, Panel
from analysis.report.figures.drawing import GREY, Look, figure, one, tokens_axis
from analysis.statistics import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Training loss against tokens"
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
    """Nats per token, or where answers are ranked that objective's value; NaN where it was not finite."""
    stage_T: Floats
    """Index of the stage that the step belongs to."""
    ranks: bool
    """Whether one of its stages ranks answers."""


def losses_of(study: StudyRecord, ledgers: Ledgers) -> list[Losses]:
    """Of every run that has begun."""
    found = []
    for run in study.runs:
        stages = [(number, *ledgers[folder]) for number, folder in enumerate(run.stages) if folder in ledgers]
        rows = [
            (stage.tokens_before + step.tokens, math.nan if step.loss is None else step.loss, number)
            for number, stage, steps in stages
            for step in steps
        ]
        if rows:
            ranks = any(stage.identity.get("objective", [""])[0] == "Ranking" for _, stage, _ in stages)
            tokens_T, loss_T, stage_T = np.array(rows, float).T
            found.append(Losses(run.arm, run.seed, tokens_T, loss_T, stage_T, ranks))
    return found


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


def losses(runs: Sequence[Losses], look: Look) -> Figure:
    """Training loss against the tokens of the lineage: seeds thin, their mean thick, stage boundaries dashed."""
    top = max(float(run.tokens_T[-1]) for run in runs)
    scale, label = tokens_axis(top)
    with figure("losses", TITLE, 4.0, look, markers=False) as drawn:
        axes = one(drawn)
        boundaries = np.concatenate([run.tokens_T[:-1][np.diff(run.stage_T) > 0] for run in runs])
        for boundary in np.unique(boundaries):
            axes.axvline(boundary / scale, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
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
        drawn.look = {arm: style for arm, style in look.items() if any(run.arm == arm for run in runs)}
        _loss_limits(axes, runs)
        axes.set_xlabel(label)
        axes.set_ylabel("training loss, nats per token")
        axes.margins(x=0.01)
    caption = (
        f"{losses_caption(runs)} Thin lines are seeds, thick ones their mean; upright dashed lines are stage "
        "boundaries; the steep start is cut off. Each arm's loss is on its own mixture: its level depends on what is "
        "read and does not rank the arms. All steps are in losses.csv."
    )
    return Figure("losses", TITLE, drawn.svg, caption, panels=(Panel("line", "Training loss", ("loss",), "tokens"),))


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
    ranked = ", ".join(dict.fromkeys(run.arm for run in runs if run.ranks))
    no_nats = f" Where {ranked} ranks answers, it is that objective's value and no nats." if ranked else ""
    return f"{smoothing}.{gaps}{no_nats}"
