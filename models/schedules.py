"""Learning rates as pure functions of the step, so that a resumed run and a plan read the same values."""

import math
from dataclasses import dataclass

from store.errors import UserError, require_known

_KINDS = ("cosine", "linear", "1-sqrt", "constant")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, steps that stay there, then a decay to `end`, reached exactly at the last step.

    Every stage has its own, counted from its own step 0: the paper warms up for 1,325 steps with a cosine and cools
    down linearly to 1e-6 (arXiv:2408.10914, sections 3.1 and 3.5); what it does at a stage's start it does not say,
    and re-warming is our choice. With stable steps and "linear" or "1-sqrt" it is warmup-stable-decay
    (arXiv:2404.06395; "1-sqrt" falls as one minus the square root of the decay's part that is done, arXiv:2405.18392).

    Attributes:
        kind: shape of the decay, cosine, linear or 1-sqrt; or constant, which stays at `peak` and needs `end` equal.
        peak, end: rates; zero throughout, if constant, for weights that are to stay as they are.
        warmup_steps: updates up to and with the first at `peak`.
        steps: of the whole schedule.
        stable_steps: updates at `peak` between warm-up and decay.
        continued: the update before the first one, of the stage before, was at `peak` already: the first one decays.

    Raises:
        UserError: an unknown kind, a rate that is not finite or falls below zero, an end above the peak, no steps, a
            warm-up with stable steps that is not shorter than the schedule, or a continued schedule that warms up.
    """

    kind: str
    peak: float
    end: float
    warmup_steps: int
    steps: int
    stable_steps: int = 0
    continued: bool = False

    def __post_init__(self) -> None:
        require_known("schedule kind", self.kind, _KINDS)
        rises = self.peak > 0 or (self.kind == "constant" and not self.warmup_steps)
        if not (math.isfinite(self.peak) and rises and 0 <= self.end <= self.peak):
            raise UserError(
                f"schedule has peak {self.peak} and end {self.end}; it needs 0 <= end <= peak and a finite peak above 0"
            )
        if self.kind == "constant" and self.end != self.peak:
            raise UserError(f"constant schedule has peak {self.peak} and end {self.end}; give it one rate for both")
        if min(self.warmup_steps, self.stable_steps) < 0 or self.before_decay >= self.steps:
            raise UserError(
                f"schedule has {self.warmup_steps} warm-up steps and {self.stable_steps} stable ones of {self.steps}; "
                "together they must be shorter than the schedule"
            )
        if self.continued and self.warmup_steps:
            raise UserError(
                f"schedule continues another and has {self.warmup_steps} warm-up steps; a continued rate warms up from "
                "nowhere, so leave the warm-up out"
            )

    @property
    def before_decay(self) -> int:
        """Steps that warm up or stay at `peak`."""
        return self.warmup_steps + self.stable_steps


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate of update `step`, counted from 0.

    Raises:
        ValueError: the step lies outside the schedule.
    """
    if not 0 <= step < schedule.steps:
        raise ValueError(f"step {step} is outside the schedule's {schedule.steps} steps")
    if step < schedule.warmup_steps:
        return schedule.peak * ((step + 1) / schedule.warmup_steps)
    if schedule.kind == "constant" or step < schedule.before_decay:
        return schedule.peak
    first = max(schedule.before_decay - 1, -1 if schedule.continued else 0)
    last = schedule.steps - 1
    # A single step that is its own first one is the last one.
    done = (step - first) / (last - first) if last > first else 1.0
    if schedule.kind == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    elif schedule.kind == "1-sqrt":
        done = math.sqrt(done)
    return schedule.peak * (1 - done) + schedule.end * done
