"""What a stage is after the stages before it: its steps, its rates, and what the lineage has read. Loads no jax."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from experiments.plan.budget import span
from experiments.plan.epochs import in_tokens
from experiments.plan.examples import check_examples
from experiments.plan.stage import Form, PlannedStage, StageStart, Start
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
    study: Study,
    arm: Arm,
    seed: int,
    stage: Stage,
    chain: Sequence[PlannedStage],
    windows: Windows,
    start: Start | None = None,
) -> PlannedStage:
    """The stage that follows `chain` in a run of `arm`.

    Args:
        study, arm, seed: of the run.
        stage: as it is declared.
        chain: the stages before it.
        windows: says what there is of the sources.
        start: where the run starts; None for fresh weights.

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
    before = chain[-1] if chain else None
    sequence = stage.sequence or (before.sequence if before else study.sequence)
    batch = stage.batch or (before.batch if before else study.batch)
    model = before.model if before else _first_model(study, arm, start)
    _check_infilling(study, stage, sequence)
    check_examples(study, stage, sequence)
    stage = in_tokens(stage, batch, sequence, windows)
    first, last = span(stage, batch, sequence)
    read = first if stage.carries_on else 0
    until = [_sequences(stage, batch, sequence, step) for step in (read, read + last - first)]
    form = Form(sequence, stage.infilling)
    passes = {source: passes_before(study, chain, stage, source, form) for source in fractions}
    starts = {source: passes[source][-1].count for source in fractions}
    sequences = {source: until[1][source] - until[0][source] for source in fractions}
    _check_present(stage, batch, sequence, sequences)
    planned = PlannedStage(
        id=_id(chain, start, stage, ending(study, model, seed), last),
        arms=(arm.name,),
        seed=seed,
        init_seed=study.init_seeds.get(seed, seed),
        data_seed=study.data_seeds.get(seed, seed),
        stage=stage,
        parent=before.id if before else None,
        steps=last - first,
        schedule=_schedule(stage, batch, sequence, before or start),
        first_step=first,
        first_read=read,
        starts=before.starts if before and stage.carries_on else starts,
        sequences=sequences,
        epochs=epochs(study, windows, passes, sequences),
        tokens_before=sum(each.tokens for each in chain) + (start.tokens if start else 0),
        sequence=sequence,
        batch=batch,
        optimizer=stage.optimizer or (before.optimizer if before else study.optimizer),
        start=None if before else start,
        model=replace(model, rope_theta=stage.rope_theta or model.rope_theta),
    )
    if len(planned.id.encode()) > LONGEST_ID:
        raise UserError(f"the stage would be called {planned.id}, over {LONGEST_ID} bytes; shorten its mixtures' names")
    return planned


def _first_model(study: Study, arm: Arm, start: Start | None) -> ModelConfig:
    """The arm's, which goes on with the rotary positions that the weights of its start have."""
    model = arm.model or study.model
    return model if start is None else replace(model, rope_theta=start.model.rope_theta)


def _check_present(stage: Stage, batch: int, sequence: int, sequences: Mapping[str, int]) -> None:
    """Refuse a source so rare that it has no whole sequence in the stage; of a piece, in the stage that was cut."""
    whole = sequences
    if stage.piece is not None and not stage.piece.turns:
        whole = _sequences(stage, batch, sequence, stage_steps(stage.piece.whole, batch, sequence))
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


def _sequences(stage: Stage, batch: int, sequence: int, steps: int) -> dict[str, int]:
    """Sequences of every source in the first `steps` of the whole stage."""
    if steps == 0:
        return dict.fromkeys(shares(stage.mixture), 0)
    return sequences_by_source(stage.mixture, steps * batch * sequence, batch, sequence)


def _schedule(stage: Stage, batch: int, sequence: int, before: PlannedStage | Start | None) -> Schedule:
    if stage.piece and stage.piece.first:
        assert isinstance(before, PlannedStage)
        return before.schedule
    whole = stage.piece.whole if stage.piece else stage.tokens
    steps = stage_steps(whole, batch, sequence)
    peak, end = (_last_rate(before) if rate == CONTINUE else rate for rate in (stage.peak, stage.end))
    warmup, stable = (_steps_of(stage, field, steps) for field in ("warmup", "stable"))
    return Schedule(stage.decay, peak, end, warmup, steps, stable, continued=stage.peak == CONTINUE)


def _last_rate(before: PlannedStage | Start | None) -> float:
    """Of the update before a stage that continues it."""
    if isinstance(before, PlannedStage):
        return before.rate(before.steps - 1)
    assert isinstance(before, StageStart)
    return before.rate


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


def _id(chain: Sequence[PlannedStage], start: Start | None, stage: Stage, ending: str, last: int) -> str:
    name = f"{stage.mixture.name}@{last}" if stage.piece else stage.mixture.name
    if not chain:
        return f"{start.stem}-to-{name}{ending}" if start else f"{name}{ending}"
    before = chain[-1].id.removesuffix(ending)
    if stage.carries_on:
        piece = f"{stage.mixture.name}@{chain[-1].first_step + chain[-1].steps}"
        before = re.sub(rf"{re.escape(piece)}(\.\d+)?$", "", before)  # with its number, if another has that name
        return f"{before}{name}{ending}"
    if stage.epochs and chain[-1].stage.epochs and chain[-1].stage.mixture == stage.mixture:  # one more, of the same
        stem, _, count = before.rpartition("*")
        return f"{stem or before}*{int(count) + 1 if stem else 2}{ending}"
    return f"{before}-to-{name}{ending}"
