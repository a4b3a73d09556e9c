"""`ablate signal` on a terminal: which tasks and metrics can tell the arms of a study apart."""

from rich.console import Console

from analysis.metrics import signed
from analysis.report.telling import number, ratio_text, sentences
from analysis.rungs.noise import Sd
from analysis.rungs.signal import Card, Signal, carry_most
from experiments.show.table import Column, say, table

GAPS = 5
"""That are shown."""


def print_card(found: Card, console: Console) -> None:
    """The sentences, every metric in a row, and what is missing."""
    say(console, *sentences(found.signals))
    most = carry_most(found.signals).values()
    rows = [{"signal": each, "most": each.metric.name in most} for each in found.signals]
    columns: dict[str, Column] = {
        "metric": lambda row: f"{row['signal'].metric.name}{' *' if row['most'] else ''}",
        "value": lambda row: row["signal"].metric.score.value_text(row["signal"].value),
        "above chance": lambda row: _above(row["signal"]),
        "noise of a run": lambda row: _sd(row["signal"], row["signal"].within.sd if row["signal"].within else None),
        "checkpoints": lambda row: _sd(row["signal"], row["signal"].checkpoints),
        "spread": lambda row: _spread(row["signal"]),
        "SNR": lambda row: ratio_text(row["signal"].snr),
        "published": lambda row: ratio_text(row["signal"].published.snr) if row["signal"].published else None,
        "monotone": lambda row: _signed(row["signal"].monotonicity),
        "ranks": lambda row: _signed(row["signal"].between.ranks if row["signal"].between else None),
        "averaged": lambda row: ratio_text(row["signal"].worth.seeds) if row["signal"].worth else None,
        "tells": lambda row: {None: None, True: "yes", False: "no"}[row["signal"].tells],
    }
    console.print(table(f"{found.study.name}, at the end of the runs", rows, columns))
    say(
        console,
        "SNR: spread of the arms' means without noise / noise of one run; *: the highest of its task.",
        f"checkpoints: noise of a run's last {found.last}; averaged: runs that one is worth if these are averaged.",
        "published: signal / noise as Heineman et al. 2025 have it.",
        "–: cannot tell. --json has intervals and all else.",
        style="dim",
    )
    say(console, *filter(None, [found.composite]), *(f"missing: {gap}" for gap in found.gaps[:GAPS]))
    if len(found.gaps) > GAPS:
        say(console, f"missing: and {len(found.gaps) - GAPS} more")


def _above(each: Signal) -> str | None:
    return None if each.arms_above is None else f"{each.arms_above} of {each.n_arms}"


def _sd(each: Signal, sd: Sd | None) -> str | None:
    return number(each.metric.score, sd.value) if sd else None


def _spread(each: Signal) -> str | None:
    return number(each.metric.score, each.between.spread) if each.between else None


def _signed(number: float | None) -> str | None:
    return None if number is None else signed(number, 2)
