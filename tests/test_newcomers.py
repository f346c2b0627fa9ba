"""What somebody adds in one place has its other places too: CONTRIBUTING.md, "What belongs to a new ..."."""

import re
from functools import cache
from pathlib import Path

import pytest

from orchestrator.arch import ARCHES
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.outcome import Reason

ROOT = Path(__file__).resolve().parent.parent
JUDGED = ("app", "cli", "containers", "execute", "probe")
"""Tests of what happens; those of tables and pages go through all reasons by themselves."""

NAMED = re.compile(r"\bReason\.(\w+)")
QUOTED = re.compile(r"(?<=[\"' ])[a-z-]+(?=[\"':])")


@cache
def find_given() -> set[str]:
    """Return the names of the reasons that code gives."""
    files = [path for path in (ROOT / "orchestrator").rglob("*.py") if path.name != "outcome.py"]
    return {name for path in files for name in NAMED.findall(path.read_text())}


@cache
def find_tested() -> set[str]:
    """Return the names of the reasons that tests expect, and each quoted word, which may be its value."""
    texts = [path.read_text() for room in JUDGED for path in (ROOT / "tests" / room).rglob("*.py")]
    return {name for text in texts for name in (*NAMED.findall(text), *QUOTED.findall(text))}


def lacking(reason: str) -> list[str]:
    """What a reason of this value lacks."""
    name = reason.upper().replace("-", "_")
    found = []
    if name not in find_given():
        found.append("nothing in orchestrator/ gives it")
    if not {name, reason} & find_tested():
        found.append(f"no test in tests/{{{','.join(JUDGED)}}} expects it: plant a fault that ends so")
    return found


def test_each_reason_is_given_by_the_code_and_expected_by_a_test() -> None:
    faults = [f"{reason}: {what}" for reason in Reason for what in lacking(reason)]
    assert not faults, "\n".join(faults)


def test_what_a_reason_lacks_is_named() -> None:
    assert [found.partition(" ")[0] for found in lacking("made-up-and-given-by-nothing")] == ["nothing", "no"]


@pytest.mark.parametrize("name", ARCHES)
def test_each_architecture_says_which_cpus_it_has(name: str) -> None:
    page = (ROOT / "docs" / "architectures.md").read_text()
    assert f"\n| {name} | " in page, f"docs/architectures.md needs a row of {name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_each_tls_family_has_a_page(family: str) -> None:
    page = f"docs/libraries/{family}.md"
    assert (ROOT / page).is_file(), f"write {page}: how it is built, its limits, the results of its cells"
