"""The training loop of one stage: a pure function of (fingerprint, step) that survives being killed anywhere.

A checkpoint is written on a timer, at the end and when the process is asked to stop. The ledger is on the disk
before the checkpoint that covers it, and is cut back to the checkpoint at a restart, so the two never disagree.
"""

import functools
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import jax
import jax.numpy as jnp
import numpy as np

from analysis.records import StageRecord, StepRecord, read_ledger, read_stage, stage_folder, write
from experiments import ledger
from experiments.lock import exclusive
from experiments.plan import Plan, PlannedStage, data_plan
from mixtures.errors import Failure
from mixtures.files import write_json
from mixtures.loader import DataPlan, load_batch, token_counts
from mixtures.store import TokenStore
from models import checkpoint
from models.errors import Failure as ModelFailure
from models.schedules import learning_rate
from models.step import Metrics, TrainState, init_state, train_step

CHECKPOINT_SECONDS = 30.0
FLUSH_STEPS = 10
"""Steps between waits for the device; a wait at every step would stall it."""
MAX_SKIPPED = 5
"""Steps in a row whose loss or gradient is not finite before the run stops."""

Progress = Callable[[int], None]
"""Called with the steps of the stage that are done."""


class StopRequested(Exception):
    """SIGTERM came and the state is saved: requeue the command."""

    exit_code = 42


@dataclass
class _Signals:
    number: int | None = None


@contextmanager
def _stop_signals() -> Iterator[_Signals]:
    """Note SIGTERM and SIGINT instead of dying, so that the loop can checkpoint first."""
    seen = _Signals()

    def note(number: int, frame: FrameType | None) -> None:
        seen.number = number

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
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
    plan: Plan,
    stage: PlannedStage,
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
        track: given every batch of ledger rows once they are on the disk.

    Raises:
        Failure: another process trains it, the folder holds another stage, or the disk fails.
        StopRequested: SIGTERM came; the state is saved.
        KeyboardInterrupt: SIGINT came; the state is saved.
    """
    folder = stage_folder(store, stage.folder)
    with exclusive(folder / "lock", f"stage {stage.id}"):
        _claim(plan, stage, folder)
        if done(folder):
            return
        (folder / "failed.json").unlink(missing_ok=True)
        try:
            _run(plan, stage, store, folder, progress, track)
        except (Failure, ModelFailure) as error:
            write_json(folder / "failed.json", {"error": str(error)})
            raise


def _claim(plan: Plan, stage: PlannedStage, folder: Path) -> None:
    """Write the stage record, or check that the folder is this stage's."""
    if (folder / "stage.json").exists():
        found = read_stage(folder)
        if found.fingerprint != stage.fingerprint:
            raise Failure(
                f"folder {folder} holds a stage with fingerprint {found.fingerprint}, not {stage.fingerprint}; "
                "move it away or choose another --store"
            )
        return
    assert stage.identity is not None and stage.fingerprint is not None and stage.epochs is not None
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
            "machine": f"{platform.system()} {platform.machine()}",
        },
    )
    write(folder / "stage.json", record)


