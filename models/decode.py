"""Scoring and greedy generation with a trained model. Results do not depend on how rows are batched or padded.

Every position sees only what stands before it, so padding goes to the right and never changes a score.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.config import ModelConfig
from models.errors import UserError
from models.loss import token_scores
from models.transformer import Params, bind


class Scores(NamedTuple):
    nats_BxS: jax.Array
    """Negative log-likelihood of token s + 1 given tokens 0..s."""
    greedy_BxS: jax.Array
    """Whether token s + 1 is the most likely one."""


def score(config: ModelConfig, params: Params) -> Callable[[jax.Array], Scores]:
    """A function of int32 tokens [B, S+1], compiled once per shape whatever the parameters.

    Padding to the right of a row's end is scored as well; the caller leaves those positions out.
    """
    return functools.partial(_scorer(config), params)


@functools.cache
def _scorer(config: ModelConfig) -> Callable[[Params, jax.Array], Scores]:
    @jax.jit
    def scores(params: Params, tokens_BxS1: jax.Array) -> Scores:
        hidden_BxSxD = bind(config, params).hidden(tokens_BxS1[:, :-1])
        targets_BxS = tokens_BxS1[:, 1:]
        flat = token_scores(hidden_BxSxD.reshape(-1, config.width), params["embedding"], targets_BxS.reshape(-1))
        return Scores(flat.nats_N.reshape(targets_BxS.shape), flat.greedy_N.reshape(targets_BxS.shape))

    return scores


def greedy(
    config: ModelConfig, params: Params, prompts_BxP: jax.Array, lengths_B: jax.Array, new_tokens: int
) -> jax.Array:
    """The most likely continuation, token by token: int32 [B, new_tokens].

    Prompts of several lengths stand to the left and are padded with any token to the right. Generation does not stop at
    any token; the caller cuts the text. The whole row is computed anew for each token.

    Raises:
        UserError: no tokens asked for, or a length that is not in 1..P.
    """
    if new_tokens < 1:
        raise UserError(f"generation was asked for {new_tokens} new tokens; ask for at least 1")
    lengths_B = jnp.asarray(lengths_B, jnp.int32)
    longest = prompts_BxP.shape[1]
    if not bool(((lengths_B >= 1) & (lengths_B <= longest)).all()):
        raise UserError(
            f"prompts padded to {longest} tokens have a length outside 1 to {longest}; give each its own length"
        )
    return _generator(config, new_tokens)(params, jnp.asarray(prompts_BxP, jnp.int32), lengths_B)


@functools.cache
def _generator(config: ModelConfig, new_tokens: int) -> Callable[[Params, jax.Array, jax.Array], jax.Array]:
    @jax.jit
    def generate(params: Params, prompts_BxP: jax.Array, lengths_B: jax.Array) -> jax.Array:
        model = bind(config, params)
        rows_B = jnp.arange(prompts_BxP.shape[0])

        def append(index: jax.Array, tokens_BxT: jax.Array) -> jax.Array:
            end_B = lengths_B + index
            last_BxD = model.hidden(tokens_BxT)[rows_B, end_B - 1]
            next_B = (last_BxD @ params["embedding"].T).argmax(axis=1).astype(jnp.int32)
            return tokens_BxT.at[rows_B, end_B].set(next_B)

        tokens_BxT = jnp.pad(prompts_BxP, ((0, 0), (0, new_tokens)))
        tokens_BxT = jax.lax.fori_loop(0, new_tokens, append, tokens_BxT)
        positions_BxN = lengths_B[:, None] + jnp.arange(new_tokens)
        return jnp.take_along_axis(tokens_BxT, positions_BxN, axis=1)

    return generate
