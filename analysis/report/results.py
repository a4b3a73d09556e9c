"""The first half of a report: the headline, what the arms are, figures, and every comparison."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from analysis.catching_up import Reached
from analysis.compare import Comparison, Row, against, arm_label, covered
from analysis.components import COMPONENTS, METHOD, sd_text
from analysis.ledgers import Ledgers, shares_by_kind, tokens_by_arm
from analysis.metrics import FRESH, Metric, coverage, percent_text
from analysis.report import findings, traces
from analysis.report.blocks import Block, Bullets, Cell, Figure, Fold, Heading, Table, Text, grouped
from analysis.report.values import before_after, shown
from analysis.scores import BEFORE, FINAL
from analysis.tabular import count_text, p_text, percents_text
from analysis.verdict import LEGEND, Verdict

MOST_COLUMNS, FEW_COLUMNS = 6, 3
"""Metrics of the headline table, and of one of many arms."""
MANY_ARMS = 12
"""From so many on, the headline is of few metrics."""


def look(judged: Verdict) -> str:
    word = judged.side.replace(" ", "-")
    return word if judged.firm or not judged.told_apart else f"{word} weak"


def headline(comparison: Comparison) -> list[Block]:
    """Arms as rows: each metric's mean, and beside it what it differs by from its baseline."""
    metrics = shown(comparison)
    first = metrics[: FEW_COLUMNS if len(comparison.study.arms) > MANY_ARMS else MOST_COLUMNS]
    blocks: list[Block] = [_headline(comparison, first)]
    if rest := [metric for metric in metrics if metric not in first]:
        blocks.append(Fold(f"{len(rest)} more metrics", (_headline(comparison, rest),)))
    return [*blocks, Text(LEGEND, "note")]


def _headline(comparison: Comparison, metrics: Sequence[Metric]) -> Table:
    study = comparison.study
    rows = {(row.arm, row.metric): row for row in comparison.last}
    head = tuple(
        Cell(
            f"{metric.subject}{' *' if metric.name in study.primary else ''}",
            f"{metric.score.unit}, {'higher' if metric.score.higher_is_better else 'lower'} is better",
        )
        for metric in metrics
    )
    lost = dict(findings.lost_seeds(comparison))
    body = []
    for arm in study.arms:
        baseline = study.baseline_of(arm)
        said = "baseline" if baseline == arm else f"against {baseline}" if baseline != study.baseline else ""
        name = Cell(arm, "; ".join(filter(None, (said, lost.get(arm, "")))), "bad" if arm in lost else "")
        body.append((name, *(value_cell(comparison, arm, metric, rows.get((arm, metric))) for metric in metrics)))
    caption = (
        f"Means over seeds at {_point(comparison.points[-1])}; below each the paired difference to {against(study)} "
        "and its 95 % interval. * primary metric: judged after Holm's correction, the others after Benjamini and "
        "Hochberg's."
    )
    return Table(caption, ("arm", *head), tuple(body))


def _point(at: str) -> str:
    return {"final": "the end of the runs", "before-cooldown": "the end of the stage before the cooldown"}.get(at, at)


def value_cell(comparison: Comparison, arm: str, metric: Metric, row: Row | None) -> Cell:
    """An arm's mean at the last point, and below it the difference to its baseline, which `row` has."""
    score, at = metric.score, comparison.points[-1]
    if row is None:
        seeds = list(comparison.by_seed(arm, metric.name, at).values())
        text = score.value_text(sum(seeds) / len(seeds)) if seeds else "–"
        return Cell(text, trace=traces.of_arm(comparison, arm, at))
    found = row.estimate.difference
    note = f"{score.difference_text(found.centre)} {score.interval_text(found)}"
    text = f"{row.judged.mark} {score.value_text(row.estimate.value)}"
    return Cell(text, note, look(row.judged), traces.of_row(comparison, row))


def arms(comparison: Comparison, ledgers: Ledgers, picture: str, read: Figure | None) -> list[Block]:
    """What every arm is: what a run of it reads, what it is compared with, and where the paper has it."""
    study, tokens = comparison.study, tokens_by_arm(comparison.study, ledgers)
    head = ["arm", "what it reads", "tokens a run", "by kind", "compared with", *(["origin"] if study.origins else [])]
    rows, unequal = [], False
    for arm, text in study.arms.items():
        baseline = study.baseline_of(arm)
        differs = tokens.get(arm, 0) != tokens.get(baseline, 0)
        unequal |= differs
        shares = shares_by_kind(study, arm, ledgers)
        by_kind = ", ".join(f"{100 * share:.3g} % {kind}" for kind, share in shares.items() if share)
        against_whom = "none" if baseline == arm else f"{baseline}{' †' if differs else ''}"
        origin = [study.origins.get(arm, "")] if study.origins else []
        rows.append((arm, text, f"{tokens.get(arm, 0):,}", by_kind, against_whom, *origin))
    if not any(row[1] for row in rows):
        head, rows = [head[0], *head[2:]], [(row[0], *row[2:]) for row in rows]
    words = tuple(
        number for number, name in enumerate(head) if name in ("what it reads", "by kind", "compared with", "origin")
    )
    table = Table("What a run of each arm reads, over all its stages", tuple(head), tuple(rows), prose=words)
    blocks: list[Block] = [*([read] if read else []), table]
    if picture:
        caption = "A box is a stage, in all seeds; a line leads to what goes on from it, the bar is what it reads."
        blocks.append(
            Fold("The stages, and which go on from which", (Figure("stages", "Stages", Markup(picture), caption),))
        )
    if unequal:
        blocks.append(
            Text("† The two read unequal numbers of tokens, so a difference between them is one of length, too.")
        )
    if study.origins:
        theirs = sum(not study.origins.get(arm, "").startswith(("ours", "arXiv:")) for arm in study.arms)
        others = len(study.arms) - theirs
        if not theirs:
            blocks.append(Text("None of these is the paper's; each has its reason."))
        elif others:
            blocks.append(
                Text(
                    f"{theirs} of these {len(study.arms)} {'is' if theirs == 1 else 'are'} the paper's; "
                    f"{'the other is' if others == 1 else 'the others are'} not, for the reason given."
                )
            )
    return blocks


