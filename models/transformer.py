"""The model: a decoder-only Transformer with the architecture of CohereForCausalLM.

Each block normalises once and adds attention and a SwiGLU feed-forward side by side (arXiv:2408.10914, section 3.1).
No biases anywhere, LayerNorm with a scale only, interleaved rotary positions, tied embedding, logit scale 1.
Devices and precision stand around the model, see models/setting.py.

Shape suffixes: B batch, S sequence, N = B*S tokens, D width, H heads, K width of a head, F feed-forward width.
"""

import zlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig
from models.setting import ONE_DEVICE, Setting

Params = Mapping[str, jax.Array]
"""Float32 arrays by dotted name: "embedding", "blocks.0.query", "norm.scale"."""

Rotation = tuple[jax.Array, jax.Array]
"""Cosines and sines [S, K/2], or [B, S, K/2] where rows have positions of their own."""

Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(queries, keys, values) of a block, each [B, S, H, K] -> what the queries gather, [B, S, H, K]."""


class Transformer(nnx.Module):
    """Embedding, blocks, final norm. The logits are `hidden` times the transposed embedding; see models/loss.py."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        shape = (config.vocabulary, config.width)
        self.embedding = nnx.Param(_EMBEDDING_DEVIATION * jax.random.normal(_key(rngs, "embedding"), shape))
        self.blocks = nnx.List([Block(config, layer, rngs) for layer in range(config.layers)])
        self.norm = Norm(config)

    def hidden(
        self, tokens_BxS: jax.Array, segments_BxS: jax.Array | None = None, setting: Setting = ONE_DEVICE
    ) -> jax.Array:
        """The final, normalised states [B, S, D] of int32 tokens; positions run from 0 in every row.

        With `segments_BxS`, int32, attention stays inside a document.
        """

        def attend(q_BxSxHxK: jax.Array, k_BxSxHxK: jax.Array, v_BxSxHxK: jax.Array) -> jax.Array:
            return setting.attention(q_BxSxHxK, k_BxSxHxK, v_BxSxHxK, segments_BxS)

        return self.states(tokens_BxS, setting.positions(tokens_BxS.shape[1]), attend, setting)

    def states(
        self, tokens_BxS: jax.Array, positions: jax.Array | np.ndarray, attend: Attention, setting: Setting = ONE_DEVICE
    ) -> jax.Array:
        """As `hidden`, at `positions` [S] or [B, S]; the blocks call `attend` from the first to the last."""
        # Tokens stay one axis between attentions: XLA's CPU products of [B, S, D] take half as long again as of [N, D].
        x_NxD = setting.lookup(self.embedding[...], tokens_BxS.reshape(-1))
        rotation = _rotation(self.config, positions)
        x_NxD = setting.layers(self.blocks, lambda block, x: block(x, rotation, attend, setting), x_NxD)
        return self.norm(x_NxD, setting).reshape(*tokens_BxS.shape, self.config.width)


class Block(nnx.Module):
    """Attention and feed-forward in parallel from one norm."""

    def __init__(self, config: ModelConfig, layer: int, rngs: nnx.Rngs) -> None:
        width, feed_forward = config.width, config.feed_forward
        self.config = config
        self.norm = Norm(config)
        self.query = _glorot(rngs, f"blocks.{layer}.query", width, width)
        self.key = _glorot(rngs, f"blocks.{layer}.key", width, width)
        self.value = _glorot(rngs, f"blocks.{layer}.value", width, width)
        self.output = _glorot(rngs, f"blocks.{layer}.output", width, width)
        self.gate = _glorot(rngs, f"blocks.{layer}.gate", width, feed_forward)
        self.up = _glorot(rngs, f"blocks.{layer}.up", width, feed_forward)
        self.down = _glorot(rngs, f"blocks.{layer}.down", feed_forward, width)

    def __call__(self, x_NxD: jax.Array, rotation: Rotation, attend: Attention, setting: Setting) -> jax.Array:
        def weight(name: str) -> jax.Array:
            return setting.weight(getattr(self, name)[...])

        y_NxD = self.norm(x_NxD, setting)
        heads = self.config.heads
        q_BxSxHxK, k_BxSxHxK = (
            _rotate(y_NxD @ _halves(weight(name), heads), heads, rotation) for name in ("query", "key")
        )
        v_BxSxHxK = (y_NxD @ weight("value")).reshape(q_BxSxHxK.shape)
        mixed_BxSxHxK = attend(q_BxSxHxK, k_BxSxHxK, v_BxSxHxK)
        mixed_NxD = mixed_BxSxHxK.reshape(x_NxD.shape[0], -1)
        gated_NxF = jax.nn.silu(y_NxD @ weight("gate")) * (y_NxD @ weight("up"))
        return x_NxD + mixed_NxD @ weight("output") + gated_NxF @ weight("down")


