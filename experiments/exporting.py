"""`ablate export`: a finished stage of the store as a folder that transformers, vLLM and the rest open."""

from pathlib import Path

from analysis.records import StageRecord, read_stage
from mixtures import tokenizer as bpe
from mixtures.errors import UserError
from models.config import ModelConfig
from models.recipe import AdamW


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
    if not (folder / "done.json").exists():
        raise UserError(f"stage '{folder.name}' is not finished; run its study to the end first")
    tokenizer = _tokenizer(record, store)
    from models import checkpoint, export
    from models.step import init_state

    config, optimizer = ModelConfig(**record.identity["model"]), AdamW(**record.identity["optimizer"])
    like = init_state(config, optimizer, record.seed)
    params = checkpoint.restore(folder / "checkpoints", record.steps, like).params
    eod = bpe.eod_id(bpe.load(tokenizer))
    export.export(config, params, tokenizer, out, eod=eod, sequence=record.identity["sequence"])
    return out


def find_stage(name: str, store: Path) -> Path:
    """The one folder under stages/ whose name begins with `name`.

    Raises:
        UserError: there is none, or there are several.
    """
    folders = sorted(path for path in (store / "stages").glob("*") if path.is_dir())
    found = [path for path in folders if path.name == name] or [path for path in folders if path.name.startswith(name)]
    if len(found) != 1:
        near = ", ".join(path.name for path in (found or folders)[:5]) or "none"
        problem = "is not unique" if found else "is unknown"
        raise UserError(f"stage '{name}' {problem} in store {store}; name one of its folders under stages/: {near}")
    return found[0]


def _tokenizer(record: StageRecord, store: Path) -> Path:
    for path in sorted((store / "prepared").glob("*/tokenizer.json")):
        if bpe.digest(path) == record.identity["tokenizer"]:
            return path
    raise UserError(
        f"the tokenizer of stage '{record.id}' is no longer in store {store}; prepare its study's data again"
    )