def expected(comparison: Comparison) -> list[Block]:
    rows = findings.expected(comparison)
    if not rows:
        return []
    body = []
    for each in rows:
        row = each["row"]
        score = row.metric.score if row else None
        body.append(
            (
                *(each["arm"], each["metric"], each["direction"]),
                score.difference_text(row.estimate.difference.centre) if score else "–",
                score.interval_text(row.estimate.difference) if score else "–",
                Cell(each["found"], look="worse" if each["found"] in ("the other way", "it differs") else ""),
                each["paper"],
            )
        )
    head = ("arm", "metric", "expected", "difference", "95 % interval", "found", "published or foretold")
    caption = (
        'Declared before anything ran. "As expected" is said where the difference is beyond noise, in that direction.'
    )
    return [Table(caption, head, tuple(body), words=3, prose=(5, 6))]


def accuracies(comparison: Comparison) -> list[Block]:
    """How many of them say something at all."""
    rows = [row for row in comparison.last if row.metric.name.endswith("/acc")]
    stuck = sum(row.judged.at_chance for row in rows)
    if not rows:
        said = []
    elif not stuck:
        said = [f"In all {len(rows)} accuracy comparisons at least one arm is above chance."]
    else:
        said = [
            f"In {stuck} of {len(rows)} accuracy comparisons both arms answer no better than chance, so their "
            "differences mean nothing; bits per byte of the gold answer still moves where accuracy does not."
        ]
    paper = [line for line in coverage(comparison.metrics) if "none of the paper's" not in line]
    return [Text(line) for line in (*said, covered(comparison), *paper) if line]


def cooldown(comparison: Comparison, metrics: Sequence[Metric]) -> list[Block]:
    study = comparison.study
    body: list[tuple[Cell | str, ...]] = []
    for arm in study.arms:
        cells: list[Cell | str] = []
        for metric in metrics:
            (before, after), n_seeds = before_after(comparison, metric, arm)
            score = metric.score
            change = f"{score.difference_text(after - before)}, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
            cells.append(Cell(f"{score.value_text(before)} → {score.value_text(after)}", change) if n_seeds else "–")
        body.append((arm, *cells))
    head: tuple[Cell | str, ...] = ("arm", *(Cell(metric.subject, metric.score.unit) for metric in metrics))
    return [Table("Means before and after the cooldown, and what they differ by", head, tuple(body))]


def recipes(comparison: Comparison, stages: Mapping[tuple[str, str], Mapping[str, float]]) -> list[Block]:
    """As Table 2 of arXiv:2408.10914: every recipe, stage by stage. `stages` are means by (arm, point)."""
    if not stages:
        return []
    metrics = [m for m in shown(comparison) if any(m.name in of for of in stages.values())][:MOST_COLUMNS]
    rows = [
        (arm, point, *(m.score.value_text(means[m.name]) if m.name in means else "–" for m in metrics))
        for (arm, point), means in stages.items()
    ]
    head: tuple[Cell | str, ...] = ("arm", "after", *(Cell(m.subject, m.score.unit) for m in metrics))
    said = "Means over seeds at the end of every stage that was scored, as in the paper's Table 2"
    return [Table(said, head, grouped(rows), words=2)]


def all_rows(comparison: Comparison) -> list[Block]:
    """Every comparison, by point and kind of metric; what is long is folded."""
    blocks: list[Block] = []
    for at in reversed(comparison.points):
        rows = comparison.at(at)
        if not rows:
            continue
        blocks.append(Heading({FINAL: "At the end of the runs", BEFORE: "Before the cooldown"}.get(at, at)))
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(group_of(row.metric), []).append(row)
        for name, its in groups.items():
            blocks.append(Fold(f"{name}: {len(its):,} comparisons, {_counts(its)}", (_table(comparison, name, its),)))
    kinds = list(dict.fromkeys(row.estimate.kind for row in comparison.rows))
    note = (
        f"Intervals: {'; '.join(kinds)}. They speak of other seeds and other items like these where nothing else is "
        "said; beside them, those over the seeds alone, for the items as they are. p is corrected by Holm within the "
        "primary family and by Benjamini and Hochberg over all other rows. Relative changes and their intervals are in "
        "comparison.csv; with seeds they are geometric means of the per-seed ratios."
    )
    return [*blocks, Text(note, "note")] if blocks else []


