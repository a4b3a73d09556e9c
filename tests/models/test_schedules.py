from itertools import pairwise

import pytest

from models.schedules import Schedule, learning_rate
from store.errors import UserError


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


@pytest.mark.parametrize(("kind", "half_way"), [("linear", 0.5), ("1-sqrt", 1 - 0.5**0.5)])
def test_warmup_stable_decay_stays_at_its_peak_until_the_decay(kind: str, half_way: float) -> None:
    rates = _rates(Schedule(kind, peak=2e-3, end=0.0, warmup_steps=10, steps=100, stable_steps=70))
    assert rates[:10] == pytest.approx([2e-4 * step for step in range(1, 11)])
    assert set(rates[9:80]) == {2e-3}
    assert rates[80] < 2e-3 and rates[80:] == sorted(rates[80:], reverse=True)
    assert rates[89] == pytest.approx(2e-3 * half_way)  # 10 of 20 updates into the decay
    assert rates[-1] == 0.0


@pytest.mark.parametrize("kind", ["linear", "1-sqrt", "cosine"])
def test_a_trunk_and_a_cooldown_that_continues_it_are_one_warmup_stable_decay(kind: str) -> None:
    whole = _rates(Schedule(kind, 1e-3, 1e-6, warmup_steps=5, steps=60, stable_steps=35))
    trunk = _rates(Schedule("constant", 1e-3, 1e-3, warmup_steps=5, steps=40))
    assert trunk + _rates(Schedule(kind, trunk[-1], 1e-6, 0, 20, continued=True)) == whole
    assert _rates(Schedule(kind, trunk[-1], 1e-6, 0, 1, continued=True)) == [1e-6]


def test_a_continued_schedule_does_not_warm_up() -> None:
    with pytest.raises(UserError, match="continues another and has 3 warm-up steps"):
        Schedule("linear", 1e-3, 0.0, 3, 10, continued=True)


def test_a_single_step_is_the_last_one() -> None:
    assert _rates(Schedule("linear", 1e-3, 1e-6, 0, 1)) == [1e-6]


@pytest.mark.parametrize(
    ("kind", "peak", "end", "warmup", "steps", "named"),
    [
        ("wave", 1e-3, 0.0, 0, 10, "'wave'"),
        ("cosine", float("nan"), 0.0, 0, 10, "peak nan"),
        ("cosine", 0.0, 0.0, 0, 10, "peak 0.0"),
        ("constant", 0.0, 0.0, 1, 10, "peak 0.0"),
        ("cosine", 1e-3, 2e-3, 0, 10, "end 0.002"),
        ("constant", 1e-3, 1e-4, 0, 10, "one rate for both"),
        ("cosine", 1e-3, 0.0, 10, 10, "10 warm-up steps and 0 stable ones of 10"),
        ("cosine", 1e-3, 0.0, 0, 0, "of 0"),
    ],
)
def test_impossible_schedules_are_refused(
    kind: str, peak: float, end: float, warmup: int, steps: int, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        Schedule(kind, peak, end, warmup, steps)


def test_stable_steps_leave_room_for_the_decay() -> None:
    with pytest.raises(UserError, match="4 warm-up steps and 6 stable ones of 10"):
        Schedule("linear", 1e-3, 0.0, 4, 10, stable_steps=6)


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_schedule_is_an_error(step: int) -> None:
    with pytest.raises(ValueError, match="outside the schedule's 10 steps"):
        learning_rate(Schedule("cosine", 1e-3, 0.0, 2, 10), step)
