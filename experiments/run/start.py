"""The state with which training a stage begins: its own checkpoint, its parent's end, or where its run starts."""

import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.plan import folders
from experiments.plan.stage import FolderStart, PreparedPlan, PreparedStage, StageStart
from experiments.plan.status import checkpoints
from experiments.run.trained import or_train_again, restore_end
from models import checkpoint, export, optimizer
from models.devices import hosts, parallel
from models.step import TrainState, abstract_state, init_state
from models.transformer import Params
from store.errors import Away, Failure


def resume(plan: PreparedPlan, stage: PreparedStage, store: Path, mesh: Mesh | None) -> tuple[int, TrainState]:
    """The steps that are done and the state after them: of the newest checkpoint that can be read, else none.

    Raises:
        Away: the checkpoints' store does not answer.
        Failure: what the stage starts from is not there, damaged, or not what it was when the stage was planned.
    """
    folder, like = checkpoints(store, stage.folder), abstract_state(stage.model, stage.optimizer, mesh)
    saved = checkpoint.steps(folder)
    if saved and saved[-1] > stage.steps:
        raise Failure(
            f"stage {stage.id} ends at step {stage.steps}, but {folder} has a checkpoint of step {saved[-1]}; "
            "move the folder away"
        )
    for step in reversed(saved):
        try:
            return step, checkpoint.restore(folder, step, like)
        except Away:
            raise  # Nothing says that it is damaged.
        except Failure as error:
            print(f"warning: {error}; using the one before it", file=sys.stderr)
    return 0, _first(plan, stage, store, mesh)


def _first(plan: PreparedPlan, stage: PreparedStage, store: Path, mesh: Mesh | None) -> TrainState:
    if stage.parent is not None:
        parent = plan.stage(stage.parent)
        state = restore_end(store, parent.folder, parent.steps, abstract_state(stage.model, stage.optimizer, mesh))
    elif isinstance(stage.start, StageStart):
        state = _of_stage(stage, stage.start, store, mesh)
    elif isinstance(stage.start, FolderStart):
        return _fresh(stage, _of_folder(stage, stage.start, store, mesh), mesh)
    else:
        return init_state(stage.model, stage.optimizer, stage.init_seed, mesh)
    return TrainState(state.params, optimizer.reset(state.optimizer)) if stage.stage.reset_optimizer else state


def _of_stage(stage: PreparedStage, start: StageStart, store: Path, mesh: Mesh | None) -> TrainState:
    assert start.folder is not None, "a prepared stage knows what it starts from"
    like, folder = abstract_state(stage.model, stage.optimizer, mesh), checkpoints(store, start.folder)
    if start.step < start.last and start.step not in (there := checkpoint.steps(folder)):
        raise Failure(
            f"stage {stage.id} starts from {start.name}, of which there are checkpoints of steps "
            f"{', '.join(map(str, there)) or 'none'}: only the newest of a stage are kept; start from one of these, or "
            "have the stage cut there (experiments/pieces.py) and start from the end of the piece"
        )
    with or_train_again(store, start.folder):
        if start.keeps_optimizer:
            return checkpoint.restore(folder, start.step, like)
        params = checkpoint.restore_params(folder, start.step, like.params)
    return _fresh(stage, params, mesh)


def _of_folder(stage: PreparedStage, start: FolderStart, store: Path, mesh: Mesh | None) -> Params:
    """On the devices, from all processes' own copies of the folder."""
    with hosts.together():
        if folders.digest(start.folder, store) != start.digest:
            raise Failure(f"{start.folder} is not what it was when stage {stage.id} was planned; run the command again")
        _, params, _ = export.read(start.folder)
    if mesh is None:
        return jax.device_put(params, jax.local_devices()[0])
    places = parallel.shardings(mesh, params)
    return {name: _placed(array, places[name]) for name, array in params.items()}


def _placed(array: np.ndarray, place: jax.sharding.Sharding) -> jax.Array:
    """Also on a mesh of which this process holds a part alone."""
    return jax.make_array_from_callback(array.shape, place, lambda index: array[index])


def _fresh(stage: PreparedStage, params: Params, mesh: Mesh | None) -> TrainState:
    """Parameters with moments that have seen no update, placed as training has them."""
    like = abstract_state(stage.model, stage.optimizer, mesh)
    if mesh is None:
        moments = jax.device_put(optimizer.initial(stage.optimizer, params), jax.local_devices()[0])
    else:
        places = parallel.shardings(mesh, like.optimizer)
        moments = jax.jit(lambda its: optimizer.initial(stage.optimizer, its), out_shardings=places)(params)
    return TrainState(params, moments)
