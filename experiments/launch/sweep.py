"""What a launch is: a plan's missing stages, so many slices that share them by leases, what they cost and how long.

Nothing here knows an engine. Hours are those of the plan's own forecast (experiments/plan/forecast.py), put on the
workers by list scheduling: whoever is free takes what has the longest chain behind it, as the workers do.

The hosts of a slice train together. Where a slice has several, one more worker on a small slice scores what the others
have trained, and they do only while they have nothing to train: writing takes fewer chip-hours of few chips.
"""

import hashlib
import heapq
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.launch.slices import SLICES, Slice, find_processes
from experiments.plan import forecast
from experiments.plan.stage import Plan
from experiments.study import Study
from experiments.version import code_version, lock_digest
from models.config import parameters
from models.devices.candidates import check_divides
from models.devices.fitted import command
from models.devices.roofline import topology
from store.errors import UserError

LONGEST_NAME = 35
"""Of a launch. Kubernetes names a pod `<name>-<worker>-slice-job-0-<host>-abcde`, in 63 letters at most."""
MOST_WORKERS = 8
"""That are chosen unasked: more than this one says so."""
BUSY = 0.9
"""Share of their time at which workers that are chosen unasked must have work; they cost as much while they wait."""

SCORER = "v5litepod-4"
"""The largest slice of one host on GKE: what a model is scored on."""

GRACE_SECONDS = 30
"""On this machine, and what xpk and Kubernetes give unasked."""
_SAVED_BYTES_A_SECOND = 2e8
"""Of one machine into a bucket: a cautious guess, not measured; one connection of many gets about as much."""
_STOP_SECONDS = 30
"""For the step that is under way, the word to all hosts, and the end of the ledger."""
_STATE_BYTES = 12
"""Of a parameter: the value and two moments, float32."""


@dataclass(frozen=True)
class Task:
    """A stage to train, or a checkpoint to score: `hours` on one worker, and not before `parent`.

    `apart` says that the worker is the one that scores what others train.
    """

    id: str
    parent: str | None
    hours: float
    apart: bool = False


@dataclass(frozen=True)
class Worker:
    """One slice: what an engine calls it, and the command line of all its hosts without the program."""

    name: str
    slice_: Slice
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Launch:
    """A study on so many slices.

    Attributes:
        name: of the launch, as DNS has names; its objects in an engine begin with it.
        engine: local, skypilot or jobset.
        study, scale: as they are typed; "" for a study of one scale.
        store: path or URL.
        slice_: what one worker runs on.
        workers: slices that train, each of which takes what nobody else is at.
        scorer: the slice of one more worker, which scores; None where those that train do.
        image: that a pod runs.
        spot: whether the machines may be taken away.
        secrets: names of variables of the environment; never what they hold.
        price: of a chip-hour, in dollars; None if nobody said it.
        max_cost: dollars at which workers stop.
        hours: from the first stage to the last score, on all workers.
        chip_hours: of work; None on CPUs.
        busy: share of the training workers' time that is work.
        grace_seconds: from the word to stop until a worker is killed.
    """

    name: str
    engine: str
    study: str
    scale: str
    store: str
    slice_: Slice
    workers: int
    scorer: Slice | None
    image: str
    spot: bool
    secrets: tuple[str, ...]
    price: float | None
    max_cost: float | None
    hours: float
    chip_hours: float | None
    busy: float
    grace_seconds: int

    @property
    def cost(self) -> float | None:
        return None if self.price is None or self.chip_hours is None else self.price * self.chip_hours


