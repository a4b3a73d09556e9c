"""Learning rates as pure functions of the step, so that a resumed run and a plan read the same values."""

import math
from dataclasses import dataclass

from models.errors import UserError

_KINDS = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, then a decay to `end`, reached exactly at the last step.

    Every stage has its own, counted from its own step 0: the paper warms up for 1,325 steps with a cosine and cools
    down linearly to 1e-6 (arXiv:2408.10914, sections 3.1 and 3.5); what it does at a stage's start it does not say,
    and re-warming is our choice. `constant` stays at `peak` and needs `end` equal to it.

    Raises:
        UserError: an unknown kind, a rate that is not finite or falls below zero, an end above the peak, no steps, or
            a warm-up that is not shorter than the schedule.
    """

    kind: str
    peak: float
    end: float
    warmup_steps: int
    steps: int

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise UserError(f"schedule kind '{self.kind}' is unknown; choose one of {', '.join(_KINDS)}")
        if not (math.isfinite(self.peak) and self.peak > 0 and 0 <= self.end <= self.peak):
            raise UserError(
                f"schedule has peak {self.peak} and end {self.end}; it needs 0 <= end <= peak and a finite peak above 0"
            )
        if self.kind == "constant" and self.end != self.peak:
            raise UserError(f"constant schedule has peak {self.peak} and end {self.end}; give it one rate for both")
        if not 0 <= self.warmup_steps < self.steps:
            raise UserError(
                f"schedule has {self.warmup_steps} warm-up steps of {self.steps}; the warm-up must be the shorter"
            )


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate of update `step`, counted from 0.

    Raises:
        ValueError: the step lies outside the schedule.
    """
    if not 0 <= step < schedule.steps:
        raise ValueError(f"step {step} is outside the schedule's {schedule.steps} steps")
    if step < schedule.warmup_steps:
        return schedule.peak * ((step + 1) / schedule.warmup_steps)
    if schedule.kind == "constant":
        return schedule.peak
    first = max(schedule.warmup_steps - 1, 0)
    last = schedule.steps - 1
    # A single step without warm-up is its own last step.
    done = (step - first) / (last - first) if last > first else 1.0
    if schedule.kind == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return schedule.peak * (1 - done) + schedule.end * done
