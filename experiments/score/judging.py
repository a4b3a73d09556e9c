"""`ablate judge`: arms answer, a judge compares them in pairs, people say how far to trust the judge."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis import records
from analysis.evals.preference.answering import Decoding, answer, decoding, digest
from analysis.evals.preference.calibrate import calibrate
from analysis.evals.preference.client import Progress
from analysis.evals.preference.prompts import PromptSet, read_labelled
from analysis.evals.preference.verdicts import Judged, Pair
from analysis.records import FLOAT32, AnswerRecord, JudgeRecord, StudyRecord
from analysis.winrates import share_text, win_rates
from experiments.progress import Display
from experiments.run.trained import open_stage
from experiments.score.judges import Judge
from experiments.score.searching import Searched, of_both, search
from experiments.show.table import Column, say, table
from store.errors import UserError
from store.layout import DONE

EXAMPLES = 3
"""Pairs an arm that the report shows in full."""

Answers = Mapping[tuple[str, int], AnswerRecord]
"""By arm and seed."""


def judge_study(
    name: str,
    store: Path,
    judge: Judge,
    prompts: PromptSet,
    arms: Sequence[str],
    against: str | None = None,
    round_robin: bool = False,
) -> dict[str, Any]:
    """Have arms' last checkpoints answer, judge the answers of pairs of arms, and write the records.

    Answers are kept with their checkpoints, verdicts with the judge's replies: a second call generates and asks for
    nothing. Records are written when all pairs are judged.

    Args:
        arms: those to judge; all when empty.
        against: the arm that they are judged against, in place of the baseline of each.
        round_robin: judge every two of them instead.

    Returns:
        {"study", "judges": the document of `analysis.winrates.win_rates` on these verdicts}.

    Raises:
        UserError: the study was not run to its end, has no such arm, or `against` and `round_robin` are both given.
        Failure: a checkpoint is damaged, the judge cannot be used, or the disk is full.
    """
    study = records.read_study(store, name)
    pairs = _chosen(study, arms, against, round_robin)
    met = list(dict.fromkeys(arm for pair in pairs for arm in pair))
    last = _last_stages(study, met, store)
    how = decoding(records.read_stage(next(iter(last.values()))).identity["sequence"])
    key = digest(prompts.texts, how)
    answers = _answers(last, store, prompts, how, key)
    searched = search(prompts, study, met, store)
    work = {(arm, other): _pairs(other, arm, prompts, answers) for arm, other in pairs}
    found = iter(judge.judge([pair for rows in work.values() for _, pair in rows]))
    for (arm, other), rows in work.items():
        judged = [(seed, pair, next(found)) for seed, pair in rows]
        of_pair = of_both(searched[arm], searched[other])
        record = _record(study, (arm, other), judge, prompts, how, judged, answers, of_pair)
        own = other == study.baseline_of(arm)
        records.write(records.judge_path(store, name, judge.id, key, arm, "" if own else other), record)
    return {
        "study": name,
        "judges": [each for each in win_rates(store, study) if each["folder"] == f"{judge.id}/{key}"],
    }


def _chosen(study: StudyRecord, arms: Sequence[str], against: str | None, round_robin: bool) -> list[tuple[str, str]]:
    """The pairs to judge: an arm, and the one that it is judged against.

    In a round robin an arm stands before its own baseline, else what the study names later before what it names
    earlier; each two arms are there once, for a judge sees both orders anyway.
    """
    if against is not None and round_robin:
        raise UserError("--against judges against one arm and --round-robin every two; give one of them")
    every = tuple(study.arms)
    if against is not None and against not in every:
        raise UserError(f"study '{study.name}' has no arm '{against}' to judge against; choose from {', '.join(every)}")
    others = every if round_robin else study.compared if against is None else tuple(a for a in every if a != against)
    unknown = [arm for arm in arms if arm not in others]
    if unknown or not others:
        raise UserError(
            f"study '{study.name}' has no arm {' '.join(map(repr, unknown[:1]))} to judge against another; "
            f"choose from {', '.join(others) or 'a study with two arms'}"
        )
    chosen = [arm for arm in others if arm in arms or not arms]
    if not round_robin:
        return [(arm, study.baseline_of(arm) if against is None else against) for arm in chosen]
    if len(chosen) < 2:
        raise UserError("a round robin takes two arms at least; name more (--arms), or leave --arms out for all")
    pairs = itertools.combinations(chosen, 2)
    return [(a, b) if study.baseline_of(a) == b else (b, a) for a, b in pairs]


def _last_stages(study: StudyRecord, arms: Sequence[str], store: Path) -> dict[tuple[str, int], Path]:
    """Folder of the last stage by arm and seed."""
    runs = [run for run in study.runs if run.arm in arms]
    if other := next((run for run in runs if run.inference != FLOAT32), None):
        raise UserError(
            f"arm '{other.arm}' of study '{study.name}' is a run in {other.inference}; a judge is shown what models "
            "say in float32; name other arms (--arms)"
        )
    last = {(run.arm, run.seed): records.stage_folder(store, run.stages[-1]) for run in runs}
    unfinished = [run for run, folder in last.items() if not (folder / DONE).exists()]
    if unfinished:
        arm, seed = unfinished[0]
        raise UserError(
            f"study '{study.name}' is not finished: {len(unfinished)} of {len(runs)} runs are under way "
            f"(first: {arm}, seed {seed}); run `ablate run {study.name}` first"
        )
    return last


def _answers(
    last: Mapping[tuple[str, int], Path], store: Path, prompts: PromptSet, how: Decoding, key: str
) -> dict[tuple[str, int], AnswerRecord]:
    """What every run says, generated where it is not on disk."""
    stages = {folder: records.read_stage(folder) for folder in last.values()}
    paths = {folder: records.answers_path(folder, key, stage.steps) for folder, stage in stages.items()}
    missing = [folder for folder, path in paths.items() if not path.exists()]
    if missing:
        from experiments.run.train import use_compilation_cache

        use_compilation_cache(store)
        with Display("answer") as display:
            for number, folder in enumerate(missing):
                _generate(folder, paths[folder], store, prompts, how, _part(display, folder.name, number, len(missing)))
    return {run: records.read_answers(paths[folder], stages[folder].fingerprint) for run, folder in last.items()}


def _part(display: Display, what: str, number: int, parts: int) -> Progress:
    return lambda done, total: display.update(what, number * total + done, parts * total)


def _generate(folder: Path, path: Path, store: Path, prompts: PromptSet, how: Decoding, progress: Progress) -> None:
    stage = records.read_stage(folder)
    answers, cut = answer(open_stage(folder, store), prompts.texts, how, progress)
    records.write(path, AnswerRecord(stage.fingerprint, stage.steps, asdict(how), answers, cut))


def _pairs(baseline: str, arm: str, prompts: PromptSet, answers: Answers) -> list[tuple[int, Pair]]:
    """With their seeds, which both arms have."""
    return [
        (seed, Pair(id_, text, answers[arm, seed].answers[id_], answers[baseline, seed].answers[id_]))
        for name, seed in answers
        if name == arm and (baseline, seed) in answers
        for id_, text in prompts.texts.items()
    ]


def _record(
    study: StudyRecord,
    sides: tuple[str, str],
    judge: Judge,
    prompts: PromptSet,
    how: Decoding,
    judged: Sequence[tuple[int, Pair, Judged]],
    answers: Answers,
    searched: Searched,
) -> JudgeRecord:
    seeds, (arm, baseline) = list(dict.fromkeys(seed for seed, _, _ in judged)), sides
    return JudgeRecord(
        study=study.name,
        arm=arm,
        baseline=baseline,
        judge=judge.label,
        weak=judge.weak,
        parameters=judge.parameters,
        prompts=prompts.label,
        n_prompts=len(prompts.texts),
        decoding=how.text,
        checkpoints={
            str(seed): (answers[arm, seed].fingerprint, answers[baseline, seed].fingerprint) for seed in seeds
        },
        pairs=tuple({**asdict(found), "seed": seed} for seed, _, found in judged),
        examples=tuple(
            {"prompt": pair.prompt, "arm": pair.arm, "baseline": pair.baseline, "outcome": found.outcome}
            for _, pair, found in judged[:EXAMPLES]
        ),
        cut=sum(answers[arm, seed].cut for seed in seeds),
        cost=asdict(judge.bill([pair for _, pair, _ in judged])),
        searched=searched,
    )


def calibrate_judge(path: Path, judge: Judge) -> dict[str, Any]:
    """How far `judge` agrees with the people who labelled the pairs in a file.

    Returns:
        {"judge", "weak", "file", "pairs", and the fields of `Calibration`; its confusion as {"person, judge": n}}.

    Raises:
        UserError: the file is not one of labelled pairs.
        Failure: the judge gave no verdict.
    """
    labelled = read_labelled(path)
    found = asdict(calibrate(labelled, judge.judge))
    found["confusion"] = {f"{person}, {said}": n for (person, said), n in found["confusion"].items()}
    return {"judge": judge.label, "weak": judge.weak, "file": str(path), "pairs": len(labelled), **found}


_SHARES = {
    "agreement": "agree on win, tie and loss",
    "decided": "agree where neither says tie",
    "longer": "people prefer the longer answer",
    "orders": "the judge's two orders agree",
}


def print_calibration(document: dict[str, Any], console: Console) -> None:
    """The shares, and who said what."""
    columns: dict[str, Column] = {
        "": lambda row: row["what"],
        "%, 95 % interval": lambda row: share_text(row["share"]),
        "n": lambda row: row["share"]["n"] if row["share"] else None,
    }
    rows = [{"what": what, "share": document[name]} for name, what in _SHARES.items()]
    console.print(table(f"{document['judge']} against people, {document['pairs']:,} pairs", rows, columns))
    said = ", ".join(f"{pair.replace(', ', ' / ')} {n:,}" for pair, n in document["confusion"].items() if n)
    say(console, f"person / judge, on the first answer: {said}")
    say(console, f"{document['invalid']:,} invalid, {document['gaps']:,} gaps")
