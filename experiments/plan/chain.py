"""What a stage is after the stages before it: its steps, its rates, and what the lineage has read. Loads no jax."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from experiments.plan.stage import Form, PlannedStage
from experiments.study import CONTINUE, Arm, Piece, Stage, Study
from mixtures.curriculum import sequences_by_source, stage_steps
from mixtures.mixture import shares
from mixtures.prepare import kinds
from models.config import ModelConfig
from models.schedules import Schedule
from store.errors import UserError

MOST_STEPS = 10_000_000
"""Of a stage: two hundred times the paper's. More is a slip, and planning takes a moment for every step."""
LONGEST_ID = 200
"""Bytes of a stage's id: its folder is called so, with its fingerprint, and file systems allow 255."""


@dataclass(frozen=True)
class Pass:
    """Sequences that a lineage read of a source from one restart to the next."""

    count: int
    form: Form


def plan_stage(study: Study, arm: Arm, seed: int, stage: Stage, chain: Sequence[PlannedStage]) -> PlannedStage:
    """The stage that follows `chain` in a run of `arm`.

    Raises:
        UserError: an unknown source, a budget or schedule that cannot be met, or windows that would be cut otherwise.
    """
    fractions, known = shares(stage.mixture), kinds(study.data)
    unknown = sorted(set(fractions) - set(known))
    if unknown:
        raise UserError(
            f"mixture '{stage.mixture.name}' names source '{unknown[0]}', which study '{study.name}' does not have; "
            f"its sources: {', '.join(known)}"
        )
    sequence = stage.sequence or (chain[-1].sequence if chain else study.sequence)
    model = chain[-1].model if chain else arm.model or study.model
    _check_infilling(study, stage, sequence)
    first, last = span(study, stage, sequence)
    until = {step: _sequences(study, stage, sequence, step) for step in (first, last)}
    form = Form(sequence, stage.infilling)
    starts = {source: passes_before(chain, stage, source, form)[-1].count for source in fractions}
    planned = PlannedStage(
        id=_id(chain, stage, ending(study, model, seed), last),
        arms=(arm.name,),
        seed=seed,
        init_seed=study.init_seeds.get(seed, seed),
        data_seed=study.data_seeds.get(seed, seed),
        stage=stage,
        parent=chain[-1].id if chain else None,
        steps=last - first,
        schedule=_schedule(study, stage, sequence, chain),
        first_step=first,
        starts=chain[-1].starts if stage.carries_on else starts,
        sequences={source: until[last][source] - until[first][source] for source in fractions},
        tokens_before=sum(before.tokens for before in chain),
        sequence=sequence,
        model=replace(model, rope_theta=stage.rope_theta or model.rope_theta),
    )
    if len(planned.id.encode()) > LONGEST_ID:
        raise UserError(f"the stage would be called {planned.id}, over {LONGEST_ID} bytes; shorten its mixtures' names")
    return planned


def _check_infilling(study: Study, stage: Stage, sequence: int) -> None:
    fim = study.data.fim
    if stage.infilling and fim is not None and fim.sequence != sequence:
        raise UserError(
            f"a stage of mixture '{stage.mixture.name}' reads sequences of {sequence:,} tokens and infilling is "
            f"prepared for {fim.sequence:,}; set the fim of the study's data to the same length"
        )


def passes_before(chain: Sequence[PlannedStage], stage: Stage, source: str, form: Form) -> list[Pass]:
    """What the lineage read of `source` before `stage`, one entry from each restart to the next.

    Raises:
        UserError: the source would carry on in windows that are cut otherwise.
    """
    passes = [Pass(0, form)]
    for before in chain:
        if before.stage.restarts(source):
            passes.append(Pass(0, form))
        count = before.sequences.get(source, 0)
        if count:
            passes[-1] = Pass(passes[-1].count + count, before.form)
    if stage.restarts(source):
        return [*passes, Pass(0, form)]
    if passes[-1].count and passes[-1].form != form:
        raise UserError(
            f"source '{source}' cannot carry on in a stage of mixture '{stage.mixture.name}': with another sequence or "
            f"infilling its windows are other ones; let it restart there"
        )
    return [*passes[:-1], replace(passes[-1], form=form)]


