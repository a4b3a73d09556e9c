"""What the tasks can tell: the task signal card in sentences, and as a section of a report."""

from collections.abc import Sequence

from analysis.metrics import Score, signed
from analysis.report.blocks import Block, Cell, Fold, Table, Text
from analysis.report.findings import short
from analysis.rungs.noise import Sd
from analysis.rungs.signal import LAST, Signal, carry_most
from analysis.tabular import p_text

CANNOT_TELL = "–"
FOUND = "found four times in five, each tested alone at 5 %, for these items"


def sentences(signals: Sequence[Signal]) -> list[str]:
    """How many metrics can tell what, which tells most, and what the last checkpoints save."""
    asked = [each for each in signals if each.tells is not None]
    if not asked:
        return ["No metric can be asked: its runs do not differ, or no two arms that are compared share two seeds."]
    able = [each for each in asked if each.tells]
    seeds = sorted({each.between.n_seeds for each in asked if each.between})
    with_seeds = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    told = [
        f"{len(able)} of {len(asked)} metrics can tell an effect of the size seen in them, with {with_seeds} ({FOUND})."
    ]
    if able:
        told.append(f"The highest signal-to-noise has {short(able[0].metric)}, {able[0].snr:.2g}.")
    worth = sorted(each.worth.seeds for each in signals if each.worth and each.worth.seeds is not None)
    if worth:
        told.append(
            f"A run whose last checkpoints are averaged is worth {worth[len(worth) // 2]:.2g} runs taken at their ends "
            f"(median of {len(worth)} metrics; {worth[0]:.2g} to {worth[-1]:.2g})."
        )
    return told


def told(signals: Sequence[Signal]) -> list[Block]:
    """The section; [] where there is one arm or one seed, or no runs that differ."""
    if not any(each.snr is not None for each in signals):
        return []
    most = carry_most(signals).values()
    head = (
        *("metric", "value", "chance", "noise of a run", "between checkpoints", "spread of arms", "signal-to-noise"),
        *(Cell("spread / paired noise", "95 %"), "p, arms equal", "monotone", "ranks between seeds", "can tell"),
        *(Cell("signal / noise", "as published ones"), Cell("averaged, in runs", "95 %")),
    )
    rows = tuple(_row(each, each.metric.name in most) for each in signals)
    caption = (
        "At the end of the runs; best of its task: the metric with the highest signal-to-noise. Noise: standard "
        "deviation of the runs of an arm, and of a run's last checkpoints around a line. Spread: that of the arms' "
        "means, without what noise adds to it."
    )
    note = (
        f"Monotone: Spearman's rho of score and tokens along the runs. Ranks: Kendall's tau of the arms' order. Of "
        f"checkpoints the last {LAST} of one kind of stage and mixture count. Signal / noise as published: largest "
        "difference over the sd of those, as Heineman et al. 2025 (arXiv:2508.13144). Intervals are for normal errors; "
        "all is in `ablate signal --json`."
    )
    table = Table(caption, head, rows, dense=True)
    return [
        Text(" ".join(sentences(signals))),
        Fold(f"{len(signals)} metrics, by signal-to-noise", (table, Text(note, "note"))),
    ]


def _row(each: Signal, most: bool) -> tuple[Cell | str, ...]:
    score, its, between, worth = each.metric.score, each.within, each.between, each.worth
    chance = CANNOT_TELL if each.metric.chance is None else score.value_text(each.metric.chance)
    arms = "" if each.arms_above is None else f"{each.arms_above} of {each.n_arms} arms above"
    noise = "" if its is None or its.init is None or its.data is None else _parts(score, its.init, its.data)
    tells = CANNOT_TELL if each.tells is None else "yes" if each.tells else "no"
    effect = "" if each.detectable is None or each.seen is None else _effect(score, each.seen, each.detectable)
    return (
        Cell(each.metric.label, "best of its task" if most else ""),
        score.value_text(each.value),
        Cell(chance, arms),
        Cell(sd_text(score, its.sd if its else None), noise),
        Cell(sd_text(score, each.checkpoints), f"{each.n_along} runs" if each.n_along else ""),
        CANNOT_TELL if between is None else number(score, between.spread),
        ratio_text(each.snr),
        CANNOT_TELL if between is None or between.ratio is None else _ends(*between.ratio),
        CANNOT_TELL if between is None or between.p is None else p_text(between.p),
        CANNOT_TELL if each.monotonicity is None else signed(each.monotonicity, 2),
        CANNOT_TELL if between is None else signed(between.ranks, 2),
        Cell(tells, effect),
        CANNOT_TELL if each.published is None else ratio_text(each.published.snr),
        CANNOT_TELL if worth is None else Cell(ratio_text(worth.seeds), _ends(worth.low, worth.high)),
    )


def number(score: Score, size: float) -> str:
    """A standard deviation or a difference; shares in percentage points."""
    return f"{100 * size:.2g} pt" if score.share else f"{size:.2g}"


def sd_text(score: Score, sd: Sd | None) -> str:
    if sd is None:
        return CANNOT_TELL
    ends = "" if sd.low is None or sd.high is None else f" [{number(score, sd.low)}, {number(score, sd.high)}]"
    return f"{number(score, sd.value)}{ends}"


def ratio_text(ratio: float | None) -> str:
    return CANNOT_TELL if ratio is None else f"{ratio:.2g}"


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.2g}, {high:.2g}]"


def _parts(score: Score, init: float, data: float) -> str:
    return f"weights {number(score, init)}, data {number(score, data)}"


def _effect(score: Score, seen: float, detectable: float) -> str:
    return f"{number(score, seen)} seen, {number(score, detectable)} needed"
