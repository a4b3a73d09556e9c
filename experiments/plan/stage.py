"""The words of a plan: a stage of its DAG, and the DAG."""

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from analysis.evals.tasks import task_name
from analysis.metrics import FRESH, HELDOUT
from experiments.study import Stage, Study
from mixtures.mixture import shares
from mixtures.prepare import kinds
from mixtures.tokens.manifest import Manifest
from models.config import ModelConfig
from models.devices.flops import train_flops_per_token
from models.recipe import AdamW
from models.schedules import Schedule, learning_rate

FINGERPRINT = 16
"""Digits of one, with which the name of a stage's folder ends."""


@dataclass(frozen=True)
class Form:
    """How a source is cut into windows: their length, and whether its documents stand in fill-in-the-middle order."""

    sequence: int
    infilling: bool


@dataclass(frozen=True)
class StageStart:
    """A checkpoint of another study's stage, in the same store, from which a run starts.

    Attributes:
        study: which trains it, as it is typed.
        stage: its id there.
        folder: under stages/; None until the data of that study are prepared.
        step: of the checkpoint.
        last: the step at which that stage ends.
        tokens: that its lineage read up to the checkpoint.
        rate: of the update before it.
        model: of that stage.
        tokenizer: digest of that study's; None until its data are prepared.
        keeps_optimizer: whether the moments come with the weights.
    """

    study: str
    stage: str
    folder: str | None
    step: int
    last: int
    tokens: int
    rate: float
    model: ModelConfig
    tokenizer: str | None
    keeps_optimizer: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.stage} of {self.study}" + (f" at step {self.step}" if self.step < self.last else "")

    @property
    def stem(self) -> str:
        """How the ids of what follows begin."""
        lineage = self.stage.rpartition("-s")[0].removesuffix(f"-{self.model.name}")
        return lineage if self.step == self.last else f"{lineage}@{self.step}"

    @property
    def identity(self) -> str | None:
        """Of the weights; None while it is not known."""
        return None if self.folder is None else self.folder[-FINGERPRINT:]


@dataclass(frozen=True)
class FolderStart:
    """A Hugging Face folder from whose weights a run starts.

    Attributes:
        folder: of this machine.
        model: that its config.json describes.
        tokenizer: digest of its own.
        digest: of configuration and weights; None until it is looked for.
    """

    folder: Path
    model: ModelConfig
    tokenizer: str
    digest: str | None = None
    tokens: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return str(self.folder)

    @property
    def stem(self) -> str:
        """How the ids of what follows begin."""
        return re.sub(r"[^\w+.@-]+", "-", self.folder.resolve().name).lstrip(".-") or "folder"

    @property
    def identity(self) -> str | None:
        """Of the weights; None while it is not known."""
        return self.digest


Start = StageStart | FolderStart


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the DAG, as it is known before its data are prepared.

    Attributes:
        id: readable and unique in the study: the mixtures of the lineage, then the seed. The pieces of a stage that
            was cut count as one mixture, with the step at which the last of them ends.
        arms: the arms that read it.
        seed: of the first run that reads it.
        init_seed, data_seed: what draws the weights, and the order of the data.
        parent: id of the stage before.
        steps: updates of this stage.
        schedule: of the stage, or of the whole one that it is a piece of.
        first_step: steps of the whole stage before this piece of it, from which its schedule carries on.
        first_read: of these, steps that read its mixture, so that the order of the data carries on from there.
        starts: sequences of every source that the lineage read before the (whole) stage, since its last restart.
        sequences: sequences of every source that this stage reads.
        epochs: how often the lineage has read every source at the end; by the catalogue's counts until the data are
            prepared, and only of those sources that have one.
        sequence: tokens of one.
        batch: sequences of a step.
        optimizer: its settings.
        model: the study's, with the stage's rotary positions.
        start: where a first stage starts; None for fresh weights.
    """

    id: str
    arms: tuple[str, ...]
    seed: int
    init_seed: int
    data_seed: int
    stage: Stage
    parent: str | None
    steps: int
    schedule: Schedule
    first_step: int
    first_read: int
    starts: Mapping[str, int]
    sequences: Mapping[str, int]
    epochs: Mapping[str, float]
    tokens_before: int
    sequence: int
    batch: int
    optimizer: AdamW
    model: ModelConfig
    start: Start | None = field(default=None, kw_only=True)

    @property
    def form(self) -> Form:
        return Form(self.sequence, self.stage.infilling)

    @property
    def decisive(self) -> Hashable:
        """All that decides its result besides study and data, and no name: where it is equal there is one stage."""
        stage = self.stage
        return (
            *(stage.kind, tuple(shares(stage.mixture).items()), self.parent, self.schedule),
            *(self.first_step, self.first_read, self.steps, tuple(self.starts.items()), self.sequence),
            *(self.batch, self.optimizer, self.start),
            *(self.model, self.init_seed, self.data_seed),
            *(stage.document_mask, stage.infilling, stage.reset_optimizer, stage.objective),
        )

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
        identity: everything that decides the result, of which the fingerprint is the hash.
        folder: name under stages/: what the first study that read it called it, and its fingerprint.
    """

    windows: Mapping[str, int]
    identity: Mapping[str, Any]
    folder: str

    @property
    def fingerprint(self) -> str:
        return self.folder[-FINGERPRINT:]


@dataclass(frozen=True)
class Plan:
    """All stages in an order in which parents come first, and the chain of every run.

    `changes` says what of the sources is not what was prepared last, a line each. `needed` are the parts of other
    studies' plans that are trained first.
    """

    study: Study
    stages: tuple[PlannedStage, ...]
    runs: Mapping[tuple[str, int], tuple[str, ...]]
    changes: tuple[str, ...]
    needed: tuple["Plan", ...] = field(default=(), kw_only=True)

    def stage(self, id: str) -> PlannedStage:
        return self._by_id[id]

    @cached_property
    def _by_id(self) -> dict[str, Any]:
        return {stage.id: stage for stage in self.stages}

    @cached_property
    def kinds(self) -> dict[str, str]:
        return kinds(self.study.data)

    @cached_property
    def compared(self) -> frozenset[str]:
        """The stages at whose ends arms are compared: the last of every run, cooldowns, and what stands before one."""
        last = {chain[-1] for chain in self.runs.values()}
        cooldowns = [stage for stage in self.stages if stage.stage.kind == "cooldown"]
        return frozenset({*last, *(each.id for each in cooldowns), *(each.parent for each in cooldowns if each.parent)})

    @cached_property
    def task_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is scored at the end of every stage, and what besides where arms are compared."""
        evaluation = self.study.evaluation
        heldout = [f"{HELDOUT}{kind}" for kind in dict.fromkeys(self.kinds.values())]
        always = (*heldout, *map(task_name, evaluation.every_stage))
        fresh = [f"{FRESH}{kind}" for kind in evaluation.fresh.kinds] if evaluation.fresh else []
        return always, (*fresh, *map(task_name, evaluation.compared), *evaluation.executed)

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
        return cast(PreparedStage, self._by_id[id])
