"""Parallelism outside the model: the mesh, the rules that place parameters, and what devices tell each other.

A step runs on every device over its own rows (`jax.shard_map`), and every exchange is written out here, so that none is
left to a compiler's choice. Weights rest in float32, their rows divided over `fsdp`; a layer's are cast and gathered as
it runs, and its gradient is summed in float32 and scattered (ZeRO-3, arXiv:1910.02054). Over `data` gradients are
summed once per step.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from models.attention import causal_attention, saved
from models.devices.layout import AXES, Layout, MeshShape
from models.devices.threads import one_thread
from models.setting import Exchange, Setting

one_thread()  # Whoever compiles a step or scores comes by here first, the tests too.

BATCH = P(("data", "fsdp"))
"""Rows of a batch."""


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of as many `devices`, by default all of them: neighbours along `fsdp` are neighbours on a TPU's torus.

    There `fsdp` lies along an axis of the torus that is as long, or over all of it, whichever hosts the chips belong
    to. Elsewhere the devices stand in their order.
    """
    devices = jax.devices() if devices is None else devices
    grid = mesh_utils.create_device_mesh((shape.data, shape.fsdp), devices, allow_split_physical_axes=True)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def shape_of(mesh: Mesh | None) -> MeshShape:
    """The axes of a mesh; of None, one device."""
    return MeshShape() if mesh is None else MeshShape(**mesh.shape)


def specs(tree: Any) -> Any:
    """The PartitionSpec of every leaf of parameters, or of an optimizer state that holds arrays like them.

    Matrices rest with their rows divided: columns are the 128 lanes of a TPU register, and a thinner slice would be
    padded. Scales and counts are everywhere.
    """
    return jax.tree.map(lambda leaf: P("fsdp") if leaf.ndim == 2 else P(), tree)


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
    """The batch of all processes, [B, ...], from the rows that this one holds, as many as any other's.

    They go to this process's devices in the order of the mesh, where another process's may stand between them: which
    row of the array a row of the batch becomes is the mesh's affair. Every row is there once all the same, and a step
    only sums over rows, so that the result is that of any other order to rounding, and of the same mesh to the bit.
    """
    return jax.make_array_from_process_local_data(NamedSharding(mesh, BATCH), rows)


def summed(tree: Any, mesh: Mesh) -> Any:
    """Gradients, which are already summed over `fsdp`, summed over `data` too. Inside a step only."""
    return jax.lax.psum(tree, "data") if mesh.shape["data"] > 1 else tree


def setting(mesh: Mesh | None, compute: jnp.dtype, layout: Layout, scan: bool) -> Setting:
    """The model's surroundings on one device of the mesh."""
    kind, divided = platform(mesh), shape_of(mesh).fsdp > 1
    matrix, scale = _exchange(compute, divided, True), _exchange(jnp.dtype(jnp.float32), divided, False)
    return Setting(
        attention=functools.partial(causal_attention, platform=kind),
        # Of traced positions XLA's CPU compiler takes cosine and sine again for each row, head and layer.
        positions=(np if kind == "cpu" else jnp).arange,
        weight=lambda part: _arrive(matrix if part.ndim == 2 else scale, part),
        lookup=functools.partial(_lookup, matrix),
        layers=functools.partial(_run, scan, layout.remat),
        head=matrix,
    )


def platform(mesh: Mesh | None) -> str:
    """Of the devices of a mesh, which need not be here; of None, the machine's."""
    return jax.default_backend() if mesh is None else mesh.devices.flat[0].platform


@functools.cache
def _exchange(kind: jnp.dtype, divided: bool, rows: bool) -> Exchange:
    """How a parameter is gathered and its gradient scattered, where a mesh divides weights; `rows`: this one's rows."""

    def gather(part: jax.Array) -> jax.Array:
        part = part.astype(kind)
        return jax.lax.all_gather(part, "fsdp", axis=0, tiled=True) if divided and rows else part

    def scatter(gradient: jax.Array) -> jax.Array:
        gradient = gradient.astype(jnp.float32)
        if not divided:
            return gradient
        if not rows:
            return jax.lax.psum(gradient, "fsdp")
        return jax.lax.psum_scatter(gradient, "fsdp", scatter_dimension=0, tiled=True)

    return Exchange(gather, scatter)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _arrive(exchange: Exchange, part: jax.Array) -> jax.Array:
    return exchange.gather(part)


_arrive.defvjp(
    lambda exchange, part: (exchange.gather(part), None),
    lambda exchange, _, gradient: (exchange.scatter(gradient),),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _lookup(exchange: Exchange, embedding: jax.Array, tokens_N: jax.Array) -> jax.Array:
    return exchange.gather(embedding)[tokens_N]


def _lookup_forward(
    exchange: Exchange, embedding: jax.Array, tokens_N: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    embedding_VxD = exchange.gather(embedding)
    # Only the shape of an empty slice is needed later; arrays are what a residual can be.
    return embedding_VxD[tokens_N], (tokens_N, jnp.zeros((len(embedding_VxD), 0)))


def _lookup_backward(
    exchange: Exchange, residuals: tuple[jax.Array, jax.Array], gradient_NxD: jax.Array
) -> tuple[jax.Array, None]:
    """Added up in float32: a frequent token has thousands of places in a batch."""
    tokens_N, like_Vx0 = residuals
    zeros_VxD = jnp.zeros((len(like_Vx0), gradient_NxD.shape[1]), jnp.float32)
    return exchange.scatter(zeros_VxD.at[tokens_N].add(gradient_NxD.astype(jnp.float32))), None


_lookup.defvjp(_lookup_forward, _lookup_backward)


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
