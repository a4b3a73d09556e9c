"""The words of an experiment: a study asks a question, its arms are chains of stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from analysis.composite import Composite
from analysis.evals.tasks import WINDOW_BYTES, Asked, Place, task_name
from mixtures.catalogue.made import promised
from mixtures.catalogue.source import Source
from mixtures.fresh.pinned import Fresh
from mixtures.mixture import Mixture
from mixtures.prepare import DataSpec
from models.config import ModelConfig
from models.recipe import AdamW, NextToken, Ranking

STAGE_KINDS = ("pretrain", "continue", "cooldown", "finetune")

Count = Annotated[int, Gt(0)]
Size = Annotated[int, Interval(gt=0, le=2**24)]
"""Of a sequence in tokens, or of a batch in sequences."""
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
Steps = Annotated[float, Interval(ge=0, lt=1)] | Annotated[Fraction, Interval(ge=0, lt=1)] | Annotated[int, Ge(0)]
"""A share of a stage's steps, or with a whole number so many."""

CONTINUE: Literal["continue"] = "continue"
"""As a learning rate of a stage: the one with which the stage before ended."""
Rate = Annotated[float, Ge(0)] | Literal["continue"]


@dataclass(frozen=True)
class Piece:
    """Which part of a longer stage a stage is: `first` tokens of it come before, and its schedule spans `whole`.

    Where it `turns`, nothing but the schedule is that of the parts before: mixture and data are as at any boundary.
    """

    first: Annotated[int, Ge(0)]
    whole: Annotated[int, Gt(0)]
    turns: bool = False


@dataclass(frozen=True)
class Epochs:
    """A budget: as many tokens as it takes to read `source` so often, in whole steps and never more often."""

    source: str
    count: Count | Annotated[Fraction, Gt(0)]


@dataclass(frozen=True)
class Stage:
    """One mixture, one token budget, one schedule, and what happens at the boundary to the stage before.

    There, the learning rate warms up again from zero (a warm-up and a peak), jumps (a peak alone), or continues
    (`peak=CONTINUE`), and the optimizer state is kept or reset.

    Attributes:
        kind: pretrain, continue, cooldown or finetune.
        mixture: what is read.
        tokens: budget; rounded up to whole steps. 0 where `epochs` says it; a plan has the number there, too.
        decay: shape of the learning rate after warm-up: "cosine", "linear", "1-sqrt" or "constant".
        peak: highest learning rate. With CONTINUE, the first update is one step down from where the parent ended.
        end: learning rate of the last step.
        warmup: share of the steps that warm up linearly from zero, or (a whole number) how many steps do.
        restart: sources that start again at their first window here, or True for all; the others carry on.
        document_mask: whether attention stops at document boundaries.
        infilling: whether the sources that the study's data prepare for it are read in fill-in-the-middle order.
        rope_theta: base of the rotary positions; None for that of the stage before, at first the model's, or that of
            the weights that the run starts from.
        sequence: tokens of a training sequence; None for that of the stage before, at first the study's.
        stable: share or number of the steps that stay at the peak before the decay begins.
        reset_optimizer: whether moments and their count start again from zero; by default the parent's are kept.
        scored: whether all that is asked of the end of a run is asked at the end of this stage, too.
        piece: for a part of a longer stage; `pieces.cut` and `pieces.turned` make these.
        epochs: the budget in passes over a source, in place of `tokens`.
        batch: sequences of a step; None for that of the stage before, at first the study's.
        optimizer: its settings; None for those of the stage before, at first the study's.
        objective: what is minimised.
    """

    kind: str
    mixture: Mixture
    tokens: Annotated[int, Ge(0)]
    decay: str
    peak: Rate
    end: Rate
    warmup: Steps
    restart: frozenset[str] | bool = False
    document_mask: bool = False
    infilling: bool = False
    rope_theta: Annotated[float, Gt(0)] | None = None
    sequence: Size | None = None
    stable: Steps = 0.0
    reset_optimizer: bool = False
    scored: bool = False
    piece: Piece | None = None
    epochs: Epochs | None = None
    batch: Size | None = None
    optimizer: AdamW | None = None
    objective: NextToken | Ranking = NextToken()  # noqa: RUF009 - immutable

    def restarts(self, source: str) -> bool:
        return self.restart if isinstance(self.restart, bool) else source in self.restart

    @property
    def carries_on(self) -> bool:
        """Whether it is a later piece of the stage before, so that nothing happens at the boundary."""
        return self.piece is not None and self.piece.first > 0 and not self.piece.turns


@dataclass(frozen=True)
class FromStage:
    """Weights that another study has trained, in the same store; `ablate run` trains them first if it has not.

    The data are read from their beginning. With the moments, and of data that were not read before, it is what one more
    stage of that arm would be, to the bit. A stage keeps its newest two checkpoints; who wants others to be there cuts
    it (`pieces.cut_every`) and names the piece as `stage`.

    Attributes:
        study: that trained them.
        arm: of which run; each seed starts from the same seed's, or from `seed`'s.
        stage: number of the stage in that arm, the last by default.
        step: of its checkpoints; None for its end.
        seed: whose run, for all.
        keep_optimizer: whether the moments come with the weights.
    """

    study: "Study"
    arm: str
    stage: int = -1
    step: Count | None = None
    seed: Seed | None = None
    keep_optimizer: bool = False


