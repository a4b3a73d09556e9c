"""From the records of a study to its report and the CSV files beside it.

Equal records give equal bytes: no clock, no random id, nothing of the machine that writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.catching_up import reached
from analysis.claims.of_study import published_at
from analysis.clean import CleanScore, clean_csv, clean_scores, dirty_items
from analysis.compare import Comparison, compare
from analysis.composite import declared, metrics_of
from analysis.ledgers import Ledgers, read_ledgers, sweep
from analysis.metrics import TEXTS, value
from analysis.records import StudyRecord
from analysis.report import evidence, files, findings, fresh, inference, mixing, results, smaller_rung, telling, worth
from analysis.report.blocks import ENDS, STAGES, Block, Bullets, Figure, Fold, Report, Section, Text, blocks_of
from analysis.report.figures import drawing, losses, panels, paper, places, solved, tuning
from analysis.report.page import page
from analysis.report.values import before_after, by_source, primary, shown
from analysis.rungs.multiplier import multipliers, scored_along
from analysis.rungs.signal import signals
from analysis.scores import FINAL, Evaluated
from analysis.winrates import win_rates
from store.files import read_sealed, write_text
from store.layout import PREPARED, STUDIES, Prepared

CATEGORIES = (
    "humaneval/gold_bpb",
    "reasoning/gold_bpb",
    "knowledge/gold_bpb",
    "reasoning/acc",
    "knowledge/exact_match",
)
MANY_ARMS = 8
"""From so many on, the figure stands before the table, and what each is better and worse at is folded."""


def build(store: Path, study: str, extras: Mapping[str, Any], paper_values: bool = False) -> Path:
    """Write studies/<study>/report.html, and CSVs beside it: comparison, scores, losses, tokens, cost, clean, figures.

    The arguments and what is raised are those of `gather`.

    Returns:
        The path of report.html.
    """
    found = gather(store, study, extras, paper_values)
    drawn = [block for block in blocks_of(found.report) if isinstance(block, Figure) and block.marks]
    folder = store / STUDIES / study
    for name, text in {
        "comparison.csv": files.comparison_csv(found.comparison),
        "scores.csv": files.scores_csv(found.comparison),
        "losses.csv": files.losses_csv(found.comparison.study, found.ledgers),
        "tokens.csv": files.tokens_csv(found.ledgers),
        "cost.csv": files.cost_csv(found.comparison.study, found.ledgers),
        "clean.csv": clean_csv(found.clean),
        **{f"figure-{figure.name}.csv": figure.csv for figure in drawn},
        "report.html": page(found.report),
    }.items():
        write_text(folder / name, text)
    return folder / "report.html"


@dataclass(frozen=True)
class Gathered:
    """A report, and what it was made of."""

    report: Report
    comparison: Comparison
    ledgers: Ledgers
    clean: Sequence[CleanScore]


def gather(store: Path, study: str, extras: Mapping[str, Any], paper_values: bool = False) -> Gathered:
    """The report of a study as data.

    Args:
        store: the folder that holds the records.
        study: name of a study that has been run and evaluated.
        extras: what the records do not hold: "audit", as `experiments.audit` has it, "plan", its "totals", and
            "stages", a picture of them as SVG.
        paper_values: whether figures show what the paper published of its arms, too.

    Raises:
        UserError, Failure: as `analysis.compare.compare`; Failure also when a ledger or the manifest is corrupt.
    """
    comparison = compare(store, study)
    ledgers = read_ledgers(store, comparison.study)
    manifest = read_manifest(store, comparison.study)
    dirty = dirty_items(manifest, comparison.study, ledgers) if manifest else None
    clean = clean_scores(comparison, dirty) if dirty else ()
    published = published_at(comparison.study, comparison.points[-1]) if paper_values else {}
    report = assemble(store, comparison, ledgers, clean, manifest, extras, published)
    return Gathered(report, comparison, ledgers, clean)


def assemble(
    store: Path,
    comparison: Comparison,
    ledgers: Ledgers,
    clean: Sequence[CleanScore],
    manifest: Mapping[str, Any] | None,
    extras: Mapping[str, Any],
    published: Mapping[tuple[str, str], float] = panels.NOTHING,
) -> Report:
    """The whole report as data. A section of which there is nothing to say is not there."""
    study = comparison.study
    look = drawing.styles(list(study.arms), study.baseline)
    judges, runs = win_rates(store, study), losses.losses_of(study, ledgers)
    stages = scored_along(store, study)
    main, others = _figures(comparison, ledgers, look, published)
    read = paper.what_was_read(comparison, ledgers)
    cooled = [m for m in shown(comparison) if any(before_after(comparison, m, arm)[1] for arm in study.arms)]
    curves = [paper.along(stages, shown(comparison), look), *([losses.losses(runs, look)] if runs else [])]
    passes = [metric for metric in comparison.metrics if metric.score.name == "pass@1"]
    sets = [figure for metric in passes if (figure := solved.overlap(comparison, metric, look))]
    code = evidence.executed(comparison)
    sections: dict[str, Sequence[Block]] = {
        "What the arms are": results.arms(comparison, ledgers, extras.get("stages", ""), read),
        "What was expected": results.expected(comparison),
        "Differences to the baseline": others,
        "Before and after cooldown": [
            *([panels.cooldown(comparison, cooled, look)] if cooled else []),
            *(results.cooldown(comparison, cooled) if cooled else []),
        ],
        "Stage by stage": results.recipes(comparison, _stage_means(comparison, stages)),
        "Fine-tuning": _tuning(comparison, ledgers, stages, look),
        "Along the runs": [
            *(each for each in curves if each),
            *results.caught_up(reached(study, stages, primary(comparison))),
            *worth.in_tokens(multipliers(comparison, stages, primary(comparison))),
            *evidence.skipped(ledgers),
        ],
        "Laws": mixing.laws(comparison, ledgers),
        "What a smaller scale said": smaller_rung.smaller_rungs(store, comparison),
        "Text that appeared later": fresh.told(comparison.study),
        "Long contexts": list(places.by_place(comparison, look)),
        "Inference": inference.table(comparison, inference.read_speeds(store, study)),
        "Code that was executed": [*code[:1], *sets, *code[1:]],
        "Win rates": [*_drawn(paper.win_bars(judges)), *evidence.win_rates(judges)],
        "All comparisons": results.all_rows(comparison),
        "What the tasks can tell": telling.told(signals(study, stages)),
        "Where the variance comes from": results.components(comparison),
        "What is missing": results.missing(comparison),
        "Declared and realised tokens": evidence.tokens(ledgers, extras["audit"]),
        "Where the data come from": evidence.data(study, manifest),
        "Contamination": evidence.leaks(comparison, ledgers, clean, manifest),
        "Cost": evidence.cost(study, ledgers, extras["plan"]["totals"]),
        "Limits": evidence.limits(comparison, bool(judges)),
        "How to reproduce": evidence.reproduce(study, ledgers),
    }
    return Report(
        study=study.name,
        question=study.question,
        facts=_facts(comparison),
        lead=tuple(_lead(comparison, main)),
        sections=tuple(Section(title, tuple(blocks)) for title, blocks in sections.items() if blocks),
        **_runs(comparison, ledgers, judges),
    )


def _runs(comparison: Comparison, ledgers: Ledgers, judges: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a W&B report is of: run sets, links, and the metrics of its panels."""
    study = comparison.study
    ends = [ledgers[run.stages[-1]][0].fingerprint for run in study.runs if run.stages and run.stages[-1] in ledgers]
    every = [stage.fingerprint for stage, _ in ledgers.values()]
    return {
        "runs": {ENDS: tuple(dict.fromkeys(ends)), STAGES: tuple(every)},
        "links": {stage.id: stage.fingerprint for stage, _ in ledgers.values()},
        "metrics": tuple(metric.name for metric in shown(comparison)),
        "primary": study.primary,
        "judges": tuple(f"win_rate/{each['folder']}" for each in judges),
    }


