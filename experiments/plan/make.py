"""What a study will run: a DAG of stages in which arms share what is equal. Loads no jax.

A stage's fingerprint is the hash of everything that decides its result; two runs share a stage if and only if
their fingerprints match. Before the data are prepared the plan is exact in tokens and steps, and fingerprints and
epochs are unknown.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from experiments.plan.check import check, naming
from experiments.plan.epochs import epochs_read, form_of, passes_before, windows_of
from experiments.plan.stage import Plan, PlannedStage
from experiments.study import CONTINUE, Piece, Stage, Study
from mixtures.allocate import allocate
from mixtures.curriculum import sequences_by_source, stage_steps
from mixtures.loader import DataPlan
from mixtures.mixture import shares
from mixtures.order import ORDER_VERSION
from mixtures.prepare import changes, kinds, prepared_folder, with_identities
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import windows_in
from mixtures.tokens.manifest import Manifest, read_manifest
from models.recipe import NUMERICS_VERSION
from models.schedules import Schedule
from store.errors import UserError

MOST_STEPS = 10_000_000
"""Of a stage: two hundred times the paper's. More is a slip, and planning takes a moment for every step."""
LONGEST_ID = 200
"""Bytes of a stage's id: its folder is called so, with its fingerprint, and file systems allow 255."""


def make_plan(study: Study, store: Path) -> Plan:
    """Lay out the DAG of `study`, with epochs and fingerprints when its data are prepared in `store`.

    Raises:
        UserError: the study is declared badly, or a mixture, budget or schedule cannot be met; the message names
            the study, and the field, source or stage.
    """
    check(study)
    with naming(f"study '{study.name}'"):
        data = with_identities(study.data, store)
        manifest = read_manifest(prepared_folder(data, store))
        _check_tokenizer(study, manifest)
        simulated_share(study)  # a bad one is refused before the data are there
        stages: dict[str, PlannedStage] = {}
        runs: dict[tuple[str, int], tuple[str, ...]] = {}
        for seed in study.seeds:
            for arm in study.arms:
                chain: list[PlannedStage] = []
                for number, stage in enumerate(arm.stages):
                    with naming(f"arm '{arm.name}', stages[{number}]"):
                        planned = _plan_stage(study, manifest, arm.name, seed, stage, chain)
                    chain.append(_merge(stages, planned))
                runs[arm.name, seed] = tuple(stage.id for stage in chain)
    changed = tuple(changes(data, store))
    return Plan(study, tuple(stages.values()), runs, manifest, changed)


def _check_tokenizer(study: Study, manifest: Manifest | None) -> None:
    """Refuse ids that the model does not know, and bits per byte of a tokenizer that does not keep texts.

    A model may know more ids than there are; published ones round their number up.
    """
    data, model = study.data, study.model
    ids, loss = data.vocabulary, ""
    if manifest is not None:
        ids, loss = manifest.vocabulary, "" if manifest.bits_per_byte else manifest.loss
    if data.tokenizer is None:
        ids = max(ids, data.vocabulary, bpe.SMALLEST)
    elif manifest is None:
        tokenizer = bpe.load(data.tokenizer, data.end)
        bpe.eod_id(tokenizer, data.end)
        ids, loss = bpe.size(tokenizer), bpe.loss(tokenizer, form=bpe.canonical)
    if ids > model.vocabulary:
        raise UserError(
            f"model.vocabulary is {model.vocabulary:,}, and the tokenizer of its data has {ids:,} ids; give the model "
            f"{ids:,}, or the data a smaller vocabulary"
        )
    if loss and (counted := [metric for metric in study.primary if metric.endswith("bpb")]):
        raise UserError(
            f"primary names '{counted[0]}', which is in bits per byte, and the tokenizer loses text ({loss}); declare "
            "other metrics, or use a tokenizer that keeps texts"
        )


def _merge(stages: dict[str, PlannedStage], planned: PlannedStage) -> PlannedStage:
    """Share a stage that another arm has planned already."""
    known = stages.get(planned.id)
    if known is not None:
        if (known.stage, known.parent) != (planned.stage, planned.parent):
            raise UserError(
                f"arms '{known.arms[0]}' and '{planned.arms[0]}' have different stages of one name, {planned.id}; "
                "give their mixtures different names"
            )
        planned = replace(known, arms=(*known.arms, *planned.arms))
    stages[planned.id] = planned
    return planned


