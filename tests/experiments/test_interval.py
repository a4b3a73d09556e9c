import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.run.interval import FAILURE_SECONDS, interval


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9))
def test_no_other_interval_loses_less(blocked: list[float]) -> None:
    """Of every interval a save is lost, and at a failure half an interval."""
    a_save = sum(blocked) / len(blocked)

    def lost(seconds: float) -> float:
        return a_save / seconds + seconds / 2 / FAILURE_SECONDS

    chosen = interval(blocked)
    assert lost(chosen) <= min(lost(0.9 * chosen), lost(1.1 * chosen))


def test_before_the_first_save_it_is_half_a_minute_and_a_second_of_blocking_makes_it_two_and_a_half() -> None:
    assert interval([]) == 30
    assert interval([0.5, 1.5]) == pytest.approx(149, abs=1)