def span(study: Study, stage: Stage, sequence: int) -> tuple[int, int]:
    """The steps [first, last) that the stage is of the whole one; a stage that is no piece starts at 0.

    Raises:
        UserError: the budget is empty, or two cuts of a stage fall into one block.
    """
    piece = stage.piece or Piece(0, stage.tokens)
    first = stage_steps(piece.first, study.batch, sequence) if piece.first else 0
    last = stage_steps(piece.first + stage.tokens, study.batch, sequence)
    if last > MOST_STEPS:
        raise UserError(
            f"tokens is {stage.tokens:,}, which makes {last:,} steps of {study.batch * sequence:,} tokens; a stage has "
            f"at most {MOST_STEPS:,}, so give it fewer tokens or a larger batch"
        )
    if first == last:
        raise UserError(
            f"mixture '{stage.mixture.name}' is cut twice within one block of the batch, after {piece.first:,} tokens "
            f"and {stage.tokens:,} later; move the cuts apart"
        )
    return first, last


def _sequences(study: Study, stage: Stage, sequence: int, steps: int) -> dict[str, int]:
    """Sequences of every source in the first `steps` of the whole stage."""
    if steps == 0:
        return dict.fromkeys(shares(stage.mixture), 0)
    return sequences_by_source(stage.mixture, steps * study.batch * sequence, study.batch, sequence)


def _schedule(study: Study, stage: Stage, sequence: int, chain: Sequence[PlannedStage]) -> Schedule:
    if stage.carries_on:
        return chain[-1].schedule
    whole = stage.piece.whole if stage.piece else stage.tokens
    steps = stage_steps(whole, study.batch, sequence)
    peak, end = (chain[-1].rate(chain[-1].steps - 1) if rate == CONTINUE else rate for rate in (stage.peak, stage.end))
    warmup, stable = (_steps_of(stage, field, steps) for field in ("warmup", "stable"))
    return Schedule(stage.decay, peak, end, warmup, steps, stable, continued=stage.peak == CONTINUE)


def _steps_of(stage: Stage, field: str, steps: int) -> int:
    """The steps that `warmup` or `stable` of a stage stands for: itself if whole, else a share of `steps` rounded down.

    A share is the decimal fraction that was typed: in binary 0.57 is a little less, and 0.57 of 100 steps would be 56.
    """
    value = getattr(stage, field)
    count = value if isinstance(value, int) else int(Fraction(str(value)) * steps)
    if count >= steps:
        raise UserError(f"{field} is {value} and the stage has {steps:,} steps; it must be shorter than the stage")
    return count


def ending(study: Study, model: ModelConfig, seed: int) -> str:
    """How the ids of a run end: with the model, if it is not the study's, and the seed."""
    return f"-s{seed}" if model.name == study.model.name else f"-{model.name}-s{seed}"


def _id(chain: Sequence[PlannedStage], stage: Stage, ending: str, last: int) -> str:
    name = f"{stage.mixture.name}@{last}" if stage.piece else stage.mixture.name
    if not chain:
        return f"{name}{ending}"
    before = chain[-1].id.removesuffix(ending)
    if stage.carries_on:
        before = before.removesuffix(f"{stage.mixture.name}@{chain[-1].first_step + chain[-1].steps}")
        return f"{before}{name}{ending}"
    return f"{before}-to-{name}{ending}"


def simulated_share(study: Study) -> Fraction:
    """The share of every source that the study may read: one, unless it simulates the epochs of a larger run.

    Raises:
        UserError: the simulated run is smaller than the baseline's.
    """
    if study.simulated_tokens is None:
        return Fraction(1)
    stages = next(arm.stages for arm in study.arms if arm.name == study.baseline)
    budget, sequence = 0, study.sequence
    for stage in stages:
        sequence = stage.sequence or sequence
        first, last = span(study, stage, sequence)
        budget += (last - first) * study.batch * sequence
    if study.simulated_tokens < budget:
        raise UserError(
            f"study '{study.name}': simulated_tokens is {study.simulated_tokens:,}, less than the {budget:,} that its "
            "baseline reads; give the budget of the larger run"
        )
    return Fraction(budget, study.simulated_tokens)
