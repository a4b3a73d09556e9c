"""`ablate judge panel`: the majority of the judges that judged the same answers, as a judge of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from analysis.evals.preference.panel import FEWEST, Rows, alike, by_majority, fleiss
from analysis.evals.preference.verdicts import Judged
from analysis.records import JudgeRecord, judge_path, read_judged, read_study, write
from analysis.winrates import PANEL, checkpoints, is_of, runs_of, verdicts_of, win_rates
from store.digests import short
from store.errors import UserError

Records = Mapping[tuple[str, str], tuple[Path, JudgeRecord]]
"""One judge's, by the arm and the one that it was judged against."""


def judge_by_panel(name: str, store: Path) -> dict[str, Any]:
    """Make a panel of the judges of every set of answers that two or more judged, and write its records.

    Returns:
        {"study", "judges": the document of `analysis.winrates.win_rates` on the panels' verdicts}.

    Raises:
        UserError: the study has no records, or no answers that two judges judged.
        Failure: a record is damaged.
    """
    study = read_study(store, name)
    found = read_judged(store, name)
    own = checkpoints(store, study) if found else {}
    answers: dict[str, dict[str, dict[tuple[str, str], tuple[Path, JudgeRecord]]]] = {}
    for path, record in found.items():
        if PANEL not in record.parameters and is_of(record, own):
            judges = answers.setdefault(path.parent.name, {})
            judges.setdefault(path.parent.parent.name, {})[record.arm, record.baseline] = path, record
    folders = []
    for key, judges in answers.items():
        if records := _panel(judges, runs_of(study)):
            panel = f"{PANEL}-{short(sorted(judges), 8)}"
            folders.append(f"{panel}/{key}")
            for (arm, other), record in records.items():
                where = "" if other == study.baseline_of(arm) else other
                write(judge_path(store, name, panel, key, arm, where), record)
    if not folders:
        most = max(map(len, answers.values()), default=0)
        raise UserError(
            f"a panel takes two judges of the same answers, and those of study '{name}' have {most}; "
            f"run `ablate judge run {name}` with another judge and the same prompts"
        )
    return {"study": name, "judges": [each for each in win_rates(store, study) if each["folder"] in folders]}


def _panel(judges: Mapping[str, Records], runs: Mapping[int, tuple[int, int]]) -> dict[tuple[str, str], JudgeRecord]:
    """Of every pair of arms that two of the judges judged, what they say together."""
    counts = [pair for its in judges.values() for pair in its]
    pairs = [pair for pair in dict.fromkeys(counts) if counts.count(pair) >= FEWEST]
    rows = {judge: _rows(its, pairs) for judge, its in judges.items()}
    labels = {judge: next(iter(its.values()))[1].judge for judge, its in judges.items()}
    parameters = {
        PANEL: list(judges),
        "alike": [asdict(each) for each in alike(rows, runs)],
        "fleiss": fleiss(list(rows.values())) if len(rows) > FEWEST else None,
    }
    return {
        pair: replace(
            _joined([its[pair][1] for its in judges.values() if pair in its], list(rows.values()), pair),
            judge=f"panel of {len(judges)}: {', '.join(labels.values())}",
            parameters=parameters,
        )
        for pair in pairs
    }


def _rows(records: Records, pairs: Sequence[tuple[str, str]]) -> Rows:
    return {
        (" ".join(pair), judged.seed, judged.id): judged
        for pair in pairs
        if pair in records
        for judged in verdicts_of(records[pair][1], records[pair][0].parent)
    }


def _joined(records: Sequence[JudgeRecord], rows: Sequence[Rows], pair: tuple[str, str]) -> JudgeRecord:
    """One record of what several judges made of the same pairs, with what they share of the first."""
    first, name = records[0], " ".join(pair)
    keys = dict.fromkeys(key for its in rows for key in its if key[0] == name)
    judged: list[Judged] = [by_majority([its[key] for its in rows if key in its]) for key in keys]
    searched = next((record.searched for record in records if record.searched), {})
    return replace(
        first,
        weak=any(record.weak for record in records),
        pairs=tuple(asdict(each) for each in judged),
        examples=tuple(
            {**example, "outcome": each.outcome} for example, each in zip(first.examples, judged, strict=False)
        ),
        cost={"requests": 0, "tokens_in": 0, "tokens_out": 0, "dollars": 0.0},
        searched=searched,
    )
