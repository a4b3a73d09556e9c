"""`ablate export`: a finished stage of the store as a folder that transformers, vLLM and the rest open."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records import FLOAT32, StageRecord, read_stage, stage_folder
from experiments.plan.status import checkpoints
from mixtures.tokens import tokenizer as bpe
from models.config import ModelConfig
from store.errors import Away, Failure, UserError
from store.layout import DONE, PREPARED, STAGES
from store.paths import glob

if TYPE_CHECKING:
    from jax import ShapeDtypeStruct
    from jax.sharding import Mesh

    from analysis.evals.model import LanguageModel
    from models.step import TrainState
    from models.transformer import Params


def export_stage(name: str, store: Path, out: Path) -> Path:
    """Write the last checkpoint of a stage as a CohereForCausalLM folder.

    Args:
        name: the stage's folder in the store, or the beginning of one that no other shares.
        store: root of the records.
        out: appears whole or not at all.

    Raises:
        UserError: no such stage, several, one that is not finished, or `out` is there.
        Failure: the checkpoint or tokenizer is missing or damaged.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")  # Chips need not be there, nor free, nor have room.
    from models import export
    from models.transformer import shapes

    end = _end(find_stage(name, store), store)
    its = shapes(end.config)

    def part(names: Iterable[str]) -> "Params":
        return end.params({name: its[name] for name in names})

    export.export(end.config, part, end.tokenizer, out, eod=end.eod, sequence=end.window)
    return out


def open_stage(folder: Path, store: Path, inference: str = FLOAT32) -> "LanguageModel":
    """The model at the end of a stage, with the tokenizer and window that it was trained with, on all devices.

    Of several processes all call it. In another inference than float32 it is on one device.

    Raises:
        UserError: the stage is not finished, its tokenizer is no longer in the store, or several processes ask for an
            inference that is for one.
        Failure: the checkpoint or tokenizer is missing or damaged.
    """
    end = _end(folder, store)
    from analysis.evals.model import LanguageModel
    from models.devices import hosts
    from models.devices.parallel import placed
    from models.quantise import quantise
    from models.transformer import shapes

    if inference != FLOAT32 and not hosts.alone():
        raise UserError(f"stage '{folder.name}' is scored in {inference} by a process alone; leave out --distributed")
    mesh = mesh_for(end.config) if inference == FLOAT32 else None
    like = shapes(end.config) if mesh is None else placed(mesh, shapes(end.config))
    params = quantise(end.params(like), inference)
    return LanguageModel(end.config, params, bpe.load(end.tokenizer), end.eod, end.window, mesh)


@dataclass(frozen=True)
class _End:
    """What is known of a finished stage, and its parameters, as `models.checkpoint.restore_params` of the last step."""

    config: ModelConfig
    tokenizer: Path
    eod: int
    window: int
    params: "Callable[[Mapping[str, ShapeDtypeStruct]], Params]"


def _end(folder: Path, store: Path) -> _End:
    if not (folder / DONE).exists():
        raise UserError(f"stage '{folder.name}' is not finished; run its study to the end first")
    from models import checkpoint

    stage = read_stage(folder)
    tokenizer = tokenizer_of(stage, store)
    eod = stage.identity["eod"] if "eod" in stage.identity else bpe.eod_id(bpe.load(tokenizer))

    def params(like: "Mapping[str, ShapeDtypeStruct]") -> "Params":
        with or_train_again(store, folder.name):
            return checkpoint.restore_params(checkpoints(store, folder.name), stage.steps, like)

    return _End(ModelConfig(**stage.identity["model"]), tokenizer, eod, stage.identity["sequence"], params)


def restore_end(store: Path, stage: str, steps: int, like: "TrainState") -> "TrainState":
    """The last state of the finished stage in the folder `stage`, as `models.checkpoint.restore`.

    Raises:
        Failure: the checkpoint is missing or damaged; the message says how to have it written again.
    """
    from models import checkpoint

    with or_train_again(store, stage):
        return checkpoint.restore(checkpoints(store, stage), steps, like)


@contextmanager
def or_train_again(store: Path, stage: str) -> Iterator[None]:
    """While the block reads a checkpoint of the finished stage, a Failure says how to have it written again."""
    try:
        yield
    except Away:
        raise  # nothing says that it is damaged
    except Failure as error:
        problem = str(error).partition(";")[0]
        mark = stage_folder(store, stage) / DONE
        raise Failure(f"{problem}; delete {mark} and run the study again, which trains what is lost again") from error


def mesh_for(config: ModelConfig) -> "Mesh | None":
    """Of all devices, as models/devices/scoring.py lays the model on them; None for a single one."""
    import jax

    from models.devices.parallel import make_mesh
    from models.devices.scoring import mesh_shape, used

    devices = jax.devices()
    if devices[0].platform == "cpu":
        devices = devices[: used(config)]
    return make_mesh(mesh_shape(config, len(devices)), devices) if len(devices) > 1 else None


def find_stage(name: str, store: Path) -> Path:
    """The one folder under stages/ whose name begins with `name`.

    Raises:
        UserError: there is none, or there are several.
    """
    folders = glob(store / STAGES, "*")
    found = [path for path in folders if path.name == name] or [path for path in folders if path.name.startswith(name)]
    if len(found) != 1:
        near = ", ".join(path.name for path in (found or folders)[:5]) or "none"
        problem = "is not unique" if found else "is unknown"
        raise UserError(f"stage '{name}' {problem} in store {store}; name one of its folders under stages/: {near}")
    return found[0]


def tokenizer_of(record: StageRecord, store: Path) -> Path:
    """The tokenizer.json that a stage was trained with.

    Raises:
        UserError: it is no longer in the store.
    """
    for path in glob(store / PREPARED, "*/tokenizer.json"):
        if bpe.digest(path) == record.identity["tokenizer"]:
            return path
    raise UserError(
        f"the tokenizer of stage '{record.id}' is no longer in store {store}; delete the data of its study "
        f"in {store / 'prepared'} and prepare them again"
    )
