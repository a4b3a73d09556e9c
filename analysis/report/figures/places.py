"""Bits per byte by the place in a long context, and beyond the length that arms were trained with.

What Code Llama draws of 16,384 trained tokens up to 100,000 (arXiv:2308.12950, Fig. 4).
"""

from collections.abc import Mapping, Sequence

from analysis.compare import Comparison
from analysis.evals.lengths import READ, parsed
from analysis.metrics import Metric
from analysis.report import traces
from analysis.report.blocks import Figure, Mark
from analysis.report.figures.drawing import GREY, Look, clip, figure, one

TITLE = "Bits per byte by the place in the context"


def by_place(comparison: Comparison, look: Look) -> list[Figure]:
    """A figure for every kind of text and window that was read, with a line for every arm."""
    groups: dict[tuple[str, int], dict[int, Metric]] = {}
    for metric in comparison.metrics:
        name = metric.name.rpartition("/")[0]
        if metric.name.startswith(READ) and (place := parsed(name)[2]):
            kind, tokens, _ = parsed(name)
            groups.setdefault((kind, tokens), {})[int(place.partition("-")[2]) + 1] = metric
    found = (_drawn(comparison, look, kind, tokens, its) for (kind, tokens), its in groups.items())
    return [each for each in found if each.marks]


def trained(comparison: Comparison) -> dict[str, int]:
    """By arm, the tokens of the sequences that its last stage was trained on."""
    at = comparison.points[-1]
    return {
        arm: int(stage.identity["sequence"])
        for (arm, _, point), stage in comparison.evaluated.stages.items()
        if point == at and "sequence" in stage.identity
    }


def _drawn(comparison: Comparison, look: Look, kind: str, tokens: int, metrics: Mapping[int, Metric]) -> Figure:
    at, key = comparison.points[-1], f"places-{kind}-{tokens}"
    marks: list[Mark] = []
    points: list[float] = []
    with figure(key, TITLE, 3.2, look) as drawn:
        axes = one(drawn)
        axes.set_xscale("log", base=2)
        for arm, style in look.items():
            line = _line(comparison, arm, metrics, at, key)
            if not line:
                continue
            points += [mark.value for mark in line]
            marks += line
            drawn_as = style.mark(4) | {"linestyle": style.dash, "linewidth": 1.3}
            axes.plot([mark.x or 0.0 for mark in line], [mark.value for mark in line], **drawn_as)
        for length in sorted(set(trained(comparison).values())):
            if length < tokens:
                axes.axvline(length, color=GREY, linewidth=0.9, linestyle=":")
        axes.set_xticks(sorted(metrics), [f"{end:,}" for end in sorted(metrics)])
        axes.set_xlabel("tokens up to the end of the place", fontsize=8)
        axes.set_ylabel("bits per byte")
        clip(axes, points, "y")
        drawn.look = {arm: style for arm, style in look.items() if any(mark.arm == arm for mark in marks)}
    caption = (
        f"Held-out {kind} in windows of {tokens:,} tokens: each mark is of the tokens since the one before it, "
        f"the mean over seeds. {_lengths(comparison)} Tokens further on have more to go by; where a line "
        "rises beyond what an arm was trained with, it cannot use them. Intervals are under “All comparisons”."
    )
    return Figure(key, f"{TITLE}: {kind}", drawn.svg, caption, tuple(marks))


def _line(comparison: Comparison, arm: str, metrics: Mapping[int, Metric], at: str, key: str) -> list[Mark]:
    line = []
    for end, metric in sorted(metrics.items()):
        seeds = list(comparison.by_seed(arm, metric.name, at).values())
        if seeds:
            mean, trace = sum(seeds) / len(seeds), traces.of_arm(comparison, arm, at)
            line.append(Mark(key, arm, metric.name, at, mean, x=end, n_seeds=len(seeds), trace=trace))
    return line


def _lengths(comparison: Comparison) -> str:
    """What arms were trained with, in words."""
    of: dict[int, list[str]] = {}
    for arm, length in trained(comparison).items():
        of.setdefault(length, []).append(arm)
    said: Sequence[str] = [f"{length:,} ({', '.join(dict.fromkeys(arms))})" for length, arms in sorted(of.items())]
    return f"Dotted: the lengths of training, {'; '.join(said)}." if said else ""
