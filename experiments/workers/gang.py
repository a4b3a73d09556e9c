"""Several processes that are one worker and do everything together: `--distributed`, alike on every host."""

import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from analysis.records import FLOAT32, stage_folder, write
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedStage
from experiments.progress import Display
from experiments.run.stops import StopRequested
from experiments.run.train import study_record
from experiments.study import Study
from experiments.tracking.follower import followed
from experiments.workers import ready
from experiments.workers.ready import Job
from experiments.workers.work import Terms, work
from store import layout
from store.errors import Failure, UserError
from store.lock import shared_store


def work_on_hosts(study: Study, store: Path, terms: Terms, code: int = Failure.exit_code) -> None:
    """Train whatever of `study` is missing, and score it if the terms say so, as one process of several.

    Where one process fails all of them say why and exit with `code`.

    Every host is given the same command, and the same store or the same prepared data. jax finds the others on a
    TPU slice or under Slurm by itself; elsewhere JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it.

    Raises:
        UserError: the plan cannot be met, the data are not prepared, or the other processes are not known.
        StopRequested: SIGTERM came; the state is saved.
    """
    _connect()
    from models.devices import hosts

    taken: list[Job] = []

    def claimed(job: Job) -> None:
        terms.claimed(job)
        taken.append(job)

    def ended(reason: str) -> None:
        if taken:  # in the first process alone
            with suppress(Failure):
                ready.note_failure(stage_folder(store, taken[-1].stage.folder), reason)

    with hosts.ending_together(StopRequested, ended, code), ExitStack() as hold, Display("train") as display:
        with hosts.together():
            plan = prepared_plan(study, store)
        if (other := hosts.unlike(" ".join(stage.folder for stage in plan.stages))) is not None:
            raise Failure(
                f"study '{study.name}' is not what all hosts plan, process {other} for one; "
                "give them the same code and prepared data"
            )
        if terms.scores and any(arm.inference != FLOAT32 for arm in study.arms):
            raise UserError(
                f"study '{study.name}' is scored in several inferences, by a process alone; train it with "
                f"`ablate train {study.typed} --distributed`, then `ablate run {study.typed}` scores it"
            )
        with hosts.together():
            if hosts.first():
                hold.enter_context(shared_store(store))
                write(store / layout.STUDIES / study.key / layout.STUDY, study_record(plan, store))
                hold.enter_context(followed(plan, store))

        def progress(stage: PreparedStage, step: int) -> None:
            display.update(f"{stage.id}, step {step} of {stage.steps}", step, stage.steps)

        work(plan, store, replace(terms, progress=progress, claimed=claimed))


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
