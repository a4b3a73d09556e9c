"""Checkpoints by step: Orbax over TensorStore, with digests of the files so that a damaged one is never trained on.

A folder, local or a URL such as gs://bucket/run, holds `step-00000120/` and the like: Orbax's own folder `state`, and
`digests.json`. The digests are written last and make a checkpoint complete, so a kill leaves the earlier ones as they
were. (On a disk a renamed folder would do; an object store renames file by file.) One run writes to a folder at a time.
Of its processes all write their own shards, and the first does everything else.
"""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np

# Or Orbax would reach for an object store through TensorFlow wherever that is installed.
os.environ.setdefault("EPATH_USE_TF", "false")

import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import SingleDeviceSharding

from models import saved
from models.devices import hosts
from models.step import TrainState
from models.transformer import Params
from store import objects, paths
from store.errors import Failure

Folder = str | Path

for _logger in ("absl", "asyncio"):  # Orbax's threads log with traces what is raised here as well, once
    logging.getLogger(_logger).setLevel(logging.CRITICAL)

_unraisable = sys.unraisablehook


def _unless_late(what: "sys.UnraisableHookArgs") -> None:
    """Print what could be raised nowhere, except what TensorStore's late writes meet.

    When one write fails Orbax raises that and closes its event loop at once. The other writes end later, report to the
    closed loop from threads of TensorStore, and Python would print a trace of each.
    """
    if what.object is not None or str(what.exc_value) != "Event loop is closed":
        _unraisable(what)


sys.unraisablehook = _unless_late
# Writes that the closed loop had not begun yet.
warnings.filterwarnings("ignore", "coroutine 'async_serialize.* was never awaited", RuntimeWarning)

_OS_ERROR = re.compile(r"os_error_code='(\d+)'")
"""What the disk said, at the end of what TensorStore tells of its own layers."""
_CANDIDATES = 16
"""Steps that processes tell each other of; a folder keeps fewer."""


class Writer:
    """Writes checkpoints to one folder while training goes on. Leaving its block waits for the last one.

    An object, because a save outlives the call that begins it.
    """

    def __init__(self, folder: Folder, keep: int = 2):
        self._folder, self._keep = paths.place(folder), keep
        self._orbax = ocp.StandardCheckpointer()
        self._thread = ThreadPoolExecutor(1)
        self._unfinished: Future[None] | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            # After an error this process does not wait for the others, which may wait for it elsewhere.
            self._thread.shutdown()
            self._orbax.close()

    def save(self, step: int, state: TrainState) -> None:
        """Begin to write `state` as the checkpoint of `step`; return when it is copied off the devices.

        A save waits for the one before it. When it is complete, the newest `keep` of this history stay: a checkpoint
        of `step` is replaced, and those of later steps are removed, since they belong to a history that a restart from
        an earlier step gave up.

        Raises:
            Failure: this checkpoint or the one before it cannot be written.
        """
        self.wait()
        path = saved.path(self._folder, step)
        with hosts.together(), _writing(path):
            if hosts.first():
                _remove(path)
                if not paths.remote(path):
                    Path(path).mkdir(parents=True)
        with hosts.together(), _writing(path):
            self._orbax.save(f"{path}/state", _by_name(state))
        self._unfinished = self._thread.submit(self._finish, step)

    def wait(self) -> None:
        """Return when the last save is complete, in all processes.

        Raises:
            Failure: it cannot be written.
        """
        if self._unfinished is None:
            return
        unfinished, self._unfinished = self._unfinished, None
        with hosts.together():
            unfinished.result()

    def _finish(self, step: int) -> None:
        path = saved.path(self._folder, step)
        with _writing(path):
            self._orbax.wait_until_finished()
            if not hosts.first():
                return
            objects.write(path, saved.DIGESTS, json.dumps(_digests(path), indent=1).encode())
            kept = [done for done in saved.complete(self._folder) if done <= step][-self._keep :]
            for other in saved.begun(self._folder):
                if other not in kept:
                    _remove(saved.path(self._folder, other))