@dataclass(frozen=True)
class FromFolder:
    """Weights in a Hugging Face folder of this architecture: one that `ablate export` wrote, or a foreign one.

    They are known by their contents, wherever the folder is. The study's data take the tokenizer that lies there.
    """

    folder: Path


INFERENCE = ("float32", "bfloat16", "int8", "int4")
"""What a model computes with when it is scored; integers are those of the weights alone."""


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in seed.

    Attributes:
        name, description: as tables and the report have them.
        stages: what a run reads, in order.
        model: if it is another than the study's.
        against: the arm that it is compared with, if that is not the study's baseline; its own name for none.
        origin: where the paper has it, or why we have it where the paper has not.
        start: where its runs start; None for fresh weights.
        inference: one of INFERENCE; arms that differ in it alone are one run, scored in several ways.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    model: ModelConfig | None = None
    against: str | None = None
    origin: str = ""
    start: FromStage | FromFolder | None = None
    inference: str = "float32"


@dataclass(frozen=True)
class Reference:
    """A teacher that knows: the problems' own solutions."""


@dataclass(frozen=True)
class Endpoint:
    """A teacher behind an OpenAI-compatible server, whose answers are kept and replayed.

    Attributes:
        model, base_url: the server, and what it calls the model.
        dollars_per_million: price of tokens, in and out.
        max_dollars: what one command may spend there; nothing is sent where an estimate is above.
    """

    model: str
    base_url: str
    dollars_per_million: tuple[float, float] | None = None
    max_dollars: float | None = None


@dataclass(frozen=True)
class Made:
    """A source that checkpoints write: answers to problems, executed, scored, and kept as documents.

    Attributes:
        source: its name; the study's data have a source of this name, which is read as soon as it is made.
        task: the code task whose problems are asked.
        problems: the first so many by sha256 of the id; None for all.
        student: who answers.
        teachers: who answers beside it; may be none.
        samples: answers of the student, and of each teacher that draws, to each problem.
        temperatures: they are drawn at, in turn.
        top_p: share of the probability that tokens are drawn from.
        keep: "ranked" keeps all answers to a problem with their scores, "passed" the first that passes.
        drop_worse_teacher: whether a problem goes that the student solves better than every teacher (PanGu-Coder2,
            arXiv:2307.14936, section 3).
        expected_tokens: as of a source, for plans before it is made.
    """

    source: str
    task: str
    problems: Count | None
    student: FromStage
    teachers: tuple[FromStage | Reference | Endpoint, ...] = ()
    samples: Count = 4
    temperatures: tuple[Annotated[float, Ge(0)], ...] = (0.2, 0.8)
    top_p: Annotated[float, Interval(gt=0, le=1)] = 0.95
    keep: Literal["ranked", "passed"] = "ranked"
    drop_worse_teacher: bool = True
    expected_tokens: Count | None = None

    @property
    def placeholder(self) -> Source:
        """For the sources of a study: planned by `expected_tokens`, and not to be read until it is made."""
        return promised(self.source, expected_tokens=self.expected_tokens)


@dataclass(frozen=True)
class Cap:
    """How often a lineage may read a source, with the reason."""

    epochs: Count | Annotated[Fraction, Gt(0)]
    why: str


@dataclass(frozen=True)
class Expected:
    """What a study expects of an arm, against the arm that it is compared with, at the end of the runs.

    Attributes:
        arm, metric: of which one.
        direction: whether its value is higher, lower, or about the same; bits per byte are lower in better models.
        paper: the paper's figure, with its place; or what was foretold.
    """

    arm: str
    metric: str
    direction: Literal["higher", "lower", "same"]
    paper: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What is scored, and how much of it.

    Attributes:
        heldout_bytes: held-out text per kind, at the end of every stage.
        every_stage: benchmarks whose gold answers are scored whole at the end of every stage: names, or files of rows.
        compared: benchmarks that are asked where arms are compared: at the end of every run, before and after a
            cooldown, and at the end of stages that say `scored`.
        items: items of each of those, the first by sha256 of the id.
        executed: code tasks, whose problems are answered at the same places and run in the sandbox; under a decoding
            of a name, or with holes to fill, as analysis/evals/executed_tasks.py says.
        problems: of each of those, the first by sha256 of the id; None for all.
        samples: answers to each problem: one greedily, or several at temperature 0.8 and top-p 0.95.
        heldout_window: bytes that are scored of a held-out document, at most.
        heldout_place: where they lie in it: "hash", at a place chosen by the hash of its id, or "start".
        fresh: documents that appeared after all that is trained on; of each kind as much as of held-out text is
            predicted, in windows like its, where arms are compared.
    """

    heldout_bytes: Annotated[int, Ge(0)]
    every_stage: tuple[Asked, ...]
    compared: tuple[Asked, ...]
    items: Annotated[int, Ge(0)]
    executed: tuple[str, ...] = ()
    problems: Count | None = None
    samples: Count = 1
    heldout_window: Count = WINDOW_BYTES
    heldout_place: Place = "hash"
    fresh: Fresh | None = None

    @property
    def asked(self) -> dict[str, Asked]:
        """The benchmarks as they are asked for, by their tasks' names."""
        return {task_name(each): each for each in (*self.every_stage, *self.compared)}

    @property
    def can_be_left_out(self) -> set[str]:
        """What `--without` may name."""
        return {*self.asked, *self.executed, "executed", *(("fresh",) if self.fresh else ())}


