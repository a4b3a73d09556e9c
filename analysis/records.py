"""The records on disk: the one channel from experiments to analysis. Plain Python, no arrays.

Where they lie says store/layout.py; everything a person sees (tables, figures, W&B) is a replay of these files.
Records carry a checksum of themselves, and one that was changed is refused by name. The ledger, a row a step, is in
`analysis.ledger_rows`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Required, TypedDict

from store import layout
from store.errors import Failure, UserError
from store.files import read_sealed, write_sealed
from store.paths import glob, together

SCHEMA = 2
FLOAT32 = "float32"
"""What a checkpoint is scored in where nothing else is said; other inferences have records of their own."""


@dataclass(frozen=True)
class StageRecord:
    """What a stage is. `identity` holds everything that decides its result, and `fingerprint` is its hash."""

    id: str
    fingerprint: str
    kind: str
    """pretrain | continue | cooldown"""
    model: str
    parent: str | None
    """Fingerprint of the stage it starts from."""
    seed: int
    steps: int
    tokens: int
    tokens_by_source: Mapping[str, int]
    tokens_by_kind: Mapping[str, int]
    epochs_by_source: Mapping[str, float]
    flops: float
    tokens_before: int
    """Tokens that the lineage read before this stage."""
    identity: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and hardware, recorded beside the identity and not part of it."""

    @property
    def tokens_read(self) -> int:
        """Tokens that the lineage has read at its end."""
        return self.tokens_before + self.tokens


@dataclass(frozen=True)
class EndRecord:
    """How a stage ended: at its exact last step."""

    step: int
    tokens: int
    loss: float | None
    """Of the last step."""
    seconds: float
    """Wall time of all steps."""


class Item(TypedDict, total=False):
    """What was found of one item of a task: of a text or an answer, and besides of a choice, of what was said, or of
    programs that were executed (analysis/evals/code/executed.py). All items of a task have the same of these."""

    id: Required[str]
    source: str
    """Of a held-out document; of a text that is scored by position, which positions ("512-1023"); the length of the
    context that a key is hidden in ("1024"). Each has scores of its own, as the task "TASK/SOURCE"."""
    cluster: str
    """What makes items depend on each other: the package or work of a held-out document, the dialogue of a turn."""
    nats: float
    """Negative log-likelihood of the gold continuation."""
    bytes: int
    """UTF-8 bytes of the answer in it, without the blank that parts it from the context; none where the tokenizer does
    not keep texts."""
    cut: int
    """1 where the context was longer than the window and lost its beginning."""
    correct: float
    """1 if the likeliest candidate is the gold one, its share if it is one of several, or 1 if what was said is an
    accepted answer, else 0."""
    exact: float
    """1 if what was said is the text that was there or the key that was hidden, else 0; a share of several samples."""
    depth: float
    """Of a key that is to be found: at which share of its context it lies, whose length in tokens is the "source"."""
    score: float
    """Any other score that lm-evaluation-harness gives."""
    gold: int
    """The number of the right candidate, where there is more than one."""
    choice_nats: list[float]
    choice_bytes: list[int]
    choice_chars: list[int]
    """Of every candidate; by characters the harness normalises (lm-evaluation-harness 0.4.13, acc_norm)."""
    alike: int
    """1 where two candidates are the same, as in two rows of SciQ and five of SocialIQA."""
    said: str
    """The beginning of what the model said, which is never trusted."""
    sha256: str
    """Of all programs that it wrote."""
    runs: bool
    """Whether the problem's tests run on this machine."""
    samples: int
    passed: int
    reasons: Mapping[str, int]
    """Programs, those that passed, and why they did not."""
    weak: bool
    """Whether the tests ran within the programs' reach."""


@dataclass(frozen=True)
class EvalRecord:
    """One task scored on one checkpoint, item by item."""

    task: str
    version: int
    prompt_hash: str
    """Hash of all rendered prompts and targets, so that two records compare like with like."""
    fingerprint: str
    step: int
    items: tuple[Item, ...]
    gap: str = ""
    """Why the task could not be scored; empty when it was."""
    seconds: float = 0.0
    """Wall time of the scoring; tasks are scored together, so this is the task's share by tokens."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    """How programs were drawn (analysis/evals/decoding.py); {} for other tasks, and in older records."""
    inference: str = FLOAT32
    """What the checkpoint was scored in."""


@dataclass(frozen=True)
class SpeedRecord:
    """How fast one checkpoint writes on the machine that scored it.

    A measurement, with a clock in it: a second one differs, and no digest and no verdict has it.
    """

    fingerprint: str
    step: int
    inference: str
    bytes: int
    """Of the weights as they lie in memory."""
    milliseconds: tuple[float, ...]
    """For a token of a single text, greedily; one figure for each repeat, after one that is not counted."""
    tokens: int
    """Of a repeat."""
    device: str
    """What computed, in the words of its maker."""


@dataclass(frozen=True)
class AnswerRecord:
    """What one checkpoint said to a set of prompts."""

    fingerprint: str
    step: int
    decoding: Mapping[str, Any]
    answers: Mapping[str, str]
    """By the prompt's id."""
    cut: int
    """Prompts too long to be read whole."""


