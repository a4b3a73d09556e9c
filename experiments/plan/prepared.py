"""What is known of a plan once its data are prepared: identities, and what the loader reads. Loads no jax.

A stage's fingerprint is the hash of everything that decides its result; two runs share a stage if and only if
their fingerprints match.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from experiments.plan import supply
from experiments.plan.stage import FINGERPRINT, Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.study import Study
from mixtures.allocate import allocate
from mixtures.mixture import shares
from mixtures.order import ORDER_VERSION, DataPlan
from mixtures.tokens.arrays import windows_in
from mixtures.tokens.manifest import Manifest
from models.recipe import NUMERICS_VERSION
from models.schedules import Schedule, learning_rate
from store import layout
from store.paths import names


def with_data(plan: Plan, manifest: Manifest, store: Path) -> PreparedPlan:
    """`plan` on the data of `manifest`, with the stages that other studies left in `store` under their names."""
    stages: dict[str, PreparedStage] = {}
    folders = {name[-FINGERPRINT:]: name for name in names(store / layout.STAGES)}
    for planned in plan.stages:
        parent = stages[planned.parent].fingerprint if planned.parent else None
        stages[planned.id] = _prepared(plan.study, manifest, planned, parent, folders)
    return PreparedPlan(plan.study, tuple(stages.values()), plan.runs, plan.changes, manifest)


def _prepared(
    study: Study,
    manifest: Manifest,
    planned: PlannedStage,
    parent: str | None,
    folders: Mapping[str, str],
) -> PreparedStage:
    in_store = supply.prepared(study, manifest)
    windows = {source: in_store(source, planned.form) for source in planned.sequences}
    identity = _identity(study, manifest, planned, windows if supply.is_cut(study) else None, parent)
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:FINGERPRINT]
    folder = folders.get(fingerprint, f"{planned.id}-{fingerprint}")
    return PreparedStage(**vars(planned), windows=windows, identity=identity, folder=folder)


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
    if planned.first_read:
        special["first_step"] = planned.first_read
    fractions = shares(planned.stage.mixture)
    return {
        "numerics_version": NUMERICS_VERSION,
        "order_version": ORDER_VERSION,
        # Pairs, because the order of sources breaks ties between them and the keys of an object are sorted.
        "mixture": [[source, str(share)] for source, share in fractions.items()],
        "data": {
            source: manifest.sources[source].form(planned.sequence, planned.stage.infilling).digest
            for source in fractions
        },
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
    if supply.is_cut(plan.study):
        forms = {
            name: plan.manifest.sources[name].form(stage.sequence, stage.stage.infilling) for name in stage.sequences
        }
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
