"""The page about faults is printed by the tests that plant them, and its limits are the code's."""

import re
from pathlib import Path

import pytest
from faults import counted, planted, table

from orchestrator.execute.engine import docker_engine
from orchestrator.execute.sources import download
from orchestrator.matrix.model import Limits
from orchestrator.probe import prober

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"


def test_the_table_of_faults_is_that_of_the_tests() -> None:
    assert table() in PAGE.read_text(), "python tests/faults.py prints it"


def test_the_counts_are_those_of_every_fault_and_nothing_was_lost() -> None:
    """Whoever adds a fault runs them all again, and says what came of it."""
    told = re.search(r"<!-- counts: .*?-->\n(.*?)\n<!-- /counts -->", PAGE.read_text(), re.DOTALL)
    assert told is not None
    number = len(planted())
    assert told[1].strip() == f"{number} faults tried, {number} survived, 0 lost something"


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
        ("tries of what the engine or the harness spoilt", prober.TRIES),
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