@dataclass(frozen=True)
class JudgeRecord:
    """One arm's answers to a set of prompts, judged against another's, paired by seed and prompt."""

    study: str
    arm: str
    baseline: str
    """The arm's own, or any other arm that it was judged against."""
    judge: str
    """As a reader is to see it."""
    weak: bool
    parameters: Mapping[str, Any]
    prompts: str
    """What they are and how they were chosen."""
    n_prompts: int
    decoding: str
    """How they were put and answered."""
    checkpoints: Mapping[str, tuple[str, str]]
    """Fingerprints of the arm's and the baseline's last stage, by seed."""
    pairs: tuple[Mapping[str, Any], ...]
    """With "id" of the prompt, "seed", "outcome", "verdicts", "arm_length", "baseline_length" and "note"."""
    examples: tuple[Mapping[str, str], ...]
    """Some pairs in full: "prompt", "arm", "baseline", "outcome"."""
    cut: int
    """Pairs whose prompt was too long for the models."""
    cost: Mapping[str, float | None]
    """"requests", "tokens_in", "tokens_out", "dollars" (None without prices); what arms share counts for each."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """What of the prompts is in what either was trained on (experiments/score/searching.py); {} in older records."""


@dataclass(frozen=True)
class RunRecord:
    """One arm under one seed: its stages in order. The seeds of weights and data may be other than the run's own."""

    arm: str
    seed: int
    stages: tuple[str, ...]
    """Folder names under stages/, first to last."""
    kinds: tuple[str, ...]
    init_seed: int | None = None
    """Of the weights; None: the run's seed."""
    data_seed: int | None = None
    """Of the order of the data; None: the run's seed."""
    inference: str = FLOAT32
    """What its end is scored in; runs that differ in it alone have the same stages."""

    @property
    def seeds(self) -> tuple[int, int]:
        """Of the weights, and of the data."""
        of_weights, of_data = (self.seed if seed is None else seed for seed in (self.init_seed, self.data_seed))
        return of_weights, of_data


@dataclass(frozen=True)
class StudyRecord:
    """Arms that answer one question, with a baseline, and others for arms that are better compared with those."""

    name: str
    question: str
    hypothesis: str
    baseline: str
    arms: Mapping[str, str]
    """Arm name to one line that describes it, in the order in which to show them."""
    runs: tuple[RunRecord, ...]
    primary: tuple[str, ...]
    """The metrics of the declared family, compared at the end of every run; Holm is taken within it."""
    command: str
    prepared: str
    """Folder name under prepared/."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """By task, a digest of which items are asked of it and how much, which is in the file names of its records."""
    baselines: Mapping[str, str] = field(default_factory=dict)
    """The arm that an arm is compared with, where that is not `baseline`; an arm named for itself, with none."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """By arm, where the paper that is reproduced has it; it begins with "ours" or "arXiv:" where that has not."""
    expected: tuple[Mapping[str, str], ...] = ()
    """What was expected before anything ran: "arm", "metric", "direction" (higher, lower or same), "paper"."""
    left_out: tuple[str, ...] = ()
    """The tasks that `--without` took out, as they were typed."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """By metric, or by kind of score for all of it ("bpb"), how far apart two arms may be and still be equivalent."""
    composite: Mapping[str, Any] = field(default_factory=dict)
    """The one that it declares, as `analysis.composite.Composite.flat` has it."""
    fresh: Mapping[str, Any] = field(default_factory=dict)
    """Of fresh documents the day "since" which they appeared, "digest", "forms" (documents and bytes of each),
    "releases", and the "newest" release that the sources read; {} where none are asked, and in older records."""

    def baseline_of(self, arm: str) -> str:
        """The arm that `arm` is compared with; `arm` itself where there is nothing to compare it with."""
        return self.baselines.get(arm, self.baseline)

    @property
    def compared(self) -> tuple[str, ...]:
        """The arms that are compared with another, in order."""
        return tuple(arm for arm in self.arms if self.baseline_of(arm) != arm)


def stage_folder(store: Path, folder: str) -> Path:
    return store / layout.STAGES / folder


def eval_path(stage: Path, task: str, version: int, step: int, asked: str = "", inference: str = FLOAT32) -> Path:
    """Where a record is; `asked` is the study's word for the task (StudyRecord), so that studies share stages."""
    name = f"{task.replace('/', '.')}@{version}{f'-{asked}' if asked else ''}"
    return stage / layout.EVALS / f"{name}-step{step}{'' if inference == FLOAT32 else f'-{inference}'}.json"


