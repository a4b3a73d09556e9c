"""Win rates from the records of judges: one table for every judge, set of answers and baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.evals.preference.estimates import SCORES, strengths, win_rate
from analysis.evals.preference.verdicts import Judged
from analysis.records import JudgeRecord, StudyRecord, read_judged, read_stage, stage_folder
from store.errors import Failure

COLUMNS = (
    "arm", "pairs", "win", "tie", "loss", "win + tie/2", "by seed", "at equal length", "win − loss", "p",
    "orders agree", "first preferred", "invalid", "gaps", "identical", "blank", "characters",
)  # fmt: skip
SHARED = ("judge", "weak", "parameters", "prompts", "n_prompts", "decoding")
"""What the records of one folder have in common."""
READING = (
    "Shares are in percent, with 95 % intervals by prompt (all seeds of a prompt together): from two seeds on they "
    "speak for other prompts and other seeds, with one for other prompts alone, and so do the strengths of all arms "
    "together. Two orders that disagree are a tie. Invalid verdicts and gaps are left out; equal answers tie and a "
    "blank one loses without asking, at equal length too. None of this is in the primary family."
)


def win_rates(store: Path, study: StudyRecord) -> list[dict[str, Any]]:
    """One document for every judge and set of answers that `study` has records of, and every baseline.

    Returns:
        Documents {"folder": under the study's judge/, "arms": [{"arm", "seeds": {seed: win + tie/2}, and the fields of
        `WinRate`}], "strengths": as `strengths` gives them, "gaps": what is missing and why, in words, and what
        `JudgeRecord` has of judge, prompts, decoding, cost and examples}. Verdicts on other checkpoints than the
        study's own are a gap.

    Raises:
        Failure: a record is damaged.
    """
    groups: dict[Path, dict[str, JudgeRecord]] = {}
    for path, record in read_judged(store, study.name).items():
        groups.setdefault(path.parent, {})[record.arm] = record
    own = _checkpoints(store, study) if groups else {}
    baselines = dict.fromkeys(study.baseline_of(arm) for arm in study.compared)
    return [
        _document(study, baseline, records, own, folder) for folder, records in groups.items() for baseline in baselines
    ]


def _checkpoints(store: Path, study: StudyRecord) -> dict[tuple[str, str], str]:
    """Fingerprint of the last stage by arm and seed."""
    return {(run.arm, str(run.seed)): read_stage(stage_folder(store, run.stages[-1])).fingerprint for run in study.runs}


def _document(
    study: StudyRecord,
    baseline: str,
    records: Mapping[str, JudgeRecord],
    own: Mapping[tuple[str, str], str],
    folder: Path,
) -> dict[str, Any]:
    arms, found, gaps = [], {}, []
    for arm in (arm for arm in study.compared if study.baseline_of(arm) == baseline):
        if arm not in records:
            gaps.append(f"{arm}: not judged")
            continue
        record = records[arm]
        if not _is_of(record, study, own):
            gaps.append(f"{arm}: the verdicts are on other checkpoints than the study's; run `ablate judge run` again")
            continue
        judged = _judged(record, folder)
        try:
            arms.append({"arm": arm, "seeds": _by_seed(judged), **asdict(win_rate(judged))})
            found[arm] = judged
        except Failure as failure:
            gaps.append(f"{arm}: {failure}")
    one = next(iter(records.values()))
    shown = [records[row["arm"]] for row in arms]
    return {
        "folder": "/".join(folder.parts[-2:]),
        **{name: getattr(one, name) for name in SHARED},
        "baseline": baseline,
        "cut": sum(record.cut for record in shown),
        "cost": _cost(shown),
        "arms": arms,
        "strengths": [asdict(strength) for strength in strengths(found, baseline)] if found else [],
        "examples": [{"against": record.arm, **example} for record in shown for example in record.examples],
        "gaps": gaps,
    }


def _is_of(record: JudgeRecord, study: StudyRecord, own: Mapping[tuple[str, str], str]) -> bool:
    sides = (record.arm, record.baseline)
    last = {seed: [own.get((side, seed)) for side in sides] for arm, seed in own if arm == record.arm}
    judged = {seed: list(pair) for seed, pair in record.checkpoints.items()}
    return record.baseline == study.baseline_of(record.arm) and judged == last


def _judged(record: JudgeRecord, folder: Path) -> list[Judged]:
    try:
        return [Judged(**{**row, "verdicts": tuple(row["verdicts"])}) for row in record.pairs]
    except (KeyError, TypeError) as error:
        raise Failure(
            f"the verdicts on {record.arm} are damaged ({folder}: {error}); delete the folder and judge again: "
            "the judge's replies are kept"
        ) from error


def _by_seed(judged: Sequence[Judged]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for one in judged:
        if one.outcome in SCORES:
            scores.setdefault(str(one.seed), []).append(SCORES[one.outcome])
    return {seed: sum(values) / len(values) for seed, values in scores.items()}


def _cost(records: Sequence[JudgeRecord]) -> dict[str, float | None]:
    prices = [record.cost["dollars"] for record in records]
    total = {
        name: sum(record.cost[name] or 0 for record in records) for name in ("requests", "tokens_in", "tokens_out")
    }
    return {**total, "dollars": None if None in prices else sum(price or 0.0 for price in prices)}


def cells(row: Mapping[str, Any]) -> list[str]:
    """The texts under `COLUMNS` for one of a document's arms."""
    difference = row["difference"]
    return [
        row["arm"],
        f"{row['n']:,} on {row['prompts']:,} prompts",
        *(share_text(row[name]) for name in ("win", "tie", "loss", "half")),
        " ".join(f"{100 * value:.1f}" for value in row["seeds"].values()),
        share_text(row["length_controlled"]),
        f"{100 * difference['centre']:+.1f} [{100 * difference['low']:+.1f}, {100 * difference['high']:+.1f}]",
        "< 0.001" if difference["p"] < 0.001 else f"{difference['p']:.3f}",
        share_text(row["agreement"]),
        share_text(row["first"]),
        *(f"{row[name]:,}" for name in ("invalid", "gaps", "identical", "empty")),
        f"{row['arm_length']:.0f} against {row['baseline_length']:.0f}",
    ]


