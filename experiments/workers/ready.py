"""What of a study is missing and can be done now: stages to train, checkpoints to score."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.records import gap_path, stage_folder
from experiments.plan import status
from experiments.plan.stage import PreparedPlan, PreparedStage
from store.files import read_json, remove, write_json
from store.layout import DONE, FAILED, STAGE
from store.paths import names, together

Records = Mapping[str, Mapping[str, Path]]
"""By stage and task, where the record of its score is, or will be."""


@dataclass(frozen=True)
class Job:
    """To train a stage, or to score the checkpoint at its end."""

    stage: PreparedStage
    trains: bool


def jobs(plan: PreparedPlan, store: Path, wanted: Records, tries: int = 1) -> list[Job]:
    """What can be done now, somebody being at it or not: training first, by the longest chain that waits for it.

    A stage that has failed `tries` times is left alone, until `forgive`.
    """
    folders = [stage_folder(store, stage.folder) for stage in plan.stages]
    there = [set(found) for found in together(store, names, folders)]
    done = {stage.id for stage, its in zip(plan.stages, there, strict=True) if {DONE, STAGE} <= its}
    open_ = [
        stage
        for stage, folder, its in zip(plan.stages, folders, there, strict=True)
        if FAILED not in its or failures(folder) < tries
    ]
    ready = [stage for stage in open_ if stage.id not in done and (stage.parent is None or stage.parent in done)]
    ahead = _ahead(plan)
    training = [Job(stage, True) for stage in sorted(ready, key=lambda stage: -ahead[stage.id])]
    trained = [stage for stage in open_ if stage.id in done and wanted.get(stage.id)]
    missing = together(store, status.unscored, [wanted[stage.id] for stage in trained])
    return training + [Job(stage, False) for stage, its in zip(trained, missing, strict=True) if its]


def _ahead(plan: PreparedPlan) -> dict[str, float]:
    """FLOPs of the longest chain that begins with a stage."""
    longest: dict[str, float] = {}
    for stage in reversed(plan.stages):  # children come after their parents
        longest[stage.id] = longest.get(stage.id, 0.0) + plan.flops(stage)
        if stage.parent is not None:
            longest[stage.parent] = max(longest.get(stage.parent, 0.0), longest[stage.id])
    return longest


def failures(folder: Path) -> int:
    """How often a stage has failed since it was forgiven."""
    return int(read_json(folder / FAILED, f"the failure of {folder.name}").get("tries", 1))


def failed(store: Path, stage: PreparedStage, tries: int) -> bool:
    """Whether a stage has failed so often."""
    folder = stage_folder(store, stage.folder)
    return FAILED in names(folder) and failures(folder) >= tries


def note_failure(folder: Path, why: str) -> None:
    """Count a failure of a stage, with its reason.

    Raises:
        Failure: the disk is full.
    """
    tries = failures(folder) + 1 if FAILED in names(folder) else 1
    write_json(folder / FAILED, {"error": why, "tries": tries})


def forget_failure(folder: Path) -> None:
    """It went well in the end."""
    if FAILED in names(folder):
        remove(folder / FAILED)


def forgive(plan: PreparedPlan, store: Path, wanted: Records) -> None:
    """Have what failed, and scores that could not be had, tried once more."""
    for stage in plan.stages:
        forget_failure(stage_folder(store, stage.folder))
        gaps = [gap_path(path) for path in wanted.get(stage.id, {}).values()]
        there = set(names(gaps[0].parent)) if gaps else set()
        for path in gaps:
            if path.name in there:
                remove(path)
