"""Parallelism outside the model: the mesh, the rules that place parameters, and what devices tell each other.

A step runs on every device over its own rows (`jax.shard_map`), and every exchange is written out here, so that none is
left to a compiler's choice. Weights rest in float32 divided over `fsdp` and `tensor`; a layer's are cast and gathered
over `fsdp` as it runs, and its gradient is summed in float32 and scattered (ZeRO-3, arXiv:1910.02054). Over `tensor`
a block divides its heads and feed-forward (arXiv:1909.08053) and joins once, since attention and feed-forward are
parallel; the loss divides its tokens. Over `data` gradients are summed once per step.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from models.attention import causal_attention, saved
from models.devices.layout import AXES, Layout, MeshShape
from models.setting import Exchange, Setting
from store.errors import UserError

BATCH = P(("data", "fsdp"))
"""Rows of a batch."""
_RULES = {
    "embedding": P(("fsdp", "tensor"), None),
    "query": P("fsdp", "tensor"),
    "key": P("fsdp", "tensor"),
    "value": P("fsdp", "tensor"),
    "gate": P("fsdp", "tensor"),
    "up": P("fsdp", "tensor"),
    "output": P(("tensor", "fsdp"), None),
    "down": P(("tensor", "fsdp"), None),
    "scale": P(),
}
"""Where a parameter rests, by the last part of its name. `fsdp` always divides rows: columns are the 128 lanes of a TPU
register, and a thinner slice would be padded."""


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `devices`, by default all of them, in order: neighbours along `tensor`, then `fsdp`.

    Raises:
        UserError: the mesh has another number of devices.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) != shape.devices:
        raise UserError(
            f"mesh ({shape}) needs {shape.devices} devices and there are {len(devices)}; "
            f"choose axes whose product is {len(devices)}"
        )
    grid = np.array(devices).reshape(shape.data, shape.fsdp, shape.tensor)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def shape_of(mesh: Mesh | None) -> MeshShape:
    """The axes of a mesh; of None, one device."""
    return MeshShape() if mesh is None else MeshShape(**mesh.shape)


def specs(tree: Any) -> Any:
    """The PartitionSpec of every leaf of parameters, or of an optimizer state that holds arrays by their names."""

    def spec(path: tuple, leaf: Any) -> P:
        last = str(getattr(path[-1], "key", "")).rsplit(".", 1)[-1] if path else ""
        return _RULES.get(last, P())

    return jax.tree_util.tree_map_with_path(spec, tree)


def shardings(mesh: Mesh, tree: Any) -> Any:
    """The NamedSharding of every leaf, by the same rules."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs(tree), is_leaf=lambda x: isinstance(x, P))


def placed(mesh: Mesh, shapes: Any) -> Any:
    """The same shapes and types, each with the place of its array."""
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        shapes,
        shardings(mesh, shapes),
    )