@dataclass(frozen=True)
class Study:
    """Arms that answer one question, with a baseline.

    Attributes:
        name: what the command line calls it.
        question, hypothesis: prose for the report.
        baseline: the arm that the others are compared with.
        arms: in the order in which to show them.
        seeds: every arm is run with each; arms pair on equal seeds. With S of them a difference of so many per cent of
            the level can be found four times in five, before any correction (the median of the quickstart's 18
            likelihood metrics): 10.6 with 2, 4.2 with 3, 2.5 with 5, 1.9 with 8. `ablate plan` says it of each
            comparison.
        model, sequence, batch, optimizer: of all arms, but for arms with a model of their own; batch in sequences.
        data: the catalogue and the tokenizer.
        max_epochs: how often a lineage may read one source.
        evaluation: how much is scored.
        primary: metrics of the declared family, compared at the end of the runs.
        margins: how far apart two arms may be, in the metric's unit, and still be called equivalent: by metric, or by
            kind of score ("bpb", "acc") for all that have none of their own.
        max_epochs_of: the same for single sources, instead of max_epochs; a Cap says why.
        simulated_tokens: budget of the run that the baseline's stands for. Every source is cut to the share
            baseline budget / simulated_tokens of its windows, so that epochs are those of the large run.
        supply: tokens that a source is cut to, one window at least, for the epochs of a larger run of known supply.
        precision: what matrix products are computed in, a name of models.recipe.PRECISIONS.
        z_loss: weight of the squared log-normaliser of the softmax in the gradient; 1e-4 is usual where bfloat16 runs
            diverge.
        init_seeds, data_seeds: what draws the weights, and the order of the data, of a run with this seed, where that
            is not the seed itself: the two can be crossed.
        scale: the scale that the study is asked at; "" for a study of one scale.
        topology: what it is planned for: "cpu", "gpu" (one), or a slice such as "v5e:16x16".
        expected: what the hypothesis says, in metrics.
        parts: of a union, the studies whose arms it has; each of them gets a report.
        left_out: the tasks that `--without` took out of its evaluation.
        made: sources of its data that checkpoints write.
        composite: one number of tasks' right answers, beside the other metrics.
    """

    name: str
    question: str
    hypothesis: str
    baseline: str
    arms: tuple[Arm, ...]
    seeds: tuple[Seed, ...]
    model: ModelConfig
    sequence: Size
    batch: Size
    optimizer: AdamW
    data: DataSpec
    max_epochs: Count
    evaluation: Evaluation
    primary: tuple[str, ...]
    margins: Mapping[str, Annotated[float, Gt(0)]] = field(default_factory=dict)
    max_epochs_of: Mapping[str, Count | Annotated[Fraction, Gt(0)] | Cap] = field(default_factory=dict)
    simulated_tokens: Count | None = None
    supply: Mapping[str, Count] = field(default_factory=dict)
    precision: str = "float32"
    z_loss: Annotated[float, Ge(0)] = 0.0
    init_seeds: Mapping[Seed, Seed] = field(default_factory=dict)
    data_seeds: Mapping[Seed, Seed] = field(default_factory=dict)
    scale: str = ""
    topology: str = "cpu"
    expected: tuple[Expected, ...] = ()
    parts: tuple["Study", ...] = ()
    left_out: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    composite: Composite | None = None

    @property
    def key(self) -> str:
        """What the study is called in a store, where it may stand at several scales."""
        return f"{self.name}-{self.scale}" if self.scale else self.name

    @property
    def typed(self) -> str:
        """What the study is called on the command line."""
        return f"{self.name} --scale {self.scale}" if self.scale else self.name

    @property
    def command(self) -> str:
        """What runs it."""
        return " ".join(["ablate run", self.typed, *(f"--without {name}" for name in self.left_out)])

    def max_epochs_for(self, source: str) -> int | Fraction:
        cap = self.max_epochs_of.get(source, self.max_epochs)
        return cap.epochs if isinstance(cap, Cap) else cap

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def baseline_of(self, arm: str) -> str:
        """The arm that `arm` is compared with: itself, if with none."""
        return self.arm(arm).against or self.baseline
