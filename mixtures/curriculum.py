"""Mixtures with token budgets: whole steps, whole sequences of every source, and data on top of an arm's."""

import math
from collections.abc import Mapping
from fractions import Fraction

from mixtures.allocate import allocate, block_size, cumulative, steps_for
from mixtures.mixture import MAX_DENOMINATOR, Mixture, Part, mixture, shares
from store.errors import UserError


def stage_steps(tokens: int, batch: int, sequence: int) -> int:
    """Optimizer steps of a stage: its budget rounded up to whole blocks.

    Only a whole block has its planned composition. From 8 sequences a batch on, a block is a batch.

    Raises:
        UserError: the budget is empty.
    """
    block = block_size(batch)
    return steps_for(tokens, block, sequence) * (block // batch)


def sequences_by_source(mixture: Mixture, tokens: int, batch: int, sequence: int) -> dict[str, int]:
    """Whole sequences of every source in a stage of `tokens`, as `stage_steps` rounds them.

    Raises:
        UserError: the budget is empty or the mixture too fine.
    """
    fractions = shares(mixture)
    counts = cumulative(allocate(fractions), stage_steps(tokens, batch, sequence) * batch)
    return {source: int(count) for source, count in zip(fractions, counts, strict=True)}


def additive(
    name: str, base: Mixture, base_tokens: int, added: Mapping[Part, int], batch: int, sequence: int
) -> tuple[Mixture, int]:
    """Put data on top of an arm instead of in place of it (Petty et al., arXiv:2409.04556, "additive" mixtures).

    In the competitive design the total is fixed, so more code means less text. Here the arm that reads `base` for
    `base_tokens` and the arm that reads the result for the tokens returned with it read the same sequences of every
    source of `base` that `added` does not name, in the same order; the total grows.

    Args:
        name: of the new mixture.
        base: what the arm without additions reads.
        base_tokens: that arm's budget.
        added: tokens of every source or mixture that comes on top, each rounded up to whole blocks.
        batch: sequences in the study's global batch.
        sequence: tokens in a sequence.

    Returns:
        The mixture and the budget of its stage in tokens.

    Raises:
        UserError: the base budget gives some source no whole number of sequences, so that the arms could not be equal
            to the sequence; or budgets have so little in common that the shares are too fine.
    """
    block, period = block_size(batch), _period(base)
    blocks, unit = steps_for(base_tokens, block, sequence), period // math.gcd(period, block)
    if blocks % unit:
        exact = -(-blocks // unit) * unit * block * sequence
        raise UserError(
            f"mixture '{name}': {base_tokens:,} tokens of '{base.name}' do not hold every source in whole sequences of "
            f"{sequence:,} tokens; give both arms {exact:,}"
        )
    weights: dict[Part, Fraction] = {base: Fraction(blocks)}
    for part, tokens in added.items():
        weights[part] = weights.get(part, Fraction(0)) + steps_for(tokens, block, sequence)
    total = int(sum(weights.values()))
    result = mixture(name, weights)
    try:
        shares(result)
    except UserError as error:
        finest = total * math.lcm(*(_period(part) for part in weights))
        common = math.lcm(unit, -(-finest // MAX_DENOMINATOR)) * block * sequence
        raise UserError(
            f"mixture '{name}': its budgets have too little in common for shares with a denominator up to "
            f"{MAX_DENOMINATOR:,}; give base and additions in multiples of {common:,} tokens"
        ) from error
    return result, total * block * sequence


def _period(part: Part) -> int:
    """Sequences after which every source has had its exact share."""
    return 1 if isinstance(part, str) else math.lcm(*(share.denominator for share in shares(part).values()))
