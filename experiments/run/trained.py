"""`ablate export`: a finished stage of the store as a folder that transformers, vLLM and the rest open."""

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records import StageRecord, read_stage, stage_folder
from experiments.plan.status import checkpoints
from mixtures.tokens import tokenizer as bpe
from models.config import ModelConfig
from models.recipe import AdamW
from store.errors import Failure, UserError
from store.layout import DONE, PREPARED, STAGES
from store.paths import glob

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from analysis.evals.model import LanguageModel
    from models.step import TrainState


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
    folder = find_stage(name, store)
    record = read_stage(folder)
    tokenizer = tokenizer_of(record, store)
    model = open_stage(folder, store)
    from models import export

    export.export(model.config, model.params, tokenizer, out, eod=model.eod, sequence=model.window)
    return out


def open_stage(folder: Path, store: Path) -> "LanguageModel":
    """The model at the end of a stage, with the tokenizer and window that it was trained with, on all devices.

    Raises:
        UserError: the stage is not finished, or its tokenizer is no longer in the store.
        Failure: the checkpoint or tokenizer is missing or damaged.
    """
    if not (folder / DONE).exists():
        raise UserError(f"stage '{folder.name}' is not finished; run its study to the end first")
    from analysis.evals.model import LanguageModel
    from models.step import abstract_state

    stage = read_stage(folder)
    tokenizer = bpe.load(tokenizer_of(stage, store))
    eod = stage.identity["eod"] if "eod" in stage.identity else bpe.eod_id(tokenizer)
    config, optimizer = ModelConfig(**stage.identity["model"]), AdamW(**stage.identity["optimizer"])
    like = abstract_state(config, optimizer)
    params = restore_end(store, folder.name, stage.steps, like).params
    return LanguageModel(config, params, tokenizer, eod, stage.identity["sequence"], all_devices())


def restore_end(store: Path, stage: str, steps: int, like: "TrainState") -> "TrainState":
    """The last state of the finished stage in the folder `stage`, as `models.checkpoint.restore`.

    Raises:
        Failure: the checkpoint is missing or damaged; the message says how to have it written again.
    """
    from models import checkpoint

    try:
        return checkpoint.restore(checkpoints(store, stage), steps, like)
    except Failure as error:
        problem = str(error).partition(";")[0]
        mark = stage_folder(store, stage) / DONE
        raise Failure(f"{problem}; delete {mark} and run the study again, which trains what is lost again") from error


def all_devices() -> "Mesh | None":
    """A mesh that divides the work of one model over all devices; None for a single one."""
    import jax

    from models.devices.layout import MeshShape
    from models.devices.parallel import make_mesh

    return make_mesh(MeshShape(data=jax.device_count())) if jax.device_count() > 1 else None


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
