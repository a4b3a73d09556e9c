"""Refuse a study that cannot mean what it says, before anything is fetched or trained.

What a field may hold is said by its annotation; pydantic compares the two. Every message names study, field and value.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from analysis.composite import CATEGORIES, metrics_of
from analysis.evals import harness_tasks, lengths
from analysis.evals.benchmarks import TASKS, benchmark_of
from analysis.evals.executed_tasks import executed_task, is_executed
from analysis.evals.tasks import HARNESS, task_name
from analysis.metrics import FRESH, HELDOUT, metrics_for
from experiments.plan.recency import newest_read
from experiments.study import CONTINUE, INFERENCE, STAGE_KINDS, Arm, FromStage, Piece, Stage, Study
from mixtures.catalogue.source import KINDS
from mixtures.fresh.dates import require_later
from mixtures.fresh.pinned import KINDS as KINDS_OF_FORMS
from mixtures.mixture import Mixture, shares
from models.devices.roofline import TOPOLOGIES
from models.recipe import PRECISIONS
from store.errors import UserError, about, require_known

LONGEST_NAME = 100
"""Bytes: the folder of a stage is named after the mixtures of its lineage, and file systems allow 255 bytes."""
FEW = 12
"""Metrics that are all listed in a message."""
SHOWN = 60
"""Characters of a value in a message."""


def check(study: Study) -> None:
    """Refuse a study that cannot mean what it says.

    Raises:
        UserError: a field has a value of another type or outside its range; a name that could not be a file's; an
            unknown baseline, kind, source, task, metric or precision; a doubled name or seed; an arm without stages;
            stages that do not follow one another; or infilling that is not prepared.
    """
    with about(f"study {str(study.name)!r}"):
        _check_types(study)
        _check_names(study)
        _check_choices(study)
        _check_data(study)
        _check_tasks(study)
        _check_sources(study, "max_epochs_of", study.max_epochs_of)
        _check_sources(study, "supply", study.supply)
        _check_seeds(study)
        for arm in study.arms:
            with about(f"arm '{arm.name}'"):
                _check_arm(study, arm)


@cache
def _declared() -> TypeAdapter[tuple[Study]]:
    # In a tuple, since pydantic takes settings for plain dataclasses only from what is around them.
    settings = ConfigDict(strict=True, allow_inf_nan=False, revalidate_instances="always", arbitrary_types_allowed=True)
    return TypeAdapter(tuple[Study], config=settings)


def _check_types(study: Study) -> None:
    try:
        _declared().validate_python((study,))
    except ValidationError as error:
        faults = [(_place(study, fault["loc"][1:]), fault) for fault in error.errors(include_url=False)]
        places = [place for place, _ in faults if place[0].startswith(faults[0][0][0])]
        field, value = max(places, key=lambda place: len(place[0]))  # the member of a union that got furthest
        wanted = [fault["msg"] for (where, _), fault in faults if where == field]  # one for each member of a union
        text = " ".join(repr(value).split())
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        expected = " or ".join(dict.fromkeys(text.removeprefix("Input should be ") for text in wanted))
        raise UserError(f"{field} is {shown}; it should be {expected}") from error


def _place(study: Study, location: Sequence[int | str]) -> tuple[str, Any]:
    """A field as one would write it, and its value. The location also names members of unions, which are no fields."""
    path, here = "", study
    for part in location:
        if isinstance(here, Mapping) and part in here:
            path, here = f"{path}[{part!r}]", here[part]
        elif isinstance(part, int) and isinstance(here, Sequence) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
        elif isinstance(part, str) and hasattr(here, part):
            path, here = f"{path}.{part}", getattr(here, part)
    return path.removeprefix("."), here


def _check_names(study: Study) -> None:
    named = [("name", [study.name]), ("an arm's name", [arm.name for arm in study.arms])]
    named.append(("a source's name", [source.name for source in study.data.sources]))
    for what, names in named:
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise UserError(f"{what} is '{doubled}' twice; names must differ")
    mixtures = [name for arm in study.arms for stage in arm.stages for name in _mixture_names(stage.mixture)]
    for what, names in (*named, ("a mixture's name", mixtures)):
        for name in names:
            _check_name(what, name)
    described = [(f"the description of arm '{arm.name}'", arm.description) for arm in study.arms]
    for what, prose in (("question", study.question), ("hypothesis", study.hypothesis), *described):
        if any("\ud800" <= letter <= "\udfff" for letter in prose):
            raise UserError(f"{what} is {prose[:SHOWN]!r}, in which half a character cannot be written; mend it")


def _mixture_names(mixture: Mixture) -> Iterator[str]:
    yield mixture.name
    for part, _ in mixture.parts:
        if isinstance(part, Mixture):
            yield from _mixture_names(part)


def _check_name(what: str, name: str) -> None:
    """Names become names of files and folders."""
    clean = name.isprintable() and name == name.strip() and not any(mark in name for mark in "/\\")
    if not (clean and 0 < len(name.encode()) <= LONGEST_NAME and name[0] not in ".-"):
        raise UserError(
            f"{what} is {name[: 2 * LONGEST_NAME]!r}; a name becomes a file's, so it must be of 1 to {LONGEST_NAME} "
            "bytes, without slashes, and not begin with a dot or a hyphen"
        )


def _check_choices(study: Study) -> None:
    arms = [arm.name for arm in study.arms]
    against = [("baseline", study.baseline), *((f"arm '{arm.name}': against", arm.against) for arm in study.arms)]
    against += [("expected: arm", each.arm) for each in study.expected]
    for what, name in against:
        if name is not None and name not in arms:
            raise UserError(f"{what} '{name}' is not one of its arms {', '.join(arms)}")
    require_known("topology", study.topology, ("cpu", "gpu", *TOPOLOGIES))
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise UserError(f"seeds {study.seeds} are empty or doubled; give distinct seeds")
    require_known("precision", study.precision, PRECISIONS)


def _check_data(study: Study) -> None:
    if not study.data.sources:
        raise UserError("data.sources is (); give at least one source")
    if study.data.end is not None and study.data.tokenizer is None:
        raise UserError(f"data.end is '{study.data.end}', and no data.tokenizer is named that has it; leave it out")
    for source in study.data.sources:
        if source.kind not in KINDS:
            raise UserError(f"source '{source.name}' has kind '{source.kind}'; choose one of {', '.join(KINDS)}")
        if source.examples and not study.data.packing:
            raise UserError(
                f"source '{source.name}' holds examples, and data.packing does not say into how long sequences they "
                f"are packed; give the DataSpec packing=({study.sequence},)"
            )


def _check_seeds(study: Study) -> None:
    for field, seeds in (("init_seeds", study.init_seeds), ("data_seeds", study.data_seeds)):
        if unknown := [seed for seed in seeds if seed not in study.seeds]:
            raise UserError(f"{field} names seed {unknown[0]}; its seeds are {', '.join(map(str, study.seeds))}")


def _check_tasks(study: Study) -> None:
    size = study.evaluation
    kinds = dict.fromkeys(source.kind for source in study.data.sources)
    for field, names in (("every_stage", size.every_stage), ("compared", size.compared)):
        for name in names:
            with about(f"evaluation.{field}"):
                if isinstance(name, str) and name.startswith(HARNESS):
                    harness_tasks.check(benchmark_of(name).removeprefix(HARNESS))
                if lengths.is_long(name) and (kind := lengths.parse(str(name))[0]) not in ("", *kinds):
                    raise UserError(f"task '{name}' reads held-out {kind}; its sources are {', '.join(kinds)}")
                if size.asked[task_name(name)] != name:
                    raise UserError(f"two tasks are called '{task_name(name)}'; give one of the files another name")
    if size.fresh:
        with about("evaluation.fresh"):
            require_later(size.fresh.since, newest_read(study, size.fresh))
    with about("evaluation.executed"):
        for name in size.executed:
            executed_task(name)
    _check_composite(study)
    _check_primary(study)


def _check_composite(study: Study) -> None:
    """Refuse a composite that counts a benchmark twice, what is not asked, or what is no right answer above chance."""
    composite = study.composite
    if composite is None:
        return
    if not composite.parts:
        raise UserError("composite has no parts; give tasks or categories a weight, or leave it out")
    if composite.rescaled and not composite.centred:
        raise UserError(
            "composite is rescaled and not centred, but what is divided by 1 − chance is above it; set both"
        )
    taken: dict[str, str] = {}
    for name in composite.parts:
        for task in CATEGORIES.get(name, (name,)):
            if (rows := benchmark_of(task)) in taken:
                raise UserError(f"composite counts '{rows}' twice, in '{taken[rows]}' and in '{name}'; name it once")
            taken[rows] = name
        _check_part(study, name, composite.centred)


def _check_part(study: Study, name: str, centred: bool) -> None:
    """One task or category of a composite; what `--without` took out may stay in it, and is named where it lacks."""
    size = study.evaluation
    asked = {*size.asked, *size.executed, *study.left_out} - {"executed"}
    if "executed" in study.left_out:
        asked |= {*filter(is_executed, CATEGORIES.get(name, (name,)))}
    if name in CATEGORIES:
        if asked.isdisjoint(CATEGORIES[name]):
            its = ", ".join(CATEGORIES[name])
            raise UserError(f"composite names '{name}', and the study asks none of its tasks; ask one of {its}")
        return
    tasks = _scored_tasks(study) | asked
    metrics = {metric.name: metric.score for metric in metrics_for(tasks)}
    scores = [metrics[name]] if name in metrics else [each.score for each in metrics_for({name} & tasks)]
    if scores and not any(score.share for score in scores):
        right = [task for task in sorted(asked) if any(each.score.share for each in metrics_for({task}))]
        raise UserError(
            f"composite names '{name}', which is a likelihood, and no chance is known that it would be above; name "
            f"tasks of right answers, such as {', '.join(right[:3])}, and leave likelihoods to primary"
        )
    if name in metrics:
        raise UserError(f"composite names the metric '{name}'; name its task, which counts by its leading score")
    if name not in asked:
        near = difflib.get_close_matches(name, [*CATEGORIES, *sorted(asked)], n=3, cutoff=0)
        raise UserError(
            f"composite names '{name}', which is no category and no task of this study; name one that is, such as "
            f"{', '.join(near)}"
        )
    if centred and benchmark_of(name) not in TASKS:
        raise UserError(
            f"composite is centred on chance, and that of '{name}' is not known; leave it out, or set centred and "
            "rescaled to False"
        )


def _scored_tasks(study: Study) -> set[str]:
    size = study.evaluation
    kinds = {source.kind for source in study.data.sources}
    heldout = {f"{HELDOUT}{kind}" for kind in kinds} | {f"{HELDOUT}{s.kind}/{s.name}" for s in study.data.sources}
    fresh: set[str] = set()
    if size.fresh:
        fresh = {f"{FRESH}{KINDS_OF_FORMS[form]}{part}" for form in size.fresh.forms for part in ("", f"/{form}")}
    long = {part for name in size.asked if lengths.is_long(name) for part in lengths.parts(name)}
    return {*(heldout if study.data.heldout else ()), *fresh, *size.asked, *size.executed, *long}


def _check_primary(study: Study) -> None:
    metrics = metrics_of(study.composite, _scored_tasks(study))
    scored = [metric.name for metric in metrics]
    kinds_of_score = list(dict.fromkeys(metric.score.name for metric in metrics))
    for name in study.margins:
        if name not in (*scored, *kinds_of_score):
            raise UserError(
                f"margins names '{name}', which is not scored in this study; name a metric, or a kind of score for all "
                f"of it: {', '.join(kinds_of_score)}"
            )
    for name in study.primary:
        if study.primary.count(name) > 1:
            raise UserError(f"primary names '{name}' twice; a family counts every metric once")
        if name not in scored:
            near = difflib.get_close_matches(name, scored, n=3, cutoff=0) if len(scored) > FEW else scored
            raise UserError(
                f"primary metric '{name}' is not scored in this study; name one that is"
                f"{', such as ' if near else ', or none; nothing is held out'}{', '.join(near)}"
            )


def _check_sources(study: Study, what: str, names: Iterable[str]) -> None:
    known = [source.name for source in study.data.sources]
    for name in names:
        if name not in known:
            raise UserError(f"{what} names source '{name}'; its sources are {', '.join(known)}")


def _check_arm(study: Study, arm: Arm) -> None:
    if not arm.stages:
        raise UserError("it has no stages; give it at least one")
    require_known("inference", arm.inference, INFERENCE)
    for number, stage in enumerate(arm.stages):
        if stage.kind not in STAGE_KINDS:
            raise UserError(f"stages[{number}].kind is '{stage.kind}'; choose one of {', '.join(STAGE_KINDS)}")
        _check_budget(study, stage, f"stages[{number}]")
        if not isinstance(stage.restart, bool):
            _check_sources(study, f"stages[{number}].restart", sorted(stage.restart))
        if stage.infilling and study.data.fim is None:
            raise UserError(
                f"stages[{number}].infilling is True, and the data of the study are prepared without; give its "
                "DataSpec a fim"
            )
    _check_boundaries(arm)


def _check_budget(study: Study, stage: Stage, what: str) -> None:
    """Refuse a stage without a budget, or one in epochs that cannot be counted."""
    budget = stage.epochs
    if budget is None:
        if not stage.tokens:
            raise UserError(f"{what}.tokens is 0, and it has no epochs; give one of the two")
        return
    if stage.tokens:
        raise UserError(f"{what} has {stage.tokens:,} tokens and a budget in epochs; give one of the two")
    if stage.piece is not None:
        raise UserError(f"{what} has a budget in epochs and is a part of a longer stage; give it tokens")
    if budget.source not in (read := shares(stage.mixture)):
        raise UserError(
            f"{what}.epochs counts passes over source '{budget.source}', which mixture '{stage.mixture.name}' does not "
            f"read; its sources are {', '.join(read)}"
        )
    if study.simulated_tokens is not None:
        raise UserError(f"{what} has a budget in epochs, and simulated_tokens cuts the sources by budgets; give tokens")


def _check_boundaries(arm: Arm) -> None:
    """Refuse stages that do not fit the stage before them."""
    for before, stage in pairwise((None, *arm.stages)):
        assert stage is not None
        what = f"its stage of mixture '{stage.mixture.name}'"
        if before is None and CONTINUE in (stage.peak, stage.end) and not isinstance(arm.start, FromStage):
            raise UserError(f"{what} continues a learning rate, but is the first; give it a peak and an end")
        if stage.peak == CONTINUE and stage.warmup:
            raise UserError(f"{what} continues the learning rate, so it cannot warm up; set warmup=0 or a peak")
        if stage.piece is not None and stage.piece.first + stage.tokens > stage.piece.whole:
            raise UserError(
                f"{what} is {stage.tokens:,} tokens after {stage.piece.first:,} of a whole of {stage.piece.whole:,}, "
                "which is less; use cut(...)"
            )
        if stage.carries_on and not (before is not None and _follows(before, stage)):
            raise UserError(f"{what} is a later piece of a longer one; put the pieces before it in front of it")
        if stage.piece is not None and stage.piece.turns and not (before is not None and _spans(before, stage)):
            raise UserError(f"{what} is what a longer one turns to; put the piece before it in front of it")


def _follows(before: Stage, stage: Stage) -> bool:
    """Whether `stage` is the next piece of the stage that `before` is a piece of."""
    assert stage.piece is not None
    next_piece = replace(
        before,
        tokens=stage.tokens,
        piece=Piece(before.tokens + (before.piece.first if before.piece else 0), stage.piece.whole),
        restart=stage.restart,
        reset_optimizer=stage.reset_optimizer,
    )
    return next_piece == stage and not (before.piece and before.piece.turns)


def _spans(before: Stage, stage: Stage) -> bool:
    """Whether the schedule of `before`, which is a first piece, goes on in `stage`."""
    assert stage.piece is not None
    schedules = [(s.decay, s.peak, s.end, s.warmup, s.stable, s.sequence, s.batch) for s in (before, stage)]
    first = replace(before, tokens=stage.piece.first, piece=Piece(0, stage.piece.whole))
    return schedules[0] == schedules[1] and before == first
