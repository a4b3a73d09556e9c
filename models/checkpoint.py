"""Checkpoints by step: Orbax over TensorStore, with digests of the files so that a damaged one is never trained on.

A folder holds `step-00000120/` and the like: Orbax's own folder `state`, and `digests.json`. A save is written under
another name and renamed when complete, so a kill leaves the earlier checkpoints as they were. One process writes to a
folder at a time.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from models.errors import Failure
from models.step import TrainState

_COMPLETE = re.compile(r"step-(\d{8,})")
_UNFINISHED = ".saving"
_REMOVED = ".removed"
_DIGESTS = "digests.json"


def save(folder: Path, step: int, state: TrainState, keep: int = 2) -> None:
    """Write `state` as the checkpoint of `step`, whole or not at all, and keep the newest `keep` of this history.

    A checkpoint of `step` is replaced, and those of later steps are removed: they belong to a history that a restart
    from an earlier step gave up.

    Raises:
        Failure: the checkpoint cannot be written.
    """
    path, unfinished = _path(folder, step), folder / _UNFINISHED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(unfinished)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((unfinished / "state").absolute(), _by_name(state))
        (unfinished / _DIGESTS).write_text(json.dumps(_digests(unfinished), indent=1))
        for given_up in (done for done in steps(folder) if done >= step):
            _remove(_path(folder, given_up))
        unfinished.rename(path)
        for old in steps(folder)[:-keep]:
            _remove(_path(folder, old))
    except Exception as error:  # TensorStore and Orbax have no error class of their own.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise Failure(f"checkpoint {path} cannot be written ({reason}); free some space, then run again") from error


def steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints, ascending; none when the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for entry in folder.iterdir() if (match := _COMPLETE.fullmatch(entry.name)))


def restore(folder: Path, step: int, like: TrainState) -> TrainState:
    """The state saved at `step`, bit for bit, with the structure, shapes and devices of `like`.

    Raises:
        Failure: the checkpoint is missing, damaged or of another model; the caller may try the one before.
    """
    path = _path(folder, step)
    if not path.is_dir():
        raise Failure(f"checkpoint {path} does not exist; its folder has steps {steps(folder) or 'none'}")
    # Before Orbax reads: on damage it fills the terminal with the traces of its unfinished reads.
    if not _intact(path):
        raise Failure(f"checkpoint {path} is damaged; delete it to continue from the one before")
    target = {name: _abstract(leaf) for name, leaf in _by_name(like).items()}
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.metadata((path / "state").absolute()).item_metadata
        if {name: leaf.shape for name, leaf in found.items()} != {name: leaf.shape for name, leaf in target.items()}:
            raise Failure(f"checkpoint {path} is of another model or optimizer; give this run a folder of its own")
        leaves = checkpointer.restore((path / "state").absolute(), target)
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in target])


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _by_name(state: TrainState) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 of every file under `path` but the digests' own, by its path below."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != _DIGESTS)
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _intact(path: Path) -> bool:
    try:
        return json.loads((path / _DIGESTS).read_text()) == _digests(path)
    except (OSError, ValueError):
        return False


def _remove(path: Path) -> None:
    """Remove a folder, out of sight first: one that a kill left half removed must not pass for a checkpoint."""
    removed = path.with_name(_REMOVED)
    for folder in (removed, path):
        if folder.exists():
            shutil.rmtree(folder.rename(removed))
