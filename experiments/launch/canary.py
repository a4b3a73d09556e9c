"""One worker first: the rest of a launch is let go once it has committed a checkpoint to the store."""

import time
from pathlib import Path
from typing import Any

from analysis.records import stage_folder
from experiments.plan import status
from experiments.plan.stage import PreparedPlan
from experiments.workers import ready
from models import saved
from store.errors import Failure
from store.layout import STAGE
from store.paths import names, place, together

POLL_SECONDS = 15.0


def seen(plan: PreparedPlan, store: Path) -> dict[str, int]:
    """By the folder of a stage that has one, the step of its newest whole checkpoint."""

    def newest(folder: str) -> int:
        begun = STAGE in names(stage_folder(store, folder))
        return max(saved.complete(place(status.checkpoints(store, folder))), default=0) if begun else 0

    folders = [stage.folder for stage in plan.stages]
    found = zip(folders, together(store, newest, folders), strict=True)
    return {folder: step for folder, step in found if step}


def wait(plan: PreparedPlan, store: Path, before: dict[str, Any], tries: int) -> str:
    """Wait, for as long as it takes, for a checkpoint that is new since `before`; a line on it.

    Args:
        before: as `seen`.
        tries: how often a stage may fail before it is left alone.

    Raises:
        Failure: one has failed so often.
    """
    while True:
        now = seen(plan, store)
        for stage in plan.stages:
            if (step := now.get(stage.folder, 0)) > before.get(stage.folder, 0):
                return f"canary: stage {stage.id} has a checkpoint of step {step}"
            if ready.failed(store, stage, tries):
                why = status.why_failed(stage, store)
                raise Failure(f"the canary failed, and nothing else was started: {stage.id}: {why}")
        time.sleep(POLL_SECONDS)
