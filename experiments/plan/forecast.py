"""What a plan will cost, before it costs anything: hours, chip-hours, price, memory, bytes. Loads no jax.

A figure is measured where the store has finished stages of the same model, else from the committed table of `ablate
fit`, else from an assumption; the basis is said with it. Scoring is counted at the speed of training.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.metrics import TEXTS
from analysis.records import read_end, read_stage, stage_folder
from experiments.plan import status
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage
from mixtures.mixture import shares
from models.config import parameters
from models.devices.fitted import fitted
from models.devices.flops import forward_flops_per_token
from models.devices.roofline import ATTAINED, TOPOLOGIES, topology
from models.devices.threads import cores

CORE_FLOPS = 5e10
"""A second, of one core with one process on the small models (benchmarks/training_loop.md)."""
GPU_PEAK = 9.89e14
"""An H100's dense bfloat16 products a second, as its maker publishes them."""
ASSUMED_SHARE = 0.35
"""Of a chip's peak, where no table says better."""

_BYTES_PER_TOKEN = 3.0
_TOKENS_PER_ITEM = 100
"""Of a benchmark item, fitted: with it the plan says what scoring took in one run of the laptop's paper
(benchmarks/laptop.md). Items have some 300 over all their choices: scoring is quicker than a step of as many FLOPs."""
_STATE_BYTES = 12
"""Of a parameter in a checkpoint: the value and two moments, float32."""
_CHECKPOINTS = 2
"""That a finished stage keeps (models/checkpoint.py)."""
_ITEM_BYTES = 400
"""Of an item in an evaluation's record."""

PAPER_CHIP_HOURS: Mapping[tuple[str, str], float] = {
    ("470m", "cooldown"): 1_024 / 40e9,
    ("470m", ""): 4_736 / 200e9,
    ("2.8b", ""): 13_824 / 200e9,
}
"""A token, by model and kind of stage: what the paper reports for its own code (section 2.1)."""


@dataclass(frozen=True)
class Speed:
    """How fast a model trains on all that it is planned for.

    Attributes:
        flops_per_second: useful ones (models/devices/flops.py), of all chips or cores together.
        chips: accelerators; 0 on CPUs.
        utilisation: share of their peak; None on CPUs, whose peak is not known.
        basis: where the figure is from.
    """

    flops_per_second: float
    chips: int
    utilisation: float | None
    basis: str


@dataclass(frozen=True)
class MemoryFit:
    """Of a chip's memory, what a step needs and what it may use, GiB; None where no table says."""

    fits: bool
    gib: float
    limit_gib: float
    basis: str


def speeds(plan: Plan, store: Path) -> dict[str, Speed]:
    """By the model's name, for every model of the plan."""
    stages = {stage.model.name: stage for stage in plan.stages}
    return {name: _measured(plan, store, name) or _assumed(plan, stage) for name, stage in stages.items()}


def _measured(plan: Plan, store: Path, model: str) -> Speed | None:
    """By the finished stages of a model in the store, if it was trained on what the plan is for."""
    flops = seconds = 0.0
    devices = ""
    for stage in plan.stages:
        if stage.model.name == model and isinstance(stage, PreparedStage) and status.trained(stage, store):
            folder = stage_folder(store, stage.folder)
            its = read_stage(folder).environment.get("device", "")
            if ("cpu" in its.lower()) != (plan.study.topology == "cpu"):
                return None
            if plan.study.topology != "cpu" and its.partition(" ")[0] != str(_peak(plan.study.topology)[1]):
                continue  # on a slice of another size
            devices = its
            flops += plan.flops(stage)
            seconds += read_end(folder).seconds
    if not seconds:
        return None
    if plan.study.topology == "cpu":
        return Speed(flops / seconds * abreast(), 0, None, "measured on this store's finished stages")
    peak, chips = _peak(plan.study.topology)
    return Speed(
        flops / seconds, chips, flops / seconds / (peak * chips), f"measured on this store's stages, {devices}"
    )


def _assumed(plan: Plan, stage: PlannedStage) -> Speed:
    study = plan.study
    if study.topology == "cpu":
        return Speed(CORE_FLOPS * abreast(), 0, None, f"assumed for {abreast()} CPU cores")
    peak, chips = _peak(study.topology)
    row = fitted(stage.model, study.topology, stage.sequence, stage.batch, study.precision)
    if row is None or not row.fits:
        basis = f"assumed, of {peak / 1e12:,.0f} TFLOP/s a chip"
        return Speed(ASSUMED_SHARE * peak * chips, chips, ASSUMED_SHARE, basis)
    flops = plan.flops(stage) / stage.steps / row.step_seconds(stage.model)
    return Speed(flops, chips, flops / (peak * chips), f"{ATTAINED:.0%} of the bound's speed, assumed ({row.basis})")


