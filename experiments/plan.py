"""What a study will run: a DAG of stages in which arms share what is equal. Loads no jax.

A stage's fingerprint is the hash of everything that decides its result; two runs share a stage if and only if
their fingerprints match. Before the data are prepared the plan is exact in tokens and steps, and fingerprints and
epochs are unknown.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.study import Stage, Study
from mixtures.allocate import allocate, check_supply, cumulative, steps_for
from mixtures.errors import UserError
from mixtures.loader import DataPlan
from mixtures.manifest import Manifest, read_manifest
from mixtures.mixture import shares
from mixtures.order import ORDER_VERSION
from mixtures.prepare import kinds, prepared_folder
from mixtures.store import windows_in
from models.flops import train_flops_per_token
from models.recipe import NUMERICS_VERSION
from models.schedules import Schedule, learning_rate


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the DAG.

    Attributes:
        id: readable and unique in the study: the mixtures of the lineage, then the seed.
        arms: the arms that read it.
        parent: id of the stage before.
        starts: sequences of every source that the lineage read before.
        sequences: sequences of every source that this stage reads.
        epochs: how often the lineage has read every source at the end; None before preparation.
        identity, fingerprint: None before preparation.
    """

    id: str
    arms: tuple[str, ...]
    seed: int
    stage: Stage
    parent: str | None
    steps: int
    schedule: Schedule
    starts: Mapping[str, int]
    sequences: Mapping[str, int]
    tokens_before: int
    sequence: int
    epochs: Mapping[str, float] | None
    identity: Mapping[str, Any] | None

    @cached_property
    def fingerprint(self) -> str | None:
        if self.identity is None:
            return None
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """Name under stages/; only a prepared plan has it."""
        return f"{self.id}-{self.fingerprint}"

    @property
    def tokens(self) -> int:
        return sum(self.sequences.values()) * self.sequence

    @property
    def tokens_by_source(self) -> dict[str, int]:
        return {source: count * self.sequence for source, count in self.sequences.items()}


@dataclass(frozen=True)
class Plan:
    """All stages in an order in which parents come first, and the chain of every run."""

    study: Study
    stages: tuple[PlannedStage, ...]
    runs: Mapping[tuple[str, int], tuple[str, ...]]
    manifest: Manifest | None

    def stage(self, id: str) -> PlannedStage:
        return next(stage for stage in self.stages if stage.id == id)

    @cached_property
    def kinds(self) -> dict[str, str]:
        return kinds(self.study.data)

    def tokens_by_kind(self, stage: PlannedStage) -> dict[str, int]:
        totals: dict[str, int] = {}
        for source, tokens in stage.tokens_by_source.items():
            totals[self.kinds[source]] = totals.get(self.kinds[source], 0) + tokens
        return totals

    def flops(self, stage: PlannedStage) -> float:
        return float(stage.tokens * train_flops_per_token(self.study.model, self.study.sequence))


def make_plan(study: Study, store: Path) -> Plan:
    """Lay out the DAG of `study`, with epochs and fingerprints when its data are prepared in `store`.

    Raises:
        UserError: a mixture, budget or schedule that cannot be met; the message names the source or stage.
    """
    manifest = read_manifest(prepared_folder(study.data, store))
    stages: dict[str, PlannedStage] = {}
    runs: dict[tuple[str, int], tuple[str, ...]] = {}
    for seed in study.seeds:
        for arm in study.arms:
            chain: list[PlannedStage] = []
            for stage in arm.stages:
                planned = _plan_stage(study, manifest, arm.name, seed, stage, chain)
                chain.append(_merge(stages, planned))
            runs[arm.name, seed] = tuple(stage.id for stage in chain)
    return Plan(study, tuple(stages.values()), runs, manifest)


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
    steps = steps_for(stage.tokens, study.batch, study.sequence)
    fractions = shares(stage.mixture)
    unknown = sorted(set(fractions) - set(kinds(study.data)))
    if unknown:
        raise UserError(
            f"mixture '{stage.mixture.name}' names source '{unknown[0]}', which study '{study.name}' does not have; "
            f"its sources: {', '.join(kinds(study.data))}"
        )
    counts = cumulative(allocate(fractions), steps * study.batch)
    sequences = {source: int(count) for source, count in zip(fractions, counts, strict=True)}
    starts = {source: sum(before.sequences.get(source, 0) for before in chain) for source in fractions}
    epochs = _epochs(study, manifest, starts, sequences) if manifest else None
    warmup = int(stage.warmup * steps)
    schedule = Schedule(stage.decay, stage.peak, stage.end, warmup, steps)
    names = [before.stage.mixture.name for before in chain] + [stage.mixture.name]
    planned = PlannedStage(
        id=f"{'-to-'.join(names)}-s{seed}",
        arms=(arm,),
        seed=seed,
        stage=stage,
        parent=chain[-1].id if chain else None,
        steps=steps,
        schedule=schedule,
        starts=starts,
        sequences=sequences,
        tokens_before=sum(before.tokens for before in chain),
        sequence=study.sequence,
        epochs=epochs,
        identity=None,
    )
    if manifest is None:
        return planned
    identity = _identity(study, manifest, planned, fractions, chain[-1].fingerprint if chain else None)
    return replace(planned, identity=identity)


def _epochs(
    study: Study, manifest: Manifest, starts: Mapping[str, int], sequences: Mapping[str, int]
) -> dict[str, float]:
    epochs = {}
    for source, count in sequences.items():
        windows = windows_in(manifest.sources[source].tokens, study.sequence)
        check_supply(source, starts[source] + count, windows, study.sequence, study.max_epochs, count)
        epochs[source] = (starts[source] + count) / windows
    return epochs


def _identity(
    study: Study,
    manifest: Manifest,
    planned: PlannedStage,
    fractions: Mapping[str, Fraction],
    parent: str | None,
) -> dict[str, Any]:
    """Everything that decides the result. Not in it: hosts, devices, paths, logging, the stage's name and kind."""
    rates = "\n".join(f"{learning_rate(planned.schedule, step):.9e}" for step in range(planned.steps))
    return {
        "numerics_version": NUMERICS_VERSION,
        "order_version": ORDER_VERSION,
        "mixture": {source: str(share) for source, share in fractions.items()},
        "data": {source: manifest.sources[source].digest for source in fractions},
        "starts": dict(planned.starts),
        "tokenizer": manifest.tokenizer_digest,
        "batch": study.batch,
        "sequence": study.sequence,
        "steps": planned.steps,
        "model": asdict(study.model),
        "optimizer": asdict(study.optimizer),
        "learning_rates": hashlib.sha256(rates.encode()).hexdigest(),
        "dtype": "float32",
        "data_seed": planned.seed,
        "init_seed": planned.seed,
        "parent": parent,
    }


def data_plan(plan: Plan, stage: PlannedStage) -> DataPlan:
    """What the loader needs to feed `stage`; the data must be prepared."""
    assert plan.manifest is not None
    windows = {s: windows_in(plan.manifest.sources[s].tokens, stage.sequence) for s in stage.sequences}
    allocation = allocate(shares(stage.stage.mixture))
    return DataPlan(allocation, windows, stage.starts, stage.seed, plan.study.batch, stage.sequence)
