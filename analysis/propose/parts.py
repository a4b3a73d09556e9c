"""What the arms of a study vary: parts, of whose sources the proportions are the same in all arms.

In a sweep over the share of code (arXiv:2408.10914, Fig. 4) these are two, text and code with its fifth of markup.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from analysis.ledgers import Ledgers, tokens_by_arm
from analysis.records import StageRecord, StudyRecord
from analysis.statistics import Floats
from store.errors import UserError


@dataclass(frozen=True)
class Part:
    """Sources that go together, each with its share of the part."""

    name: str
    sources: Mapping[str, Fraction]


@dataclass(frozen=True, eq=False)
class Tried:
    """What was tried: the parts, and of every arm its share of each.

    Attributes:
        parts: in order of their first source.
        shares: by arm, of each part.
        tokens: of a run.
        windows: by source, tokens in an epoch of it, as the runs that read it had it.
    """

    parts: tuple[Part, ...]
    shares: Mapping[str, tuple[Fraction, ...]]
    tokens: int
    windows: Mapping[str, float]

    def of_sources(self, shares: tuple[Fraction, ...]) -> dict[str, Fraction]:
        """A mixture's share of every source that it reads."""
        pairs = zip(self.parts, shares, strict=True)
        return {source: of * within for part, of in pairs if of for source, within in part.sources.items()}

    def epochs(self, shares: tuple[Fraction, ...]) -> dict[str, float]:
        """How often a run of a mixture reads each of its sources, where a run of the study has read it."""
        mix = self.of_sources(shares)
        return {name: float(of) * self.tokens / self.windows[name] for name, of in mix.items() if name in self.windows}

    def nearest(self, mix: tuple[Fraction, ...]) -> tuple[str, float]:
        """The arm that a mixture is most like, and its distance."""
        return min(((arm, distance(shares, mix)) for arm, shares in self.shares.items()), key=lambda each: each[1])


def tried(study: StudyRecord, ledgers: Ledgers) -> Tried:
    """Raises UserError where arms differ in more than one mixture each, or in nothing."""
    every = {
        run.arm: [ledgers[folder][0] for folder in run.stages] for run in study.runs if ledgers.keys() >= {*run.stages}
    }
    if several := [arm for arm, its in every.items() if not _one(its)]:
        raise UserError(
            f"arm '{several[0]}' of study '{study.name}' has not one stage; a proposal is a mixture for one, so name a "
            "study whose arms have one each, such as proportion"
        )
    stages = {arm: its[-1] for arm, its in every.items()}
    if len(models := sorted({stage.model for stage in stages.values()})) > 1:
        raise UserError(f"the arms of study '{study.name}' are models of {', '.join(models)}; name a study of one size")
    if len(lengths := set(tokens_by_arm(study, ledgers).values())) > 1:
        raise UserError(
            f"the arms of study '{study.name}' read {min(lengths):,} to {max(lengths):,} tokens; name a study of equal "
            "lengths"
        )
    mixes = {arm: _mixture(stage) for arm, stage in stages.items()}
    groups: dict[tuple[Fraction, ...], list[str]] = {}
    for source in dict.fromkeys(source for mix in mixes.values() for source, share in mix.items() if share):
        column = [mix.get(source, Fraction(0)) for mix in mixes.values()]
        groups.setdefault(tuple(share / sum(column) for share in column), []).append(source)
    parts = tuple(_part(sources, mixes) for sources in groups.values())
    if len(parts) < 2:
        raise UserError(f"all arms of study '{study.name}' read one mixture; a proposal needs arms that read several")
    shares = {
        arm: tuple(sum((mix.get(s, Fraction(0)) for s in part.sources), Fraction(0)) for part in parts)
        for arm, mix in mixes.items()
    }
    windows = {
        source: sum(stage.tokens_by_source.get(source, 0) for stage in its) / epochs
        for its in every.values()
        for source, epochs in its[-1].epochs_by_source.items()  # of all stages up to it
        if epochs and source in its[-1].tokens_by_source
    }
    return Tried(parts, shares, lengths.pop(), windows)


def _one(stages: list[StageRecord]) -> bool:
    """Whether they are one stage, which may be in pieces."""
    mixtures = [(stage.kind, _mixture(stage)) for stage in stages]
    return len(stages) == 1 or (bool(stages) and "mixture" in stages[0].identity and mixtures[1:] == mixtures[:-1])


def _mixture(stage: StageRecord) -> dict[str, Fraction]:
    """As it was declared; where the record does not say, as it was read."""
    if declared := stage.identity.get("mixture"):
        return {source: Fraction(share) for source, share in declared}
    return {source: Fraction(tokens, stage.tokens) for source, tokens in stage.tokens_by_source.items()}


def _part(sources: list[str], mixes: Mapping[str, Mapping[str, Fraction]]) -> Part:
    whole = {source: sum((mix.get(source, Fraction(0)) for mix in mixes.values()), Fraction(0)) for source in sources}
    total = sum(whole.values(), Fraction(0))
    name = sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
    return Part(name, {source: share / total for source, share in whole.items()})


def distance(one: tuple[Fraction, ...] | Floats, other: tuple[Fraction, ...] | Floats) -> float:
    """Total variation: the share that one mixture reads and the other does not."""
    return 0.5 * float(np.abs(np.array(one, dtype=float) - np.array(other, dtype=float)).sum())
