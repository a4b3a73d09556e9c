"""How large a question is asked. A study is a function of one of these; all keep the paper's ratios.

The paper's stages are 200B tokens, twice that, and 40B for a cooldown (arXiv:2408.10914, Table 2). A scale says how
many tokens stand for 200B, on which models, from which catalogue; `experiments/runs.py` makes the paper's stages of it.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from analysis.composite import Composite
from analysis.evals.tasks import Asked
from experiments.study import Arm, Cap, Count, Evaluation, Seed, Size, Study
from mixtures import paper
from mixtures.catalogue import paper_scale
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.source import Source
from mixtures.fresh.pinned import SHIPPED
from mixtures.mixture import mixture
from mixtures.prepare import Cleaning, DataSpec
from models.config import ModelConfig, config
from models.recipe import AdamW

# The paper's table 1. QuAC and StoryCloze are in no package: gaps, unless their files are put into the store.
REASONING: tuple[Asked, ...] = (
    *("boolq", "piqa", "sciq", "social_iqa", "quac", "cb", "copa"),
    *("storycloze_2016", "hellaswag", "winogrande", "arc_easy"),
)
KNOWLEDGE: tuple[Asked, ...] = ("triviaqa", "nq_open")
EVERY_STAGE: tuple[Asked, ...] = ("humaneval",)
"""As likelihoods: bits per byte of the canonical solutions."""
COMPARED: tuple[Asked, ...] = (*REASONING, *KNOWLEDGE, "mbpp")
EXECUTED = ("humaneval_exec", "mbpp_exec")

WARMUP = Fraction(1_325, 47_684)
"""Of the steps of a stage of 200B tokens (sections 2.1 and 3.1)."""
SYNTHETIC_CAP = Cap(7, "the paper read its 3.2B tokens 6.25 times (20B in code+synth)")


@dataclass(frozen=True)
class Scale:
    """What a question is asked with.

    Attributes:
        name: what the command line calls it.
        small, large: the two sizes of models; most arms are small (470M and 2.8B in the paper).
        sequence, batch: tokens, and sequences.
        unit: tokens that stand for the paper's 200B.
        warmup: of a stage, in steps; or as a share of the steps of one of `unit` tokens, rounded down.
        parts: the sources of the paper's mixtures.
        data: the catalogue and the tokenizer.
        seeds: of every arm.
        evaluation: how much is scored.
        primary: the metrics of the declared family, where a study does not say others.
        topology: as of a study.
        precision: as of a study.
        max_epochs, max_epochs_of: as of a study.
        supply: tokens of the paper's sources, of which a study reads the share `unit` / 200B; {} for all there is.
    """

    name: str
    small: ModelConfig
    large: ModelConfig
    sequence: Size
    batch: Size
    unit: Count
    warmup: int | Fraction
    parts: paper.Parts
    data: DataSpec
    seeds: tuple[Seed, ...]
    evaluation: Evaluation
    primary: tuple[str, ...]
    topology: str = "cpu"
    precision: str = "float32"
    max_epochs: Count = 4
    max_epochs_of: Mapping[str, Cap] = field(default_factory=dict)
    supply: Mapping[str, int] = field(default_factory=dict)


# As much documentation prose as there is for two epochs at most; the rest is literature.
TEXT = mixture("text", {"literature": 18, "docstring-prose": 6, "description-prose": 1})
# The same for five times as many tokens, of which the descriptions are three epochs.
DESKTOP_TEXT = mixture("text", {"literature": 60, "docstring-prose": 19, "description-prose": 1})
WEB_CODE = mixture("web-code", {"python": 2, "c-cpp": 1, "javascript": 1})
MARKUP = mixture("markup", {"markdown": 1, "restructuredtext": 1, "html": 1, "yaml": 1, "css": 1})
ADJACENT = mixture("adjacent", {"notebooks": 1, "commits": 1, "qa": 1})
LAPTOP_PARTS = paper.Parts(
    text=TEXT,
    code=WEB_CODE,
    markup=MARKUP,
    synthetic="synthetic-python",
    adjacent={"commits": ADJACENT},  # its questions and answers stand for Stack Exchange; issues it has none
    # The paper's cooldown adds math and instructions, which no package has. Code of higher quality: with its context.
    cooldown=TEXT,
    cooldown_code=mixture("cooldown-code", {WEB_CODE: 3, ADJACENT: 1}),
)
LAPTOP_DATA = DataSpec(
    QUICKSTART,
    vocabulary=8_192,
    heldout=0.1,
    tokenizer_bytes_per_kind=1_000_000,
    cleaning=Cleaning((*EVERY_STAGE, *COMPARED)),
)
LIKELIHOOD = ("heldout/code/bpb", "heldout/text/bpb")
"""What moves at a size where accuracy does not."""


def _small(heldout_bytes: int, items: int, problems: int) -> Evaluation:
    return Evaluation(heldout_bytes, EVERY_STAGE, COMPARED, items, executed=EXECUTED, problems=problems, fresh=SHIPPED)


# Two cores, no accelerator.
LAPTOP = Scale(
    name="laptop",
    small=config("1m"),
    large=config("2m"),
    sequence=256,
    batch=4,
    unit=194_560,  # 190 steps, and 38 for a cooldown
    warmup=WARMUP,
    parts=LAPTOP_PARTS,
    data=LAPTOP_DATA,
    seeds=(0, 1, 2),
    evaluation=_small(heldout_bytes=60_000, items=50, problems=10),
    primary=LIKELIHOOD,
)
# The same, five times as long: the next rung for transfer.
DESKTOP = replace(
    LAPTOP,
    name="desktop",
    small=config("2m"),
    large=config("4m"),
    unit=1_024_000,  # 1,000 steps
    parts=replace(LAPTOP_PARTS, text=DESKTOP_TEXT, cooldown=DESKTOP_TEXT),
    evaluation=_small(heldout_bytes=120_000, items=200, problems=20),
)

_ADJACENT_EACH = paper_scale.ADJACENT_TOKENS // 3
_PAPER_SUPPLY: Mapping[str, int] = {
    **{group[0]: tokens for group, tokens in paper.SUPPLY.items() if len(group) == 1},
    **dict.fromkeys(paper.ADJACENT, _ADJACENT_EACH),  # the paper has the sum of three
}
_ALL_ITEMS = 20_000
"""More than any of the benchmarks has."""


def _part(unit: int) -> tuple[Source, ...]:
    """The paper's catalogue, of which no more is kept than a study of `unit` reads of it, with some to spare."""
    return tuple(
        part_of(source, _PAPER_SUPPLY[source.name], unit) if source.name in _PAPER_SUPPLY else source
        for source in paper_scale.PAPER
    )


