"""Which problems each arm solves, as sets: what one model solves and another does not is no matter of their means.

The form is UpSet's (Lex et al. 2014): a row for each combination of arms that solve something nobody else does, with a
dot for every arm in it and a bar for how many problems it is of. PanGu-Coder2 (arXiv:2307.14936, Fig. 5) draws the same
as circles, which end at four models.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from analysis.compare import Comparison
from analysis.metrics import Metric
from analysis.report import traces
from analysis.report.blocks import Figure, Mark
from analysis.report.figures.drawing import GREY, GRID, INK, LETTER, WIDTH, Look, figure, plain

ROWS = 16
"""Combinations that are drawn, the largest ones."""


def solved_by(comparison: Comparison, metric: Metric) -> tuple[dict[str, frozenset[str]], int]:
    """By arm, the ids of the problems that more than half of its programs solve over all seeds; and how many there are.

    A problem whose tests did not run in one of the records is of no arm.
    """
    task, at = metric.parts[0][0], comparison.points[-1]
    found: dict[str, frozenset[str]] = {}
    everywhere: set[str] | None = None
    shares: dict[str, dict[str, float]] = {}
    for arm in comparison.study.arms:
        its = [
            of[task]
            for (name, _, point), of in comparison.evaluated.scores.items()
            if (name, point) == (arm, at) and task in of and metric.score.column in of[task].columns
        ]
        if not its:
            continue
        mean_N = np.mean([each.columns[metric.score.column] for each in its], axis=0)
        runs_N = np.min([each.columns["runs"] for each in its], axis=0)
        shares[arm] = {id: float(share) for id, share, here in zip(its[0].ids, mean_N, runs_N, strict=True) if here}
        everywhere = set(shares[arm]) if everywhere is None else everywhere & set(shares[arm])
    for arm, of in shares.items():
        found[arm] = frozenset(id for id, share in of.items() if share > 0.5 and id in (everywhere or ()))
    return found, len(everywhere or ())


def combinations(solved: Mapping[str, frozenset[str]]) -> list[tuple[tuple[str, ...], int]]:
    """(the arms that solve them, how many problems just these solve), the most first; nothing that nobody solves."""
    who = Counter(
        tuple(arm for arm, ids in solved.items() if id in ids) for id in sorted(set().union(*solved.values()))
    )
    return sorted(who.items(), key=lambda each: (-each[1], each[0]))


def overlap(comparison: Comparison, metric: Metric, look: Look) -> Figure | None:
    """The problems of an executed task by who solves them; None of a single arm, or where nobody solves any."""
    solved, of = solved_by(comparison, metric)
    found = combinations(solved) if len(solved) > 1 else []
    if not found:
        return None
    arms, shown = list(solved), found[:ROWS]
    key, title = f"solved-{metric.name.replace('/', '-')}", f"Problems solved, by whom: {metric.subject}"
    marks = []
    with figure(key, title, 0.9 + LETTER * max(map(len, arms)) + 0.24 * len(shown)) as drawn:
        height, wide = drawn.figure.get_figheight(), 0.3 * len(arms)
        top = LETTER * max(map(len, arms)) + 0.35
        dots, bars = drawn.figure.subplots(1, 2, sharey=True, width_ratios=(wide, WIDTH - wide - 1.0))
        drawn.figure.subplots_adjust(0.02, 0.45 / height, 0.97, 1 - top / height, wspace=0.05)
        for row, (who, count) in enumerate(shown):
            places = [arms.index(arm) for arm in who]
            dots.plot(range(len(arms)), [row] * len(arms), "o", color=GRID, markersize=6)
            dots.plot([min(places), max(places)], [row, row], color=GREY, linewidth=1.2)
            for place, arm in zip(places, who, strict=True):
                dots.plot(place, row, "o", color=look[arm].colour, markersize=6)
            said = f"{count} of {of} problems are solved by {', '.join(who)} and by no other arm"
            bars.barh(row, count, 0.65, color=INK)[0].set_gid(drawn.trace(said)["gid"])
            bars.text(count, row, f" {count}", va="center", fontsize=8)
            marks.append(Mark(key, " + ".join(who), metric.name, comparison.points[-1], count, n_items=of, trace=said))
        dots.set_ylim(len(shown) - 0.5, -0.5)
        dots.set_xlim(-0.6, len(arms) - 0.4)
        dots.xaxis.tick_top()
        dots.set_xticks(range(len(arms)), [f"{arm} ({len(solved[arm])})" for arm in arms], rotation=90, fontsize=8)
        dots.tick_params(length=0)
        dots.set_yticks([])
        for side in ("top", "right", "left", "bottom"):
            dots.spines[side].set_visible(False)
        plain(bars)
        bars.set_xlabel("problems", fontsize=8)
        bars.locator_params(axis="x", integer=True)
    rest = f" {len(found) - len(shown)} smaller combinations are not drawn." if len(found) > len(shown) else ""
    unsolved = of - sum(count for _, count in found)
    caption = (
        "A problem is solved by an arm if more than half of its programs pass, over all seeds; beside an arm's name "
        f"stands how many of the {of} it solves. Each row is of the problems that just the marked arms solve; nobody "
        f"solves {unsolved}.{rest} A problem near one half changes sides by chance: intervals are in the tables."
    )
    all_solved = [
        Mark(
            key,
            arm,
            metric.name,
            "in all",
            len(ids),
            n_items=of,
            trace=traces.of_arm(comparison, arm, comparison.points[-1]),
        )
        for arm, ids in solved.items()
    ]
    return Figure(key, title, drawn.svg, caption, (*marks, *all_solved))
