"""`ablate judge`: every arm answers, a judge compares with the baseline, people say how far to trust the judge."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.evals.preference.answering import Decoding, answer, decoding, digest
from analysis.evals.preference.calibrate import calibrate
from analysis.evals.preference.client import Progress
from analysis.evals.preference.prompts import PromptSet, read_labelled
from analysis.evals.preference.verdicts import Judged, Pair
from analysis.records import (
    AnswerRecord,
    JudgeRecord,
    StudyRecord,
    answers_path,
    judge_path,
    read_answers,
    read_stage,
    read_study,
    stage_folder,
    write,
)
from analysis.winrates import share_text, win_rates
from experiments.progress import Display
from experiments.run.trained import open_stage
from experiments.score.judges import Judge
from experiments.show.table import Column, say, table
from store.errors import UserError
from store.layout import DONE

EXAMPLES = 3
"""Pairs an arm that the report shows in full."""

Answers = Mapping[tuple[str, int], AnswerRecord]
"""By arm and seed."""


def judge_study(name: str, store: Path, judge: Judge, prompts: PromptSet, arms: Sequence[str]) -> dict[str, Any]:
    """Have every arm's last checkpoints answer, judge the answers against the baseline's, and write the records.

    Answers are kept with their checkpoints, verdicts with the judge's replies: a second call generates and asks for
    nothing. Records are written when all arms are judged.

    Args:
        arms: those to judge; all when empty.

    Returns:
        {"study", "judges": the document of `analysis.winrates.win_rates` on these verdicts}.

    Raises:
        UserError: the study was not run to its end, or has no such arm.
        Failure: a checkpoint is damaged, the judge cannot be used, or the disk is full.
    """
    study = read_study(store, name)
    chosen = _chosen(study, arms)
    last = _last_stages(study, chosen, store)
    how = decoding(read_stage(next(iter(last.values()))).identity["sequence"])
    key = digest(prompts.texts, how)
    answers = _answers(last, store, prompts, how, key)
    work = {arm: _pairs(study.baseline_of(arm), arm, prompts, answers) for arm in chosen}
    found = iter(judge.judge([pair for rows in work.values() for _, pair in rows]))
    for arm, rows in work.items():
        judged = [(seed, pair, next(found)) for seed, pair in rows]
        record = _record(study, arm, judge, prompts, how, judged, answers)
        write(judge_path(store, name, judge.id, key, arm), record)
    return {
        "study": name,
        "judges": [each for each in win_rates(store, study) if each["folder"] == f"{judge.id}/{key}"],
    }


def _chosen(study: StudyRecord, arms: Sequence[str]) -> list[str]:
    others = study.compared
    unknown = [arm for arm in arms if arm not in others]
    if unknown or not others:
        raise UserError(
            f"study '{study.name}' has no arm {' '.join(map(repr, unknown[:1]))} to judge against another; "
            f"choose from {', '.join(others) or 'a study with two arms'}"
        )
    return [arm for arm in others if arm in arms or not arms]


def _last_stages(study: StudyRecord, arms: Sequence[str], store: Path) -> dict[tuple[str, int], Path]:
    """Folder of the last stage by arm and seed, those that they are compared with among them."""
    wanted = {*arms, *map(study.baseline_of, arms)}
    runs = [run for run in study.runs if run.arm in wanted]
    last = {(run.arm, run.seed): stage_folder(store, run.stages[-1]) for run in runs}
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
    stages = {folder: read_stage(folder) for folder in last.values()}
    paths = {folder: answers_path(folder, key, stage.steps) for folder, stage in stages.items()}
    missing = [folder for folder, path in paths.items() if not path.exists()]
    if missing:
        from experiments.run.train import use_compilation_cache

        use_compilation_cache(store)
        with Display("answer") as display:
            for number, folder in enumerate(missing):
                _generate(folder, paths[folder], store, prompts, how, _part(display, folder.name, number, len(missing)))
    return {run: read_answers(paths[folder], stages[folder].fingerprint) for run, folder in last.items()}


def _part(display: Display, what: str, number: int, parts: int) -> Progress:
    return lambda done, total: display.update(what, number * total + done, parts * total)


def _generate(folder: Path, path: Path, store: Path, prompts: PromptSet, how: Decoding, progress: Progress) -> None:
    stage = read_stage(folder)
    answers, cut = answer(open_stage(folder, store), prompts.texts, how, progress)
    write(path, AnswerRecord(stage.fingerprint, stage.steps, asdict(how), answers, cut))


def _pairs(baseline: str, arm: str, prompts: PromptSet, answers: Answers) -> list[tuple[int, Pair]]:
    """With their seeds."""
    return [
        (seed, Pair(id_, text, answers[arm, seed].answers[id_], answers[baseline, seed].answers[id_]))
        for name, seed in answers
        if name == arm
        for id_, text in prompts.texts.items()
    ]


def _record(
    study: StudyRecord,
    arm: str,
    judge: Judge,
    prompts: PromptSet,
    how: Decoding,
    judged: Sequence[tuple[int, Pair, Judged]],
    answers: Answers,
) -> JudgeRecord:
    seeds, baseline = list(dict.fromkeys(seed for seed, _, _ in judged)), study.baseline_of(arm)
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
