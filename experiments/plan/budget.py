"""From a budget in tokens to steps, and to the share of the sources that a study may read."""

from fractions import Fraction

from experiments.study import Piece, Stage, Study
from mixtures.curriculum import stage_steps
from store.errors import UserError

MOST_STEPS = 10_000_000
"""Of a stage: two hundred times the paper's. More is a slip, and planning takes a moment for every step."""


def span(stage: Stage, batch: int, sequence: int) -> tuple[int, int]:
    """The steps [first, last) that the stage is of the whole one; a stage that is no piece starts at 0.

    Raises:
        UserError: the budget is empty, or two cuts of a stage fall into one block.
    """
    piece = stage.piece or Piece(0, stage.tokens)
    first = stage_steps(piece.first, batch, sequence) if piece.first else 0
    last = stage_steps(piece.first + stage.tokens, batch, sequence)
    if last > MOST_STEPS:
        raise UserError(
            f"tokens is {stage.tokens:,}, which makes {last:,} steps of {batch * sequence:,} tokens; a stage has "
            f"at most {MOST_STEPS:,}, so give it fewer tokens or a larger batch"
        )
    if first == last:
        raise UserError(
            f"mixture '{stage.mixture.name}' is cut twice within one block of the batch, after {piece.first:,} tokens "
            f"and {stage.tokens:,} later; move the cuts apart"
        )
    return first, last


def simulated_share(study: Study) -> Fraction:
    """The share of every source that the study may read: one, unless it simulates the epochs of a larger run.

    Raises:
        UserError: the simulated run is smaller than the baseline's.
    """
    if study.simulated_tokens is None:
        return Fraction(1)
    stages = next(arm.stages for arm in study.arms if arm.name == study.baseline)
    budget, batch, sequence = 0, study.batch, study.sequence
    for stage in stages:
        batch, sequence = stage.batch or batch, stage.sequence or sequence
        first, last = span(stage, batch, sequence)
        budget += (last - first) * batch * sequence
    if study.simulated_tokens < budget:
        raise UserError(
            f"study '{study.name}': simulated_tokens is {study.simulated_tokens:,}, less than the {budget:,} that its "
            "baseline reads; give the budget of the larger run"
        )
    return Fraction(budget, study.simulated_tokens)
