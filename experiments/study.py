"""The words of an experiment: a study asks a question, its arms are chains of stages."""

import importlib
import pkgutil
from dataclasses import dataclass

from mixtures.errors import UserError
from mixtures.mixture import Mixture
from mixtures.prepare import DataSpec
from models.config import ModelConfig
from models.recipe import AdamW

KINDS = ("pretrain", "continue", "cooldown")


@dataclass(frozen=True)
class Stage:
    """One mixture, one token budget, one schedule. The optimizer state of the stage before is kept.

    Attributes:
        kind: pretrain, continue or cooldown.
        mixture: what is read.
        tokens: budget; rounded up to whole steps.
        decay: shape of the learning rate after warm-up, "cosine" or "linear".
        peak: highest learning rate.
        end: learning rate of the last step.
        warmup: share of the steps that warm up linearly from zero.
    """

    kind: str
    mixture: Mixture
    tokens: int
    decay: str
    peak: float
    end: float
    warmup: float


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in seed."""

    name: str
    description: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Evaluation:
    """What is scored, and how much of it.

    Attributes:
        heldout_bytes: held-out text per kind, at the end of every stage.
        every_stage: benchmarks whose gold answers are scored whole at the end of every stage.
        around_cooldown: benchmarks that are asked before and after cooldown.
        items: items of each of those, the first by sha256 of the id.
    """

    heldout_bytes: int
    every_stage: tuple[str, ...]
    around_cooldown: tuple[str, ...]
    items: int


@dataclass(frozen=True)
class Study:
    """Arms that answer one question, with a baseline.

    Attributes:
        name: what the command line calls it.
        question, hypothesis: prose for the report.
        baseline: the arm that the others are compared with.
        arms: in the order in which to show them.
        seeds: every arm is run with each; arms pair on equal seeds.
        model, sequence, batch, optimizer: the same for all arms; batch in sequences.
        data: the catalogue and the tokenizer.
        max_epochs: how often a lineage may read one source.
        evaluation: how much is scored.
        primary: metrics of the declared family, compared at the end of the runs.
    """

    name: str
    question: str
    hypothesis: str
    baseline: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    model: ModelConfig
    sequence: int
    batch: int
    optimizer: AdamW
    data: DataSpec
    max_epochs: int
    evaluation: Evaluation
    primary: tuple[str, ...]


def find_study(name: str) -> Study:
    """The STUDY of experiments/studies/<name>.py.

    Raises:
        UserError: there is no such study, or it is declared badly.
    """
    package = importlib.import_module("experiments.studies")
    known = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    module = name.replace("-", "_")
    if module not in known:
        raise UserError(f"study '{name}' is unknown; known studies: {', '.join(known)}")
    study: Study = importlib.import_module(f"experiments.studies.{module}").STUDY
    check(study)
    return study


def check(study: Study) -> None:
    """Refuse a study that cannot mean what it says.

    Raises:
        UserError: a baseline, kind or source that does not exist, a doubled arm name, or no seed.
    """
    names = [arm.name for arm in study.arms]
    if study.baseline not in names:
        raise UserError(f"study '{study.name}': baseline '{study.baseline}' is not one of its arms {', '.join(names)}")
    if len(set(names)) < len(names):
        raise UserError(f"study '{study.name}': two arms have one name; arms: {', '.join(names)}")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise UserError(f"study '{study.name}': seeds {study.seeds} are empty or doubled; give distinct seeds")
    for arm in study.arms:
        for stage in arm.stages:
            if stage.kind not in KINDS:
                raise UserError(f"arm '{arm.name}': stage kind '{stage.kind}' is not one of {', '.join(KINDS)}")
