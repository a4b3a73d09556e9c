"""The words of a plan: a stage of its DAG, and the DAG."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from experiments.study import Stage, Study
from mixtures.prepare import kinds
from mixtures.tokens.manifest import Manifest
from models.config import ModelConfig
from models.devices.flops import train_flops_per_token
from models.schedules import Schedule, learning_rate


@dataclass(frozen=True)
class Form:
    """How a source is cut into windows: their length, and whether its documents stand in fill-in-the-middle order."""

    sequence: int
    infilling: bool


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the DAG, as it is known before its data are prepared.

    Attributes:
        id: readable and unique in the study: the mixtures of the lineage, then the seed. The pieces of a stage that
            was cut count as one mixture, with the step at which the last of them ends.
        arms: the arms that read it.
        parent: id of the stage before.
        steps: updates of this stage.
        schedule: of the stage, or of the whole one that it is a piece of.
        first_step: steps of the whole stage before this piece of it: schedule and order of the data carry on.
        starts: sequences of every source that the lineage read before the (whole) stage, since its last restart.
        sequences: sequences of every source that this stage reads.
        sequence: tokens of one.
        model: the study's, with the stage's rotary positions.
    """

    id: str
    arms: tuple[str, ...]
    seed: int
    stage: Stage
    parent: str | None
    steps: int
    schedule: Schedule
    first_step: int
    starts: Mapping[str, int]
    sequences: Mapping[str, int]
    tokens_before: int
    sequence: int
    model: ModelConfig

    @property
    def form(self) -> Form:
        return Form(self.sequence, self.stage.infilling)

    def rate(self, step: int) -> float:
        """The learning rate of update `step` of this stage, counted from 0."""
        return learning_rate(self.schedule, self.first_step + step)

    @property
    def tokens(self) -> int:
        return sum(self.sequences.values()) * self.sequence

    @property
    def tokens_by_source(self) -> dict[str, int]:
        return {source: count * self.sequence for source, count in self.sequences.items()}


@dataclass(frozen=True)
class PreparedStage(PlannedStage):
    """A stage whose data are prepared, so that all that decides its result is known.

    Attributes:
        windows: sequences in one epoch of every source.
        epochs: how often the lineage has read every source at the end.
        identity: everything that decides the result, of which the fingerprint is the hash.
    """

    windows: Mapping[str, int]
    epochs: Mapping[str, float]
    identity: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """Name under stages/."""
        return f"{self.id}-{self.fingerprint}"


@dataclass(frozen=True)
class Plan:
    """All stages in an order in which parents come first, and the chain of every run.

    `changes` says what of the sources is not what was prepared last, a line each.
    """

    study: Study
    stages: tuple[PlannedStage, ...]
    runs: Mapping[tuple[str, int], tuple[str, ...]]
    changes: tuple[str, ...]

    def stage(self, id: str) -> PlannedStage:
        return next(stage for stage in self.stages if stage.id == id)

    @cached_property
    def kinds(self) -> dict[str, str]:
        return kinds(self.study.data)

    def tokens_by_kind(self, stage: PlannedStage) -> dict[str, int]:
        totals: Counter[str] = Counter()
        for source, tokens in stage.tokens_by_source.items():
            totals[self.kinds[source]] += tokens
        return dict(totals)

    def flops(self, stage: PlannedStage) -> float:
        return float(stage.tokens * train_flops_per_token(stage.model, stage.sequence))


@dataclass(frozen=True)
class PreparedPlan(Plan):
    """A plan that can be run: its data are prepared, as the manifest says."""

    stages: tuple[PreparedStage, ...]
    manifest: Manifest

    def stage(self, id: str) -> PreparedStage:
        return next(stage for stage in self.stages if stage.id == id)
