"""What is missing of a study, and doing it beside others: training stages, scoring checkpoints.

Any number of processes may be at work in one store. Each takes what nobody else is at, first what others wait for
longest, and ends when nothing is left that could still come its way. The lease of a stage (`store.lock`) is one to
train it, and once it is trained one to score it. All of a process's work is done in one, so that every program is
compiled once and every benchmark is read once.
"""

import functools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from analysis.records import gap_path, stage_folder
from experiments.plan import status
from experiments.plan.stage import PreparedPlan, PreparedStage
from store.errors import Failure
from store.files import write_json
from store.layout import FAILED, LOCK
from store.lock import Held, exclusive

WAIT_SECONDS = 0.2
"""Between two looks for work while others are at all that there is."""

Records = Mapping[str, Mapping[str, Path]]
"""By stage and task, where the record of its score is, or will be."""


@dataclass(frozen=True)
class Job:
    """To train a stage, or to score the checkpoint at its end."""

    stage: PreparedStage
    trains: bool


def records(plan: PreparedPlan, store: Path) -> Records:
    """Of all stages."""
    return {stage.id: status.evaluated_tasks(plan, stage, store) for stage in plan.stages}


def jobs(plan: PreparedPlan, store: Path, wanted: Records) -> list[Job]:
    """What can be done now, somebody being at it or not: training first, by the longest chain that waits for it.

    A stage that has failed is left alone, until `forgive`.
    """
    open_ = [stage for stage in plan.stages if not (stage_folder(store, stage.folder) / FAILED).exists()]
    done = {stage.id for stage in plan.stages if status.trained(stage, store)}
    ready = [stage for stage in open_ if stage.id not in done and (stage.parent is None or stage.parent in done)]
    ahead = _ahead(plan)
    training = [Job(stage, True) for stage in sorted(ready, key=lambda stage: -ahead[stage.id])]
    scoring = [stage for stage in open_ if stage.id in done and unscored(wanted.get(stage.id, {}))]
    return training + [Job(stage, False) for stage in scoring]


def _ahead(plan: PreparedPlan) -> dict[str, float]:
    """FLOPs of the longest chain that begins with a stage."""
    longest: dict[str, float] = {}
    for stage in reversed(plan.stages):  # children come after their parents
        longest[stage.id] = longest.get(stage.id, 0.0) + plan.flops(stage)
        if stage.parent is not None:
            longest[stage.parent] = max(longest.get(stage.parent, 0.0), longest[stage.id])
    return longest


def unscored(of: Mapping[str, Path]) -> dict[str, Path]:
    """Tasks of a checkpoint that have neither a record nor, since `forgive`, a gap."""
    return {name: path for name, path in of.items() if not path.exists() and not gap_path(path).exists()}


def forgive(plan: PreparedPlan, store: Path, wanted: Records) -> None:
    """Have what failed, and scores that could not be had, tried once more."""
    for stage in plan.stages:
        (stage_folder(store, stage.folder) / FAILED).unlink(missing_ok=True)
        for path in wanted.get(stage.id, {}).values():
            gap_path(path).unlink(missing_ok=True)


def work(plan: PreparedPlan, store: Path, scores: bool = True) -> None:
    """Do what is missing of `plan`, until all is done, has failed or waits for what has failed.

    A stage that fails is left with its reason (`status.why_failed`), and what does not wait for it is done.

    Raises:
        Failure: it could not even be noted that something failed.
        StopRequested, KeyboardInterrupt: a signal came while training; the state is saved.
    """
    from experiments.run.train import use_compilation_cache
    from experiments.run.trainer import train_stage
    from experiments.score.checkpoints import evaluate, loader

    use_compilation_cache(store)
    wanted, load = records(plan, store) if scores else {}, functools.cache(loader(plan, store))

    def train(stage: PreparedStage) -> None:
        train_stage(plan, stage, store, lambda step: None)

    def score(stage: PreparedStage) -> None:
        with exclusive(stage_folder(store, stage.folder) / LOCK, f"stage {stage.id}"):
            evaluate(stage, store, unscored(wanted[stage.id]), load)

    while found := jobs(plan, store, wanted):
        if not any(_tried(store, job.stage, train if job.trains else score) for job in found):
            time.sleep(WAIT_SECONDS)


def _tried(store: Path, stage: PreparedStage, do: Callable[[PreparedStage], None]) -> bool:
    """Whether it was ours to do; that it failed is noted."""
    try:
        do(stage)
    except Held:
        return False
    except Failure as error:
        failed = stage_folder(store, stage.folder) / FAILED
        with suppress(Failure):  # on a full disk
            write_json(failed, {"error": str(error)})
        if not failed.exists():
            raise
    return True
