"""The report of a study: one HTML file that loads nothing, and the same numbers as CSV beside it.

Equal records give equal bytes. Every text that comes from models, data or studies is escaped by the template.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from analysis import figures
from analysis.clean import CleanScore, clean_csv, clean_scores, contamination, dirty_items, touched
from analysis.compare import Comparison, Row, against, arm_label, compare, family, notes, several_baselines
from analysis.components import COMPONENTS, METHOD
from analysis.evals.benchmarks import benchmark_of
from analysis.figures import Losses
from analysis.metrics import Metric, coverage, percent_text
from analysis.records import StageRecord, StepRecord, StudyRecord, read_ledger, read_stage, stage_folder
from analysis.scores import FINAL
from analysis.statistics import detectable
from analysis.tables import (
    WORDS,
    Ledgers,
    comparison_csv,
    components_table,
    cooldown_table,
    cost,
    executed_table,
    fertility,
    headline,
    losses_csv,
    read_manifest,
    scores_csv,
    shown,
    skipped_steps,
    tokens_csv,
    tokens_table,
)
from analysis.verdict import AT_CHANCE, LEGEND, SIDES
from analysis.winrates import COLUMNS, READING, cells, head, strength_cells, win_rates
from store.files import write_text
from store.layout import STAGE, STUDIES

CATEGORIES = (
    "humaneval/gold_bpb",
    "reasoning/gold_bpb",
    "knowledge/gold_bpb",
    "reasoning/acc",
    "knowledge/exact_match",
)


def build(store: Path, study: str, extras: Mapping[str, Any]) -> Path:
    """Write studies/<study>/report.html with comparison.csv, scores.csv, losses.csv, tokens.csv, clean.csv.

    Args:
        store: the folder that holds the records.
        study: name of a study that has been run and evaluated.
        extras: what the records do not hold: "audit", as `experiments.audit` has it, "plan", its "totals", and
            "stages", a picture of them as SVG.

    Returns:
        The path of report.html.

    Raises:
        UserError, Failure: as `analysis.compare.compare`; Failure also when a ledger or the manifest is corrupt.
    """
    comparison = compare(store, study)
    ledgers = _ledgers(store, comparison.study)
    manifest = read_manifest(store, comparison.study)
    dirty = dirty_items(manifest, comparison.study, ledgers) if manifest else None
    clean = clean_scores(comparison, dirty) if dirty else ()
    page = _render(_context(store, comparison, ledgers, clean, manifest, extras))
    folder = store / STUDIES / study
    for name, text in {
        "comparison.csv": comparison_csv(comparison),
        "scores.csv": scores_csv(comparison),
        "losses.csv": losses_csv(comparison.study, ledgers),
        "tokens.csv": tokens_csv(ledgers),
        "clean.csv": clean_csv(clean),
        "report.html": page,
    }.items():
        write_text(folder / name, text)
    return folder / "report.html"


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(WORDS, head=head, cells=cells, strength_cells=strength_cells)
    return environment.get_template("report.html.j2").render(context)


def _context(
    store: Path,
    comparison: Comparison,
    ledgers: Ledgers,
    clean: Sequence[CleanScore],
    manifest: Mapping[str, Any] | None,
    extras: Mapping[str, Any],
) -> dict[str, Any]:
    study = comparison.study
    tasks = {task for metric in comparison.metrics for task, _ in metric.parts if not task.startswith("heldout/")}
    evaluated = sorted({benchmark_of(task) for task in tasks})
    return {
        "against": against(study),
        "labels": {arm: arm_label(study, arm) for arm in study.arms},
        "answer": answer(comparison),
        "per_arm": per_arm(comparison),
        "arms": arms_table(study, ledgers),
        "expected": expected_table(comparison),
        "picture": Markup(extras.get("stages", "")),  # which escapes the names in it
        "accuracies": [row for row in comparison.at(FINAL) if row.metric.name.endswith("/acc")],
        "coverage": [*coverage(comparison.metrics), *notes(comparison)],
        "detectable_note": detectable_note(comparison),
        "family_size": max(1, len(family(comparison.study))),
        "headline": headline(comparison),
        "legend": LEGEND,
        "figures": _figures(comparison, ledgers),
        "loss_note": figures.losses_caption(_losses(study, ledgers)),
        "bars_from": "arm's own baseline's" if several_baselines(study) else "baseline's",
        "interval_kinds": list(dict.fromkeys(row.estimate.kind for row in comparison.rows)),
        "comparison": comparison,
        "cooldown": cooldown_table(comparison),
        "executed": executed_table(comparison),
        "components": components_table(comparison),
        "component_names": COMPONENTS,
        "component_intervals": METHOD,
        "win_rates": {"columns": COLUMNS, "reading": READING, "judges": win_rates(store, study)},
        "skipped": skipped_steps(ledgers),
        "tokens": tokens_table(ledgers),
        "audit": extras["audit"],
        "manifest": manifest,
        "fertility": fertility(manifest) if manifest else [],
        "cost": cost(study, ledgers),
        "planned": extras["plan"]["totals"],
        "contamination": contamination(manifest, study, ledgers, evaluated) if manifest else None,
        "clean": touched(clean),
        "n_clean_scores": len(clean),
        "trained_on": trained_on(stage for stage, _ in ledgers.values()),
        "stages": [(folder, stage) for folder, (stage, _) in ledgers.items()],
        "seeds": sorted({run.seed for run in study.runs}),
    }


def arms_table(study: StudyRecord, ledgers: Ledgers) -> list[dict[str, Any]]:
    """What every arm is: the tokens that a run of it reads, what it is compared with, and where the paper has it."""
    tokens = {run.arm: sum(ledgers[each][0].tokens for each in run.stages if each in ledgers) for run in study.runs}
    return [
        {
            **{"arm": arm, "description": text, "tokens": tokens.get(arm, 0), "origin": study.origins.get(arm, "")},
            "baseline": study.baseline_of(arm),
            "alone": study.baseline_of(arm) == arm,
            "of_the_paper": not study.origins.get(arm, "").startswith(("ours", "arXiv:")),
            "unequal": tokens.get(arm, 0) != tokens.get(study.baseline_of(arm), 0),
        }
        for arm, text in study.arms.items()
    ]


def expected_table(comparison: Comparison) -> list[dict[str, Any]]:
    """What was expected of the arms, and what was found at the end of the runs."""
    rows = {(row.arm, row.metric.name): row for row in comparison.at(FINAL)}
    table = []
    for each in comparison.study.expected:
        row = rows.get((each["arm"], each["metric"]))
        if row is None:
            found = "not scored"
        elif not row.judged.told_apart:
            found = "cannot tell"
        elif each["direction"] == "same":
            found = "it differs"
        else:
            higher = row.estimate.difference.centre > 0
            found = "as expected" if each["direction"] == ("higher" if higher else "lower") else "the other way"
        table.append({**each, "row": row, "found": found})
    return table


def trained_on(stages: Iterable[StageRecord]) -> list[str]:
    """Devices and versions that trained the stages, each once; nothing of the machine that writes the report."""
    environments = [stage.environment for stage in stages if stage.environment]
    return list(dict.fromkeys(", ".join(f"{name} {value}" for name, value in each.items()) for each in environments))


def _ledgers(store: Path, study: StudyRecord) -> Ledgers:
    found: dict[str, tuple[StageRecord, Sequence[StepRecord]]] = {}
    for run in sorted(study.runs, key=lambda run: (list(study.arms).index(run.arm), run.seed)):
        for folder in run.stages:
            path = stage_folder(store, folder)
            if folder not in found and (path / STAGE).exists():
                found[folder] = (read_stage(path), read_ledger(path))
    return found


def _figures(comparison: Comparison, ledgers: Ledgers) -> dict[str, str]:
    """Those that there is something to draw in, by name."""
    look = figures.styles(list(comparison.study.arms), comparison.study.baseline)
    there = {metric.name: metric for metric in comparison.metrics}
    panels = {
        # Of the kinds: a source's name has a part more.
        "heldout": [m for name, m in there.items() if name.startswith("heldout/") and name.count("/") == 2],
        "categories": [there[name] for name in CATEGORIES if name in there],
    }
    found = {name: figures.panels(comparison, metrics, look, name) for name, metrics in panels.items() if metrics}
    if runs := _losses(comparison.study, ledgers):
        found["losses"] = figures.losses(runs, look)
    # Arms at chance differ by nothing that can be read, and their wide intervals would set the figure's scale.
    at_chance = {row.metric for row in comparison.at(FINAL) if row.judged.what == AT_CHANCE}
    ratios = [metric for metric in shown(comparison) if metric not in at_chance]
    if any(row.estimate.relative and row.metric in ratios for row in comparison.at(FINAL)):
        found["forest"] = figures.forest(comparison, ratios, look)
    if slopes := cooldown_table(comparison):
        found["cooldown"] = figures.cooldown(slopes, look)
    return {name: Markup(svg) for name, svg in found.items()}


def _losses(study: StudyRecord, ledgers: Ledgers) -> list[Losses]:
    found = []
    for run in study.runs:
        stages = [(number, *ledgers[folder]) for number, folder in enumerate(run.stages) if folder in ledgers]
        rows = [
            (stage.tokens_before + step.tokens, math.nan if step.loss is None else step.loss, number)
            for number, stage, steps in stages
            for step in steps
        ]
        if rows:
            found.append(Losses(run.arm, run.seed, *np.array(rows, float).T))
    return found


def answer(comparison: Comparison) -> list[str]:
    """Two to four sentences on the primary metrics at the end of the runs (on all metrics if none is declared)."""
    study = comparison.study
    rows = _primary(comparison)
    if not rows:
        return [f"No arm could be compared with {against(study)} at the end of its runs yet."]
    size = len(family(study)) or len(rows)
    what = "declared primary comparison" if study.primary else "comparison"
    correction = (
        f"Holm's correction for all {size}" if study.primary else "Benjamini and Hochberg's correction over all rows"
    )
    sides = [[row for row in rows if row.judged.what == side] for side in SIDES]
    told_apart, lost = sides[0] + sides[1], [row for row in rows if row.judged.before]
    sentences = [
        f"Of {size} {what}s with {against(study)} at the end of the runs, after {correction}, "
        f"{len(sides[0])} {'is' if len(sides[0]) == 1 else 'are'} better and {len(sides[1])} worse."
    ]
    if size == 1:
        found = f": it is {rows[0].judged.what}" if told_apart else ""
        sentences = [f"There is one {what}, with {against(study)} at the end of the runs{found}."]
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        said = f"{len(lost)} of the others {verb} a 95 % interval that leaves out 0, but not after the correction."
        sentences.append(said)
    words = zip(("gain", "loss"), (_furthest(side) for side in sides), strict=True)
    told = [f"largest {word} is {_told(row)}" for word, row in words if row]
    if told:
        sentences.append(f"The {'; the '.join(told)}.")
    if len(rows) < size:
        sentences.append(f"{size - len(rows)} could not be made: scores are missing.")
    short = sum(row.n_seeds < row.n_declared for row in rows)
    if short:
        sentences.append(
            f"{short} {'lacks' if short == 1 else 'lack'} a seed that was declared, which counts against its arm."
        )
    if max(row.n_declared for row in rows) == 1:
        sentences.append(
            "There is one seed only: the intervals hold item noise, and what another seed would give is unknown."
        )
    elif len(told_apart) < len(rows):
        rest = len(rows) - len(told_apart)
        which = "It" if size == 1 else "The other" if rest == 1 else f"The other {rest}"
        sentences.append(
            f"{which} cannot be told from noise with {_seeds(rows)}; that does not show the arms to be equal."
        )
    return sentences


def per_arm(comparison: Comparison) -> list[tuple[str, str]]:
    """(arm, what it is better and worse at) for every arm that is compared."""
    found = []
    study = comparison.study
    for arm in study.compared:
        rows = [row for row in _primary(comparison) if row.arm == arm]
        groups: dict[str, list[str]] = {}
        for row in rows:
            change = (
                f" ({percent_text(row.estimate.relative)})" if row.judged.told_apart and row.estimate.relative else ""
            )
            groups.setdefault(row.judged.text, []).append(f"{_short(row.metric)}{change}")
        told = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in sorted(groups.items()))
        lacking = f"not compared: no seed has the scores of it and of {study.baseline_of(arm)}"
        found.append((arm_label(study, arm), told or lacking))
    return found


def detectable_note(comparison: Comparison) -> list[str]:
    """For each primary metric the smallest difference that so many seeds and items would find after the correction for
    the family, given the spread seen here."""
    notes = []
    rows = _primary(comparison)
    size = max(1, len(family(comparison.study)))
    for metric in dict.fromkeys(row.metric for row in rows):
        spreads = [
            (found, row) for row in rows if row.metric == metric and (found := detectable(row.estimate.spread, size))
        ]
        if spreads:
            found, row = max(spreads, key=lambda pair: pair[0])
            told = metric.score.difference_text(found).lstrip("+")
            notes.append(f"{metric.label}: {told} (noisiest arm {row.arm}, {row.n_seeds} seeds)")
    return notes


def _primary(comparison: Comparison) -> list[Row]:
    primary = comparison.study.primary
    return [row for row in comparison.at(FINAL) if row.metric.name in primary or not primary]


def _furthest(rows: Sequence[Row]) -> Row | None:
    sizes = [(abs(row.estimate.relative.centre), row) for row in rows if row.estimate.relative]
    return max(sizes, key=lambda pair: pair[0])[1] if sizes else None


def _told(row: Row) -> str:
    value, baseline = map(row.metric.score.value_text, (row.estimate.value, row.estimate.baseline_value))
    return f"{row.arm} on {_short(row.metric)} ({percent_text(row.estimate.relative)}, {value} against {baseline})"


def _short(metric: Metric) -> str:
    """A label inside a sentence: only the held-out kinds begin with a common word."""
    text = metric.label.replace(", bits/byte", " bits per byte").replace(", ", " ")
    return text[:1].lower() + text[1:] if text.startswith(("Held", "Reasoning", "Knowledge", "Natural")) else text


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({row.n_seeds for row in rows})
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
