"""What is known of a plan once its data are prepared: epochs, identities, and what the loader reads. Loads no jax.

A stage's fingerprint is the hash of everything that decides its result; two runs share a stage if and only if
their fingerprints match.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from experiments.plan.chain import Pass, passes_before, simulated_share
from experiments.plan.check import naming
from experiments.plan.stage import FINGERPRINT, Form, Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.study import Study
from mixtures.allocate import allocate, check_supply
from mixtures.mixture import shares
from mixtures.order import ORDER_VERSION, DataPlan
from mixtures.tokens.arrays import windows_in
from mixtures.tokens.manifest import Manifest
from models.recipe import NUMERICS_VERSION
from models.schedules import Schedule, learning_rate
from store import layout
from store.errors import UserError


def with_data(plan: Plan, manifest: Manifest, store: Path) -> PreparedPlan:
    """`plan` on the data of `manifest`, with the stages that other studies left in `store` under their names.

    Raises:
        UserError: a source has too few tokens; the message names arm and stage.
    """
    stages: dict[str, PreparedStage] = {}
    folders = {path.name[-FINGERPRINT:]: path.name for path in sorted((store / layout.STAGES).glob("*"))}
    for (arm, _), chain in plan.runs.items():
        for number, id in enumerate(chain):
            if id not in stages:
                before = [stages[other] for other in chain[:number]]
                with naming(f"arm '{arm}', stages[{number}]"):
                    stages[id] = _prepared(plan.study, manifest, plan.stage(id), before, folders)
    return PreparedPlan(plan.study, tuple(stages.values()), plan.runs, plan.changes, manifest)


def _prepared(
    study: Study,
    manifest: Manifest,
    planned: PlannedStage,
    before: Sequence[PreparedStage],
    folders: Mapping[str, str],
) -> PreparedStage:
    windows = {source: _windows(study, manifest, source, planned.form) for source in planned.sequences}
    passes = {source: passes_before(before, planned.stage, source, planned.form) for source in planned.sequences}
    epochs = _epochs(study, manifest, passes, planned.sequences)
    parent = before[-1].fingerprint if before else None
    identity = _identity(study, manifest, planned, windows if is_cut(study) else None, parent)
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:FINGERPRINT]
    folder = folders.get(fingerprint, f"{planned.id}-{fingerprint}")
    return PreparedStage(**vars(planned), windows=windows, epochs=epochs, identity=identity, folder=folder)


def is_cut(study: Study) -> bool:
    """Whether sources are cut, so that their epochs are those of a larger run."""
    return simulated_share(study) < 1 or bool(study.supply)


def _windows(study: Study, manifest: Manifest, source: str, form: Form) -> int:
    """Sequences in one epoch of `source`, of which a run that simulates a larger one reads a part."""
    stored = windows_in(manifest.sources[source].form(form.infilling).shard_tokens, form.sequence)
    read = int(stored * simulated_share(study))
    return min(read, max(1, study.supply[source] // form.sequence)) if source in study.supply else read


def _epochs(
    study: Study, manifest: Manifest, passes: Mapping[str, list[Pass]], sequences: Mapping[str, int]
) -> dict[str, float]:
    """How often a lineage has read every source after a stage that reads `sequences` of it.

    Raises:
        UserError: a source has fewer tokens than that, or windows of it would be read too often.
    """
    epochs = {}
    for source, count in sequences.items():
        form, limit = passes[source][-1].form, study.max_epochs_for(source)
        available = _windows(study, manifest, source, form)
        read = [*passes[source][:-1], Pass(passes[source][-1].count + count, form)]
        used = math.ceil(Fraction(sum(one.count * one.form.sequence for one in read), form.sequence))
        try:
            check_supply(source, used, available, form.sequence, limit, count)
        except UserError as error:
            if study.simulated_tokens is None:
                raise
            left = float(simulated_share(study))
            raise UserError(f"{error} (of which simulated_tokens leaves {left:.3%})") from error
        parts = [Fraction(one.count, _windows(study, manifest, source, one.form)) for one in read if one.count]
        most = sum(math.ceil(part) for part in parts)
        if most > math.ceil(limit):
            raise UserError(
                f"source '{source}' restarts, so some of its windows would be read {most} times and max_epochs is "
                f"{limit}; let it carry on or raise max_epochs"
            )
        epochs[source] = float(sum(parts))
    return epochs


def _identity(
    study: Study,
    manifest: Manifest,
    planned: PlannedStage,
    cut: Mapping[str, int] | None,
    parent: str | None,
) -> dict[str, Any]:
    """Everything that decides the result. Not in it: hosts, devices, paths, logging, the stage's name and kind.

    `cut` are the windows of sources of which only a part is read.
    """
    # Only where it changes what is read, so that a stage keeps its fingerprint when a field is new.
    special: dict[str, Any] = {} if cut is None else {"windows": dict(cut)}
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
    fractions = shares(planned.stage.mixture)
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
        "learning_rates": _rates_digest(planned.schedule, planned.first_step, planned.steps),
        "dtype": study.precision,
        "data_seed": planned.data_seed,
        "init_seed": planned.init_seed,
        "parent": parent,
        **special,
    }


@cache
def _rates_digest(schedule: Schedule, first: int, steps: int) -> str:
    rates = "\n".join(f"{learning_rate(schedule, step):.9e}" for step in range(first, first + steps))
    return hashlib.sha256(rates.encode()).hexdigest()


def data_plan(plan: PreparedPlan, stage: PreparedStage) -> DataPlan:
    """What the loader needs to feed `stage`."""
    stored = None
    if is_cut(plan.study):
        forms = {name: plan.manifest.sources[name].form(stage.stage.infilling) for name in stage.sequences}
        stored = {name: windows_in(form.shard_tokens, stage.sequence) for name, form in forms.items()}
    allocation = allocate(shares(stage.stage.mixture))
    return DataPlan(
        allocation=allocation,
        windows=stage.windows,
        starts=stage.starts,
        data_seed=stage.data_seed,
        batch=plan.study.batch,
        sequence=stage.sequence,
        document_mask=stage.stage.document_mask,
        stored=stored,
    )
