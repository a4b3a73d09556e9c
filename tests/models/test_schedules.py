from itertools import pairwise

import pytest

from models.errors import UserError
from models.schedules import Schedule, learning_rate


def _rates(schedule: Schedule) -> list[float]:
    return [learning_rate(schedule, step) for step in range(schedule.steps)]


def test_cosine_rises_to_its_peak_and_falls_to_its_end_exactly() -> None:
    rates = _rates(Schedule("cosine", peak=3e-3, end=3e-4, warmup_steps=7, steps=101))
    assert rates[0] == pytest.approx(3e-3 / 7)
    assert rates[6] == 3e-3 == max(rates)
    assert rates[-1] == 3e-4
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[53] == pytest.approx((3e-3 + 3e-4) / 2)  # half-way from update 6 to update 100


def test_cooldown_is_a_straight_line_to_1e_6_at_the_last_step() -> None:
    rates = _rates(Schedule("linear", peak=1e-3, end=1e-6, warmup_steps=0, steps=37))
    assert (rates[0], rates[-1]) == (1e-3, 1e-6)
    drops = [before - after for before, after in pairwise(rates)]
    assert drops == pytest.approx([(1e-3 - 1e-6) / 36] * 36)


def test_constant_stays() -> None:
    assert set(_rates(Schedule("constant", 1e-3, 1e-3, 0, 9))) == {1e-3}


def test_a_single_step_is_the_last_one() -> None:
    assert _rates(Schedule("linear", 1e-3, 1e-6, 0, 1)) == [1e-6]


@pytest.mark.parametrize(
    ("kind", "peak", "end", "warmup", "steps", "named"),
    [
        ("wave", 1e-3, 0.0, 0, 10, "'wave'"),
        ("cosine", float("nan"), 0.0, 0, 10, "peak nan"),
        ("cosine", 1e-3, 2e-3, 0, 10, "end 0.002"),
        ("constant", 1e-3, 1e-4, 0, 10, "one rate for both"),
        ("cosine", 1e-3, 0.0, 10, 10, "10 warm-up steps of 10"),
        ("cosine", 1e-3, 0.0, 0, 0, "of 0"),
    ],
)
def test_impossible_schedules_are_refused(
    kind: str, peak: float, end: float, warmup: int, steps: int, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        Schedule(kind, peak, end, warmup, steps)


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_schedule_is_an_error(step: int) -> None:
    with pytest.raises(ValueError, match="outside the schedule's 10 steps"):
        learning_rate(Schedule("cosine", 1e-3, 0.0, 2, 10), step)
