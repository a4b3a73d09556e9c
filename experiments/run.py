"""`ablate run`: prepare, train what is missing, score what is missing, write the report. Every part is idempotent."""

from pathlib import Path

from analysis.evals.tasks import Task, benchmark_task, heldout_task
from analysis.records import RunRecord, StudyRecord, write
from experiments import nodes
from experiments.data import warn_uncovered
from experiments.lock import exclusive
from experiments.plan import Plan, make_plan
from experiments.progress import Display
from experiments.study import Study
from mixtures.prepare import prepare
from mixtures.shards import read_documents


def run_study(study: Study, store: Path) -> Path:
    """Run whatever of `study` is missing in `store` and return the path of the report.

    Raises:
        UserError: the plan cannot be met.
        Failure: another process uses the store, a source cannot be had, or the disk fails.
        StopRequested: SIGTERM came while training; the state is saved.
    """
    make_plan(study, store)  # refuse a bad plan before the first byte is fetched
    with exclusive(store / "lock", f"store {store}"):
        with Display("prepare") as display:
            manifest = prepare(study.data, store, display.update)
        warn_uncovered(study, manifest)
        plan = make_plan(study, store)
        write(store / "studies" / study.name / "study.json", study_record(plan))
        _train(plan, store)
        _evaluate(plan, store)
        from experiments.report import write_report

        return write_report(plan, store)


def study_record(plan: Plan) -> StudyRecord:
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
    )


def _train(plan: Plan, store: Path) -> None:
    missing = [stage for stage in plan.stages if nodes.state(plan, stage, store) != "done"]
    if not missing:
        return
    use_compilation_cache(store)
    from experiments.tracking import Tracker
    from experiments.trainer import train_stage

    total = sum(stage.steps for stage in missing)
    before = 0
    with Display("train") as display:
        for stage in missing:
            display.update(f"{stage.id}, starting", before, total)
            tracker = Tracker(plan, stage, store)
            try:
                train_stage(
                    plan,
                    stage,
                    store,
                    lambda step, stage=stage, before=before: display.update(  # type: ignore[misc]
                        f"{stage.id}, step {step} of {stage.steps}", before + step, total
                    ),
                    tracker.log,
                )
            finally:
                tracker.close()
            before += stage.steps


def _evaluate(plan: Plan, store: Path) -> None:
    if all(nodes.evaluation_state(plan, stage, store) == "done" for stage in plan.stages):
        return
    use_compilation_cache(store)
    from experiments.evaluate import evaluate

    with Display("evaluate") as display:
        evaluate(plan, store, lambda name: load_task(plan, name, store), display.update)


def load_task(plan: Plan, name: str, store: Path) -> Task:
    """A task's questions: held-out documents of the prepared data, or rows of a benchmark."""
    assert plan.manifest is not None
    size = plan.study.evaluation
    kind = name.removeprefix("heldout/")
    if kind == name:
        items = None if name in size.every_stage else size.items
        return benchmark_task(name, items, store / "downloads")
    sources = [source for source, its in plan.kinds.items() if its == kind]
    documents = [[d for path in plan.manifest.heldout(source) for d in read_documents(path)] for source in sources]
    return heldout_task(kind, documents, size.heldout_bytes)


def use_compilation_cache(store: Path) -> None:
    """Keep compiled programs in the store, so that the next process starts at once."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str((store / "xla").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
