"""What the same study said at a smaller scale, where the store has that, too: how far it could have been trusted."""

from collections.abc import Iterator
from pathlib import Path

from analysis.compare import Comparison, Row, compare
from analysis.metrics import Metric, signed
from analysis.records import StudyRecord, read_stage, read_study, stage_folder
from analysis.report.blocks import Block, Bullets, Cell, Fold, Heading, Table, Text, grouped
from analysis.report.values import shown
from analysis.rungs import elsewhere
from analysis.rungs.transfer import WRONG, Decisions, Effect, Transfer, beside
from store.errors import Failure, UserError
from store.layout import STUDIES

DECISIONS = (
    "Decision accuracy: pairs of arms that the smaller scale orders as this one does, with its interval over seeds. "
    "Told apart: pairs of which the 95 % interval of this scale leaves out 0, and what the smaller one says of those."
)


def smaller_rungs(store: Path, comparison: Comparison) -> list[Block]:
    """A heading and its tables for each smaller scale; nothing where the store has none."""
    blocks: list[Block] = []
    for rung in _smaller(store, comparison.study):
        try:
            found = beside(compare(store, rung), comparison)
        except (UserError, Failure) as error:
            blocks += [Heading(rung), Text(f"It cannot be held beside this one: {error}.", "note")]
            continue
        blocks += [Heading(rung), *_rung(found)]
    return blocks


def _smaller(store: Path, study: StudyRecord) -> Iterator[str]:
    """What the store calls this study at scales whose largest run is smaller than this one's."""
    size = _size(store, study)
    for path in sorted((store / STUDIES).glob("*/study.json")):
        try:
            other = read_study(store, path.parent.name)
        except Failure:  # whatever is wrong with another study is told by its own report
            continue
        same = _typed(study) and _typed(other) == _typed(study) and other.name != study.name
        if same and size is not None and (its := _size(store, other)) is not None and its < size:
            yield other.name


def _typed(study: StudyRecord) -> str:
    """What runs it, without its scale: "ablate run proportion"; "" where the record does not say it."""
    return " ".join(study.command.split()[:3])


def _size(store: Path, study: StudyRecord) -> float | None:
    """FLOPs of the largest run; None where a stage is not there yet."""
    try:
        flops = [sum(read_stage(stage_folder(store, each)).flops for each in run.stages) for run in study.runs]
    except Failure:
        return None
    return max(flops, default=None)


def _rung(found: Transfer) -> Iterator[Block]:
    headline = shown(found.large)
    decisions = [each for each in found.decisions if each.metric in headline]
    told = ", ".join(f"{word} {count}" for word, count in found.counts.items())
    yield Text(f"Of its conclusions on {len(found.effects)} comparisons: {told}.")
    if decisions:
        yield _decisions(decisions)
    wrong = [each for each in found.effects if each.conclusion == WRONG]
    if wrong:
        yield _effects("Conclusions that would have been wrong", wrong, found)
    primary = [each for each in found.effects if each.large.metric.name in found.large.study.primary]
    if primary:
        yield _effects("Effects on the primary metrics", primary, found)
    if found.notes:
        yield Fold(f"{len(found.notes)} notes", (Bullets(tuple(("", note) for note in found.notes)),))


def _decisions(decisions: list[Decisions]) -> Table:
    head = (
        *("metric", "decision accuracy", "pairs", "told apart", "right", "cannot tell", "wrong", "Kendall's tau-b"),
        Cell("elsewhere", f"{', '.join(elsewhere.RUNGS)} against {elsewhere.TARGET}, {elsewhere.SOURCE}"),
    )
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (
            each.metric.label,
            Cell(f"{100 * each.accuracy:.0f} %", _interval(each.accuracy_interval, 100, 0) or each.why),
            *map(str, (each.pairs, each.told, each.right, each.untold, each.wrong)),
            Cell("–" if each.tau is None else signed(each.tau, 2), _interval(each.tau_interval, 1, 2)),
            _published(each.metric),
        )
        for each in decisions
    )
    return Table(DECISIONS, head, rows)


def _published(metric: Metric) -> str:
    found = elsewhere.decision_accuracy(metric)
    return ", ".join(f"{per_cent} %" for per_cent in found.values()) if found else "–"


def _effects(caption: str, effects: list[Effect], found: Transfer) -> Table:
    head = ("metric", "arm", found.small.study.name, found.large.study.name, "conclusion")
    rows = [
        (each.large.metric.label, each.large.arm, _effect(each.small), _effect(each.large), each.conclusion)
        for each in sorted(effects, key=lambda each: each.large.metric.name)
    ]
    return Table(caption, head, grouped(rows), words=2, prose=(4,))


def _effect(row: Row) -> Cell:
    score, difference = row.metric.score, row.estimate.difference
    return Cell(f"{score.difference_text(difference.centre)} {score.interval_text(difference)}", row.judged.text)


def _interval(ends: tuple[float, float] | None, times: float, digits: int) -> str:
    return "" if ends is None else f"[{times * ends[0]:.{digits}f}, {times * ends[1]:.{digits}f}]".replace("-", "−")