class Norm(nnx.Module):
    """LayerNorm with a scale and no bias, in float32; the result has the type of the input."""

    def __init__(self, config: ModelConfig) -> None:
        self.scale = nnx.Param(jnp.ones(config.width))
        self.epsilon = config.norm_epsilon

    def __call__(self, x_NxD: jax.Array, setting: Setting) -> jax.Array:
        x32_NxD = x_NxD.astype(jnp.float32)
        centred_NxD = x32_NxD - x32_NxD.mean(axis=-1, keepdims=True)
        variance_Nx1 = jnp.square(centred_NxD).mean(axis=-1, keepdims=True)
        scale_D = setting.weight(self.scale[...])
        return (centred_NxD * jax.lax.rsqrt(variance_Nx1 + self.epsilon) * scale_D).astype(x_NxD.dtype)


def _rotation(config: ModelConfig, positions: jax.Array | np.ndarray) -> Rotation:
    """Cosines and sines of position times frequency; of NumPy's positions, as constants of the program."""
    module = np if isinstance(positions, np.ndarray) else jnp
    exponents = np.arange(0, config.head_width, 2, dtype=np.float32) / np.float32(config.head_width)
    angles = positions.astype(np.float32)[..., None] * config.rope_theta**-exponents
    return module.cos(angles), module.sin(angles)


def _halves(kernel_DxC: jax.Array, heads: int) -> jax.Array:
    """Columns of each head with the even dimensions first.

    Parameters follow Cohere's interleaved rotary, which turns dimensions 2i and 2i+1 as a pair. Scores do not change
    when query and key are permuted alike, and pairs K/2 apart turn without strided access.
    """
    return kernel_DxC.reshape(len(kernel_DxC), heads, -1, 2).swapaxes(2, 3).reshape(kernel_DxC.shape)


def _rotate(x_NxD: jax.Array, heads: int, rotation: Rotation) -> jax.Array:
    """Queries or keys [B, S, H, K], turned by their positions; the columns come as `_halves` orders them."""
    cosine_Sx1xK2, sine_Sx1xK2 = (table[..., None, :] for table in rotation)
    sequence, half_head = rotation[0].shape[-2:]
    even, odd = jnp.split(x_NxD.reshape(-1, sequence, heads, 2 * half_head), 2, axis=-1)
    turned = [even * cosine_Sx1xK2 - odd * sine_Sx1xK2, odd * cosine_Sx1xK2 + even * sine_Sx1xK2]
    return jnp.concatenate(turned, axis=-1).astype(x_NxD.dtype)


_EMBEDDING_DEVIATION = 0.02
"""Of the tied embedding at initialisation. Glorot-normal would make it depend on the vocabulary: 0.0028 for 256,000 x
1,024, a variance of 8e-6, below the norm's epsilon, so that the first norm would swallow the signal. 0.02 is what the
Cohere configuration starts from, and one value lets models of several vocabularies pair."""


def _glorot(rngs: nnx.Rngs, name: str, fan_in: int, fan_out: int) -> nnx.Param[jax.Array]:
    deviation = (2 / (fan_in + fan_out)) ** 0.5
    return nnx.Param(deviation * jax.random.normal(_key(rngs, name), (fan_in, fan_out)))


def _key(rngs: nnx.Rngs, name: str) -> jax.Array:
    """A key of the seed and the parameter's name alone, so that equal names and shapes start equal in any model."""
    return jax.random.fold_in(rngs.params.key[...], zlib.crc32(name.encode()))


def initial(config: ModelConfig, seed: int) -> Params:
    """All parameters by name, a pure function of (seed, name, shape)."""
    state = nnx.state(Transformer(config, nnx.Rngs(seed)))
    return {_name(path): leaf[...] for path, leaf in nnx.to_flat_state(state)}


def shapes(config: ModelConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """All parameters by name, without their arrays."""
    return jax.eval_shape(lambda: dict(initial(config, 0)))


def bind(config: ModelConfig, params: Params) -> Transformer:
    """The model that uses `params`; free inside a jitted function."""
    model = nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0)))
    graph, state = nnx.split(model)
    return nnx.merge(
        graph,
        nnx.from_flat_state([(path, leaf.replace(params[_name(path)])) for path, leaf in nnx.to_flat_state(state)]),
    )


def _name(path: tuple) -> str:
    return ".".join(str(part) for part in path)
