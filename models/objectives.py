"""What a step minimises: of rows of the batch, their part of the value of the whole (models/recipe.py has the words).

A value is a sum over tokens or over sets of answers, divided by what the whole batch has of them. A device and a
microbatch have no equal share of those, so the divisor is summed over all of them before anything is computed.

Suffixes: B rows, S tokens of a row, N = B*S, D width, E answers of a row.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.loss import cross_entropy, token_nats
from models.recipe import NextToken, Ranking
from models.setting import Exchange

Objective = NextToken | Ranking


class Ranked(NamedTuple):
    """Answers of rows, where they are ranked, int32; a set stands in one row.

    Attributes:
        answer_BxS: for every target the number of the answer of its row that it belongs to, from 1; 0 for none.
        set_BxE: for every answer the number of its set in the row, from 1; 0 where the row has no such answer.
        score_BxE: of every answer, higher is better.
    """

    answer_BxS: jax.Array
    set_BxE: jax.Array
    score_BxE: jax.Array


class Rows(NamedTuple):
    """What a step is fed of some rows.

    Attributes:
        tokens_BxS1: int32, S+1 ids a row: inputs and shifted targets.
        segments_BxS: int32, the document of every input; None where attention crosses documents.
        weights_BxS: float32, what the loss of every target counts for; None where all count alike. Ranking needs none.
        ranked: the answers, for Ranking.
    """

    tokens_BxS1: jax.Array
    segments_BxS: jax.Array | None = None
    weights_BxS: jax.Array | None = None
    ranked: Ranked | None = None


class Head(NamedTuple):
    """How states become nats: arguments of models/loss.py. The embedding may be this device's part."""

    embedding: jax.Array
    exchange: Exchange
    platform: str
    z_loss: float


def check(objective: Objective, z_loss: float, rows: Rows) -> None:
    """Whether the objective can do with what it is given.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(objective, Ranking):
        return
    if rows.ranked is None or rows.segments_BxS is None:
        raise ValueError("ranking needs answers, and segments: an answer must not see those before it")
    if z_loss:
        raise ValueError("ranking has no z-loss: what it weighs tokens by is of both signs")


def divisor(objective: Objective, rows: Rows, parts: int, axes: tuple[str, ...] = ()) -> jax.Array | int:
    """What values are divided by: how many sets of answers the whole batch has, or the sum of its weights.

    Args:
        objective: what is minimised.
        rows: all of this device.
        parts: devices and microbatches, of equal shares in a plain mean.
        axes: of the mesh, inside a step of several devices.
    """
    if isinstance(objective, Ranking):
        assert rows.ranked is not None
        here = _best(rows.ranked).sum()
    elif rows.weights_BxS is not None:
        here = rows.weights_BxS.sum()
    else:
        return parts
    total = jax.lax.psum(here, axes) if axes else here
    return jnp.where(total > 0, total, 1)  # of nothing at all, 0


def value(objective: Objective, head: Head, hidden_BxSxD: jax.Array, rows: Rows, divisor: jax.Array | int) -> jax.Array:
    """The rows' part of the batch's value, a float32 scalar.

    Args:
        objective: what is minimised.
        head: how states become nats.
        hidden_BxSxD: final states of the inputs.
        rows: what was fed.
        divisor: as `divisor` has it.
    """
    hidden_NxD = hidden_BxSxD.reshape(-1, hidden_BxSxD.shape[-1])
    states = hidden_NxD, head.embedding, rows.tokens_BxS1[:, 1:].reshape(-1), head.exchange, head.platform
    if isinstance(objective, Ranking):
        assert rows.ranked is not None
        nats_BxS = token_nats(*states).reshape(hidden_BxSxD.shape[:2])
        return ranking(objective, nats_BxS, rows.ranked) / divisor
    if rows.weights_BxS is None:
        return cross_entropy(*states, head.z_loss) / divisor
    return cross_entropy(*states, head.z_loss, (rows.weights_BxS / divisor).reshape(-1))


def ranking(objective: Ranking, nats_BxS: jax.Array, ranked: Ranked) -> jax.Array:
    """The sum over sets of answers of what `recipe.Ranking` says, from the nats of every target."""
    part_BxSxE = _part(ranked)
    nats_BxE = jnp.where(part_BxSxE, nats_BxS[:, :, None], 0.0).sum(axis=1)
    mean_BxE = nats_BxE / jnp.maximum(part_BxSxE.sum(axis=1), 1)
    gap_BxExE = ranked.score_BxE[:, :, None] - ranked.score_BxE[:, None, :]
    counted_BxExE = jnp.where(_rivals(ranked) & (gap_BxExE > 0), gap_BxExE, 0)
    # By how much the better answer, in rows, is the less likely; relu has no slope at 0, maximum has half of one.
    behind_BxExE = jax.nn.relu(mean_BxE[:, :, None] - mean_BxE[:, None, :])
    tuned_BxE = nats_BxE if objective.reduction == "sum" else mean_BxE
    tuning = jnp.where(_best(ranked), tuned_BxE, 0.0).sum()
    return objective.rank * (counted_BxExE * behind_BxExE).sum() + objective.tuning * tuning


def _part(ranked: Ranked) -> jax.Array:
    """Whether a target belongs to an answer, [B, S, E]."""
    return ranked.answer_BxS[:, :, None] == jnp.arange(1, ranked.set_BxE.shape[1] + 1)


def _rivals(ranked: Ranked) -> jax.Array:
    """Which answers are there and of one set, [B, E, E]; an answer without tokens is not there."""
    there_BxE = (ranked.set_BxE > 0) & _part(ranked).any(axis=1)
    same_BxExE = ranked.set_BxE[:, :, None] == ranked.set_BxE[:, None, :]
    return same_BxExE & there_BxE[:, :, None] & there_BxE[:, None, :]


def _best(ranked: Ranked) -> jax.Array:
    """Whether an answer is the best of its set, the first of several, [B, E]: one of every set."""
    score_BxE, number_E = ranked.score_BxE, jnp.arange(ranked.score_BxE.shape[1])
    higher_BxExE = score_BxE[:, None, :] > score_BxE[:, :, None]
    earlier_BxExE = (score_BxE[:, None, :] == score_BxE[:, :, None]) & (number_E < number_E[:, None])
    rivals_BxExE = _rivals(ranked)
    return rivals_BxExE.any(axis=2) & ~(rivals_BxExE & (higher_BxExE | earlier_BxExE)).any(axis=2)
