"""The words of an experiment: a study asks a question, its arms are chains of stages."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from analysis.evals import code
from analysis.evals.tasks import parse_task
from mixtures.errors import UserError
from mixtures.mixture import Mixture
from mixtures.prepare import DataSpec
from models.config import ModelConfig
from models.recipe import PRECISIONS, AdamW

KINDS = ("pretrain", "continue", "cooldown")


CONTINUE: Literal["continue"] = "continue"
"""As a learning rate of a stage: the one with which the stage before ended."""
Rate = float | Literal["continue"]


@dataclass(frozen=True)
class Piece:
    """Which part of a longer stage a stage is: `first` tokens of it come before, and its schedule spans `whole`."""

    first: int
    whole: int


@dataclass(frozen=True)
class Stage:
    """One mixture, one token budget, one schedule, and what happens at the boundary to the stage before.

    There, the learning rate warms up again from zero (a warm-up and a peak), jumps (a peak alone), or continues
    (`peak=CONTINUE`), and the optimizer state is kept or reset.

    Attributes:
        kind: pretrain, continue or cooldown.
        mixture: what is read.
        tokens: budget; rounded up to whole steps.
        decay: shape of the learning rate after warm-up: "cosine", "linear", "1-sqrt" or "constant".
        peak: highest learning rate. With CONTINUE, the first update is one step down from where the parent ended.
        end: learning rate of the last step.
        warmup: share of the steps that warm up linearly from zero, or (a whole number) how many steps do.
        restart: sources that start again at their first window here, or True for all; the others carry on.
        document_mask: whether attention stops at document boundaries.
        infilling: whether the sources that the study's data prepare for it are read in fill-in-the-middle order.
        rope_theta: base of the rotary positions; None for that of the stage before, at first the model's.
        sequence: tokens of a training sequence; None for that of the stage before, at first the study's. A step holds
            as many sequences as in any stage.
        stable: share or number of the steps that stay at the peak before the decay begins.
        reset_optimizer: whether moments and their count start again from zero; by default the parent's are kept.
        piece: for a part of a longer stage; `cut` makes these.
    """

    kind: str
    mixture: Mixture
    tokens: int
    decay: str
    peak: Rate
    end: Rate
    warmup: float | int
    restart: frozenset[str] | bool = False
    document_mask: bool = False
    infilling: bool = False
    rope_theta: float | None = None
    sequence: int | None = None
    stable: float | int = 0.0
    reset_optimizer: bool = False
    piece: Piece | None = None

    def restarts(self, source: str) -> bool:
        return self.restart if isinstance(self.restart, bool) else source in self.restart

    @property
    def carries_on(self) -> bool:
        """Whether it is a later piece of the stage before, so that nothing happens at the boundary."""
        return self.piece is not None and self.piece.first > 0


def cut(stage: Stage, *tokens: int) -> tuple[Stage, ...]:
    """`stage` in pieces that end after `tokens` of it and at its end.

    The pieces one after another give what the whole stage gives, bit for bit, and every one of them is a stage with a
    checkpoint, from which other stages can branch. A trunk with a constant rate and a cooldown at each of its points,
    each of the arms as good as a run of that length alone (arXiv:2405.18392):

        trunk = Stage("pretrain", WEB, 200 * B, "constant", PEAK, PEAK, warmup=0.01)
        first, second, third = cut(trunk, 50 * B, 100 * B)
        Arm("50B", "", (first, cooldown(5 * B))), Arm("100B", "", (first, second, cooldown(10 * B))), ...

    Raises:
        UserError: the points do not rise from above zero to below the stage's tokens, or the stage is a piece itself.
    """
    points = (0, *tokens, stage.tokens)
    if stage.piece is not None or any(after <= before for before, after in pairwise(points)):
        raise UserError(
            f"a stage of {stage.tokens:,} tokens of mixture '{stage.mixture.name}' cannot be cut at "
            f"{', '.join(f'{point:,}' for point in tokens)}; give rising points inside a whole stage"
        )
    first, *later = (
        replace(stage, tokens=after - before, piece=Piece(before, stage.tokens)) for before, after in pairwise(points)
    )
    return (first, *(replace(piece, restart=False, reset_optimizer=False) for piece in later))


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
        executed: code tasks, whose problems are answered before and after cooldown and run in the sandbox.
        problems: of each of those, the first by sha256 of the id; None for all.
        samples: answers to each problem: one greedily, or several at temperature 0.8 and top-p 0.95.
    """

    heldout_bytes: int
    every_stage: tuple[str, ...]
    around_cooldown: tuple[str, ...]
    items: int
    executed: tuple[str, ...] = ()
    problems: int | None = None
    samples: int = 1


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
        max_epochs_of: the same for single sources, instead of max_epochs.
        simulated_tokens: budget of the run that the baseline's stands for. Every source is cut to the share
            baseline budget / simulated_tokens of its windows, so that epochs are those of the large run.
        precision: what matrix products are computed in, a name of models.recipe.PRECISIONS.
        z_loss: weight of the squared log-normaliser of the softmax in the gradient; 1e-4 is usual where bfloat16 runs
            diverge.
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
    max_epochs_of: Mapping[str, int | Fraction] = field(default_factory=dict)
    simulated_tokens: int | None = None
    precision: str = "float32"
    z_loss: float = 0.0

    def max_epochs_for(self, source: str) -> int | Fraction:
        return self.max_epochs_of.get(source, self.max_epochs)