def global_batch(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """The batch of all processes, [B, ...], from the rows that this one holds; rows are in the order of processes."""
    return jax.make_array_from_process_local_data(NamedSharding(mesh, BATCH), rows)


def summed(tree: Any, mesh: Mesh) -> Any:
    """Gradients, which are already summed over `fsdp`, summed over `data` too. Inside a step only."""
    return jax.lax.psum(tree, "data") if mesh.shape["data"] > 1 else tree


def setting(mesh: Mesh | None, compute: jnp.dtype, layout: Layout, scan: bool) -> Setting:
    """The model's surroundings on one device of the mesh."""
    kind, tensor = platform(mesh), shape_of(mesh).tensor
    embedding = _exchange(mesh, "embedding", compute)
    around = Setting(
        attention=functools.partial(causal_attention, platform=kind),
        # Of traced positions XLA's CPU compiler takes cosine and sine again for each row, head and layer.
        positions=(np if kind == "cpu" else jnp).arange,
        weight=lambda name, part: _arrive(_exchange(mesh, name, compute), part),
        lookup=functools.partial(_lookup, embedding, tensor),
        layers=functools.partial(_run, scan, layout.remat),
        head=embedding,
    )
    if tensor == 1:
        return around
    return replace(
        around, enter=_enter, join=lambda x, a, b: x + _leave(a + b), own=functools.partial(_own_tokens, tensor)
    )


def platform(mesh: Mesh | None) -> str:
    """Of the devices of a mesh, which need not be here; of None, the machine's."""
    return jax.default_backend() if mesh is None else mesh.devices.flat[0].platform


def _exchange(mesh: Mesh | None, name: str, compute: jnp.dtype) -> Exchange:
    """How the parameter called `name` is gathered and its gradient scattered; scales stay float32."""
    kind = jnp.dtype(jnp.float32) if name == "scale" else compute
    groups = () if mesh is None else _gathered(mesh, name)
    return _exchange_over(kind, groups, mesh is not None and name == "scale" and mesh.shape["fsdp"] > 1)


@functools.cache
def _exchange_over(kind: jnp.dtype, groups: tuple[str, ...], replicated: bool) -> Exchange:
    def gather(part: jax.Array) -> jax.Array:
        part = part.astype(kind)
        return jax.lax.all_gather(part, groups, axis=0, tiled=True) if groups else part

    def scatter(gradient: jax.Array) -> jax.Array:
        gradient = gradient.astype(jnp.float32)
        if replicated:
            return jax.lax.psum(gradient, "fsdp")
        return jax.lax.psum_scatter(gradient, groups, scatter_dimension=0, tiled=True) if groups else gradient

    return Exchange(gather, scatter)


def _gathered(mesh: Mesh, name: str) -> tuple[str, ...]:
    """Axes over which the rows of a parameter are collected before use."""
    axes = {"scale": (), "embedding": ("fsdp", "tensor")}.get(name, ("fsdp",))
    return tuple(axis for axis in axes if mesh.shape[axis] > 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _arrive(exchange: Exchange, part: jax.Array) -> jax.Array:
    return exchange.gather(part)


_arrive.defvjp(
    lambda exchange, part: (exchange.gather(part), None),
    lambda exchange, _, gradient: (exchange.scatter(gradient),),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _lookup(exchange: Exchange, copies: int, embedding: jax.Array, tokens_N: jax.Array) -> jax.Array:
    return exchange.gather(embedding)[tokens_N]


def _lookup_forward(
    exchange: Exchange, copies: int, embedding: jax.Array, tokens_N: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    embedding_VxD = exchange.gather(embedding)
    # Only the shape of an empty slice is needed later; arrays are what a residual can be.
    return embedding_VxD[tokens_N], (tokens_N, jnp.zeros((len(embedding_VxD), 0)))


def _lookup_backward(
    exchange: Exchange, copies: int, residuals: tuple[jax.Array, jax.Array], gradient_NxD: jax.Array
) -> tuple[jax.Array, None]:
    """Added up in float32: a frequent token has thousands of places in a batch.

    Along `tensor` every device looks up all tokens, so that each adds its share, 1 / copies.
    """
    tokens_N, like_Vx0 = residuals
    rows_NxD = gradient_NxD.astype(jnp.float32)
    rows_NxD = rows_NxD / copies if copies > 1 else rows_NxD
    zeros_VxD = jnp.zeros((len(like_Vx0), gradient_NxD.shape[1]), jnp.float32)
    return exchange.scatter(zeros_VxD.at[tokens_N].add(rows_NxD)), None


_lookup.defvjp(_lookup_forward, _lookup_backward)


@jax.custom_vjp
def _enter(y: jax.Array) -> jax.Array:
    """Whole states go to every part of the block; the gradient is the sum of what the parts return."""
    return y


_enter.defvjp(lambda y: (y, None), lambda _, gradient: (jax.lax.psum(gradient, "tensor"),))


@jax.custom_vjp
def _leave(part: jax.Array) -> jax.Array:
    """The block's result is the sum of its parts'; each has the whole gradient."""
    return jax.lax.psum(part, "tensor")


_leave.defvjp(lambda part: (jax.lax.psum(part, "tensor"), None), lambda _, gradient: (gradient,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _own_tokens(parts: int, x_N: jax.Array) -> jax.Array:
    """This device's share of what all devices along `tensor` hold alike, cut along the first axis."""
    size = len(x_N) // parts
    return jax.lax.dynamic_slice_in_dim(x_N, jax.lax.axis_index("tensor") * size, size)


_own_tokens.defvjp(
    lambda parts, x_N: (_own_tokens(parts, x_N), None),
    lambda parts, _, gradient: (jax.lax.all_gather(gradient, "tensor", axis=0, tiled=True),),
)


def _run(
    scan: bool,
    remat: str,
    blocks: Sequence[Any],
    apply: Callable[[Any, jax.Array], jax.Array],
    x_NxD: jax.Array,
) -> jax.Array:
    """The blocks in turn, unrolled or as one loop over their stacked parameters, recomputed as `remat` says."""
    graph, _ = nnx.split(blocks[0])

    def body(x_NxD: jax.Array, state: nnx.State) -> jax.Array:
        return apply(nnx.merge(graph, state), x_NxD)

    if remat != "none":
        body = jax.checkpoint(body, policy=_POLICIES[remat], prevent_cse=not scan)
    states = [nnx.state(block) for block in blocks]
    if not scan:
        return functools.reduce(body, states, x_NxD)
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *states)
    return jax.lax.scan(lambda x, state: (body(x, state), None), x_NxD, stacked)[0]


_POLICIES = {
    "dots": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        saved,
    ),
    "attention": saved,
    "full": jax.checkpoint_policies.nothing_saveable,
}