def speed_path(stage: Path, step: int, inference: str) -> Path:
    return stage / layout.SPEED / f"{inference}-step{step}.json"


def gap_path(path: Path) -> Path:
    """Where the record of a task that could not be scored is, so that `path` is there only if there are scores."""
    return path.with_suffix(".gap.json")


def answers_path(stage: Path, answers: str, step: int) -> Path:
    return stage / layout.ANSWERS / f"{answers}-step{step}.json"


def judge_path(store: Path, study: str, judge: str, answers: str, arm: str, against: str = "") -> Path:
    """Where a record is; `against` is the other arm, where that is not the arm's own baseline."""
    folder = store / layout.STUDIES / study / layout.JUDGED / judge / answers
    return folder / (f"{arm}-vs-{against}.json" if against else f"{arm}.json")


Record = StageRecord | EndRecord | EvalRecord | SpeedRecord | AnswerRecord | JudgeRecord | StudyRecord


def write(path: Path, record: Record) -> None:
    """Write one record as a whole file."""
    write_sealed(path, {"schema": SCHEMA, **asdict(record)})


RUN_AGAIN, JUDGE_AGAIN = "delete it and run the study again", "delete it and run `ablate judge run` again"
SCORE_AGAIN = "delete it, and the next run or evaluation scores it"


def _load(
    path: Path,
    cls: type,
    what: str,
    way_out: str,
    fingerprint: str | None = None,
    row: Mapping[str, Any] | None = None,
) -> Any:
    """A record; with a fingerprint, one of that checkpoint; `row` are its fields where they were read before."""
    try:
        record = cls(**(read_sealed(path, what, SCHEMA, way_out) if row is None else row))
    except TypeError as error:
        raise Failure(f"{what} has the wrong fields ({path}: {error}); {way_out}") from error
    if fingerprint is not None and record.fingerprint != fingerprint:
        raise Failure(f"{what} is of checkpoint {record.fingerprint}, not {fingerprint} ({path}); {way_out}")
    return record


def read_stage(folder: Path) -> StageRecord:
    return _load(folder / layout.STAGE, StageRecord, f"stage {folder.name}", RUN_AGAIN)


def read_end(folder: Path) -> EndRecord:
    return _load(folder / layout.DONE, EndRecord, f"the end of stage {folder.name}", RUN_AGAIN)


def read_eval(path: Path, fingerprint: str | None = None, row: Mapping[str, Any] | None = None) -> EvalRecord:
    """With a fingerprint, raises Failure too if the record is of another checkpoint; `row` as for `_load`."""
    record = _load(path, EvalRecord, f"evaluation {path.stem}", SCORE_AGAIN, fingerprint, row)
    return replace(record, items=tuple(record.items))


def read_speed(path: Path, fingerprint: str) -> SpeedRecord:
    """Raises Failure too if the record is of another checkpoint."""
    record = _load(path, SpeedRecord, f"speed {path.stem}", SCORE_AGAIN, fingerprint)
    return replace(record, milliseconds=tuple(record.milliseconds))


def read_answers(path: Path, fingerprint: str | None = None) -> AnswerRecord:
    """With a fingerprint, raises Failure too if the record is of another checkpoint."""
    return _load(path, AnswerRecord, f"answers {path.stem}", JUDGE_AGAIN, fingerprint)


def read_judged(store: Path, study: str) -> dict[Path, JudgeRecord]:
    """All records of a study's judges, by their path."""
    paths = glob(store / layout.STUDIES / study / layout.JUDGED, "*/*/*.json")
    found = together(store, lambda path: _load(path, JudgeRecord, f"verdicts {path.stem}", JUDGE_AGAIN), paths)
    return dict(zip(paths, found, strict=True))


def read_study(store: Path, name: str) -> StudyRecord:
    """Raises UserError when the study was never run in this store."""
    path = store / layout.STUDIES / name / layout.STUDY
    if not path.exists():
        raise UserError(f"study '{name}' has no records in store {store}; run `ablate run {name}` first")
    record = _load(path, StudyRecord, f"study '{name}'", f"`ablate run {name}` writes it again")
    runs = (RunRecord(**{**run, "stages": tuple(run["stages"]), "kinds": tuple(run["kinds"])}) for run in record.runs)
    lists = {name: tuple(getattr(record, name)) for name in ("primary", "expected", "left_out")}
    return replace(record, runs=tuple(runs), **lists)