def _facts(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    study = comparison.study
    seeds = sorted({run.seed for run in study.runs})
    others = [arm for arm in study.compared if study.baseline_of(arm) != study.baseline]
    whose = "arm another, which stands below its name" if len(others) == 1 else "arms another, which stands below each"
    also = f"; of {len(others)} {whose}" if others else ""
    return (
        ("Hypothesis", study.hypothesis),
        ("Runs", f"{len(study.runs)}: {len(study.arms)} arms, seeds {', '.join(map(str, seeds))}"),
        ("Baseline", f"{study.baseline}{also}"),
    )


def _lead(comparison: Comparison, main: Figure | None) -> list[Block]:
    told: Block = Bullets(tuple(findings.per_arm(comparison)))
    many = len(comparison.study.compared) >= MANY_ARMS
    lost, headline = findings.lost_seeds(comparison), results.headline(comparison)
    return [
        Text(" ".join(findings.answer(comparison)), "answer"),
        *([Bullets(tuple(lost), "bad")] if lost else []),
        *([*_drawn(main), *headline] if many else [*headline, *_drawn(main)]),
        Fold("What each arm is better and worse at", (told,)) if many else told,
        *results.accuracies(comparison),
    ]


def _drawn(figure: Figure | None) -> list[Block]:
    return [figure] if figure else []


def _figures(
    comparison: Comparison, ledgers: Ledgers, look: drawing.Look, published: Mapping[tuple[str, str], float]
) -> tuple[Figure | None, list[Block]]:
    """The study's one figure, and all other figures of differences."""
    metrics, there = primary(comparison), {metric.name: metric for metric in comparison.metrics}
    found: list[Figure | None] = []
    if shares := sweep(comparison.study, ledgers):
        found.append(paper.curve(comparison, metrics, shares))
    if recipes := paper.sizes(comparison, ledgers):
        found.append(paper.scale(comparison, metrics, recipes))
    heldout, later = ([m for name, m in there.items() if name.startswith(of) and name.count("/") == 2] for of in TEXTS)
    categories = [there[name] for name in CATEGORIES if name in there]
    declared = [metric for metric in metrics if metric.name in comparison.study.primary]
    if declared and not set(declared) <= set(heldout):
        found.append(panels.panels(comparison, declared, look, "primary", "The primary metrics", published))
    for key, title, group in (
        ("heldout", "Held-out text by kind", heldout),
        ("fresh", "Text that appeared later, by kind", later),
        ("categories", "Categories of benchmarks", categories),
    ):
        if group:
            found.append(panels.panels(comparison, group, look, key, title, published))
    # Arms at chance differ by nothing that can be read, and their wide intervals would set the figure's scale.
    at_chance = {row.metric for row in comparison.last if row.judged.at_chance}
    found.append(panels.forest(comparison, [m for m in shown(comparison) if m not in at_chance], look))
    sources = by_source(comparison)
    title = "Held-out and fresh text by source and language" if later else "Held-out text by source and language"
    found.append(panels.forest(comparison, sources, look, "sources", title))
    drawn = [figure for figure in found if figure]
    return (drawn[0] if drawn else None), [
        Fold(figure.title, (figure,)) if figure.name == "sources" else figure for figure in drawn[1:]
    ]


def _tuning(comparison: Comparison, ledgers: Ledgers, found: Evaluated, look: drawing.Look) -> list[Block]:
    stages = {folder: stage for folder, (stage, _) in ledgers.items()}
    places = {(run.arm, run.seed): tuning.spots(run, stages) for run in comparison.study.runs}
    metrics = shown(comparison)
    drawn = [tuning.by_epoch(found, places, metrics, look), tuning.by_size(comparison, places, metrics, look)]
    return [figure for figure in drawn if figure]


def _stage_means(comparison: Comparison, found: Evaluated) -> dict[tuple[str, str], dict[str, float]]:
    """By arm and point, the metrics' means over seeds, where runs have several stages that were scored."""
    tasks = {task for scores in found.scores.values() for task in scores}
    metrics = metrics_of(declared(comparison.study), tasks)
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for (arm, _, at), scores in found.scores.items():
        for metric in metrics:
            number = value(metric, scores)
            if number is not None:
                values.setdefault((arm, at), {}).setdefault(metric.name, []).append(number)
    kinds = {(run.arm, at): kind for run in comparison.study.runs for at, kind in _kinds(run.stages, run.kinds)}
    several = {arm for arm, at in values if at != FINAL}
    return {
        (arm, f"{at}, {kinds.get((arm, at), '')}".strip(", ")): {name: sum(of) / len(of) for name, of in means.items()}
        for (arm, at), means in values.items()
        if arm in several
    }


def _kinds(stages: Sequence[str], kinds: Sequence[str]) -> list[tuple[str, str]]:
    names = [*(f"stage-{number}" for number in range(1, len(stages))), FINAL]
    return list(zip(names, kinds, strict=True))


def read_manifest(store: Path, study: StudyRecord) -> dict[str, Any] | None:
    """manifest.json of the prepared data, or None where there is none.

    Raises:
        Failure: the manifest cannot be read.
    """
    path = Prepared(store / PREPARED / study.prepared).manifest
    if not path.exists():
        return None
    return read_sealed(path, f"manifest of the prepared data {study.prepared}")
