"""Training what is missing of a study, stage after stage, on one host or on all of them together."""

import errno
import os
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from analysis.records import RunRecord, StudyRecord, write
from experiments.plan import status
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.progress import Display
from experiments.study import Study
from experiments.tracking.follower import followed
from store import layout
from store.errors import Failure, UserError
from store.lock import whole_store


def study_record(plan: PreparedPlan, store: Path) -> StudyRecord:
    """Arms, seeds and lineage as analysis reads them."""
    study = plan.study
    runs = tuple(
        RunRecord(
            arm=arm,
            seed=seed,
            stages=tuple(plan.stage(id).folder for id in chain),
            kinds=tuple(plan.stage(id).stage.kind for id in chain),
            init_seed=study.init_seeds.get(seed),
            data_seed=study.data_seeds.get(seed),
        )
        for (arm, seed), chain in plan.runs.items()
    )
    return StudyRecord(
        name=study.key,
        question=study.question,
        hypothesis=study.hypothesis,
        baseline=study.baseline,
        arms={arm.name: arm.description for arm in study.arms},
        runs=runs,
        primary=study.primary,
        command=study.command,
        prepared=plan.manifest.folder.name,
        asked=status.asked(plan, store),
        origins={arm.name: arm.origin for arm in study.arms if arm.origin},
        expected=tuple(vars(each) for each in study.expected),
        baselines={arm.name: arm.against for arm in study.arms if arm.against},
        left_out=study.left_out,
        margins=dict(study.margins),
    )


def train_on_hosts(study: Study, store: Path) -> None:
    """Train whatever of `study` is missing as one process of several, which train every stage together.

    Every host is given the same command, and the same store or the same prepared data. jax finds the others on a
    TPU slice or under Slurm by itself; elsewhere JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it.

    Raises:
        UserError: the plan cannot be met, the data are not prepared, or the other processes are not known.
        Failure: another process uses the store, hosts plan different things, or the disk fails.
        StopRequested: SIGTERM came; the state is saved.
    """
    _connect()
    from models.devices import hosts

    with ExitStack() as lock:
        with hosts.together():
            plan = prepared_plan(study, store)
        if not hosts.alike(" ".join(stage.folder for stage in plan.stages)):
            raise Failure(f"study '{study.name}' is not what all hosts plan; give them the same code and prepared data")
        finished = set()
        with hosts.together():
            if hosts.first():
                lock.enter_context(whole_store(store))
                write(store / layout.STUDIES / study.key / layout.STUDY, study_record(plan, store))
                lock.enter_context(followed(plan, store))
                finished = {stage.id for stage in plan.stages if status.trained(stage, store)}
        _train(plan, store, [stage for stage in plan.stages if not hosts.agreed(stage.id in finished)])


def _connect() -> None:
    from models.devices.threads import one_thread

    one_thread()
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


def _train(plan: PreparedPlan, store: Path, missing: Sequence[PreparedStage]) -> None:
    """Train stages in turn, in all processes together."""
    if not missing:
        return
    from experiments.run.trainer import train_stage

    use_compilation_cache(store)
    total = sum(stage.steps for stage in missing)
    before = 0
    with Display("train") as display:
        for stage in missing:
            display.update(f"{stage.id}, starting", before, total)

            def progress(step: int, stage: PreparedStage = stage, before: int = before) -> None:
                display.update(f"{stage.id}, step {step} of {stage.steps}", before + step, total)

            train_stage(plan, stage, store, progress)
            before += stage.steps


def use_compilation_cache(store: Path) -> None:
    """Keep compiled programs in the store, or where JAX_COMPILATION_CACHE_DIR says; the next process starts at once.

    Raises:
        UserError: there is an accelerator and jax does not find it.
    """
    from models.devices.threads import accelerated, one_thread

    one_thread()
    import jax

    if accelerated() and jax.default_backend() == "cpu":
        raise UserError(
            "jax finds no accelerator, and there is one; see to its driver, or set JAX_PLATFORMS=cpu to use the CPU"
        )
    # That there is no room for them stops nothing; the first record or checkpoint that does not fit tells it. Nor does
    # one that another process is about to write, or was when it was killed: it is compiled again.
    full = f"{errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG}"
    warnings.filterwarnings("ignore", rf"Error writing persistent compilation cache .*\[Errno ({full})\]")
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str((store / layout.XLA).resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
