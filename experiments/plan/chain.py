"""What a stage is after the stages before it: its steps, its rates, and what the lineage has read. Loads no jax."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from experiments.plan.budget import span
from experiments.plan.stage import Form, PlannedStage
from experiments.plan.supply import Windows, epochs, passes_before
from experiments.study import CONTINUE, Arm, Stage, Study
from mixtures.curriculum import sequences_by_source, stage_steps
from mixtures.mixture import shares
from mixtures.prepare import kinds
from models.config import ModelConfig
from models.schedules import Schedule
from store.errors import UserError

LONGEST_ID = 200
"""Bytes of a stage's id: its folder is called so, with its fingerprint, and file systems allow 255."""


def plan_stage(
    study: Study, arm: Arm, seed: int, stage: Stage, chain: Sequence[PlannedStage], windows: Windows
) -> PlannedStage:
    """The stage that follows `chain` in a run of `arm`; `windows` says what there is of the sources.

    Raises:
        UserError: an unknown source, one without a whole sequence in the stage, a budget, schedule or supply that
            cannot be met, or windows that would be cut otherwise.
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
    read = first if stage.carries_on else 0
    until = [_sequences(study, stage, sequence, step) for step in (read, read + last - first)]
    form = Form(sequence, stage.infilling)
    passes = {source: passes_before(chain, stage, source, form) for source in fractions}
    starts = {source: passes[source][-1].count for source in fractions}
    sequences = {source: until[1][source] - until[0][source] for source in fractions}
    _check_present(study, stage, sequence, sequences)
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
        first_read=read,
        starts=chain[-1].starts if stage.carries_on else starts,
        sequences=sequences,
        epochs=epochs(study, windows, passes, sequences),
        tokens_before=sum(before.tokens for before in chain),
        sequence=sequence,
        model=replace(model, rope_theta=stage.rope_theta or model.rope_theta),
    )
    if len(planned.id.encode()) > LONGEST_ID:
        raise UserError(f"the stage would be called {planned.id}, over {LONGEST_ID} bytes; shorten its mixtures' names")
    return planned


def _check_present(study: Study, stage: Stage, sequence: int, sequences: Mapping[str, int]) -> None:
    """Refuse a source so rare that it has no whole sequence in the stage; of a piece, in the stage that was cut."""
    whole = sequences
    if stage.piece is not None and not stage.piece.turns:
        whole = _sequences(study, stage, sequence, stage_steps(stage.piece.whole, study.batch, sequence))
    if none := [source for source, count in whole.items() if count == 0]:
        raise UserError(
            f"source '{none[0]}' gets less than one sequence of {sequence:,} tokens in a whole stage; "
            "raise its weight or the budget, or leave it out of the mixture"
        )


def _check_infilling(study: Study, stage: Stage, sequence: int) -> None:
    fim = study.data.fim
    if stage.infilling and fim is not None and sequence not in fim.suffixes:
        raise UserError(
            f"a stage of mixture '{stage.mixture.name}' reads sequences of {sequence:,} tokens and infilling is "
            f"prepared for {', '.join(map('{:,}'.format, fim.suffixes))}; add that to the fim of the study's data"
        )


def _sequences(study: Study, stage: Stage, sequence: int, steps: int) -> dict[str, int]:
    """Sequences of every source in the first `steps` of the whole stage."""
    if steps == 0:
        return dict.fromkeys(shares(stage.mixture), 0)
    return sequences_by_source(stage.mixture, steps * study.batch * sequence, study.batch, sequence)


def _schedule(study: Study, stage: Stage, sequence: int, chain: Sequence[PlannedStage]) -> Schedule:
    if stage.piece and stage.piece.first:
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
