"""Scoring and greedy generation with a trained model. Results do not depend on how rows are batched or padded.

Every position sees only what stands before it, so padding goes to the right and never changes a score.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from models.config import ModelConfig
from models.errors import UserError
from models.loss import token_nats
from models.transformer import Params, bind

Scorer = Callable[[jax.Array, jax.Array], jax.Array]


def score(config: ModelConfig, params: Params) -> Scorer:
    """A function (tokens [B, S+1] int32, places [N] int32) -> nats [N], compiled once per shape.

    A place is row * S + s and stands for token s + 1 of the row, given tokens 0..s. Only the places asked for go
    through the output head, which costs more than all layers of a small model.
    """
    return functools.partial(_scorer(config), params)


@functools.cache
def _scorer(config: ModelConfig) -> Callable[[Params, jax.Array, jax.Array], jax.Array]:
    @jax.jit
    def nats(params: Params, tokens_BxS1: jax.Array, places_N: jax.Array) -> jax.Array:
        hidden_BxSxD = bind(config, params).hidden(tokens_BxS1[:, :-1])
        hidden_NxD = hidden_BxSxD.reshape(-1, config.width)[places_N]
        return token_nats(hidden_NxD, params["embedding"], tokens_BxS1[:, 1:].reshape(-1)[places_N])

    return nats


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
