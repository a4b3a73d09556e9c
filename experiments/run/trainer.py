"""The training loop of one stage: a pure function of (fingerprint, step) that survives being killed anywhere.

A checkpoint is begun on a timer, at the end and when the process is asked to stop, and is written while training goes
on. The ledger is on the disk before the checkpoint that covers it, and is cut back to the checkpoint at a restart, so
the two never disagree.

With several processes (`jax.distributed.initialize` was called before) every one of them runs this loop in step; they
do what the first decides, and it alone writes records and ledger.
"""

import functools
import itertools
import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from analysis.records import (
    MAX_SKIPPED,
    EndRecord,
    StageRecord,
    StepRecord,
    read_ledger,
    read_stage,
    stage_folder,
    write,
)
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.plan.status import checkpoints
from experiments.run import ledger
from experiments.run.feed import Feed
from experiments.run.trained import restore_end
from mixtures.loader import Batch, DataPlan, token_counts
from mixtures.tokens.arrays import open_tokens
from models import checkpoint, fit, optimizer, parallel
from models.config import ModelConfig
from models.devices import hosts
from models.devices.layout import Layout, MeshShape
from models.recipe import AdamW
from models.step import Metrics, TrainState, abstract_state, init_state, train_step
from store.errors import Failure
from store.files import write_json
from store.lock import exclusive

CHECKPOINT_SECONDS = 30.0
FLUSH_STEPS = 10
"""Steps between waits for the device; a wait at every step would stall it."""

Progress = Callable[[int], None]
"""Called with the steps of the stage that are done."""


class StopRequested(Exception):
    """SIGTERM came and the state is saved: requeue the command."""

    exit_code = 42


_asked = itertools.count()
"""How often jax was asked whether to stop: all processes have to ask with the same, rising number."""


@contextmanager
def _stop_requests() -> Iterator[Callable[[], int | None]]:
    """Yield a function to call after every step: the signal because of which to stop now, or None.

    SIGTERM and SIGINT are noted instead of dying, so that the loop can checkpoint first. Of several processes one may
    get SIGTERM alone: jax notes it, and all of them are told to stop after the same step. Ctrl-C just kills them.
    """
    if jax.process_count() > 1:
        reached = multihost_utils.reached_preemption_sync_point
        yield lambda: signal.SIGTERM if reached(next(_asked)) else None
        return
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: seen[-1] if seen else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Pending:
    """Steps whose metrics are still on the device."""

    rows: list[tuple[int, dict[str, int], str, float, Metrics]] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)


def done(folder: Path) -> bool:
    """Whether the stage has reached its exact target step."""
    return (folder / "done.json").exists()


def train_stage(
    plan: PreparedPlan,
    stage: PreparedStage,
    store: Path,
    progress: Progress,
    track: Callable[[list[StepRecord]], None],
) -> None:
    """Train `stage` to its target step, from its newest good checkpoint, else from its parent's end.

    Args:
        plan: the prepared plan.
        stage: what to train; its parent is done.
        store: root of the records.
        progress: told the steps done.
        track: given every batch of ledger rows once they are on the disk, in the first process.

    Raises:
        Failure: another run trains it, hosts plan different things, the folder holds another stage, or the disk fails.
        StopRequested: SIGTERM came; the state is saved.
        KeyboardInterrupt: SIGINT came; the state is saved.
    """
    folder = stage_folder(store, stage.folder)
    with ExitStack() as lock:
        with hosts.together():
            if hosts.first():
                lock.enter_context(exclusive(folder / "lock", f"stage {stage.id}"))
                _claim(plan, stage, folder)
                if not done(folder):
                    (folder / "failed.json").unlink(missing_ok=True)
        if hosts.agreed(done(folder)):
            return
        try:
            _run(plan, stage, store, folder, progress, track)
        except Failure as error:
            if hosts.first():
                with suppress(Failure):  # on a full disk: what went wrong is to be told all the same
                    write_json(folder / "failed.json", {"error": str(error)})
            raise


