"""What the code models of the field did after pre-training, as stages at any scale: Code Llama, Phind, PanGu-Coder2.

Facts are of arXiv:2308.12950 (Code Llama), arXiv:2307.14936 (PanGu-Coder2) and Phind's notes; ratios are kept, and
what they leave open is chosen here, for all studies alike. On a laptop the code that is continued on has programs of
one operation in it, which so small a model can learn: what it then solves of others that were held out rises clearly
above nothing, where HumanEval does not.
"""

from dataclasses import dataclass, replace

from experiments.scales import ADJACENT, LAPTOP, LAPTOP_DATA, TEXT, WEB_CODE, Scale
from experiments.study import Cap, Evaluation
from mixtures.catalogue import paper_scale
from mixtures.catalogue.own import one_operation
from mixtures.mixture import Mixture, Part, mixture
from mixtures.tokens.fim import Fim

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
        executed: tasks whose programs are run, the first of them the one to look at.
        infilling: the same with holes.
    """

    scale: Scale
    text: Part
    code: Part
    python: Part
    about: Part
    pairs: str
    executed: tuple[str, ...]
    infilling: tuple[str, ...]

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
_PROBLEMS_CAP = Cap(12, "a finite grammar: programs of one operation are few and short, and stand for a large web")


def _laptop() -> Systems:
    """As LAPTOP, with programs of one operation: as files in the code, and as instructions with answers."""
    sources = (
        *(source for source in LAPTOP_DATA.sources if source.name not in _DROPPED),
        one_operation("one-op"),
        one_operation("one-op-pairs", "instruction"),
    )
    size = LAPTOP.sequence
    cleaning = replace(LAPTOP_DATA.cleaning, benchmarks=(*LAPTOP_DATA.cleaning.benchmarks, *HELD_OUT))
    data = replace(
        LAPTOP_DATA,
        sources=sources,
        cleaning=cleaning,
        fim=Fim((size,), kinds=("code", "synthetic")),
        packing=(size,),
    )
    scale = replace(
        LAPTOP,
        small=config("2m"),
        unit=1_024_000,
        data=data,
        evaluation=Evaluation(60_000, ("one_operation",), (), items=100, problems=None),
        primary=("one_operation_exec/pass@1", "heldout/code/bpb", "heldout/text/bpb"),
        max_epochs=12,
        max_epochs_of={"one-op": _PROBLEMS_CAP},
    )
    return Systems(
        scale=scale,
        text=TEXT,
        code=mixture("code+problems", {WEB_CODE: 60, "one-op": 40}),
        python=mixture("python+problems", {"python": 50, "one-op": 50}),
        about=ADJACENT,
        pairs="one-op-pairs",
        executed=("one_operation_exec", "one_operation_instruct_exec"),
        infilling=("one_operation_infilling_exec:single-line",),
    )


def _large(scale: Scale) -> Systems:
    """From the paper's catalogue, with Python alone and 80,000 open pairs of instruction and answer beside it."""
    sources = (*scale.data.sources, paper_scale.one_language("Python"), paper_scale.CODE_PAIRS)
    data = replace(
        scale.data,
        sources=sources,
        fim=Fim((scale.sequence,)),
        packing=(scale.sequence,),
    )
    return Systems(
        scale=replace(scale, data=data),
        text=scale.parts.text,
        code=scale.parts.code,
        python="stack-python",
        about=scale.parts.adjacent["issues"],
        pairs=paper_scale.CODE_PAIRS.name,
        executed=("humaneval_exec", "mbpp_exec", "humaneval_exec:phind"),
        infilling=("humaneval_infilling_exec:single-line", "humaneval_infilling_exec:random-span"),
    )


HELD_OUT = ("one_operation", "one_operation_wording")
"""Benchmarks of our own, whose problems no source may hold."""


def systems(scale: Scale) -> Systems:
    """The systems' parts at `scale`; a desktop has those of a laptop."""
    return _laptop() if scale.parts.code == WEB_CODE else _large(scale)