def group_of(metric: Metric) -> str:
    if metric.name.startswith(FRESH):
        return "Bits per byte of fresh text"
    if metric.score.name.endswith("bpb"):
        return "Held-out bits per byte" if metric.score.name == "bpb" else "Bits per byte of the gold answer"
    return "Accuracy, exact match and pass@k" if metric.score.share else "Probability of the right choice"


def _counts(rows: Sequence[Row]) -> str:
    counts = Counter(row.judged.side for row in rows)
    return ", ".join(f"{number} {side}" for side, number in sorted(counts.items()))


def _table(comparison: Comparison, name: str, rows: Sequence[Row]) -> Table:
    body: list[tuple[Cell | str, ...]] = []
    for row in rows:
        score, found, holm = row.metric.score, row.estimate, " H" if row.primary else ""
        body.append(
            (
                row.metric.label,
                arm_label(comparison.study, row.arm),
                f"{row.n_items:,} × {row.n_seeds}{f' of {row.n_declared}' if row.n_declared != row.n_seeds else ''}",
                *map(score.value_text, (found.value, found.baseline_value)),
                score.difference_text(found.difference.centre),
                score.interval_text(found.difference),
                score.interval_text(found.these_items) if found.these_items else "–",
                Cell(percent_text(found.relative), trace=percents_text(found.relative)),
                p_text(row.p),
                p_text(row.p_adjusted) + holm,
                Cell(
                    f"{row.judged.mark} {row.judged.text}", look=look(row.judged), trace=traces.of_row(comparison, row)
                ),
            )
        )
    head = (
        *("metric", "arm", "n × seeds", "value", "baseline", "difference", "95 % interval", "these items", "relative"),
        *("p", "p, corrected", "verdict"),
    )
    return Table(name, head, grouped(body), words=2, prose=(11,), dense=True)


def components(comparison: Comparison) -> list[Block]:
    """Of headline and primary metrics at the end, as standard deviations with their intervals."""
    wanted = {*(metric.name for metric in shown(comparison)), *comparison.study.primary}
    body = []
    for each in (
        each for each in comparison.components if each.at == comparison.points[-1] and each.metric.name in wanted
    ):
        score, parts = each.metric.score, {part.name: part for part in each.parts}
        cells = [
            f"{sd_text(score, part.variance)} [{sd_text(score, part.low)}, {sd_text(score, part.high)}]"
            if part
            else "–"
            for part in map(parts.get, COMPONENTS)
        ]
        size = f"{each.n_init} × {each.n_data}"
        body.append((each.metric.label, each.arm, size, score.value_text(each.value), *cells, each.advice))
    if not body:
        return []
    head = ("metric", "arm", "init × data", "value", *COMPONENTS, "what to buy next")
    said = (
        "Of arms whose runs cross seeds of the weights (init) with seeds of the data: the standard deviation that each "
        f"gives one run's value, and other items the value of all runs, at the end of the runs. {METHOD}; they are for "
        "effects that are normal. All metrics are in the output of `ablate compare --json`."
    )
    return [
        Text(said),
        Table("Standard deviations by what varies", head, tuple(body), words=2, prose=(len(head) - 1,), dense=True),
    ]


def missing(comparison: Comparison) -> list[Block]:
    if not comparison.gaps:
        return []
    lines = Bullets(tuple(("", gap) for gap in comparison.gaps))
    return [lines] if len(comparison.gaps) <= MANY_ARMS else [Fold(f"{len(comparison.gaps)} gaps", (lines,))]


def caught_up(rows: Sequence[Reached]) -> list[Block]:
    """Where the arms of which the runs were scored along the way are as good as their baselines end."""
    if not rows:
        return []
    body = []
    for row in rows:
        ends = "–"
        if row.earlier is not None and math.isfinite(row.earlier.high):
            ends = f"[{count_text(row.earlier.low)}, {count_text(row.earlier.high)}]"
        body.append(
            (
                *(row.metric.label, row.arm, row.baseline, row.metric.score.value_text(row.level)),
                f"{len(row.when)} of {row.of}",
                count_text(sum(row.when) / len(row.when)) if row.when else "never",
                "–" if row.earlier is None else f"{count_text(row.earlier.centre)} of {count_text(row.end)}",
                ends,
            )
        )
    said = (
        "Tokens of its lineage at which an arm is first as good as its baseline is at its end, between two scored "
        "checkpoints on a straight line, and how long before its own end that is. The interval is of seeds alone."
    )
    columns = (
        *("metric", "arm", "baseline", "baseline's end", "seeds that reach it", "at tokens", "before its end"),
        "95 % interval",
    )
    return [Heading("When an arm is where its baseline ends"), Text(said), Table("", columns, grouped(body), words=3)]