def known_studies() -> list[str]:
    package = importlib.import_module("experiments.studies")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find_study(name: str) -> Study:
    """The STUDY of experiments/studies/<name>.py.

    Raises:
        UserError: there is no such study, or it is declared badly.
    """
    known = known_studies()
    module = name.replace("-", "_")
    if module not in known:
        raise UserError(f"study '{name}' is unknown; known studies: {', '.join(known)}")
    study: Study = importlib.import_module(f"experiments.studies.{module}").STUDY
    check(study)
    return study


def check(study: Study) -> None:
    """Refuse a study that cannot mean what it says.

    Raises:
        UserError: an unknown baseline, kind, source, task or precision, a doubled arm, no seed, or infilling that is
            not prepared.
    """
    names = [arm.name for arm in study.arms]
    if study.baseline not in names:
        raise UserError(f"study '{study.name}': baseline '{study.baseline}' is not one of its arms {', '.join(names)}")
    if len(set(names)) < len(names):
        raise UserError(f"study '{study.name}': two arms have one name; arms: {', '.join(names)}")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise UserError(f"study '{study.name}': seeds {study.seeds} are empty or doubled; give distinct seeds")
    if study.precision not in PRECISIONS:
        raise UserError(
            f"study '{study.name}': precision '{study.precision}' is unknown; choose one of {', '.join(PRECISIONS)}"
        )
    _check_evaluation(study)
    _check_sources(study, "max_epochs_of", study.max_epochs_of)
    for arm in study.arms:
        for stage in arm.stages:
            if stage.kind not in KINDS:
                raise UserError(f"arm '{arm.name}': stage kind '{stage.kind}' is not one of {', '.join(KINDS)}")
            if not isinstance(stage.restart, bool):
                _check_sources(study, f"the restart of arm '{arm.name}'", sorted(stage.restart))
            if stage.infilling and study.data.fim is None:
                raise UserError(
                    f"arm '{arm.name}' asks for infilling, and the data of study '{study.name}' are prepared without; "
                    "give its DataSpec a fim"
                )


def _check_evaluation(study: Study) -> None:
    size = study.evaluation
    for name in (*size.every_stage, *size.around_cooldown):
        parse_task(name)
    for name in size.executed:
        if name not in code.TASKS:
            raise UserError(f"study '{study.name}': code task '{name}' is unknown; known are {', '.join(code.TASKS)}")
    if size.samples < 1 or (size.problems is not None and size.problems < 1):
        raise UserError(
            f"study '{study.name}': {size.samples} answers to each of {size.problems} problems; ask for at least one"
        )


def _check_sources(study: Study, what: str, names: Iterable[str]) -> None:
    known = [source.name for source in study.data.sources]
    for name in names:
        if name not in known:
            raise UserError(f"study '{study.name}': {what} names source '{name}'; its sources are {', '.join(known)}")


def check_boundaries(arm: Arm) -> None:
    """Refuse stages that do not fit the stage before them.

    Raises:
        UserError: a rate continues with no stage before or after a warm-up, or a piece does not follow its trunk.
    """
    for before, stage in pairwise((None, *arm.stages)):
        assert stage is not None
        what = f"arm '{arm.name}': its stage of mixture '{stage.mixture.name}'"
        if before is None and CONTINUE in (stage.peak, stage.end):
            raise UserError(f"{what} continues a learning rate, but is the first; give it a peak and an end")
        if stage.peak == CONTINUE and stage.warmup:
            raise UserError(f"{what} continues the learning rate, so it cannot warm up; set warmup=0 or a peak")
        if stage.carries_on and not (before is not None and _follows(before, stage)):
            raise UserError(f"{what} is a later piece of a longer one; put the pieces before it in front of it")


def _follows(before: Stage, stage: Stage) -> bool:
    """Whether `stage` is the next piece of the stage that `before` is a piece of."""
    assert stage.piece is not None
    next_piece = replace(
        before,
        tokens=stage.tokens,
        piece=Piece(before.tokens + (before.piece.first if before.piece else 0), stage.piece.whole),
        restart=stage.restart,
        reset_optimizer=stage.reset_optimizer,
    )
    return next_piece == stage