def planned(
    plan: Plan,
    document: Mapping[str, Any],
    slice_: Slice,
    workers: int | None = None,
    spent: float = 0.0,
    **fields: Any,
) -> Launch:
    """The launch of what is missing of a plan.

    Args:
        plan: of the study, for the slice's topology (`scaled`).
        document: the plan's forecast, of `experiments.show.plans.forecast_json`.
        slice_: what a worker runs on.
        workers: how many train; None for as many as are kept busy.
        spent: dollars that the plan has cost before.
        fields: the other fields of a `Launch` that are no figures of the plan.

    Raises:
        UserError: it would cost more than `max_cost`.
    """
    scorer = scoring_slice(slice_)
    todo = tasks(document, slice_, scorer)
    count = workers or min(kept_busy(todo), at_once(slice_))
    hours, work = makespan(todo, min(count, at_once(slice_))), sum(task.hours for task in todo if not task.apart)
    scoring = sum(task.hours for task in todo if task.apart)
    launch = Launch(
        name=launch_name(plan.study.key),
        study=plan.study.name,
        scale=plan.study.scale,
        slice_=slice_,
        workers=count,
        scorer=scorer,
        hours=hours,
        chip_hours=work * slice_.chips + scoring * (scorer.chips if scorer else 0) if slice_.chips else None,
        busy=work / (count * hours) if hours else 1.0,
        grace_seconds=grace_seconds(plan, slice_),
        **fields,
    )
    if launch.cost is not None and launch.max_cost is not None and launch.cost + spent > launch.max_cost:
        before = f" on top of {spent:,.0f} that it has" if spent else ""
        raise UserError(
            f"this would cost {launch.cost:,.0f} dollars ({launch.chip_hours:,.0f} chip-hours at {launch.price:g})"
            f"{before}, and --max-cost is {launch.max_cost:,.0f}; raise it, or launch a smaller study"
        )
    return launch


def launch_name(key: str) -> str:
    """The study's key as DNS (RFC 1035) has names; with a hash where it had to be changed or cut."""
    name = re.sub("[^a-z0-9]+", "-", key.lower()).strip("-")
    if name != key or len(name) > LONGEST_NAME or not name[0].isalpha():
        name = f"s-{name}"[: LONGEST_NAME - 7].rstrip("-") + f"-{hashlib.sha256(key.encode()).hexdigest()[:6]}"
    return name


def scoring_slice(slice_: Slice) -> Slice | None:
    """Of the worker that scores; None where a worker is one process, which scores what it likes."""
    if slice_.hosts == 1:
        return None
    return SLICES[SCORER] if slice_.chips else find_processes("cpu:1")


def workers(launch: Launch, canary: bool = False) -> list[Worker]:
    """All workers of a launch, those that train first; of a canary, the first holds back until it has a checkpoint."""
    distributed = ("--distributed",) if launch.slice_.hosts > 1 else ()
    found = [
        Worker(f"{launch.name}-{number}", launch.slice_, (*_words(launch), *distributed))
        for number in range(launch.workers)
    ]
    if canary:
        found[0] = replace(found[0], arguments=(*found[0].arguments, "--canary"))
    if launch.scorer is not None:
        found.append(Worker(f"{launch.name}-score", launch.scorer, (*_words(launch), "--only", "score")))
    return found


def _words(launch: Launch) -> tuple[str, ...]:
    words = ["work", launch.study, *(["--scale", launch.scale] if launch.scale else []), "--store", launch.store]
    if launch.max_cost is not None:
        words += ["--max-cost", f"{launch.max_cost:g}", "--price-per-chip-hour", f"{launch.price or 0:g}"]
    return tuple(words)


def tasks(document: Mapping[str, Any], slice_: Slice, scorer: Slice | None = None) -> list[Task]:
    """What is missing of a plan, with parents first; `document` is of `experiments.show.plans.forecast_json`.

    Hours of a CPU are there those of all its cores, with a stage on each; here a stage has the cores of its processes.
    """
    cores = forecast.abreast()
    slower = 1.0 if slice_.chips else cores / min(slice_.hosts, cores)
    apart = 1.0 if scorer is None else slice_.chips / scorer.chips if slice_.chips else float(cores)
    rows = [row for row in document["stages"] if row["state"] != "done"]
    missing = {row["id"] for row in rows}
    found = []
    for row in rows:
        scored = row["kind"] == "evaluate" and scorer is not None
        parent = row["parent"] if row["parent"] in missing else None
        found.append(Task(row["id"], parent, row["hours"] * (apart if scored else slower), scored))
    return found


