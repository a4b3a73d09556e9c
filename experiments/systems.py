"""What the code models of the field did after pre-training, as stages at any scale: Code Llama, Phind, PanGu-Coder2.

Facts are of arXiv:2308.12950 (Code Llama), arXiv:2307.14936 (PanGu-Coder2) and Phind's notes; ratios are kept, and
what they leave open is chosen here, for all studies alike. On a laptop the code that is continued on has programs of
one operation in it, which so small a model can learn: what it then solves of others that were held out rises clearly
above nothing, where HumanEval does not.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from experiments.runs import warmup_steps
from experiments.scales import ADJACENT, LAPTOP_DATA, WEB_CODE, Scale
from experiments.study import CONTINUE, Cap, Epochs, Evaluation, Stage
from mixtures.catalogue import paper_scale
from mixtures.catalogue.own import one_operation
from mixtures.mixture import Mixture, Part, mixture
from mixtures.tokens.fim import Fim
from models.config import PEAK_LEARNING_RATES, config
from models.recipe import NextToken, Ranking

END = Fraction(1, 30)
"""Of the peak, where the cosine of a stage ends (arXiv:2308.12950, section 2.6)."""
PYTHON = Fraction(1, 3)
"""Of the peak, the Python stage's: 1e-4 after 3e-4 (ibid.)."""
LONG = Fraction(1, 15)
"""Of the peak, that of long-context fine-tuning: 2e-5 after 3e-4 (ibid.)."""
TUNING = Fraction(1, 3)
"""Of the peak, that of fine-tuning on pairs, which none of the papers gives: ours. It stays after a short warm-up, so
that a run of one epoch is the beginning of a run of four."""
LONG_THETA = 1e6
"""Base of the rotary positions from then on (section 2.4)."""
LONGER = 4
"""Times as long as before are the sequences of long-context fine-tuning: 16,384 after 4,096 (arXiv:2308.12950, 2.4)."""


@dataclass(frozen=True)
class Systems:
    """What the stages are made of at a scale.

    Attributes:
        scale: whose data hold all of it.
        text, code, python: of natural language, of web code, of Python alone.
        about: natural language about code.
        pairs: the source of instructions with answers.
        packed: tokens of the sequences that examples are packed into.
        tuned_batch: sequences of a step of fine-tuning.
        written: the metric of a base model's programs.
        look: that of a model that was tuned on pairs.
        leak: the benchmark that it is of.
        asked: the code task whose problems checkpoints answer, to be trained on what they say.
        units: of the scale, that a base which is to know programs is trained for.
        stretched: tokens of long-context fine-tuning; a stage of few long sequences cannot hold every source.
        infilling: tasks with holes.
        long: tasks of long contexts.
    """

    scale: Scale
    text: Part
    code: Part
    python: Part
    about: Part
    pairs: str
    packed: int
    tuned_batch: int
    written: str
    look: str
    leak: str
    asked: str
    units: int
    stretched: int
    infilling: tuple[str, ...]
    long: tuple[str, ...]

    def mixture(self, name: str, **weights: int) -> Mixture:
        """Of these parts: `mixture("code-llama", code=85, about=8, text=7)`."""
        return mixture(name, {getattr(self, part): weight for part, weight in weights.items()})

    @property
    def code_llama(self) -> Mixture:
        """Of the code stage (arXiv:2308.12950, table 1)."""
        return self.mixture("code-llama", code=85, about=8, text=7)

    @property
    def code_llama_python(self) -> Mixture:
        """Of the Python stage, by the same table."""
        return self.mixture("code-llama-python", python=75, code=10, about=10, text=5)

    @property
    def rehearsed(self) -> Mixture:
        """Instructions with 6 % of code and 2 % of text, so that both are not forgotten (section 2.5)."""
        return self.mixture("instruct", pairs=92, code=6, text=2)


_DROPPED = ("markdown", "restructuredtext", "html", "yaml", "css", "synthetic-python")
"""Of the laptop's catalogue, what none of these stages reads."""
_PROBLEMS_CAP = Cap(6, "a finite grammar: programs of one operation are few and short, and stand for a large web")


_SMALL = {"laptop": ("2m", 409_600), "desktop": ("4m", 2_048_000)}
"""Model, and tokens of a unit: the first size that learns programs of one operation in minutes, and the next. It learns
them between 240,000 and 400,000 tokens of them (benchmarks/one_operation.md), which leaves room on both sides."""
_UNITS = {"laptop": 2, "desktop": 1}
"""For with one a laptop's models end where the rise begins (benchmarks/systems.md)."""


def _small(scale: Scale) -> Systems:
    """As the scale, with programs of one operation: as files in the code, and as instructions with answers."""
    sources = (
        *(source for source in LAPTOP_DATA.sources if source.name not in _DROPPED),
        one_operation("one-op"),
        one_operation("one-op-pairs", "instruction", fraction=0.1),
    )
    size, (model, unit) = scale.sequence, _SMALL[scale.name]
    cleaning = replace(LAPTOP_DATA.cleaning, benchmarks=(*LAPTOP_DATA.cleaning.benchmarks, *HELD_OUT))
    data = replace(
        LAPTOP_DATA,
        sources=sources,
        cleaning=cleaning,
        fim=Fim((size,), kinds=("code", "synthetic")),
        packing=(size,),
    )
    scale = replace(
        scale,
        small=config(model),
        unit=unit,
        data=data,
        evaluation=Evaluation(
            *(60_000, ("one_operation", "one_operation_instruct"), (), 20),  # keys: one of each length and depth
            executed=("one_operation_exec", "one_operation_instruct_exec"),
        ),
        primary=("one_operation_instruct_exec/pass@1", "heldout/code/bpb"),
        max_epochs_of={"one-op": _PROBLEMS_CAP},
    )
    return Systems(
        scale=scale,
        text="literature",
        code=mixture("code+problems", {WEB_CODE: 20, "one-op": 80}),
        python=mixture("python+problems", {"python": 20, "one-op": 80}),
        about=ADJACENT,
        pairs="one-op-pairs",
        packed=size,
        tuned_batch=scale.batch // 2,  # of so few pairs an epoch is else some 60 steps, too few to turn a model
        written="one_operation_exec/pass@1",
        look="one_operation_instruct_exec/pass@1",
        leak="one_operation_instruct",
        asked="one_operation_train",
        units=_UNITS[scale.name],
        stretched=scale.unit // 4,
        infilling=("one_operation_infilling_exec:single-line",),
        long=(f"longcontext/code:{LONGER * size}", f"key_retrieval:{LONGER * size}"),
    )


