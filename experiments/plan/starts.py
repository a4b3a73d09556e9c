"""Where runs start that do not start afresh, and what of other studies has to be trained before. Loads no jax."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from experiments.plan import status
from experiments.plan.stage import FolderStart, Plan, PlannedStage, PreparedPlan, PreparedStage, StageStart, Start
from experiments.study import Arm, FromFolder, FromStage, Seed, Study
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.manifest import Manifest
from models import cohere
from models.config import ModelConfig
from store.errors import UserError

AnyPlan = TypeVar("AnyPlan", bound=Plan)
Planner = Callable[[Study], Plan]
"""Gives the plan of another study, the same one each time."""

SHAPE = ("vocabulary", "width", "layers", "heads", "feed_forward", "norm_epsilon")
"""What weights that a run starts from have in common with its model: all but the name and the rotary base."""


def begin(study: Study, arm: Arm, seed: Seed, plan_of: Planner) -> Start | None:
    """Where the run of `arm` with this seed starts; None for fresh weights.

    Raises:
        UserError: as `found`; a folder is missing or holds another architecture; or the weights have another shape than
            the model.
    """
    if arm.start is None:
        return None
    if isinstance(arm.start, FromFolder):
        start: Start = _of_folder(arm.start)
    else:
        start = _of_stage(arm.start, seed, plan_of)
    _check_shape(start, arm.model or study.model)
    return start


def _of_folder(start: FromFolder) -> FolderStart:
    described = cohere.read_config(start.folder)
    tokenizer = start.folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise UserError(f"start: {start.folder} has no tokenizer.json; copy the model's own there")
    return FolderStart(start.folder, described.config, bpe.digest(tokenizer))


def _of_stage(start: FromStage, seed: Seed, plan_of: Planner) -> StageStart:
    plan = plan_of(start.study)
    stage = found(start, seed, plan)
    step = stage.steps if start.step is None else start.step
    return StageStart(
        study=start.study.typed,
        stage=stage.id,
        folder=stage.folder if isinstance(stage, PreparedStage) else None,
        step=step,
        last=stage.steps,
        tokens=stage.tokens_before + step * stage.batch * stage.sequence,
        rate=stage.rate(step - 1),
        model=stage.model,
        tokenizer=plan.manifest.tokenizer_digest if isinstance(plan, PreparedPlan) else None,
        keeps_optimizer=start.keep_optimizer,
    )


def found(start: FromStage, seed: Seed, plan: Plan) -> PlannedStage:
    """The stage that `start` names in the plan of its study, for a run with this seed.

    Raises:
        UserError: the study has no such arm, seed or stage, or the stage no such step.
    """
    name, arms = start.study.typed, [arm.name for arm in start.study.arms]
    if start.arm not in arms:
        raise UserError(f"start: study '{name}' has no arm '{start.arm}'; its arms are {', '.join(arms)}")
    seed = seed if start.seed is None else start.seed
    if (start.arm, seed) not in plan.runs:
        raise UserError(
            f"start: study '{name}' has no seed {seed}; its seeds are {', '.join(map(str, start.study.seeds))}; name "
            "one of them as start.seed"
        )
    chain = plan.runs[start.arm, seed]
    if not -len(chain) <= start.stage < len(chain):
        raise UserError(
            f"start.stage is {start.stage}, and arm '{start.arm}' of study '{name}' has {len(chain)} stages, from 0 on"
        )
    stage = plan.stage(chain[start.stage])
    if start.step is not None and start.step > stage.steps:
        raise UserError(
            f"start.step is {start.step:,}, and stage {stage.id} of study '{name}' ends at step {stage.steps:,}; leave "
            "it out for the end"
        )
    return stage


def _check_shape(start: Start, model: ModelConfig) -> None:
    for field in SHAPE:
        theirs, ours = getattr(start.model, field), getattr(model, field)
        if theirs != ours:
            raise UserError(
                f"start: {start.name} has {field} {theirs:,} and model '{model.name}' has {ours:,}; start from weights "
                "of the same shape"
            )


def check_tokenizer(start: Start, manifest: Manifest) -> None:
    """Refuse weights that were trained on other ids.

    Raises:
        UserError: the tokenizer of the start is known and not that of the prepared data.
    """
    if start.tokenizer not in (None, manifest.tokenizer_digest):
        way_out = f"DataSpec(tokenizer=Path('{start.name}/tokenizer.json'), ...)"
        if isinstance(start, StageStart):
            way_out = "DataSpec(tokenizer=..., ...) with the data of that study"
        raise UserError(f"start: {start.name} was trained with another tokenizer than the study's; give it {way_out}")


def direct(study: Study) -> Iterator[tuple[FromStage, Seed]]:
    """The stages of other studies that `study` itself starts from or that write its sources, with the runs' seeds."""
    for arm in study.arms:
        if isinstance(arm.start, FromStage):
            for seed in study.seeds:
                yield arm.start, seed
    for made in study.made:
        for who in (made.student, *made.teachers):
            if isinstance(who, FromStage):
                yield who, who.study.seeds[0]


def needed(study: Study, plan_of: Planner) -> tuple[Plan, ...]:
    """What is trained of other studies before `study`: of each its plan, without the stages that it can do without.

    Raises:
        UserError: one has no such arm, seed or stage.
    """
    plans: list[Plan] = []
    wanted: dict[int, set[str]] = {}
    for start, seed in direct(study):
        plan = plan_of(start.study)
        stage = found(start, seed, plan)
        for other in (*plan.needed, plan):  # what it needs itself comes first
            if not any(other is known for known in plans):
                plans.append(other)
        wanted.setdefault(id(plan), set()).add(stage.id)
    return tuple(only(plan, wanted[id(plan)]) if id(plan) in wanted else plan for plan in plans)


def only(plan: AnyPlan, ids: Collection[str]) -> AnyPlan:
    """`plan` with these stages and their ancestors alone."""
    kept = set(ids)
    for stage in reversed(plan.stages):  # children come after their parents
        if stage.id in kept and stage.parent is not None:
            kept.add(stage.parent)
    runs = {run: tuple(id for id in chain if id in kept) for run, chain in plan.runs.items()}
    runs = {run: chain for run, chain in runs.items() if chain}
    return replace(plan, stages=tuple(stage for stage in plan.stages if stage.id in kept), runs=runs)


def trained(plan: Plan, store: Path) -> bool:
    """Whether all its stages have reached their ends."""
    return isinstance(plan, PreparedPlan) and all(status.trained(stage, store) for stage in plan.stages)


def check_trained(plan: Plan, store: Path) -> None:
    """Refuse to work on a plan whose runs start from what nobody has trained yet.

    Raises:
        UserError: the message has the commands that come first.
    """
    missing = [stage.start for stage in plan.stages if stage.start and not status.start_trained(stage, store)]
    if missing:
        studies = dict.fromkeys(start.study for start in missing if isinstance(start, StageStart))
        commands = ", ".join(f"`ablate train {study}`" for study in studies)
        raise UserError(
            f"study '{plan.study.typed}' starts from {missing[0].name}, which is not trained in {store}; first "
            f"{commands}, or `ablate run {plan.study.typed}`, which trains what it needs"
        )
