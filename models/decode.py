"""Scoring token trees and cached generation: what a trained model computes when it is evaluated.

A tree is a context with its continuations, each shared prefix once. Its nodes lie in a row from the root down, branch
after branch, and a node ends where the nodes below it end. So a position t sees a node s exactly if s <= t < end(s),
and one row may hold several trees. Generation works in slots: a row of the cache of keys and values, which a prompt
enters and leaves apart from all others. With a mesh, devices have rows and slots of their own, and of the weights the
part that models/devices/parallel.py gives them: a layer's are gathered as it runs, for no chip need hold a large model
whole. All of it is float32, products too, on any device: a score should not depend on where it was taken. Parameters of
fewer bits (models/quantise.py) lie on one device, and what they are says how they reach it.

Suffixes: B rows or slots, S tokens of a row, N = B*S, H heads, K width of a head, V vocabulary, E edges of the trees,
C edges of a chunk, T columns of the cache, R prompts to enter, P their padded length, D width.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from models.attention import causal_attention, in_blocks
from models.config import ModelConfig
from models.devices.layout import AXES, Layout, accelerator_chunk
from models.devices.parallel import BATCH, platform, setting, shape_of, specs
from models.drawing import drawn, first_highest
from models.quantise import ANY_BITS, in_fewer_bits
from models.recipe import PRODUCTS
from models.setting import Setting
from models.transformer import Params, bind

_LOGITS = 1 << 22
_ACCELERATOR_BLOCKS = 4
"""Of attention: compiling one takes a second, and all of the square is but a tenth of the work in rows of 1,536."""


class Trees(NamedTuple):
    """Rows of token trees, int32; under a mesh the arrays of all devices one after the other.

    Attributes:
        tokens_BxS, depths_BxS: the nodes and their positions in the text.
        ends_BxS: the first column of the row that does not see the node any more; 0 for padding.
        places_E, targets_E: an edge, that is a node (row * S + column, of its own device) and the token that follows.
        edges_1: how many of E there are.
    """

    tokens_BxS: Any
    depths_BxS: Any
    ends_BxS: Any
    places_E: Any
    targets_E: Any
    edges_1: Any


class Seats(NamedTuple):
    """What every slot goes on with; one with nothing left to say stands still.

    Attributes:
        token_B, position_B: the last token, which has not gone through the model, and its position.
        said_B, left_B: tokens generated, and still to generate.
        seed_B, temperature_B, top_p_B, top_k_B: how to choose; at temperature 0 the most likely token. A `top_k` of 0
            leaves all.
    """

    token_B: Any
    position_B: Any
    said_B: Any
    left_B: Any
    seed_B: Any
    temperature_B: Any
    top_p_B: Any
    top_k_B: Any


SEAT_KINDS = (*[jnp.int32] * 5, jnp.float32, jnp.float32, jnp.int32)
"""Of every array."""


class Slots(NamedTuple):
    """The state of generation: the cache, and who sits there.

    Of keys and values [B, H, T, K] for every layer; where a mesh runs the layers as one loop, all together as
    [B, L, T, D], whose rows a TPU writes in place and does not pad.
    """

    keys: "Cache"
    values: "Cache"
    at: Seats


Cache = tuple[jax.Array, ...] | jax.Array


class Prompts(NamedTuple):
    """Prompts to enter and the slots that take them; several slots may take one. A slot beyond the last takes none.

    Attributes:
        tokens_RxP: padded to the right.
        slot_B, prompt_B: the slot, and the row of its prompt (both of their own device).
        at: what the slot goes on with, from the prompt's last token.
    """

    tokens_RxP: Any
    slot_B: Any
    prompt_B: Any
    at: Seats


def devices(mesh: Mesh | None) -> int:
    """How many hold rows of their own."""
    return shape_of(mesh).devices


def _scans(config: ModelConfig, mesh: Mesh | None) -> bool:
    """Whether the layers are one loop."""
    return mesh is not None and Layout().scans(config)


def _setting(config: ModelConfig, mesh: Mesh | None) -> Setting:
    """How weights reach a device."""
    if mesh is None:
        return ANY_BITS
    return setting(mesh, jnp.dtype(jnp.float32), Layout(), _scans(config, mesh))


def _by_rows(
    function: Callable[..., Any],
    mesh: Mesh | None,
    arguments: int,
    donate: tuple[int, ...] = (),
    read: tuple[bool, ...] = (False,),
) -> jax.stages.Wrapped:
    """`function` of parameters and so many arguments by rows, on every device's rows alone, in float32.

    Of its results those that are `read` are whole on every device: each process then has all of them.
    """
    function = jax.default_matmul_precision(PRODUCTS["float32"])(function)
    if mesh is None:
        return jax.jit(function, donate_argnums=donate)

    def on_devices(params: Params, *rows: Any) -> Any:
        placed = (specs(params), *[BATCH] * arguments)
        return jax.shard_map(function, mesh=mesh, in_specs=placed, out_specs=BATCH, check_vma=False)(params, *rows)

    everywhere = NamedSharding(mesh, P())
    results = tuple(everywhere if each else None for each in read)
    return jax.jit(on_devices, donate_argnums=donate, out_shardings=results if len(results) > 1 else results[0])


@functools.cache
def scorer(config: ModelConfig, mesh: Mesh | None = None) -> jax.stages.Wrapped:
    """(parameters, trees) -> of every edge the negative log-likelihood in nats, [E] float32, and whether no token is
    likelier, [E] bool. Compiled once per shape."""
    chunk = max(128, _LOGITS // config.vocabulary)
    if platform(mesh) != "cpu":
        chunk = accelerator_chunk(config.vocabulary)
    around = _setting(config, mesh)

    def score_rows(params: Params, trees: Trees) -> tuple[jax.Array, jax.Array]:
        attend = functools.partial(_tree_attention, trees.ends_BxS, _blocks(mesh))
        hidden_BxSxD = bind(config, params).states(trees.tokens_BxS, trees.depths_BxS, attend, around)
        embedding_VxD = around.head.gather(params["embedding"])
        return _edges(hidden_BxSxD.reshape(-1, config.width), embedding_VxD, trees, chunk)

    return _by_rows(score_rows, mesh, 1, read=(True, True))


def _tree_attention(
    ends_BxS: jax.Array, blocks: int | None, q_BxSxHxK: jax.Array, k_BxSxHxK: jax.Array, v_BxSxHxK: jax.Array
) -> jax.Array:
    """Every node's attention to the nodes on its way from the root."""

    def seen(start: int, end: int) -> jax.Array:
        queries_Qx1, keys_T = jnp.arange(start, end)[:, None], jnp.arange(end)
        above_BxQxT = (keys_T < queries_Qx1) & (queries_Qx1 < ends_BxS[:, None, :end])
        return (above_BxQxT | (keys_T == queries_Qx1))[:, None]

    return in_blocks(q_BxSxHxK * q_BxSxHxK.shape[-1] ** -0.5, k_BxSxHxK, v_BxSxHxK, seen, blocks)