@functools.cache
def code_version() -> str:
    """The commit that runs, marked when the tree has changes; the package's version outside a checkout."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        here = Path(__file__).parent
        return subprocess.run(describe, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("code-data-ablation")


def _run(
    plan: Plan,
    stage: PlannedStage,
    store: Path,
    folder: Path,
    progress: Progress,
    track: Callable[[list[StepRecord]], None],
) -> None:
    data = data_plan(plan, stage)
    assert plan.manifest is not None
    tokens = TokenStore(plan.manifest.tokens, data.allocation.sources)
    start, state = _resume(plan, stage, store, folder)
    track(ledger.cut_back(folder, start))
    step_function = train_step(plan.study.model, plan.study.optimizer)
    pending, saved_at, skipped = _Pending(), time.monotonic(), 0
    with _stop_signals() as signals:
        for step in range(start, stage.steps):
            batch = load_batch(data, tokens, step)
            rate = learning_rate(stage.schedule, step)
            state, metrics = step_function(state, jnp.asarray(batch.tokens_BxS), rate)
            pending.rows.append((step, token_counts(data, batch), batch.digest, rate, metrics))
            last = step + 1 == stage.steps
            stop = signals.number  # read once: a signal that comes later waits for the next step's checkpoint
            save = last or stop is not None or time.monotonic() - saved_at > CHECKPOINT_SECONDS
            if save or len(pending.rows) == FLUSH_STEPS:
                rows = _flush(data, folder, pending)
                skipped = _check_finite(stage, rows, skipped)
                track(rows)
                progress(step + 1)
            if save:
                checkpoint.save(folder / "checkpoints", step + 1, state)
                saved_at, pending.since = time.monotonic(), time.perf_counter()
            if stop is not None and not last:
                raise _stopped(stop)
    _finish(folder, stage)
    if signals.number is not None:
        raise _stopped(signals.number)


def _stopped(number: int) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return StopRequested("stopped after a checkpoint; run the same command again to carry on")


def _resume(plan: Plan, stage: PlannedStage, store: Path, folder: Path) -> tuple[int, TrainState]:
    """The newest checkpoint that can be read, else the parent's end, else fresh weights."""
    fresh = init_state(plan.study.model, plan.study.optimizer, stage.seed)
    saved = checkpoint.steps(folder / "checkpoints")
    if saved and saved[-1] > stage.steps:
        raise Failure(
            f"stage {stage.id} ends at step {stage.steps}, but {folder} has a checkpoint of step {saved[-1]}; "
            "move the folder away"
        )
    for step in reversed(saved):
        try:
            return step, checkpoint.restore(folder / "checkpoints", step, fresh)
        except ModelFailure as error:
            print(f"warning: {error}; using the one before it", file=sys.stderr)
    if stage.parent is None:
        return 0, fresh
    parent = plan.stage(stage.parent)
    return 0, checkpoint.restore(stage_folder(store, parent.folder) / "checkpoints", parent.steps, fresh)


def _flush(data: DataPlan, folder: Path, pending: _Pending) -> list[StepRecord]:
    """Wait for the device, write the pending rows to the ledger, and empty the list."""
    values = jax.device_get([metrics for *_, metrics in pending.rows])
    seconds = (time.perf_counter() - pending.since) / len(pending.rows)
    rows = [
        StepRecord(
            step=step + 1,
            tokens=(step + 1) * data.batch * data.sequence,
            loss=float(np.nan_to_num(metrics.loss)),
            grad_norm=float(np.nan_to_num(metrics.grad_norm)),
            learning_rate=rate,
            counts=counts,
            digest=digest,
            seconds=round(seconds, 6),
            skipped=not bool(metrics.finite),
        )
        for (step, counts, digest, rate, _), metrics in zip(pending.rows, values, strict=True)
    ]
    ledger.append(folder, rows)
    pending.rows.clear()
    pending.since = time.perf_counter()
    return rows


def _check_finite(stage: PlannedStage, rows: list[StepRecord], skipped: int) -> int:
    """Skipped steps in a row so far; a diverged run stops and names its batch."""
    for row in rows:
        skipped = skipped + 1 if row.skipped else 0
        if skipped >= MAX_SKIPPED:
            raise Failure(
                f"stage {stage.id}: loss or gradient was not finite in {skipped} steps in a row, up to step {row.step} "
                f"(batch {row.digest}); lower the peak learning rate {stage.schedule.peak:g}"
            )
    return skipped


def _finish(folder: Path, stage: PlannedStage) -> None:
    rows = read_ledger(folder)
    seconds = sum(row.seconds for row in rows)
    write_json(
        folder / "done.json",
        {"step": stage.steps, "tokens": stage.tokens, "loss": rows[-1].loss, "seconds": round(seconds, 3)},
    )