def part_of(source: Source, tokens: int, unit: int) -> Source:
    """`source`, of which the paper has so many tokens, with what a study of `unit` needs of it."""
    return replace(source, max_bytes=_BYTES * (tokens * unit // (200 * paper.B)))


_BYTES = 8
"""Kept for a token: twice what one has, so that filters and duplicates leave enough."""


def _paper_data(vocabulary: int) -> DataSpec:
    return DataSpec(
        paper_scale.PAPER,
        vocabulary=vocabulary,
        heldout=0.01,
        tokenizer_bytes_per_kind=1_000_000_000,
        cleaning=Cleaning((*EVERY_STAGE, *COMPARED)),
    )


ACCURACY = ("reasoning/acc", "knowledge/exact_match", *LIKELIHOOD)
ABOVE_CHANCE = Composite({"reasoning": 1, "knowledge": 1, "code": 1}, centred=True, rescaled=True)
"""Of the paper's benchmarks. On a laptop it is at chance like what it is made of, and comparisons say so."""
# One GPU.
WORKSTATION = Scale(
    name="workstation",
    small=config("60m"),
    large=config("240m"),
    sequence=2_048,
    batch=64,
    unit=9_155 * 64 * 2_048,  # 1.2B, 20 tokens for each parameter of the small one
    warmup=WARMUP,
    parts=paper.PAPER,
    data=replace(_paper_data(32_768), sources=_part(9_155 * 64 * 2_048)),
    seeds=(0, 1, 2),
    evaluation=Evaluation(500_000, EVERY_STAGE, COMPARED, items=1_000, executed=EXECUTED, samples=5),
    primary=(*LIKELIHOOD, "reasoning/gold_bpb", "humaneval/gold_bpb"),
    topology="gpu",
    precision="bfloat16",
    max_epochs_of={"synthetic-python": SYNTHETIC_CAP},
    supply=_PAPER_SUPPLY,
)
# Slices of TPU v5e, as the paper.
PAPER = Scale(
    name="paper",
    small=config("470m"),
    large=config("2.8b"),
    sequence=8_192,
    batch=512,
    unit=200 * paper.B,
    warmup=1_325,
    parts=paper.PAPER,
    data=_paper_data(256_000),
    seeds=(0, 1, 2),
    evaluation=Evaluation(2_000_000, EVERY_STAGE, COMPARED, _ALL_ITEMS, executed=EXECUTED, samples=10),
    primary=ACCURACY,
    topology="v5e:16x16",
    precision="bfloat16",
    max_epochs_of={"synthetic-python": SYNTHETIC_CAP},
)

SCALES: Mapping[str, Scale] = {scale.name: scale for scale in (LAPTOP, DESKTOP, WORKSTATION, PAPER)}


def with_sources(scale: Scale, added: Iterable[tuple[Source, str]]) -> Scale:
    """`scale`, whose catalogue has these sources, too; of each as much is read, as often, as of the one beside it."""
    added = tuple(added)
    supply = {new.name: scale.supply[old] for new, old in added if old in scale.supply}
    often = {new.name: scale.max_epochs_of[old] for new, old in added if old in scale.max_epochs_of}
    return replace(
        scale,
        data=replace(scale.data, sources=(*scale.data.sources, *(new for new, _ in added))),
        supply={**scale.supply, **supply},
        max_epochs_of={**scale.max_epochs_of, **often},
    )


def ask(
    scale: Scale, name: str, question: str, hypothesis: str, baseline: str, arms: tuple[Arm, ...], **fields: Any
) -> Study:
    """The study of `arms` at `scale`; `fields` are other fields of a study, in place of the scale's."""
    share = Fraction(scale.unit, 200 * paper.B)
    of_scale: dict[str, Any] = {
        "seeds": scale.seeds,
        "model": scale.small,
        "sequence": scale.sequence,
        "batch": scale.batch,
        "optimizer": AdamW(),
        "data": scale.data,
        "max_epochs": scale.max_epochs,
        "max_epochs_of": scale.max_epochs_of,
        "evaluation": scale.evaluation,
        "primary": scale.primary,
        "precision": scale.precision,
        "topology": scale.topology,
        "supply": {source: max(1, int(tokens * share)) for source, tokens in scale.supply.items()},
        "scale": scale.name,
    }
    return Study(name, question, hypothesis, baseline, arms, **(of_scale | fields))


def union(
    scale: Scale, name: str, question: str, hypothesis: str, parts: tuple[Study, ...], composite: Composite
) -> Study:
    """The arms of several studies at `scale` in one, each compared as in the first study that has it.

    Arms that read the same are one, whatever they are called; an arm that differs from an earlier one of its name is
    called after its study, too.
    """
    called: dict[Hashable, str] = {}
    names: dict[tuple[str, str], str] = {}
    for part in parts:
        for arm in part.arms:
            taken = arm.name in called.values()
            label = f"{arm.name} ({part.name})" if taken else arm.name
            names[part.name, arm.name] = called.setdefault((arm.stages, arm.model, arm.inference), label)
    arms = {
        names[part.name, arm.name]: replace(
            arm, name=names[part.name, arm.name], against=names[part.name, part.baseline_of(arm.name)]
        )
        for part in reversed(parts)
        for arm in reversed(part.arms)
    }
    # What a later study expects of an arm against another one is said in that study's report.
    expected = [
        replace(each, arm=arm)
        for part in parts
        for each in part.expected
        for arm in (names[part.name, each.arm],)
        if arms[arm].against == names[part.name, part.baseline_of(each.arm)]
    ]
    ordered = tuple(arms[label] for label in called.values())
    fields = {"expected": tuple(dict.fromkeys(expected)), "parts": parts, "composite": composite}
    return ask(scale, name, question, hypothesis, ordered[0].name, ordered, **fields)
