"""What scoring and writing need of each chip, by the compiler's count: the programs of models/decode.py, on shapes.

The chips of the mesh need not be here (`models.fit.described`), and no array is made.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from models import decode
from models.config import ModelConfig
from models.devices import parallel, scoring
from models.devices.memory import gave_out, needed_gib, step_gib
from models.devices.parallel import BATCH, placed
from models.transformer import Params, shapes

_STEPS, _COLUMNS = 16, 1_024
"""Of a call of writing; of a prompt and what is written."""


def likelihoods(config: ModelConfig, mesh: Mesh, rows: int, columns: int) -> jax.stages.Lowered:
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


def scoring_gib(config: ModelConfig, devices: Sequence[Any], sequence: int, say: Callable[[str], None]) -> float | None:
    """GiB of a chip, the most that any program of scoring needs: full rows of a window of `sequence` tokens, and texts
    of _COLUMNS. None where the compiler refuses one and does not say what it needs; `say` is told.
    """
    mesh = parallel.make_mesh(scoring.mesh_shape(config, len(devices)), devices)
    slots, most = scoring.slots(config, _COLUMNS), 0.0
    programs = {
        "likelihoods": functools.partial(likelihoods, config, mesh, max(1, scoring.TOKENS[True] // sequence), sequence),
        "prompts": functools.partial(entering, config, mesh, slots, _COLUMNS),
        "writing": functools.partial(advancing, config, mesh, slots, _COLUMNS),
    }
    for name, lowered in programs.items():
        say(f"compiling {name}")
        try:
            needed: float | None = step_gib(lowered().compile().memory_analysis())
        except jax.errors.JaxRuntimeError as error:
            if not gave_out(str(error)):
                raise
            needed = needed_gib(str(error))
            say(f"{name}: needs {'more than there is' if needed is None else f'{needed:.1f} GiB'}")
        if needed is None:
            return None
        most = max(most, needed)
    return round(most, 2)


def _params(config: ModelConfig, mesh: Mesh) -> Params:
    return placed(mesh, shapes(config))


def _slots(config: ModelConfig, mesh: Mesh, slots: int, columns: int) -> decode.Slots:
    shapes = jax.eval_shape(lambda: decode.empty_slots(config, mesh.size * slots, columns, mesh))
    return jax.tree.map(lambda leaf: _array(mesh, leaf.dtype, *leaf.shape), shapes)


def _ints(mesh: Mesh, *shape: int) -> jax.ShapeDtypeStruct:
    return _array(mesh, jnp.int32, *shape)


def _array(mesh: Mesh, kind: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, kind, sharding=NamedSharding(mesh, BATCH))
