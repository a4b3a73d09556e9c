"""What scoring and writing need of each chip, by the compiler's count: the programs of models/decode.py, on shapes.

The chips of the mesh need not be here (`models.fit.described`), and no array is made.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from models import decode
from models.config import ModelConfig
from models.devices.parallel import BATCH, placed
from models.transformer import Params, shapes

_STEPS = 16


def scoring(config: ModelConfig, mesh: Mesh, rows: int, columns: int) -> jax.stages.Lowered:
    """Of likelihoods: `rows` of `columns` tokens a device, at each of which an edge is scored."""
    devices = mesh.size
    nodes, edges = _ints(mesh, devices * rows, columns), _ints(mesh, devices * rows * columns)
    trees = decode.Trees(nodes, nodes, nodes, edges, edges, _ints(mesh, devices))
    return decode.scorer(config, mesh).lower(_params(config, mesh), trees)


def entering(config: ModelConfig, mesh: Mesh, slots: int, columns: int) -> jax.stages.Lowered:
    """Of prompts as long as the cache, a quarter as many as a device has `slots`."""
    its = _slots(config, mesh, slots, columns)
    tokens, where = _ints(mesh, mesh.size * max(1, slots // 4), columns), its.at.token_B
    prompts = decode.Prompts(tokens, where, where, its.at)
    return decode.enterer(config, mesh).lower(_params(config, mesh), its, prompts)


def advancing(config: ModelConfig, mesh: Mesh, slots: int, columns: int) -> jax.stages.Lowered:
    """Of writing on, drawing, with `slots` a device."""
    alive = _array(mesh, jnp.bool_, mesh.size * slots)
    advance = decode.advancer(config, _STEPS, 0, True, mesh)
    return advance.lower(_params(config, mesh), _slots(config, mesh, slots, columns), alive)


def gib(lowered: jax.stages.Lowered) -> float:
    """What one chip holds while it runs.

    Raises:
        jax.errors.JaxRuntimeError: the compiler says that it does not fit.
    """
    memory: Any = lowered.compile().memory_analysis()
    total = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return total / 2**30


def _params(config: ModelConfig, mesh: Mesh) -> Params:
    return placed(mesh, shapes(config))


def _slots(config: ModelConfig, mesh: Mesh, slots: int, columns: int) -> decode.Slots:
    shapes = jax.eval_shape(lambda: decode.empty_slots(config, mesh.size * slots, columns, mesh))
    return jax.tree.map(lambda leaf: _array(mesh, leaf.dtype, *leaf.shape), shapes)


def _ints(mesh: Mesh, *shape: int) -> jax.ShapeDtypeStruct:
    return _array(mesh, jnp.int32, *shape)


def _array(mesh: Mesh, kind: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, kind, sharding=NamedSharding(mesh, BATCH))
