"""Checkpoints by step: Orbax over TensorStore, with checksums of the arrays so that a damaged one is never trained on.

A folder, local or a URL such as gs://bucket/run, holds `step-00000120/` and the like: Orbax's own folder `state`, and
`checksums.json`: type, shape and checksum of every array, by its name. The devices compute the checksums as a save
begins, and again of what was restored, so no file is read for them. They are written last and make a checkpoint
complete, so a kill leaves the earlier ones as they were. (On a disk a renamed folder would do; an object store renames
file by file.) One run writes to a folder at a time. Of its processes all write their part of every array, copies on
several devices too, and the first does everything else.
"""

import json
import logging
import os
import re
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

# Or Orbax would reach for an object store through TensorFlow wherever that is installed.
os.environ.setdefault("EPATH_USE_TF", "false")

import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import SingleDeviceSharding

from models import checksums, saved
from models.devices import hosts
from models.step import TrainState
from models.transformer import Params
from store import objects, paths
from store.errors import Away, Failure, said

Folder = str | Path

for _logger in ("absl", "asyncio"):  # Orbax's threads log with traces what is raised here as well, once
    logging.getLogger(_logger).setLevel(logging.CRITICAL)

_unraisable = sys.unraisablehook


def _unless_late(what: "sys.UnraisableHookArgs") -> None:
    """Print what could be raised nowhere, except what late writes and reads of Orbax and TensorStore meet.

    When one of them fails Orbax raises that and closes its event loop at once. The others end later, report to the
    closed loop from threads of TensorStore, or are coroutines that nobody awaits; Python would print a trace of each.
    """
    closed = what.object is None and str(what.exc_value) == "Event loop is closed"
    left = isinstance(what.object, types.CoroutineType) and "orbax" in what.object.cr_code.co_filename
    if not closed and not left:
        _unraisable(what)


sys.unraisablehook = _unless_late
# Those that the closed loop had not begun yet.
_LATE = r"coroutine '.*(async_serialize|async_deserialize|_read_\w+).*' was never awaited"
warnings.filterwarnings("ignore", _LATE, RuntimeWarning)