def strength_cells(row: Mapping[str, Any]) -> list[str]:
    """Arm, logit and chance of beating the baseline."""
    logit = row["logit"]
    return [row["arm"], f"{logit['centre']:+.2f} [{logit['low']:+.2f}, {logit['high']:+.2f}]", share_text(row["rate"])]


def share_text(share: Mapping[str, float] | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share['value']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def head(document: Mapping[str, Any]) -> list[str]:
    """What the figures of a document rest on, a sentence each."""
    cost = document["cost"]
    money = "price not known" if cost["dollars"] is None else f"{cost['dollars']:,.2f} dollars"
    spent = f"{cost['requests']:,} requests, {cost['tokens_in']:,} tokens in and {cost['tokens_out']:,} out ({money})"
    cut = f"; {document['cut']:,} pairs had a prompt too long to be read whole" if document["cut"] else ""
    return [
        f"Judge: {document['judge']}.",
        f"Prompts: {document['prompts']}.",
        f"They were {document['decoding']}{cut}.",
        f"Cost of the verdicts: {spent if cost['requests'] else 'none'}.",
    ]


def print_win_rates(document: Mapping[str, Any], console: Console) -> None:
    """Every judge's tables, with what is missing."""
    for judge in document["judges"]:
        for sentence in head(judge):
            console.print(sentence, highlight=False, markup=False)
        # Seventeen columns of figures stand better below one another.
        (_, *arms), *rows = zip(COLUMNS, *map(cells, judge["arms"]), strict=True)
        table = Table("", title=f"Win rates against {judge['baseline']}", title_justify="left")
        for arm in arms:
            table.add_column(arm, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        ranks = Table("arm", title="Bradley–Terry", title_justify="left")
        for name in ("logit", f"beats {judge['baseline']}, %"):
            ranks.add_column(name, justify="right")
        for strength in judge["strengths"]:
            ranks.add_row(*strength_cells(strength))
        console.print(ranks)
        for gap in judge["gaps"]:
            console.print(f"missing: {gap}", highlight=False, markup=False)
    console.print(READING, highlight=False)