def _blocks(mesh: Mesh | None) -> int | None:
    """Of attention, at most. The kernels of accelerators take no trees, and cuDNN's no float32."""
    return None if platform(mesh) == "cpu" else _ACCELERATOR_BLOCKS


def _edges(hidden_NxD: jax.Array, embedding_VxD: jax.Array, trees: Trees, chunk: int) -> tuple[jax.Array, jax.Array]:
    """Only nodes that are scored go through the output head, which costs more than all layers of a small model."""
    edges = trees.places_E.shape[0]
    chunk = min(chunk, edges)
    places_E, targets_E = (jnp.pad(x, (0, -edges % chunk)) for x in (trees.places_E, trees.targets_E))

    def one(number: jax.Array, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at = number * chunk
        places_C, targets_C = (jax.lax.dynamic_slice_in_dim(x, at, chunk) for x in (places_E, targets_E))
        logits_CxV = hidden_NxD[places_C] @ embedding_VxD.T
        target_C = jnp.take_along_axis(logits_CxV, targets_C[:, None], axis=1)[:, 0]
        highest_C = logits_CxV.max(axis=1)
        nats_C = jnp.log(jnp.exp(logits_CxV - highest_C[:, None]).sum(axis=1)) + highest_C - target_C
        nats_E = jax.lax.dynamic_update_slice_in_dim(found[0], nats_C, at, 0)
        return nats_E, jax.lax.dynamic_update_slice_in_dim(found[1], target_C >= highest_C, at, 0)

    empty = (jnp.zeros(places_E.shape, jnp.float32), jnp.zeros(places_E.shape, bool))
    nats_E, greedy_E = jax.lax.fori_loop(0, -(-trees.edges_1[0] // chunk), one, empty)
    return nats_E[:edges], greedy_E[:edges]


def empty_slots(config: ModelConfig, slots: int, columns: int, mesh: Mesh | None = None) -> Slots:
    """`slots` of them, all devices' together, that nothing has entered."""
    if mesh is None:
        return _empty_slots(config, slots, columns, scan=False)
    # Each device makes its own: one could not hold those of all.
    make = jax.jit(_empty_slots, static_argnums=(0, 1, 2, 3), out_shardings=NamedSharding(mesh, BATCH))
    return make(config, slots, columns, _scans(config, mesh))


def _empty_slots(config: ModelConfig, slots: int, columns: int, scan: bool) -> Slots:
    def cache() -> Cache:
        if scan:
            return jnp.zeros((slots, config.layers, columns, config.width))
        shape = (slots, config.heads, columns, config.head_width)
        return tuple(jnp.zeros(shape) for _ in range(config.layers))

    at = Seats(*(jnp.zeros(slots, kind) for kind in SEAT_KINDS))
    return Slots(cache(), cache(), at)


def widen(slots: Slots, columns: int) -> Slots:
    """The same with `columns` columns."""

    def wide(cache: jax.Array) -> jax.Array:
        return jnp.pad(cache, ((0, 0), (0, 0), (0, columns - cache.shape[2]), (0, 0)))

    return slots._replace(keys=jax.tree.map(wide, slots.keys), values=jax.tree.map(wide, slots.values))


@functools.cache
def enterer(config: ModelConfig, mesh: Mesh | None = None) -> jax.stages.Wrapped:
    """(parameters, slots, prompts) -> slots that have taken the prompts. Those that were are given up; their cache has
    at least P columns."""
    around = _setting(config, mesh)

    def enter_rows(params: Params, slots: Slots, prompts: Prompts) -> Slots:
        columns = prompts.tokens_RxP.shape[1]
        held: list[Any] = [slots.keys, slots.values, 0]

        def attend(q_RxPxHxK: jax.Array, k_RxPxHxK: jax.Array, v_RxPxHxK: jax.Array) -> jax.Array:
            layer = held[2]
            for which, new in enumerate((k_RxPxHxK, v_RxPxHxK)):
                held[which] = _put(held[which], layer, prompts.slot_B, slice(columns), new[prompts.prompt_B])
            held[2] = layer + 1
            return causal_attention(q_RxPxHxK, k_RxPxHxK, v_RxPxHxK, blocks=_blocks(mesh))

        within = _holding(around, held, _scans(config, mesh))
        bind(config, params).states(prompts.tokens_RxP, jnp.arange(columns), attend, within)

        def put(old_B: jax.Array, new_B: jax.Array) -> jax.Array:
            return old_B.at[prompts.slot_B].set(new_B, mode="drop")

        return Slots(held[0], held[1], jax.tree.map(put, slots.at, prompts.at))

    return _by_rows(enter_rows, mesh, 2, donate=(1,))


@functools.cache
def advancer(
    config: ModelConfig, steps: int, end: int, draws: bool = True, mesh: Mesh | None = None
) -> jax.stages.Wrapped:
    """(parameters, slots, alive_B) -> slots, and up to `steps` more tokens for each that is alive: int32 [B, steps], -1
    where a slot said none.

    A slot that says the token `end` has nothing left to say; the others stand still. The slots that were are given up;
    their cache has a column for every position that the model is asked about. Without `draws` all temperatures are 0,
    which compiles in half the time.
    """

    around = _setting(config, mesh)
    divided = shape_of(mesh).fsdp > 1
    on_cpu = platform(mesh) == "cpu"

    def going_on(slots: Slots) -> jax.Array:
        """Whether anyone has something to say. Devices that gather from each other go round together."""
        any_ = (slots.at.left_B > 0).any()
        return jax.lax.pmax(any_.astype(jnp.int32), AXES) > 0 if divided else any_

    def advance_rows(params: Params, slots: Slots, alive_B: jax.Array) -> tuple[Slots, jax.Array]:
        def more(state: tuple[jax.Array, jax.Array, Slots, jax.Array]) -> jax.Array:
            return (state[0] < steps) & state[1]

        def step(
            state: tuple[jax.Array, jax.Array, Slots, jax.Array],
        ) -> tuple[jax.Array, jax.Array, Slots, jax.Array]:
            number, _, slots, said_BxC = state
            weights = params
            # Or the compiler may gather before the loop, once, what together is too much; or make float32 weights of
            # those in fewer bits there. On a CPU that is faster, but for a single row (benchmarks/quantised.md).
            if divided or (in_fewer_bits(params) and (len(alive_B) == 1 or not on_cpu)):
                weights, number = jax.lax.optimization_barrier((params, number))
            at = slots.at
            held, attend = _through_cache(slots)
            within = _holding(around, held, _scans(config, mesh))
            model = bind(config, weights)
            hidden_Bx1xD = model.states(at.token_B[:, None], at.position_B[:, None], attend, within)
            logits_BxV = hidden_Bx1xD[:, 0] @ around.head.gather(weights["embedding"]).T
            token_B = drawn(logits_BxV, at) if draws else first_highest(logits_BxV)
            on_B = at.left_B > 0
            said_BxC = said_BxC.at[:, number].set(jnp.where(on_B, token_B, -1))
            at = at._replace(
                token_B=jnp.where(on_B, token_B, at.token_B),
                position_B=at.position_B + on_B,
                said_B=at.said_B + on_B,
                left_B=jnp.where(on_B & (token_B != end), at.left_B - 1, 0),
            )
            slots = Slots(held[0], held[1], at)
            return number + 1, going_on(slots), slots, said_BxC

        slots = slots._replace(at=slots.at._replace(left_B=jnp.where(alive_B, slots.at.left_B, 0)))
        nothing_BxC = jnp.full((len(alive_B), steps), -1, jnp.int32)
        return jax.lax.while_loop(more, step, (jnp.int32(0), going_on(slots), slots, nothing_BxC))[2:]

    return _by_rows(advance_rows, mesh, 2, donate=(1,), read=(False, True))


def _through_cache(slots: Slots) -> tuple[list[Any], Callable[..., jax.Array]]:
    """Attention of one new token a slot, and what it goes on with: the cache of keys, that of values, and the layer."""
    held: list[Any] = [slots.keys, slots.values, 0]
    position_B = slots.at.position_B
    rows_B = jnp.arange(len(position_B))
    columns = jax.tree.leaves(slots.keys)[0].shape[2]
    seen_Bx1xT = (jnp.arange(columns) <= position_B[:, None])[:, None]

    def attend(q_Bx1xHxK: jax.Array, k_Bx1xHxK: jax.Array, v_Bx1xHxK: jax.Array) -> jax.Array:
        layer = held[2]
        for which, new in enumerate((k_Bx1xHxK, v_Bx1xHxK)):
            held[which] = _put(held[which], layer, rows_B, position_B, new[:, 0])
        held[2], heads = layer + 1, q_Bx1xHxK.shape[2]
        q_BxHxK = q_Bx1xHxK[:, 0] * q_Bx1xHxK.shape[-1] ** -0.5
        scores_BxHxT = jnp.einsum("bhk,bhtk->bht", q_BxHxK, _of(held[0], layer, heads))
        weights_BxHxT = jax.nn.softmax(jnp.where(seen_Bx1xT, scores_BxHxT, -jnp.inf), axis=-1)
        mixed_BxHxK = jnp.einsum("bht,bhtk->bhk", weights_BxHxT, _of(held[1], layer, heads))
        return mixed_BxHxK[:, None].astype(q_Bx1xHxK.dtype)

    return held, attend


def _put(cache: Cache, layer: Any, slots_B: jax.Array, columns: Any, new: jax.Array) -> Cache:
    """The cache with `new`, [B, H, K] or [B, P, H, K], in a layer's `columns`; a slot that is not there takes none."""
    if isinstance(cache, tuple):
        after = cache[layer].at[slots_B, :, columns].set(jnp.moveaxis(new, -2, 1), mode="drop")
        return (*cache[:layer], after, *cache[layer + 1 :])
    return cache.at[slots_B, layer, columns].set(new.reshape(*new.shape[:-2], -1), mode="drop")


def _of(cache: Cache, layer: Any, heads: int) -> jax.Array:
    """A layer's [B, H, T, K]."""
    if isinstance(cache, tuple):
        return cache[layer]
    layer_BxTxD = jax.lax.dynamic_index_in_dim(cache, layer, axis=1, keepdims=False)
    return layer_BxTxD.reshape(*layer_BxTxD.shape[:2], heads, -1).swapaxes(1, 2)


def _holding(around: Setting, held: list[Any], scan: bool) -> Setting:
    """The setting in which `held`, that attention changes, goes through the loop of the layers, if they are one."""
    if not scan:
        return around

    def layers(blocks: Sequence[Any], apply: Callable[[Any, jax.Array], jax.Array], x_NxD: jax.Array) -> jax.Array:
        graph, _ = nnx.split(blocks[0])
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *[nnx.state(block) for block in blocks])

        def body(carry: tuple[jax.Array, list[Any]], state: nnx.State) -> tuple[tuple[jax.Array, list[Any]], None]:
            x_NxD, held[:] = carry
            x_NxD = apply(nnx.merge(graph, state), x_NxD)
            return (x_NxD, list(held)), None

        (x_NxD, held[:]), _ = jax.lax.scan(body, (x_NxD, list(held)), stacked)
        return x_NxD

    return replace(around, layers=layers)
