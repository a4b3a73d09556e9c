"""The training loop of one stage: a pure function of (fingerprint, step) that survives being killed anywhere.

A checkpoint is begun on a timer (interval.py), at the end and when the process is asked to stop, and is written while
training goes on. The ledger is on the disk before the checkpoint that covers it, and is cut back to the checkpoint at a
restart, so the two never disagree.

With several processes (`jax.distributed.initialize` was called before) every one of them runs this loop in step; they
do what the first decides, and it alone writes records and ledger.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from analysis.ledger_rows import MAX_SKIPPED, StepRecord
from analysis.records import stage_folder
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.plan.status import checkpoints
from experiments.run import ledger
from experiments.run.feed import Feed
from experiments.run.folder import claim, done, finish
from experiments.run.interval import interval
from experiments.run.ledger import Ledger
from experiments.run.start import resume
from experiments.run.stops import stop_requests, stopped
from mixtures.loader import Batch, token_counts
from mixtures.order import DataPlan
from mixtures.tokens.arrays import open_tokens
from models import checkpoint
from models.devices import hosts, parallel
from models.devices.placement import enough_memory, placement
from models.objectives import Ranked, Rows
from models.step import Metrics, train_step
from store.errors import Failure
from store.lock import Check

FLUSH_STEPS = 10
"""Steps whose rows are written at once."""

Progress = Callable[[int], None]
"""Called with the steps of the stage that are done."""


@dataclass
class _Pending:
    """Steps whose metrics are still on the device.

    Attributes:
        ledger: where their rows will go.
        held: raises when another process may train the stage: nothing may be written then.
        rows: step, tokens by source, how many targets carry loss, digest of the batch, learning rate, metrics.
        since: when the first of them began.
        skipped: updates in a row that were skipped, up to the last row that was written.
    """

    stage: PreparedStage
    data: DataPlan
    ledger: Ledger
    held: Check
    rows: list[tuple[int, dict[str, int], int | None, str, float, Metrics]] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)
    skipped: int = 0


def train_stage(
    plan: PreparedPlan, stage: PreparedStage, store: Path, progress: Progress, held: Check = lambda: None
) -> None:
    """Train `stage` to its target step, from its newest good checkpoint, else as its run begins or its parent ends.

    Args:
        plan: the prepared plan.
        stage: what to train; its parent is done.
        store: root of the records.
        progress: told the steps done.
        held: asked before anything is written, by the first process: whether the stage is still its own to train.

    Raises:
        Lost: another process may have its lease by now.
        Away: the checkpoints' store does not answer.
        Failure: hosts plan different things, no layout of the model is known for these devices, their memory gives
            out, the folder holds another stage, or the disk fails.
        StopRequested: SIGTERM came; the state is saved.
        KeyboardInterrupt: SIGINT came; the state is saved.
    """
    folder = stage_folder(store, stage.folder)
    with hosts.together():
        if hosts.first():
            claim(plan, stage, folder)
    if hosts.agreed(hosts.first() and done(folder)):
        return
    study, data, where = plan.study, data_plan(plan, stage), checkpoints(store, stage.folder)
    step_of = (stage.model, study.precision, data.batch, data.sequence)
    mesh, layout = placement(*step_of)
    with hosts.together():
        tokens = open_tokens(plan.manifest, stage.sequence, stage.stage.infilling)
        tokens.check(data.allocation.sources)
    start, state = resume(plan, stage, store, mesh)
    with hosts.together():
        if hosts.first():
            ledger.cut_back(folder, start, where)
    what = (stage.model, stage.optimizer, study.precision, layout, mesh, study.z_loss, stage.stage.objective)
    step_function = train_step(*what)
    feed = Feed(data, tokens, range(stage.first_read + start, stage.first_read + stage.steps))
    pending, saved_at, stop = _Pending(stage, data, Ledger(folder), held), time.monotonic(), None
    blocked: list[float] = []
    with enough_memory(*step_of), checkpoint.Writer(where) as writer, stop_requests() as stop_now:
        for step in range(start, stage.steps):
            mine, batch = feed.taken()
            rate = stage.rate(step)
            tokens_BxS1, *marks = _on_devices(mesh, mine)
            state, metrics = step_function(state, tokens_BxS1, rate, *marks)
            # The device is at work and nobody waits for it yet: the time to read the next batch.
            feed.read_ahead()
            pending.rows.append((step, token_counts(data, batch), _trained(batch), batch.digest, rate, metrics))
            # One step may wait for another, so that the device has work; ten would outlast the grace of a stop.
            jax.block_until_ready(pending.rows[-2:-1])
            last, stop = step + 1 == stage.steps, stop_now()
            full = len(pending.rows) == FLUSH_STEPS
            save = last or stop is not None or _due(saved_at + interval(blocked), full)
            if save or full:
                with hosts.together():
                    feed.check()
                    _flush(pending, save)
                progress(step + 1)
            if save:
                begun = time.monotonic()
                writer.save(step + 1, state)
                saved_at, pending.since = time.monotonic(), time.perf_counter()
                blocked.append(saved_at - begun)
            if stop is not None and not last:
                writer.wait()
                raise stopped(stop)
        writer.wait()
        with hosts.together():
            if hosts.first():
                held()
                finish(folder, stage)
        if stop := stop or stop_now():
            raise stopped(stop)


def _on_devices(mesh: Mesh | None, mine: Batch) -> Rows:
    """What all processes feed, from the rows of this one."""
    put = jnp.asarray if mesh is None else functools.partial(parallel.global_batch, mesh)
    segments_BxS, weights_BxS = (None if x is None else put(x) for x in (mine.segment_ids_BxS, mine.weights_BxS))
    ranked = None if mine.ranked is None else Ranked(*map(put, mine.ranked))
    return Rows(put(mine.tokens_BxS), segments_BxS, weights_BxS, ranked)


def _trained(batch: Batch) -> int | None:
    """Targets of a batch that carry loss; None where all do."""
    return None if batch.weights_BxS is None else int(np.count_nonzero(batch.weights_BxS))


def _due(due_at: float, full: bool) -> bool:
    """Whether it is time for a checkpoint. Several processes ask the first, and only where they wait anyway."""
    due = time.monotonic() > due_at
    return due if jax.process_count() == 1 else full and hosts.agreed(due)


def _flush(pending: _Pending, now: bool) -> None:
    """Wait for the device, add the pending rows to the ledger, which keeps them `now` or soon, and empty the list.

    Raises:
        Lost: another process may train the stage.
        Failure: the disk is full, or the run has diverged; the message names the batch.
    """
    values = jax.device_get([metrics for *_, metrics in pending.rows])
    seconds = (time.perf_counter() - pending.since) / len(pending.rows)
    rows = [
        StepRecord(
            step=step + 1,
            tokens=(step + 1) * pending.data.batch * pending.data.sequence,
            loss=_finite(metrics.loss),
            grad_norm=_finite(metrics.grad_norm),
            learning_rate=rate,
            counts=counts,
            digest=digest,
            seconds=round(seconds, 6),
            skipped=not bool(metrics.finite),
            trained=trained,
        )
        for (step, counts, trained, digest, rate, _), metrics in zip(pending.rows, values, strict=True)
    ]
    if hosts.first():
        pending.held()
        pending.ledger.append(rows, now or any(row.skipped for row in rows))  # a divergence is told from these
    pending.rows.clear()
    pending.since = time.perf_counter()
    for row in rows:
        pending.skipped = pending.skipped + 1 if row.skipped else 0
        if pending.skipped >= MAX_SKIPPED:
            raise Failure(
                f"stage {pending.stage.id}: loss or gradient was not finite in {pending.skipped} steps in a row, up to "
                f"step {row.step} (batch {row.digest}); lower the peak learning rate {pending.stage.schedule.peak:g}"
            )


def _finite(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
