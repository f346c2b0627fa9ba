"""The oracle itself: a bug of each kind that it is there for is found."""

import re
import time
from itertools import count

import pytest
from fuzzing import Fuzz, HangError
from hypothesis import strategies as st

from orchestrator.errors import MatrixctlError, UsageError


def a_fuzz(share: float = 5.0) -> Fuzz:
    return Fuzz(target="planted", share=share, seed=1)


def refuse(brief: str) -> None:
    raise UsageError(brief)


def test_an_unexpected_error_is_found_and_made_small() -> None:
    def call(text: str) -> int:
        return {"ok": 1}[text] if "x" in text else 0

    with pytest.raises(KeyError, match=r"^'x'"):
        a_fuzz()(st.text("axy"), call)


def test_an_expression_that_backtracks_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzing.BOUND_S", 0.2)
    catastrophic = re.compile(r"(a+)+$")
    with pytest.raises(HangError, match=r"no end after 0\.2 s"):
        a_fuzz()(st.just("a" * 40 + "b"), catastrophic.match)


def test_a_loop_without_end_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzing.BOUND_S", 0.2)
    with pytest.raises(HangError):
        a_fuzz()(st.just(0), lambda _: [0 for number in count() if number < 0])


def test_a_failure_that_comes_when_the_time_is_over_is_none_the_less_told() -> None:
    def late(_: int) -> None:
        time.sleep(0.03)
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"):
        a_fuzz(0.01)(st.integers(), late)


def test_a_bomb_is_found() -> None:
    with pytest.raises(MemoryError):
        a_fuzz()(st.just(1 << 30), lambda size: len(bytes(size)))


def test_two_answers_to_one_question_are_found() -> None:
    numbers = count()
    with pytest.raises(AssertionError, match="two answers"):
        a_fuzz()(st.just(0), lambda _: next(numbers))


@pytest.mark.parametrize("brief", ["", " \n", "x" * 5000, "Traceback (most recent call last):\n"])
def test_an_error_that_helps_nobody_is_found(brief: str) -> None:
    with pytest.raises(AssertionError):
        a_fuzz()(st.just(brief), refuse)


def test_refusing_is_no_fault_and_is_counted() -> None:
    fuzz = a_fuzz(0.2)
    fuzz(st.booleans(), lambda bad: refuse("no") if bad else None)
    assert 0 < fuzz.tally.refused < fuzz.tally.inputs
    assert 0.2 <= fuzz.tally.seconds < 5


def test_an_error_of_the_contract_is_refusing_and_others_are_not() -> None:
    a_fuzz(0.1)(st.just("x"), int, refuses=(ValueError,))
    with pytest.raises(ValueError, match="invalid literal"):
        a_fuzz()(st.just("x"), int, refuses=(MatrixctlError,))


def test_one_seed_gives_the_same_inputs_again() -> None:
    seen: list[list[int]] = [[], []]
    for inputs in seen:
        a_fuzz(0.2)(st.integers(), inputs.append)
    shorter = min(map(len, seen))
    assert shorter > 3
    assert seen[0][:shorter] == seen[1][:shorter]