def _peak(topology: str) -> tuple[float, int]:
    """Of a chip, FLOPs a second; and how many there are."""
    slice_ = TOPOLOGIES.get(topology)
    return (slice_.chip.flops_per_second, slice_.chips) if slice_ else (GPU_PEAK, 1)


def abreast() -> int:
    """Stages that train side by side on this machine's CPU."""
    return len(cores())


def evaluation_flops(plan: Plan, stage: PlannedStage) -> float:
    """Of scoring what is asked at the end of a stage, roughly."""
    size = plan.study.evaluation
    names = status.task_names(plan, stage)
    texts = sum(name.startswith(TEXTS) for name in names)
    tokens = texts * size.heldout_bytes / _BYTES_PER_TOKEN + (len(names) - texts) * size.items * _TOKENS_PER_ITEM
    return tokens * forward_flops_per_token(stage.model, stage.sequence)


def hours(plan: Plan, speed: Mapping[str, Speed], stages: Iterable[PlannedStage]) -> float:
    """Of training and scoring `stages`. On CPUs a core each works at them, but at none before its parent."""
    each = {s.id: (plan.flops(s) + evaluation_flops(plan, s)) / speed[s.model.name].flops_per_second for s in stages}
    total = sum(each.values())
    if plan.study.topology == "cpu":
        chains = (sum(each.get(id, 0.0) for id in dict.fromkeys(chain)) for chain in plan.runs.values())
        total = max(total, abreast() * max(chains, default=0.0))
    return total / 3600


def chip_hours(speed: Speed, flops: float) -> float | None:
    """None on CPUs."""
    return speed.chips * flops / speed.flops_per_second / 3600 if speed.chips else None


def memory_fit(plan: Plan, stage: PlannedStage) -> MemoryFit | None:
    study = plan.study
    row = fitted(stage.model, study.topology, stage.sequence, stage.batch, study.precision)
    if row is None:
        return None
    return MemoryFit(row.fits, row.hbm_gib, round(topology(row.topology).chip.usable_gib, 2), row.basis)


def paper_chip_hours(stage: PlannedStage) -> float | None:
    """What the paper's code took for as many tokens, where it says so."""
    kind = stage.stage.kind if (stage.model.name, stage.stage.kind) in PAPER_CHIP_HOURS else ""
    rate = PAPER_CHIP_HOURS.get((stage.model.name, kind))
    return None if rate is None else rate * stage.tokens


def checkpoint_bytes(plan: Plan) -> int:
    return sum(_CHECKPOINTS * _STATE_BYTES * parameters(stage.model).total for stage in plan.stages)


def store_bytes(plan: Plan) -> int:
    """Checkpoints, tokens and records; the documents that tokens are made from come on top."""
    wide = 4 if plan.study.data.vocabulary > 2**16 else 2
    if isinstance(plan, PreparedPlan):
        tokens = sum(source.tokens for source in plan.manifest.sources.values())
    else:
        known = {source.name: source.expected_tokens or 0 for source in plan.study.data.sources}
        tokens = sum(min(count, plan.study.supply.get(source, count)) for source, count in known.items())
    size = plan.study.evaluation
    items = sum(len(status.task_names(plan, stage)) * size.items for stage in plan.stages)
    return checkpoint_bytes(plan) + wide * tokens + _ITEM_BYTES * items


def saved_by_a_trunk(plan: Plan) -> int:
    """Tokens that a trunk with a constant rate and cooldown branches would save (arXiv:2405.18392).

    Of first stages that differ in length alone, only the longest is read whole; each shorter one branches off for a
    tenth of its length. One in pieces counts as a whole, if it is no trunk already.
    """
    lengths: dict[object, list[int]] = {}
    for stage in plan.stages:
        first = stage
        while first.stage.carries_on and first.parent is not None:
            first = plan.stage(first.parent)
        ends = stage.first_step + stage.steps == stage.schedule.steps
        if first.parent is None and ends and (stage.stage.piece is None or stage.schedule.kind != "constant"):
            begin = (first.start, stage.init_seed, stage.data_seed)
            lengths.setdefault((tuple(shares(stage.stage.mixture).items()), begin, stage.model), []).append(
                stage.schedule.steps * stage.batch * stage.sequence
            )
    return sum(math.floor(0.9 * tokens) for each in lengths.values() for tokens in sorted(each)[:-1])
