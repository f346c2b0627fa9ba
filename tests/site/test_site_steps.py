"""Lasting steps of a handshake's time are found; noise and single slow nights are none."""

import random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.site.steps import find_steps


def noisy(level: float, count: int, seed: int = 1) -> list[float | None]:
    dice = random.Random(seed)
    return [level * dice.lognormvariate(0, 0.08) for _ in range(count)]


def test_a_lasting_step_is_found_where_it_is() -> None:
    (step,) = find_steps([*noisy(0.010, 60), *noisy(0.014, 40, 2)])
    assert abs(step.night - 60) <= 1
    assert (round(step.was, 3), round(step.now, 3)) == (0.010, 0.014)


def test_two_steps_are_two_and_a_night_without_a_time_moves_none() -> None:
    values = [*noisy(0.010, 30), *noisy(0.020, 30, 2), *noisy(0.010, 30, 3)]
    values[30:33] = [None, None, None]
    first, second = find_steps(values)
    assert first.night == 33, "the first night that has a time"
    assert abs(second.night - 60) <= 1
    assert first.now > first.was
    assert second.now < second.was


def test_noise_and_a_few_slow_nights_are_no_steps() -> None:
    assert find_steps(noisy(0.010, 365)) == ()
    values = noisy(0.010, 100)
    values[50] = values[51] = 0.200
    assert find_steps(values) == ()


def test_too_few_nights_say_nothing() -> None:
    assert find_steps([0.01] * 4 + [0.05] * 4) == ()
    assert find_steps([]) == ()
    assert find_steps([None] * 30) == ()


def test_equal_times_have_a_step_all_the_same() -> None:
    (step,) = find_steps([0.010] * 20 + [0.013] * 20)
    assert step.night == 20


@given(st.lists(st.none() | st.floats(0, 100, allow_nan=False), max_size=80))
def test_any_times_give_steps_in_order_within_them(values: list[float | None]) -> None:
    nights = [step.night for step in find_steps(values)]
    assert nights == sorted(set(nights))
    assert all(values[night] for night in nights)