def _plan_stage(
    study: Study, manifest: Manifest | None, arm: str, seed: int, stage: Stage, chain: list[PlannedStage]
) -> PlannedStage:
    fractions = shares(stage.mixture)
    unknown = sorted(set(fractions) - set(kinds(study.data)))
    if unknown:
        raise UserError(
            f"mixture '{stage.mixture.name}' names source '{unknown[0]}', which study '{study.name}' does not have; "
            f"its sources: {', '.join(kinds(study.data))}"
        )
    sequence = stage.sequence or (chain[-1].sequence if chain else study.sequence)
    theta = stage.rope_theta or (chain[-1].model.rope_theta if chain else study.model.rope_theta)
    form = form_of(study, stage, sequence)
    first, last = _span(study, stage, sequence)
    until = {step: _sequences(study, stage, sequence, step) for step in (first, last)}
    sequences = {source: until[last][source] - until[first][source] for source in fractions}
    passes = {source: passes_before(chain, stage, source, form) for source in fractions}
    windows, epochs = None, None
    if manifest is not None:
        share = simulated_share(study)
        windows = {source: windows_of(manifest, source, form, share) for source in fractions}
        epochs = epochs_read(study, manifest, share, passes, sequences)
    starts = chain[-1].starts if stage.carries_on else {source: before[-1].count for source, before in passes.items()}
    planned = PlannedStage(
        id=_id(chain, stage, seed, last),
        arms=(arm,),
        seed=seed,
        stage=stage,
        parent=chain[-1].id if chain else None,
        steps=last - first,
        schedule=_schedule(study, stage, sequence, chain),
        first_step=first,
        starts=starts,
        sequences=sequences,
        tokens_before=sum(before.tokens for before in chain),
        sequence=sequence,
        model=replace(study.model, rope_theta=theta),
        windows=windows,
        epochs=epochs,
        identity=None,
    )
    if len(planned.id.encode()) > LONGEST_ID:
        raise UserError(f"the stage would be called {planned.id}, over {LONGEST_ID} bytes; shorten its mixtures' names")
    if manifest is None:
        return planned
    identity = _identity(study, manifest, planned, fractions, chain[-1].fingerprint if chain else None)
    return replace(planned, identity=identity)


def _span(study: Study, stage: Stage, sequence: int) -> tuple[int, int]:
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


def _id(chain: Sequence[PlannedStage], stage: Stage, seed: int, last: int) -> str:
    name = f"{stage.mixture.name}@{last}" if stage.piece else stage.mixture.name
    if not chain:
        return f"{name}-s{seed}"
    before = chain[-1].id.removesuffix(f"-s{seed}")
    if stage.carries_on:
        before = before.removesuffix(f"{stage.mixture.name}@{chain[-1].first_step + chain[-1].steps}")
        return f"{before}{name}-s{seed}"
    return f"{before}-to-{name}-s{seed}"


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
        first, last = _span(study, stage, sequence)
        budget += (last - first) * study.batch * sequence
    if study.simulated_tokens < budget:
        raise UserError(
            f"study '{study.name}': simulated_tokens is {study.simulated_tokens:,}, less than the {budget:,} that its "
            "baseline reads; give the budget of the larger run"
        )
    return Fraction(budget, study.simulated_tokens)


def _identity(
    study: Study,
    manifest: Manifest,
    planned: PlannedStage,
    fractions: Mapping[str, Fraction],
    parent: str | None,
) -> dict[str, Any]:
    """Everything that decides the result. Not in it: hosts, devices, paths, logging, the stage's name and kind."""
    assert planned.windows is not None
    share = simulated_share(study)
    # Only where it changes what is read, so that a stage keeps its fingerprint when a field is new.
    special: dict[str, Any] = {"windows": dict(planned.windows)} if share < 1 else {}
    if planned.stage.document_mask:
        special["document_mask"] = True
    if planned.stage.infilling:
        special["infilling"] = True
    if study.data.end is not None:
        special["eod"] = manifest.eod
    if study.z_loss:
        special["z_loss"] = study.z_loss
    if planned.stage.reset_optimizer and parent is not None:
        special["reset_optimizer"] = True
    if planned.first_step:
        special["first_step"] = planned.first_step
    rates = "\n".join(f"{planned.rate(step):.9e}" for step in range(planned.steps))
    return {
        "numerics_version": NUMERICS_VERSION,
        "order_version": ORDER_VERSION,
        # Pairs, because the order of sources breaks ties between them and the keys of an object are sorted.
        "mixture": [[source, str(share)] for source, share in fractions.items()],
        "data": {source: manifest.sources[source].form(planned.stage.infilling).digest for source in fractions},
        "starts": dict(planned.starts),
        "tokenizer": manifest.tokenizer_digest,
        "batch": study.batch,
        "sequence": planned.sequence,
        "steps": planned.steps,
        "model": asdict(planned.model),
        "optimizer": asdict(study.optimizer),
        "learning_rates": hashlib.sha256(rates.encode()).hexdigest(),
        "dtype": study.precision,
        "data_seed": planned.seed,
        "init_seed": planned.seed,
        "parent": parent,
        **special,
    }


def data_plan(plan: Plan, stage: PlannedStage) -> DataPlan:
    """What the loader needs to feed `stage`; the data must be prepared."""
    assert stage.windows is not None and plan.manifest is not None
    stored = None
    if simulated_share(plan.study) < 1:
        forms = {name: plan.manifest.sources[name].form(stage.stage.infilling) for name in stage.sequences}
        stored = {name: windows_in(form.shard_tokens, stage.sequence) for name, form in forms.items()}
    allocation = allocate(shares(stage.stage.mixture))
    return DataPlan(
        allocation=allocation,
        windows=stage.windows,
        starts=stage.starts,
        data_seed=stage.seed,
        batch=plan.study.batch,
        sequence=stage.sequence,
        document_mask=stage.stage.document_mask,
        stored=stored,
    )
