"""Stages in parts: cut, so that others can branch from the midst of one, or turned to another mixture."""

from dataclasses import replace
from itertools import pairwise

from experiments.study import Piece, Stage
from mixtures.mixture import Mixture
from store.errors import UserError

POINTS = 6
"""Of a stage that is followed: enough for a curve."""


def cut(stage: Stage, *tokens: int) -> tuple[Stage, ...]:
    """`stage` in pieces that end after `tokens` of it and at its end.

    The pieces one after another give what the whole stage gives, bit for bit, and every one of them is a stage with a
    checkpoint, from which other stages can branch. A trunk with a constant rate and a cooldown at each of its points,
    each of the arms as good as a run of that length alone (arXiv:2405.18392):

        trunk = Stage("pretrain", WEB, 200 * B, "constant", PEAK, PEAK, warmup=0.01)
        first, second, third = cut(trunk, 50 * B, 100 * B)
        Arm("50B", "", (first, cooldown(5 * B))), Arm("100B", "", (first, second, cooldown(10 * B))), ...

    Raises:
        UserError: the points do not rise from above zero to below the stage's tokens, or the stage is a piece itself
            or has a budget in epochs.
    """
    _require_tokens(stage)
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


def followed(stage: Stage) -> tuple[Stage, ...]:
    """`stage` in POINTS pieces about alike, so that it is scored along the way: what is scored of every stage.

    Raises:
        UserError: as `cut`.
    """
    return cut(stage, *(stage.tokens * n // POINTS for n in range(1, POINTS)))


def turned(stage: Stage, tokens: int, mix: Mixture, restart: bool = False) -> tuple[Stage, Stage]:
    """`stage`, which after so many tokens reads `mix` instead, under the one schedule of the whole.

    Args:
        stage: of one schedule.
        tokens: that are read of its own mixture.
        mix: of the rest.
        restart: whether the rest reads its sources from their first windows on; they carry on if not.

    Raises:
        UserError: no tokens are left on one side, or the stage is a piece itself or has a budget in epochs.
    """
    _require_tokens(stage)
    if stage.piece is not None or not 0 < tokens < stage.tokens:
        raise UserError(
            f"a stage of {stage.tokens:,} tokens of mixture '{stage.mixture.name}' cannot turn to '{mix.name}' after "
            f"{tokens:,}; give a point inside a whole stage"
        )
    first = replace(stage, tokens=tokens, piece=Piece(0, stage.tokens))
    rest = replace(first, kind="continue", mixture=mix, tokens=stage.tokens - tokens, restart=restart)
    return first, replace(rest, reset_optimizer=False, piece=Piece(tokens, stage.tokens, turns=True))


def cut_every(stage: Stage, tokens: int) -> tuple[Stage, ...]:
    """`stage` in pieces of so many tokens, each scored at its end; one that is no longer than that stays whole.

    Raises:
        UserError: the stage is a piece itself or has a budget in epochs, or the pieces have no tokens.
    """
    _require_tokens(stage)
    points = range(tokens, stage.tokens, tokens) if tokens > 0 else (0,)
    return cut(replace(stage, scored=True), *points) if points else (replace(stage, scored=True),)


def _require_tokens(stage: Stage) -> None:
    if stage.epochs is not None:
        raise UserError(
            f"a stage of mixture '{stage.mixture.name}' has a budget in epochs, of which nobody knows yet how many "
            "tokens they are; give it tokens, or an arm for every number of epochs"
        )
