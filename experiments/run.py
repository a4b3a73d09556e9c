"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.evals import code, harness_tasks
from analysis.evals.harness_tasks import HarnessTask
from analysis.evals.tasks import (
    HARNESS,
    WINDOW_BYTES,
    Asked,
    Place,
    Task,
    benchmark_task,
    heldout_task,
    parse_task,
    task_name,
)
from analysis.records import RunRecord, StudyRecord, write
from experiments import nodes
from experiments.data import warn
from experiments.lock import whole_store
from experiments.plan import Plan, PlannedStage, make_plan
from experiments.progress import Display
from experiments.study import Study
from mixtures.errors import Failure, UserError
from mixtures.manifest import Manifest
from mixtures.prepare import prepare
from mixtures.shards import read_documents

if TYPE_CHECKING:
    from experiments.evaluate import AnyTask


def run_study(study: Study, store: Path) -> Path:
    """Run whatever of `study` is missing in `store` and return the path of the report.

    Raises:
        UserError: the plan cannot be met.
        Failure: another process uses the store, a source cannot be had, or the disk fails.
        StopRequested: SIGTERM came while training; the state is saved.
    """
    for line in make_plan(study, store).changes:  # which refuses a bad plan before the first byte is fetched
        print(line, file=sys.stderr)
    with whole_store(store):
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        warn(study, manifest)
        plan = make_plan(study, store)
        write(store / "studies" / study.name / "study.json", study_record(plan, store))
        train(plan, store, [stage for stage in plan.stages if nodes.state(plan, stage, store) != "done"])
        _evaluate(plan, store)
        from experiments.report import write_report

        return write_report(plan, store)


def study_record(plan: Plan, store: Path) -> StudyRecord:
    """Arms, seeds and lineage as analysis reads them."""
    study = plan.study
    runs = tuple(
        RunRecord(
            arm=arm,
            seed=seed,
            stages=tuple(plan.stage(id).folder for id in chain),
            kinds=tuple(plan.stage(id).stage.kind for id in chain),
        )
        for (arm, seed), chain in plan.runs.items()
    )
    assert plan.manifest is not None
    return StudyRecord(
        name=study.name,
        question=study.question,
        hypothesis=study.hypothesis,
        baseline=study.baseline,
        arms={arm.name: arm.description for arm in study.arms},
        runs=runs,
        primary=study.primary,
        command=f"ablate run {study.name}",
        prepared=plan.manifest.folder.name,
        asked=nodes.asked(plan, store),
    )


def train_study(study: Study, store: Path, distributed: bool) -> None:
    """Train whatever of `study` is missing, on all hosts of a slice if the run is `distributed`.

    Every host is then given the same command, and the same store or the same prepared data. jax finds the others on a
    TPU slice or under Slurm by itself; elsewhere JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it.

    Raises:
        UserError: the plan cannot be met, the data are not prepared, or the other processes are not known.
        Failure: another process uses the store, hosts plan different things, or the disk fails.
        StopRequested: SIGTERM came; the state is saved.
    """
    if distributed:
        _connect()
    from models import hosts

    with ExitStack() as lock:
        with hosts.together():
            plan = make_plan(study, store)
            if plan.manifest is None:
                raise UserError(
                    f"the data of study '{study.name}' are not in {store}; first `ablate prepare {study.name}`"
                )
        if not hosts.alike(" ".join(stage.folder for stage in plan.stages)):
            raise Failure(f"study '{study.name}' is not what all hosts plan; give them the same code and prepared data")
        finished = set()
        with hosts.together():
            if hosts.first():
                lock.enter_context(whole_store(store))
                write(store / "studies" / study.name / "study.json", study_record(plan, store))
                finished = {stage.id for stage in plan.stages if nodes.state(plan, stage, store) == "done"}
        train(plan, store, [stage for stage in plan.stages if not hosts.agreed(stage.id in finished)])


def _connect() -> None:
    import jax

    def number(variable: str) -> int | None:
        return int(os.environ[variable]) if variable in os.environ else None

    try:
        jax.distributed.initialize(num_processes=number("JAX_NUM_PROCESSES"), process_id=number("JAX_PROCESS_ID"))
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"the other processes are not known ({str(error).splitlines()[0]}); set JAX_COORDINATOR_ADDRESS, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID, or leave out --distributed"
        ) from error


def train(plan: Plan, store: Path, missing: Sequence[PlannedStage]) -> None:
    """Train the stages that are missing of a prepared plan, in this process or in all of them together.

    Raises:
        Failure, StopRequested: as `train_stage`.
    """
    if not missing:
        return
    use_compilation_cache(store)
    from experiments.tracking import Tracker
    from experiments.trainer import train_stage
    from models import hosts

    total = sum(stage.steps for stage in missing)
    before = 0
    with Display("train") as display:
        for stage in missing:
            display.update(f"{stage.id}, starting", before, total)
            tracker = Tracker(plan, stage, store) if hosts.first() else None
            try:
                train_stage(
                    plan,
                    stage,
                    store,
                    lambda step, stage=stage, before=before: display.update(  # type: ignore[misc]
                        f"{stage.id}, step {step} of {stage.steps}", before + step, total
                    ),
                    tracker.log if tracker else lambda rows: None,
                )
            finally:
                if tracker:
                    tracker.close()
            before += stage.steps


def _evaluate(plan: Plan, store: Path) -> None:
    if all(nodes.evaluation_state(plan, stage, store) == "done" for stage in plan.stages):
        return
    use_compilation_cache(store)
    from experiments.evaluate import evaluate

    with Display("evaluate") as display:
        evaluate(plan, store, lambda name: load_task(plan, name, store), display.update)


def load_task(plan: Plan, name: str, store: Path) -> "AnyTask":
    """What a task asks: held-out documents of the prepared data, rows of a benchmark, or problems to program."""
    assert plan.manifest is not None
    size = plan.study.evaluation
    if name in code.TASKS:
        from experiments import coding

        return coding.load(name, size.problems, size.samples, store)
    kind = name.removeprefix("heldout/")
    if kind == name:
        items = None if name in map(task_name, size.every_stage) else size.items
        return named(size.asked[name], items, store)
    return heldout(plan.manifest, kind, size.heldout_bytes, size.heldout_window, size.heldout_place)


def named(asked: Asked, items: int | None, store: Path) -> Task | HarnessTask:
    """A task by its name, by a file of rows, or of lm-evaluation-harness."""
    spec = parse_task(asked)
    if spec.name.startswith(HARNESS):
        return harness_tasks.load(spec.name, spec.shots, items)
    return benchmark_task(asked, items, store / "downloads")


def heldout(manifest: Manifest, kind: str, max_bytes: int, length: int = WINDOW_BYTES, place: Place = "hash") -> Task:
    """The task of the held-out documents of a kind, as `heldout_task` has it."""
    sources = [name for name, source in manifest.sources.items() if source.kind == kind]
    documents = {name: [d for path in manifest.heldout(name) for d in read_documents(path)] for name in sources}
    task = heldout_task(kind, documents, max_bytes, length, place)
    why = (
        ""
        if task.questions
        else f"nothing of {', '.join(sources)} is held out: all of it is of one group, or none was asked for"
    )
    return replace(task, gap=why)


def use_compilation_cache(store: Path) -> None:
    """Keep compiled programs in the store, so that the next process starts at once."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str((store / "xla").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