def makespan(todo: Sequence[Task], workers: int) -> float:
    """Hours until `workers`, and the one that scores apart, have done all; the longest chain goes first."""
    ahead: dict[str, float] = {}
    children: dict[str, list[Task]] = {}
    for task in reversed(todo):  # children come after their parents
        ahead[task.id] = ahead.get(task.id, 0.0) + task.hours
        if task.parent is not None:
            ahead[task.parent] = max(ahead.get(task.parent, 0.0), ahead[task.id])
            children.setdefault(task.parent, []).append(task)
    order = {task.id: number for number, task in enumerate(todo)}
    free = {False: workers, True: 1}
    ready: dict[bool, list[tuple[float, int, Task]]] = {False: [], True: []}
    running: list[tuple[float, int, Task]] = []
    now = 0.0
    begun = [task for task in todo if task.parent is None]
    while begun or running or any(ready.values()):
        for task in begun:
            heapq.heappush(ready[task.apart], (-ahead[task.id], order[task.id], task))
        for apart, waiting in ready.items():
            while waiting and free[apart]:
                *_, task = heapq.heappop(waiting)
                free[apart] -= 1
                heapq.heappush(running, (now + task.hours, order[task.id], task))
        now, _, ended = heapq.heappop(running)
        free[ended.apart] += 1
        begun = children.get(ended.id, [])
    return now


def kept_busy(todo: Sequence[Task]) -> int:
    """The most workers, up to MOST_WORKERS, that have work for the share BUSY of their time."""
    todo = [task for task in todo if not task.apart]
    work = sum(task.hours for task in todo)
    counts = [n for n in range(1, MOST_WORKERS + 1) if work >= BUSY * n * makespan(todo, n)]
    return max(counts) if todo else 1


def at_once(slice_: Slice) -> int:
    """Workers that compute side by side: any number of slices, and of processes as many as there are cores."""
    return sys.maxsize if slice_.chips else max(1, forecast.abreast() // slice_.hosts)


def grace_seconds(plan: Plan, slice_: Slice) -> int:
    """Seconds that two of the largest model's checkpoints take a host, and what comes before and after.

    Two, for one may have just begun when the word comes. All hosts write, each an equal part, also of what has copies.
    """
    if not slice_.chips:
        return GRACE_SECONDS
    largest = max(parameters(stage.model).total for stage in plan.stages)
    seconds = 2 * _STATE_BYTES * largest / slice_.hosts / _SAVED_BYTES_A_SECOND
    return math.ceil(seconds) + _STOP_SECONDS


def check_fits(plan: Plan, slice_: Slice) -> list[str]:
    """Lines on models of which nobody has seen whether they fit the slice.

    Raises:
        UserError: one is known not to fit, or the slice's chips divide neither batch nor model.
    """
    unknown, study = {}, plan.study
    for stage in plan.stages if slice_.chips else ():
        model, found = stage.model, forecast.memory_fit(plan, stage)
        check_divides(model, topology(slice_.topology), stage.batch)
        if found is None:
            unknown[model.name] = command(model, slice_.topology, study.precision, stage.batch, stage.sequence)
        elif not found.fits:
            raise UserError(
                f"model '{model.name}' does not fit {slice_.name}: it needs {found.gib:.1f} GiB a chip, of which "
                f"{found.limit_gib:g} may be used ({found.basis}); choose a larger slice"
            )
    return [
        f"whether '{name}' fits {slice_.name} is unknown, and training refuses it there until `{how}` found a layout"
        for name, how in unknown.items()
    ]


def record(launch: Launch, workers: Sequence[Worker], files: Sequence[str] = ()) -> dict[str, Any]:
    """What is kept of a launch, as JSON: `launch.json` of a dry run, and in the store."""
    return {
        "name": launch.name,
        "engine": launch.engine,
        "slice": launch.slice_.name,
        "hosts": launch.slice_.hosts,
        "workers": launch.workers,
        "scorer": launch.scorer.name if launch.scorer else None,
        "files": list(files),
        "objects": [worker.name for worker in workers],
        "chip_hours": launch.chip_hours,
        "hours": launch.hours,
        "price": launch.cost,
        "price_per_chip_hour": launch.price,
        "max_cost": launch.max_cost,
        "study": launch.study,
        "scale": launch.scale,
        "store": launch.store,
        "image": launch.image,
        "spot": launch.spot,
        "secrets": list(launch.secrets),
        "grace_seconds": launch.grace_seconds,
        "code": code_version(),
        "lock": lock_digest(),
    }


def scaled(study: Study, slice_: Slice) -> Study:
    """`study`, planned for the slice instead of what its scale is planned for."""
    return replace(study, topology=slice_.topology)
