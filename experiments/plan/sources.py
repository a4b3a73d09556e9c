"""By what a made source is known, and the study that reads it. Loads no jax.

What is made is named by all that decides it: the checkpoints that answer, the problems, how answers are drawn, and the
rules. Which stage of which study asks for it is no part of that, so studies share it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.evals.benchmarks import EXECUTED, benchmark_of
from analysis.evals.preference import endpoint
from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.plan.starts import found
from experiments.plan.status import task_version
from experiments.study import Arm, Endpoint, FromStage, Made, Reference, Study
from mixtures.benchmarks.load import pin
from mixtures.catalogue.made import written
from mixtures.catalogue.source import Source
from store import layout, paths
from store.digests import short
from store.errors import UserError, about
from store.files import read_sealed

MAKE_VERSION = 1
"""Of prompts, seeds, filters, levels and rows: change one and bump it."""
RECORD_SCHEMA = 1


def with_made(study: Study, store: Path) -> Study:
    """`study`, which reads those of its made sources that are made; the others stay promises.

    Raises:
        UserError: its data have no source of that name; or as `identity`.
    """
    if not study.made:
        return study
    parts = tuple(with_made(part, store) for part in study.parts)
    sources = {source.name: source for source in study.data.sources}
    for made in study.made:
        sources[made.source] = _kept(made, promise_of(made, study), store)
    return replace(study, data=replace(study.data, sources=tuple(sources.values())), parts=parts)


def as_made(study: Study, store: Path) -> Study:
    """A study as it is read in a store: it, and those that it starts from, with what is there of their made sources.

    Raises:
        UserError, Failure: as `with_made`.
    """
    known: dict[int, Study] = {}

    def made(study: Study) -> Study:
        if id(study) not in known:
            arms = tuple(_started(arm, made) for arm in study.arms)
            same = all(new is old for new, old in zip(arms, study.arms, strict=True))
            known[id(study)] = with_made(study if same else replace(study, arms=arms), store)
        return known[id(study)]

    return made(study)


def _started(arm: Arm, made: Callable[[Study], Study]) -> Arm:
    if not isinstance(arm.start, FromStage) or (study := made(arm.start.study)) is arm.start.study:
        return arm
    return replace(arm, start=replace(arm.start, study=study))


def promise_of(made: Made, study: Study) -> Source:
    """The source that stands in the data of `study` for what is made.

    Raises:
        UserError: there is none; or it is made of problems that the study is scored by, and so would teach the test.
    """
    scored = {benchmark_of(name) for name in (*study.evaluation.asked, *study.evaluation.executed)}
    if benchmark_of(made.task) in scored:
        raise UserError(
            f"source '{made.source}' is made of the problems of '{made.task}', by which study '{study.name}' is "
            "scored; choose another task for one of them"
        )
    for source in study.data.sources:
        if source.name == made.source:
            return source
    raise UserError(
        f"study '{study.name}' makes source '{made.source}', which its data do not have; "
        "add its placeholder to data.sources"
    )


def _kept(made: Made, promise: Source, store: Path) -> Source:
    folder = folder_of(made, store)
    if folder is None or (record := read_record(folder)) is None:
        return promise
    return written(promise, folder.name, record["sha256"])


def read_record(folder: Path) -> dict[str, Any] | None:
    """What came of making a source, as `experiments.make.node.make` wrote it; None until it is made.

    Raises:
        Failure: it is damaged.
    """
    path = folder / layout.RECORD
    return read_sealed(path, "what was made", RECORD_SCHEMA) if paths.there(path) else None


def folder_of(made: Made, store: Path) -> Path | None:
    """Where it is made; None while that is not known, as `identity`."""
    known = identity(made, store)
    return None if known is None else store / layout.MADE / f"{made.source}-{short(known)}"


def identity(made: Made, store: Path) -> dict[str, Any] | None:
    """All that decides the source; None while the data of a study that trains who answers are not prepared.

    Raises:
        UserError: the task executes nothing or is unknown, a rule cannot be, or who answers is no stage of its study.
    """
    with about(f"source '{made.source}'"):
        _check(made)
        answerers = [_who(who, store) for who in (made.student, *made.teachers)]
        if None in answerers:
            return None
        return {
            "version": MAKE_VERSION,
            "task": [made.task, task_version(made.task), pin(benchmark_of(made.task), store / layout.DOWNLOADS)],
            "problems": made.problems,
            "student": answerers[0],
            "teachers": answerers[1:],
            "samples": made.samples,
            "temperatures": list(made.temperatures),
            "top_p": made.top_p,
            "keep": made.keep,
            "drop_worse_teacher": made.drop_worse_teacher,
        }


def _check(made: Made) -> None:
    if made.task not in EXECUTED:
        raise UserError(f"task '{made.task}' executes no programs; choose one of {', '.join(EXECUTED)}")
    if not made.temperatures:
        raise UserError("there are no temperatures to draw at; give one, such as (0.8,)")
    if made.keep == "ranked" and made.samples < 2 and not made.teachers:
        raise UserError("one answer to a problem cannot be ranked; give more samples, a teacher, or keep='passed'")


def _who(who: FromStage | Reference | Endpoint, store: Path) -> Mapping[str, Any] | str | None:
    if isinstance(who, Reference):
        return "reference"
    if isinstance(who, Endpoint):
        return {"model": who.model, "server": endpoint.Endpoint(who.base_url, who.model).address}
    stage = stage_of(who, store)
    return None if stage is None else {"stage": stage.fingerprint, "step": who.step or stage.steps}


def stage_of(start: FromStage, store: Path) -> PreparedStage | None:
    """Which stage who answers is, in the same store; None while the data of its study are not prepared, since it has no
    fingerprint before. Where no seed is given it is the first of its study.

    Raises:
        UserError: as `found` and `make_plan`.
    """
    study = with_made(start.study, store)
    plan = make_plan(study, store)
    stage = found(start, study.seeds[0], plan)
    return plan.stage(stage.id) if isinstance(plan, PreparedPlan) else None