def _large(scale: Scale) -> Systems:
    """From the paper's catalogue, with Python alone and 80,000 open pairs of instruction and answer beside it."""
    sources = (*scale.data.sources, paper_scale.one_language("python"), paper_scale.CODE_PAIRS)
    data = replace(
        scale.data,
        sources=sources,
        fim=Fim((scale.sequence,)),
        packing=(PACKED,),
    )
    executed = (*scale.evaluation.executed, "humaneval_exec:phind")
    return Systems(
        scale=replace(
            scale,
            data=data,
            evaluation=replace(scale.evaluation, executed=executed),
            primary=("humaneval_exec:phind/pass@1", "heldout/code/bpb"),
        ),
        text=scale.parts.text,
        code=scale.parts.code,
        python="stack-python",
        about=scale.parts.adjacent["issues"],
        pairs=paper_scale.CODE_PAIRS.name,
        packed=PACKED,
        tuned_batch=scale.batch,
        written="humaneval_exec/pass@1",
        look="humaneval_exec:phind/pass@1",
        leak="humaneval",
        asked="mbpp_exec",
        units=1,
        stretched=scale.unit // 25,
        infilling=("humaneval_infilling_exec:single-line", "humaneval_infilling_exec:random-span"),
        long=(f"longcontext/code:{LONGER * scale.sequence}", f"key_retrieval:{LONGER * scale.sequence}"),
    )


PACKED = 1_024
"""Tokens of the sequences of examples at a large scale: 512 of them are Code Llama's batch of 524,288 (section 2.6)."""
HELD_OUT = ("one_operation", "one_operation_instruct", "one_operation_wording")
"""Benchmarks of our own, whose problems no source may hold."""


def systems(scale: Scale) -> Systems:
    """The systems' parts at `scale`."""
    return _small(scale) if scale.name in _SMALL else _large(scale)


def first(of: Systems, mix: Mixture, kind: str = "pretrain", units: int = 1, infilling: bool = False) -> Stage:
    """A stage from fresh weights or, as "continue", from others': the rate is the base model's (2.6)."""
    peak = _peak(of)
    steps = warmup_steps(of.scale)
    return Stage(
        *(kind, mix, units * of.scale.unit, "cosine", float(peak), float(END * peak), steps),
        document_mask=True,
        infilling=infilling,
    )


def python(of: Systems) -> Stage:
    """The Python stage, a fifth of a unit: it is 100B after 500B tokens (table 1)."""
    peak = PYTHON * _peak(of)
    ends = (float(peak), float(END * peak))
    return Stage("continue", of.code_llama_python, of.scale.unit // 5, "cosine", *ends, 0.05, document_mask=True)


def long_context(of: Systems) -> Stage:
    """On sequences LONGER times as long: 20B tokens after 500B for the 13B model (2.4). A step holds as many tokens."""
    peak, scale = LONG * _peak(of), of.scale
    return Stage(
        *("continue", of.code_llama, of.stretched, "cosine", float(peak), float(END * peak), 0.05),
        sequence=LONGER * scale.sequence,
        batch=max(1, scale.batch // LONGER),
        rope_theta=LONG_THETA,
        restart=True,
    )


def tuned(
    of: Systems, mix: Mixture, source: str, epochs: int, objective: NextToken | Ranking, followed: bool = True
) -> tuple[Stage, ...]:
    """Fine-tuning as one stage an epoch of `source`, each of them scored if they are `followed`."""
    peak = float(TUNING * _peak(of))
    begun = Stage(
        *("finetune", mix, 0, "constant", peak, peak, 0.1),
        epochs=Epochs(source, 1),
        sequence=of.packed,
        batch=of.tuned_batch,
        restart=of.packed != of.scale.sequence,
        document_mask=True,
        reset_optimizer=True,
        scored=followed,
        objective=objective,
    )
    later = replace(begun, peak=CONTINUE, end=CONTINUE, warmup=0, restart=False, reset_optimizer=False)
    return (begun, *[later] * (epochs - 1))


def unchanged(of: Systems, source: str) -> Stage:
    """One step over examples at a rate of zero: what runs start from, so that it is scored beside what they become."""
    (tuned_once,) = tuned(of, mixture(source, {source: 1}), source, 1, NextToken("answers"))
    still = replace(tuned_once, kind="continue", tokens=of.tuned_batch * of.packed, epochs=None, scored=False)
    return replace(still, peak=0.0, end=0.0, warmup=0)


def _peak(of: Systems) -> Fraction:
    return Fraction(str(PEAK_LEARNING_RATES[of.scale.small.name]))