def _claim(plan: PreparedPlan, stage: PreparedStage, folder: Path) -> None:
    """Write the stage record, or check that the folder is this stage's."""
    if (folder / "stage.json").exists():
        found = read_stage(folder)
        if found.fingerprint != stage.fingerprint:
            raise Failure(
                f"folder {folder} holds a stage with fingerprint {found.fingerprint}, not {stage.fingerprint}; "
                "move it away or choose another --store"
            )
        return
    record = StageRecord(
        id=stage.id,
        fingerprint=stage.fingerprint,
        kind=stage.stage.kind,
        model=plan.study.model.name,
        parent=stage.identity["parent"],
        seed=stage.seed,
        steps=stage.steps,
        tokens=stage.tokens,
        tokens_by_source=stage.tokens_by_source,
        tokens_by_kind=plan.tokens_by_kind(stage),
        epochs_by_source=stage.epochs,
        flops=plan.flops(stage),
        tokens_before=stage.tokens_before,
        identity=stage.identity,
        environment={
            "code": code_version(),
            "python": platform.python_version(),
            "jax": jax.__version__,
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    )
    write(folder / "stage.json", record)


@functools.cache
def code_version() -> str:
    """The commit that runs, marked when the tree has changes; the package's version outside a checkout."""
    describe = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        here = Path(__file__).parent
        return subprocess.run(describe, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("code-data-ablation")


def _run(
    plan: PreparedPlan,
    stage: PreparedStage,
    store: Path,
    folder: Path,
    progress: Progress,
    track: Callable[[list[StepRecord]], None],
) -> None:
    study, data = plan.study, data_plan(plan, stage)
    mesh, layout = placement(stage.model, study.optimizer, study.precision, data.batch, data.sequence)
    with hosts.together():
        tokens = open_tokens(plan.manifest, stage.stage.infilling)
        tokens.check(data.allocation.sources)
    start, state = _resume(plan, stage, store, mesh)
    with hosts.together():
        if hosts.first():
            track(ledger.cut_back(folder, start, checkpoints(store, stage.folder)))
    step_function = train_step(stage.model, study.optimizer, study.precision, layout, mesh, study.z_loss)
    feed = Feed(data, tokens, range(stage.first_step + start, stage.first_step + stage.steps))
    pending, saved_at, skipped, stop = _Pending(), time.monotonic(), 0, None
    with checkpoint.Writer(checkpoints(store, stage.folder)) as writer, _stop_requests() as stop_now:
        for step in range(start, stage.steps):
            mine, batch = feed.taken()
            rate = stage.rate(step)
            tokens_BxS, segments_BxS = _on_devices(mesh, mine)
            state, metrics = step_function(state, tokens_BxS, rate, segments_BxS)
            # The device is at work and nobody waits for it yet: the time to read the next batch.
            feed.read_ahead()
            pending.rows.append((step, token_counts(data, batch), batch.digest, rate, metrics))
            last, stop = step + 1 == stage.steps, stop_now()
            full = len(pending.rows) == FLUSH_STEPS
            save = last or stop is not None or _due(saved_at, full)
            if save or full:
                with hosts.together():
                    feed.check()
                    rows = _flush(data, stage, folder, pending, track)
                skipped = _check_finite(stage, rows, skipped)
                progress(step + 1)
            if save:
                writer.save(step + 1, state)
                saved_at, pending.since = time.monotonic(), time.perf_counter()
            if stop is not None and not last:
                writer.wait()
                raise _stopped(stop)
        writer.wait()
        with hosts.together():
            if hosts.first():
                _finish(folder, stage)
        if stop := stop or stop_now():
            raise _stopped(stop)


def _on_devices(mesh: Mesh | None, mine: Batch) -> tuple[jax.Array, jax.Array | None]:
    """Tokens [B, S+1] and, under a document mask, segments [B, S] of all processes from the rows of this one."""
    put = jnp.asarray if mesh is None else functools.partial(parallel.global_batch, mesh)
    return put(mine.tokens_BxS), None if mine.segment_ids_BxS is None else put(mine.segment_ids_BxS)


@functools.cache
def placement(
    model: ModelConfig, optimizer: AdamW, precision: str, batch: int, sequence: int
) -> tuple[Mesh | None, Layout]:
    """All devices of all processes (None for one alone), and how their rows go through the model.

    It decides memory and speed, not the result. On TPU it is what `ablate fit` finds. Elsewhere the weights are divided
    over as many devices as divide every matrix, and the others repeat them.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if len(devices) == 1:
        return None, Layout()
    if devices[0].platform == "tpu":
        shape, layout = fit.place(model, devices, sequence, batch, optimizer, precision)
        return parallel.make_mesh(shape, devices), layout
    fsdp = math.gcd(len(devices), model.width, model.feed_forward, model.vocabulary)
    return parallel.make_mesh(MeshShape(data=len(devices) // fsdp, fsdp=fsdp), devices), Layout()


def _due(saved_at: float, full: bool) -> bool:
    """Whether it is time for a checkpoint. Several processes ask the first, and only where they wait anyway."""
    due = time.monotonic() - saved_at > CHECKPOINT_SECONDS
    return due if jax.process_count() == 1 else full and hosts.agreed(due)


def _stopped(number: int) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return StopRequested("stopped after a checkpoint; run the same command again to carry on")


def _resume(plan: PreparedPlan, stage: PreparedStage, store: Path, mesh: Mesh | None) -> tuple[int, TrainState]:
    """The newest checkpoint that can be read, else the parent's end, else fresh weights."""
    folder, like = checkpoints(store, stage.folder), _like(plan, mesh)
    saved = checkpoint.steps(folder)
    if saved and saved[-1] > stage.steps:
        raise Failure(
            f"stage {stage.id} ends at step {stage.steps}, but {folder} has a checkpoint of step {saved[-1]}; "
            "move the folder away"
        )
    for step in reversed(saved):
        try:
            return step, checkpoint.restore(folder, step, like)
        except Failure as error:
            print(f"warning: {error}; using the one before it", file=sys.stderr)
    if stage.parent is None:
        return 0, init_state(plan.study.model, plan.study.optimizer, stage.seed, mesh)
    parent = plan.stage(stage.parent)
    state = restore_end(store, parent.folder, parent.steps, like)
    if stage.stage.reset_optimizer:
        state = TrainState(state.params, optimizer.reset(state.optimizer))
    return 0, state


def _like(plan: PreparedPlan, mesh: Mesh | None) -> TrainState:
    """Shapes of the state and where its arrays go; a second state would not fit beside the one restored."""
    shapes = abstract_state(plan.study.model, plan.study.optimizer)
    if mesh is None:
        return shapes
    placed = parallel.shardings(mesh, shapes)
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes, placed
    )


def _flush(
    data: DataPlan,
    stage: PreparedStage,
    folder: Path,
    pending: _Pending,
    track: Callable[[list[StepRecord]], None],
) -> list[StepRecord]:
    """Wait for the device, write the pending rows to the ledger, and empty the list."""
    values = jax.device_get([metrics for *_, metrics in pending.rows])
    seconds = (time.perf_counter() - pending.since) / len(pending.rows)
    rows = [
        StepRecord(
            step=step + 1,
            tokens=(step + 1) * data.batch * data.sequence,
            loss=_finite(metrics.loss),
            grad_norm=_finite(metrics.grad_norm),
            learning_rate=rate,
            counts=counts,
            digest=digest,
            seconds=round(seconds, 6),
            skipped=not bool(metrics.finite),
        )
        for (step, counts, digest, rate, _), metrics in zip(pending.rows, values, strict=True)
    ]
    if hosts.first():
        ledger.append(folder, rows)
        track(rows)
    pending.rows.clear()
    pending.since = time.perf_counter()
    return rows


def _finite(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None


def _check_finite(stage: PreparedStage, rows: list[StepRecord], skipped: int) -> int:
    """Skipped steps in a row so far; a diverged run stops and names its batch."""
    for row in rows:
        skipped = skipped + 1 if row.skipped else 0
        if skipped >= MAX_SKIPPED:
            raise Failure(
                f"stage {stage.id}: loss or gradient was not finite in {skipped} steps in a row, up to step {row.step} "
                f"(batch {row.digest}); lower the peak learning rate {stage.schedule.peak:g}"
            )
    return skipped


def _finish(folder: Path, stage: PreparedStage) -> None:
    rows = read_ledger(folder)
    seconds = round(sum(row.seconds for row in rows), 3)
    write(folder / "done.json", EndRecord(stage.steps, stage.tokens, rows[-1].loss, seconds))
