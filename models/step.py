"""One training step, compiled once per model, optimizer, precision and layout."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from models import objectives, transformer
from models import optimizer as adamw
from models.config import ModelConfig
from models.devices import parallel
from models.devices.layout import Layout, check
from models.objectives import Head, Objective, Ranked, Rows
from models.recipe import PRECISIONS, PRODUCTS, AdamW, NextToken
from models.transformer import Params
from store.errors import require_known


class TrainState(NamedTuple):
    """All that training carries from step to step."""

    params: Params
    optimizer: optax.OptState


class Metrics(NamedTuple):
    """Scalars of one step."""

    loss: jax.Array
    """The objective's value of the batch before the update; of next tokens, mean cross-entropy in nats."""
    grad_norm: jax.Array
    """Global norm of the gradient before clipping."""
    finite: jax.Array
    """False when loss or gradient is not finite; the update was then skipped."""


Step = jax.stages.Wrapped
"""(state, tokens [B, S+1] int32, learning rate, segments, weights, ranked) -> (state, Metrics); the last three may be
left out, and are what objectives.Rows says."""


def init_state(config: ModelConfig, optimizer: AdamW, seed: int, mesh: Mesh | None = None) -> TrainState:
    """Parameters drawn from (seed, name, shape), and a fresh optimizer state; on a mesh, placed by its rules."""
    if mesh is None:
        # On its device for good, as what a checkpoint restores is: else a step is compiled once for each.
        return jax.device_put(_initial(config, optimizer, seed), jax.local_devices()[0])
    places = parallel.shardings(mesh, abstract_state(config, optimizer))
    return jax.jit(lambda: _initial(config, optimizer, seed), out_shardings=places)()


def _initial(config: ModelConfig, optimizer: AdamW, seed: int) -> TrainState:
    params = transformer.initial(config, seed)
    return TrainState(params, adamw.initial(optimizer, params))


@functools.cache
def abstract_state(config: ModelConfig, optimizer: AdamW, mesh: Mesh | None = None) -> TrainState:
    """Shapes and types of the state, without its arrays; on a mesh, with their places."""
    shapes = jax.eval_shape(lambda: _initial(config, optimizer, 0))
    return shapes if mesh is None else parallel.placed(mesh, shapes)


@functools.cache
def train_step(
    config: ModelConfig,
    optimizer: AdamW,
    precision: str = "float32",
    layout: Layout = Layout(),  # noqa: B008 - immutable
    mesh: Mesh | None = None,
    z_loss: float = 0.0,
    objective: Objective = NextToken(),  # noqa: B008 - immutable
) -> Step:
    """The jitted function (state, tokens [B, S+1], learning rate[, segments, weights, ranked]) -> (state, Metrics).

    It consumes the state. On a mesh the state is that of `init_state` on the same mesh.

    Args:
        config, optimizer: what is trained.
        precision: a name of recipe.PRECISIONS, the type of the products; all else is float32.
        layout: how a device's rows go through the model.
        mesh: the devices; None for one.
        z_loss: weight of the squared log-normaliser in the gradient; the loss of the metrics is without it.
        objective: what is minimised. A batch without any weight, or without a set of answers, has the value and
            the gradient 0.

    Raises:
        UserError: an unknown precision, or (at the first call) a mesh or layout that does not divide the batch.
        ValueError: (at the first call) ranking without answers or segments, or with z-loss.
    """
    gradients_of = loss_and_gradients(config, precision, layout, mesh, z_loss, objective)

    def step(
        state: TrainState,
        tokens_BxS1: jax.Array,
        learning_rate: jax.Array,
        segments_BxS: jax.Array | None = None,
        weights_BxS: jax.Array | None = None,
        ranked: Ranked | None = None,
    ) -> tuple[TrainState, Metrics]:
        check(parallel.shape_of(mesh), len(tokens_BxS1), layout.microbatches)
        loss, gradients = gradients_of(state.params, Rows(tokens_BxS1, segments_BxS, weights_BxS, ranked))
        params, opt_state, grad_norm = adamw.update(optimizer, gradients, state.optimizer, state.params, learning_rate)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), TrainState(params, opt_state), state)
        return kept, Metrics(loss, grad_norm, finite)

    if mesh is None:
        return jax.jit(step, donate_argnums=0)
    placed = parallel.shardings(mesh, abstract_state(config, optimizer))
    return jax.jit(step, donate_argnums=0, out_shardings=(placed, None))


Gradients = Callable[[Params, Rows], tuple[jax.Array, Params]]
"""(parameters, all rows) -> (value of the batch, its gradients)."""


def loss_and_gradients(
    config: ModelConfig,
    precision: str,
    layout: Layout,
    mesh: Mesh | None,
    z_loss: float = 0.0,
    objective: Objective = NextToken(),  # noqa: B008 - immutable
) -> Gradients:
    """What a step knows before the update; not jitted. Arguments and errors are those of `train_step`."""
    require_known("precision", precision, PRECISIONS)
    setting = parallel.setting(mesh, jnp.dtype(precision), layout, layout.scans(config))
    platform = parallel.platform(mesh)
    parts = parallel.shape_of(mesh).devices * layout.microbatches

    def part_of(params: Params, rows: Rows, divisor: jax.Array | int) -> jax.Array:
        """The rows' part of the value of the batch."""
        hidden_BxSxD = transformer.bind(config, params).hidden(rows.tokens_BxS1[:, :-1], rows.segments_BxS, setting)
        head = Head(params["embedding"], setting.head, platform, z_loss)
        return objectives.value(objective, head, hidden_BxSxD, rows, divisor)

    @jax.default_matmul_precision(PRODUCTS[precision])
    def local(params: Params, rows: Rows) -> tuple[jax.Array, Params]:
        objectives.check(objective, z_loss, rows)
        divisor = objectives.divisor(objective, rows, parts, () if mesh is None else mesh.axis_names)
        if layout.microbatches == 1:
            return jax.value_and_grad(part_of)(params, rows, divisor)
        cut = jax.tree.map(lambda x: x.reshape(layout.microbatches, -1, *x.shape[1:]), rows)

        def add(total: tuple[jax.Array, Params], rows: Rows) -> tuple[tuple[jax.Array, Params], None]:
            return jax.tree.map(jnp.add, total, jax.value_and_grad(part_of)(params, rows, divisor)), None

        return jax.lax.scan(add, (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)), cut)[0]

    if mesh is None:
        return local

    def shared(params: Params, rows: Rows) -> tuple[jax.Array, Params]:
        loss, gradients = local(params, rows)
        return jax.lax.psum(loss, mesh.axis_names), parallel.summed(gradients, mesh)

    def gradients(params: Params, rows: Rows) -> tuple[jax.Array, Params]:
        placed = parallel.specs(params)
        return jax.shard_map(
            shared,
            mesh=mesh,
            in_specs=(placed, parallel.BATCH),
            out_specs=(P(), placed),
            check_vma=False,  # Every exchange and its transpose is written out in models/devices/parallel.py.
        )(params, rows)

    return gradients