def steps(folder: Folder) -> list[int]:
    """Steps of the complete checkpoints, ascending; none when the folder does not exist. In all processes alike."""
    with hosts.together():
        found = saved.complete(paths.place(folder)) if hosts.first() else []
    if jax.process_count() == 1:
        return found
    padded = np.full(_CANDIDATES, -1, np.int64)
    newest = found[-_CANDIDATES:]
    padded[: len(newest)] = newest
    return [int(step) for step in multihost_utils.broadcast_one_to_all(padded) if step >= 0]


def restore(folder: Folder, step: int, like: TrainState) -> TrainState:
    """The state saved at `step`, bit for bit, with the structure and shapes of `like`, on its devices.

    `like` holds arrays, or `jax.ShapeDtypeStruct`s that cost no memory; those without a sharding go to one device. The
    devices need not be those that saved.

    Raises:
        Failure: the checkpoint is missing, damaged or of another model; the caller may try the one before.
    """
    path = saved.path(paths.place(folder), step)
    with hosts.together():
        there = hosts.first() and bool(objects.names(path))
        # Before Orbax reads: on damage it fills the terminal with the traces of its unfinished reads.
        intact = there and _intact(path)
    if not hosts.agreed(there):
        raise Failure(f"checkpoint {path} does not exist; its folder has steps {steps(folder) or 'none'}")
    if not hosts.agreed(intact):
        raise Failure(f"checkpoint {path} is damaged; delete it to continue from the one before")
    target = {name: _abstract(leaf) for name, leaf in _by_name(like).items()}
    with hosts.together(), ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.metadata(f"{path}/state").item_metadata
        if {name: leaf.shape for name, leaf in found.items()} != {name: leaf.shape for name, leaf in target.items()}:
            raise Failure(f"checkpoint {path} is of another model or optimizer; give this run a folder of its own")
        leaves = checkpointer.restore(f"{path}/state", target)
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in target])


def restore_params(folder: Folder, step: int, like: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
    """Parameters saved at `step`, those that `like` names, on its shardings.

    Raises:
        Failure: the checkpoint is missing, damaged or of another model.
    """
    path = saved.path(paths.place(folder), step)
    with hosts.together():
        there = hosts.first() and bool(objects.names(path))
        intact = there and _intact(path)
    if not hosts.agreed(there):
        raise Failure(f"checkpoint {path} does not exist; its folder has steps {steps(folder) or 'none'}")
    if not hosts.agreed(intact):
        raise Failure(f"checkpoint {path} is damaged; delete it to continue from the one before")
    with hosts.together(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        found = checkpointer.metadata(f"{path}/state").item_metadata.tree
        target = {f"params/{name}": _abstract(leaf) for name, leaf in like.items()}
        if any(name not in found or found[name].shape != leaf.shape for name, leaf in target.items()):
            raise Failure(f"checkpoint {path} is of another model or optimizer; give this run a folder of its own")
        arguments = ocp.args.PyTreeRestore(
            item=target, restore_args=ocp.checkpoint_utils.construct_restore_args(target), partial_restore=True
        )
        leaves = checkpointer.restore(f"{path}/state", args=arguments)
    return {name: leaves[f"params/{name}"] for name in like}


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # TensorStore and Orbax have no error class of their own.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if code := _OS_ERROR.search(str(error)):
            reason = os.strerror(int(code[1]))
        way_out = "free some space"
        if paths.remote(path):
            way_out = "see to its address, your rights and its space" if not isinstance(error, ImportError) else "do so"
        raise Failure(f"checkpoint {path} cannot be written ({reason}); {way_out}, then run again") from error


def _by_name(state: TrainState) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = leaf.sharding or SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _digests(path: str) -> dict[str, str]:
    """SHA-256 of every file under `path` but the digests' own, by its path below."""
    return {file: objects.digest(path, file) for file in objects.files(path) if saved.DIGESTS not in file}


def _intact(path: str) -> bool:
    try:
        return json.loads(objects.read(path, saved.DIGESTS)) == _digests(path)
    except (OSError, ValueError):
        return False


def _remove(path: str) -> None:
    """Remove a checkpoint, its digests first: one that a kill left half removed must not pass for one."""
    objects.remove(path, saved.DIGESTS)
    objects.remove(path)
