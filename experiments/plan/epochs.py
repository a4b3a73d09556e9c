"""From a budget in passes over a source to one in tokens. Loads no jax."""

from dataclasses import replace
from fractions import Fraction

from experiments.plan.stage import Form
from experiments.plan.supply import Windows
from experiments.study import Stage, Study
from mixtures.allocate import Allocation, allocate, block_size, cumulative
from mixtures.mixture import shares
from store.errors import UserError


def waits_for_counts(study: Study) -> bool:
    """Whether a stage's budget is in passes over a source of which nobody says before preparation how long it is."""
    counted = {source.name for source in study.data.sources if source.expected_tokens or source.name in study.supply}
    budgets = [stage.epochs for arm in study.arms for stage in arm.stages if stage.epochs is not None]
    return any(budget.source not in counted for budget in budgets)


def in_tokens(stage: Stage, batch: int, sequence: int, windows: Windows) -> Stage:
    """`stage` with the tokens of its `epochs`: whole blocks, as many as read the source no more often than that.

    Raises:
        UserError: the length of the source is not known, or a single block reads it more often.
    """
    budget, fractions = stage.epochs, shares(stage.mixture)
    if budget is None:
        return stage
    there = windows(budget.source, Form(sequence, stage.infilling))
    if there is None:
        raise UserError(
            f"epochs counts passes over source '{budget.source}', whose length is not known yet; prepare the data "
            "first, or give the source expected_tokens"
        )
    most, block = int(budget.count * there), block_size(batch)
    allocation, index = allocate(fractions), list(fractions).index(budget.source)
    blocks = int(most / (fractions[budget.source] * block))
    # The count of a source is within one sequence of its share.
    while blocks and _read(allocation, index, blocks * block) > most:
        blocks -= 1
    while _read(allocation, index, (blocks + 1) * block) <= most:
        blocks += 1
    if not blocks:
        once = Fraction(_read(allocation, index, block), max(1, there))
        raise UserError(
            f"epochs asks for {float(budget.count):g} passes over source '{budget.source}', and a single step of "
            f"{block} sequences reads {float(once):.3g} of its {there:,}; give it more passes, or the stage a smaller "
            "batch or sequence"
        )
    return replace(stage, tokens=blocks * block * sequence)


def _read(allocation: Allocation, index: int, sequences: int) -> int:
    """Sequences of one source among the first so many."""
    return int(cumulative(allocation, sequences)[index])