_OS_ERROR = re.compile(r"os_error_code='(\d+)'")
"""What the disk said, at the end of what TensorStore tells of its own layers."""
_AWAY = re.compile(r"\b(UNAVAILABLE|PERMISSION_DENIED|UNAUTHENTICATED|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED)\b")
"""What TensorStore says where a store does not answer or refuses."""
_PARAMS = "params/"
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
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
        arrays = _by_name(state)
        sums = checksums.begin(arrays)  # beside the copies, and before the next step takes the buffers
        with hosts.together(), _writing(path):
            self._orbax.save(f"{path}/state", arrays)
        record = {name: [*_about(arrays[name]), text] for name, text in checksums.texts(arrays, sums).items()}
        self._unfinished = self._thread.submit(self._finish, step, record)

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

    def _finish(self, step: int, record: dict[str, list[Any]]) -> None:
        path = saved.path(self._folder, step)
        with _writing(path):
            self._orbax.wait_until_finished()
            if not hosts.first():
                return
            objects.write(path, saved.CHECKSUMS, json.dumps(record, indent=1).encode())
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
        Away: the store does not answer.
        Failure: the checkpoint is missing, damaged or of another model or precision; the caller may try the one before.
    """
    target = _by_name(like)
    leaves = _read(folder, step, target, whole=True)
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in target])


def restore_params(folder: Folder, step: int, like: Mapping[str, Any]) -> Params:
    """Of the state saved at `step` those parameters that `like` names, as `restore`: nothing else is read.

    The devices of `like` need not be those of training; those of a CPU do as well.

    Raises:
        Failure: as `restore`.
    """
    leaves = _read(folder, step, {_PARAMS + name: leaf for name, leaf in like.items()}, whole=False)
    return {name: leaves[_PARAMS + name] for name in like}


def _read(folder: Folder, step: int, target: Mapping[str, Any], whole: bool) -> dict[str, jax.Array]:
    """The arrays under the names of `target`; `whole` if the checkpoint is to hold no others."""
    path = saved.path(paths.place(folder), step)
    with hosts.together():
        record = _record(path)
        _check(path, record if whole else {name: record[name] for name in target if name in record}, target)
    with hosts.together(), _reading(path, target):
        # Not by a Checkpointer: it would wait for the others, also for one that has met damage.
        handler = ocp.PyTreeCheckpointHandler()
        leaves = handler.restore(epath.Path(f"{path}/state"), args=_wanted(target))
        handler.close()
    found = checksums.texts(leaves, checksums.begin(leaves))
    with hosts.together():
        _compare(path, record, found)
    return leaves


def _record(path: str) -> dict[str, list[Any]]:
    """Type, shape and checksum of the checkpoint's arrays.

    Raises:
        Away: the store does not answer.
        Failure: it is missing, not complete, of an older version, or damaged here.
    """
    with _reading(path):
        names = objects.names(path)
    if not names:
        folder = path.rpartition("/")[0]
        raise Failure(f"checkpoint {path} does not exist; its folder has steps {saved.complete(folder) or 'none'}")
    if saved.CHECKSUMS not in names and saved.BEFORE in names:
        raise Failure(f"checkpoint {path} is of an older version of this program; delete it, and train it again")
    with _reading(path):
        record = json.loads(objects.read(path, saved.CHECKSUMS))
        return {name: [kind, shape, text] for name, (kind, shape, text) in record.items()}


def _check(path: str, record: Mapping[str, list[Any]], target: Mapping[str, Any]) -> None:
    """Raise a Failure where the checkpoint's arrays are not those that are wanted: Orbax would cast in silence."""
    wanted = {name: _about(leaf) for name, leaf in target.items()}
    if {name: shape for name, (_, shape, _) in record.items()} != {name: shape for name, (_, shape) in wanted.items()}:
        raise Failure(f"checkpoint {path} is of another model or optimizer; give this run a folder of its own")
    for name, (kind, _) in wanted.items():
        if record[name][0] != kind:
            raise Failure(
                f"checkpoint {path} is of another precision: array '{name}' is {record[name][0]}, not {kind}; "
                "give this run a folder of its own"
            )


def _compare(path: str, record: Mapping[str, list[Any]], found: Mapping[str, str]) -> None:
    """Raise a Failure that names what was restored and is not what was saved."""
    different = [name for name, text in found.items() if record[name][2] != text]
    if different:
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise _damaged(path, f": array '{different[0]}'{more} is not what was saved")


def _damaged(path: str, how: str) -> Failure:
    return Failure(f"checkpoint {path} is damaged{how}; delete it to continue from the one before")


def _wanted(target: Mapping[str, Any]) -> ocp.args.PyTreeRestore:
    one = SingleDeviceSharding(jax.local_devices()[0])
    places = {
        name: ocp.ArrayRestoreArgs(sharding=leaf.sharding or one, global_shape=leaf.shape, dtype=leaf.dtype)
        for name, leaf in target.items()
    }
    return ocp.args.PyTreeRestore(dict(target), places, partial_restore=True)


@contextmanager
def _reading(path: str, names: Iterable[str] = ()) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError:
        raise  # of a device, which may have too little memory
    except Exception as error:  # TensorStore and Orbax have no error class of their own.
        text, reason = f"{error} {error.__cause__}", said(error.__cause__ or error)
        if _AWAY.search(text):
            way_out = "see to its place and your rights, then run again"
            raise Away(f"checkpoint {path} cannot be read ({reason}); {way_out}") from error
        named = [name for name in names if f"{name}/" in text]
        raise _damaged(path, f": array '{max(named, key=len)}' cannot be read" if named else "") from error


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


def _about(leaf: Any) -> list[Any]:
    return [str(leaf.dtype), list(leaf.shape)]


def _remove(path: str) -> None:
    """Remove a checkpoint, its checksums first: one that a kill left half removed must not pass for one."""
    objects.remove(path, saved.CHECKSUMS)
    objects.remove(path)
