"""One cell over many nights: when it is flaky, and how surely."""

from typing import Any

import pytest

from orchestrator.analyse.change import State
from orchestrator.analyse.nights import (
    Tonight,
    estimate_share,
    find_first_night,
    find_flaky,
    make_key,
    measure_flakiness,
    read_row,
)
from orchestrator.outcome import Outcome, Reason, Verdict

TIMEOUT = Reason.HANDSHAKE_TIMEOUT
MADE = (1, 2, "build")


def row(night: int, end: str, attempts: str = "", made: tuple[Any, ...] = MADE) -> dict[str, Any]:
    """A night of a cell: p passed, f failed; "-" was not judged. ``attempts``: a letter for each."""
    letters = attempts or end.replace("-", "")
    outcome, verdict = {
        "p": ("pass", "as-expected"),
        "f": ("fail", "regression"),
        "-": (None, "not-judged"),
    }[end]
    failed = letters.count("f")
    return {
        "id": "cell",
        "night": f"2026-11-{night:02}",
        "outcome": outcome,
        "reason": str(TIMEOUT) if end == "f" else None,
        "verdict": "flaky" if end == "f" and "p" in letters else verdict,
        "message": "",
        "attempts": len(letters),
        "passed": letters.count("p"),
        "failed": failed,
        "failures": '[["fail", "handshake-timeout"]]' if failed and len(letters) > 1 else None,
        **dict(zip(("session_set", "own_set", "build_digest"), made, strict=True)),
    }


def states(*rows: dict[str, Any]) -> list[tuple[str, State]]:
    return [(one["night"], read_row(one)) for one in rows]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 50, 0.0435, 0.2136), (10, 10, 0.7225, 1.0), (23, 31, 0.5675, 0.8630)],
)
def test_the_interval_is_wilsons(count: int, of: int, low: float, high: float) -> None:
    """The figures are those of SciPy: ``binomtest(count, of).proportion_ci(method="wilson")``."""
    assert estimate_share(count, of) == pytest.approx((low, high), abs=1e-4)


def test_a_row_says_what_a_record_says() -> None:
    state = read_row(row(1, "f", "ffp"))
    assert (state.outcome, state.reason, state.verdict) == (Outcome.FAIL, TIMEOUT, Verdict.FLAKY)
    assert (state.attempts, state.passed, state.failed) == (3, 1, 2)
    assert state.failures == ("fail: handshake-timeout",)
    assert state.flaky
    assert read_row(row(1, "f")).failures == ("fail: handshake-timeout",)
    assert not read_row(row(1, "-")).tested


@pytest.mark.parametrize(
    ("nights", "since"),
    [
        (["p", "p", "p"], None),
        (["f", "f"], None),
        (["p", "f"], None),
        (["p", "p", "f", "f"], None),
        (["f", "f", "p"], None),
        (["p", "f", "p"], "2026-11-02"),
        (["p", "-", "f", "f", "-", "p"], "2026-11-03"),
        (["f", "p", "f"], "2026-11-02"),
        (["p", "ffp"], "2026-11-02"),
        (["p", "fff", "f"], None),
    ],
)
def test_flaky_is_what_turned_twice_or_is_mixed(nights: list[str], since: str | None) -> None:
    """A cell that passed and fails since then has a cause that nobody recorded: it must not be excused."""
    rows = [row(day, min(attempts), attempts.strip("-")) for day, attempts in enumerate(nights, start=1)]
    found = measure_flakiness(states(*rows))
    assert (found.since if found else None) == since


def test_each_attempt_counts() -> None:
    found = measure_flakiness(states(row(1, "p"), row(2, "f", "fpff"), row(3, "-"), row(4, "p")))
    assert found is not None
    assert (found.since, found.nights, found.attempts, found.failed) == ("2026-11-02", 3, 6, 3)
    assert found.failures == ("fail: handshake-timeout",)
    assert found.low < 0.5 < found.high


def fails(night: int, made: tuple[Any, ...] = MADE, attempts: str = "") -> dict[str, Tonight]:
    one = row(night, "f", attempts)
    return {"cell": Tonight(night=one["night"], state=read_row(one), made=made)}


def test_only_nights_with_the_same_ingredients_count() -> None:
    other = (1, 3, "build")
    past = [row(1, "p", made=other), row(2, "f", made=other), row(3, "p", made=other), row(4, "f")]
    assert find_flaky(past, fails(5)) == {}, "with these ingredients it has always failed"
    assert find_flaky(past, fails(5, other))["cell"].attempts == 4
    assert find_flaky(past, fails(5, (1, 3, "another build"))) == {}
    past += [row(5, "p"), row(6, "f", made=(None, None, "build"))]
    assert find_flaky(past, fails(7))["cell"].since == "2026-11-05"


def test_a_failure_of_another_kind_is_new() -> None:
    crash = {**row(2, "f"), "reason": "server-crashed"}
    assert find_flaky([row(1, "p"), crash, row(3, "p")], fails(4)) == {}
    assert find_flaky([row(1, "p"), row(2, "f"), row(3, "p")], fails(4))["cell"].failed == 2


def test_what_fails_since_a_night_is_no_flaky_cell() -> None:
    past = [row(day, "p") for day in range(1, 20)]
    assert find_flaky(past, fails(20)) == {}
    assert find_flaky([*past, row(20, "f", "ffff")], fails(21)) == {}
    assert find_flaky([*past, row(20, "f", "fffp")], fails(21))["cell"].since == "2026-11-20"


def test_an_old_record_depends_on_what_nobody_knows() -> None:
    assert make_key(row(1, "p", made=(None, None, "build"))) is None
    assert make_key(row(1, "p")) == MADE


def test_thirty_nights_end_with_this_one() -> None:
    assert find_first_night("2026-11-30") == "2026-11-01"
    assert find_first_night("2026-11-30", 1) == "2026-11-30"


def test_a_failure_that_lasts_is_no_flakiness_however_often_it_turned_before() -> None:
    past = [row(1, "p"), row(2, "f", "ffff"), row(3, "p")]
    assert find_flaky(past, fails(4, attempts="ffff"))
    lasts = [*past, *(row(day, "f", "ffff") for day in range(4, 24))]
    assert find_flaky(lasts, fails(24, attempts="ffff")) == {}
    often = [row(day, "f", "ffff") if day % 2 else row(day, "p") for day in range(1, 11)]
    assert find_flaky([*often, row(11, "f", "ffff")], fails(12, attempts="ffff")), "it fails so often anyhow"
