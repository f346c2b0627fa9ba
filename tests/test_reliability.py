"""The page about faults is printed by the tests that plant them, and its limits are the code's."""

import re

import pytest
from faults import PAGE, contradiction, counted, planted, table, told

from orchestrator.execute.engine import docker_engine
from orchestrator.execute.sources import download
from orchestrator.matrix.model import Limits
from orchestrator.probe import prober

LINE = re.compile(
    r"(?P<tried>\d+) faults tried, (?P<survived>\d+) survived, (?P<lost>\d+) lost something"
    r"(; (?P<untried>\d+) not tried here)?"
)


def test_the_table_of_faults_is_that_of_the_tests() -> None:
    assert table() in PAGE.read_text(), "python tests/faults.py prints it"


def test_the_page_tells_a_line_that_a_session_prints_of_every_fault() -> None:
    """What was survived, results alone can say: a session that tries them all fails where the page differs.

    Whoever adds a fault tries all of them again, or says how many were not tried.
    """
    found = LINE.fullmatch(told())
    assert found is not None, f"{told()!r} is no line of `pytest -m fault --run-containers --run-soak`"
    tried, survived, lost, untried = (
        int(found[name] or 0) for name in ("tried", "survived", "lost", "untried")
    )
    assert tried == survived + lost
    assert tried + untried == len(planted())


def every(result: str, **others: str) -> dict[str, set[str]]:
    """Results of a session in which each fault ended so, but for the first."""
    first, *rest = (fault.what for fault in planted())
    return {first: {others.get("first", result)}, **{what: {result} for what in rest}}


def test_results_of_every_fault_that_differ_from_the_page_are_told() -> None:
    results = every("passed")
    line = counted(results)
    assert contradiction(results, line) == ""
    assert "1 lost something" in contradiction(every("passed", first="failed"), line)
    assert "1 lost something" in contradiction(every("passed", first="error"), line)
    assert line in contradiction(results, "1 faults tried, 1 survived, 0 lost something")


def test_results_of_some_faults_say_nothing_of_the_page() -> None:
    assert contradiction(every("passed", first="skipped"), "made up") == ""
    assert contradiction({}, "made up") == ""


def test_no_fault_is_told_twice() -> None:
    told = [fault.what for fault in planted()]
    assert sorted(set(told)) == sorted(told)


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ({"a": {"passed"}, "b": {"passed", "skipped"}}, "2 faults tried, 2 survived, 0 lost something"),
        ({"a": {"passed", "failed"}}, "1 faults tried, 0 survived, 1 lost something"),
        (
            {"a": {"error"}, "b": {"skipped"}},
            "1 faults tried, 0 survived, 1 lost something; 1 not tried here",
        ),
    ],
)
def test_the_counts(results: dict[str, set[str]], line: str) -> None:
    assert counted(results) == line


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("the engine is away", docker_engine.PATIENCE),
        ("tries of what the engine or the harness broke", prober.TRIES),
        ("an API call", docker_engine._API_TIMEOUT),
        ("attempts at one place", download.ATTEMPTS),
        ("redirects", download.MAX_REDIRECTS),
        ("size of a download", download.MAX_BYTES >> 20),
        ("a connection", download._CONNECT_S),
        ("silence of a server", download._SILENCE_S),
        ("all places of one source", Limits().fetch),
        ("a build", Limits().build),
        ("an image", Limits().image),
    ],
)
def test_the_limits_are_the_code_s(limit: str, value: float) -> None:
    row = re.search(rf"^\| {re.escape(limit)} \| ([0-9]+)", PAGE.read_text(), re.MULTILINE)
    assert row is not None, limit
    assert float(row[1]) == value
