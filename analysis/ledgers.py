"""What the stages of a study read and how they went, from their ledgers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.ledger_rows import StepRecord, read_ledger
from analysis.records import StageRecord, StudyRecord, read_stage, stage_folder
from store.layout import STAGE
from store.paths import together

Ledgers = Mapping[str, tuple[StageRecord, Sequence[StepRecord]]]
"""Stage folder to its record and steps, in the order of the runs; a stage that arms share is there once."""

FEWEST_SHARES = 4
"""Points of a curve."""


def read_ledgers(store: Path, study: StudyRecord) -> Ledgers:
    """Of all stages that were started.

    Raises:
        Failure: a record or ledger is corrupt.
    """
    runs = sorted(study.runs, key=lambda run: (list(study.arms).index(run.arm), run.seed))
    folders = list(dict.fromkeys(folder for run in runs for folder in run.stages))

    def read(path: Path) -> tuple[StageRecord, Sequence[StepRecord]] | None:
        return (read_stage(path), read_ledger(path)) if (path / STAGE).exists() else None

    found = together(store, read, [stage_folder(store, folder) for folder in folders])
    return {folder: its for folder, its in zip(folders, found, strict=True) if its}


def realised(steps: Sequence[StepRecord]) -> dict[str, int]:
    """Tokens per source, summed over the batches that were fed."""
    total: Counter[str] = Counter()
    for step in steps:
        total.update(step.counts)
    return dict(total)


def skipped_steps(ledgers: Ledgers) -> list[tuple[StageRecord, int, list[int]]]:
    """Every stage in which loss or gradient was not finite at some step, its steps, and those."""
    found = [(stage, len(steps), [step.step for step in steps if step.skipped]) for stage, steps in ledgers.values()]
    return [each for each in found if each[2]]


def by_source(ledgers: Ledgers) -> Iterator[dict[str, Any]]:
    """Declared and realised tokens of every stage and source."""
    for stage, steps in ledgers.values():
        fed = realised(steps)
        for source in sorted({*stage.tokens_by_source, *fed}):
            yield {
                **{"stage": stage.id, "fingerprint": stage.fingerprint, "kind": stage.kind, "seed": stage.seed},
                **{"source": source, "declared": stage.tokens_by_source.get(source, 0), "realised": fed.get(source, 0)},
                "epochs": stage.epochs_by_source.get(source),
            }


def costs(study: StudyRecord, ledgers: Ledgers) -> Iterator[dict[str, Any]]:
    """What every stage took so far, in tokens, analytic FLOPs and seconds of steps; one that arms share comes once."""
    for folder, (stage, steps) in ledgers.items():
        arms = dict.fromkeys(run.arm for run in study.runs if folder in run.stages)
        yield {
            **{"stage": stage.id, "kind": stage.kind, "fingerprint": stage.fingerprint, "arms": ", ".join(arms)},
            **{"model": stage.model, "steps": len(steps), "planned_steps": stage.steps},
            **{"tokens": steps[-1].tokens if steps else 0, "flops": stage.flops * len(steps) / stage.steps},
            "seconds": sum(step.seconds for step in steps),
        }


def tokens_by_arm(study: StudyRecord, ledgers: Ledgers) -> dict[str, int]:
    """Tokens that a run of each arm reads."""
    return {run.arm: sum(ledgers[each][0].tokens for each in run.stages if each in ledgers) for run in study.runs}


def shares_by_kind(study: StudyRecord, arm: str, ledgers: Ledgers) -> dict[str, float]:
    """What share of an arm's declared tokens is of each kind of source, over all stages of a run of it."""
    run = next((run for run in study.runs if run.arm == arm), None)
    total: Counter[str] = Counter()
    for folder in run.stages if run else ():
        if folder in ledgers:
            total.update(ledgers[folder][0].tokens_by_kind)
    every = sum(total.values())
    return {kind: tokens / every for kind, tokens in total.items()} if every else {}


def sweep(study: StudyRecord, ledgers: Ledgers) -> dict[str, float]:
    """By arm the share of what is not text, where it is what the arms differ in: one kind of stage, which may be in
    pieces, equal tokens, rising."""
    stages = {run.arm: len(set(run.kinds)) for run in study.runs}
    shares = {arm: 1 - shares_by_kind(study, arm, ledgers).get("text", 0.0) for arm in study.arms if arm in stages}
    one_length = len(set(tokens_by_arm(study, ledgers).values())) == 1
    distinct = len({round(share, 3) for share in shares.values()}) == len(shares) >= FEWEST_SHARES
    return (
        dict(sorted(shares.items(), key=lambda each: each[1]))
        if {*stages.values()} == {1} and (one_length and distinct and ledgers)
        else {}
    )
