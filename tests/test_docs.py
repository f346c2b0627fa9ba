"""What the documentation claims about the code is printed by the code."""

import re
from pathlib import Path

import pytest

from orchestrator.report.outcomes import table

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def test_the_outcome_table_is_the_code_s() -> None:
    assert table() in (ROOT / "docs" / "outcomes.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_dependency_has_a_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    declared = re.findall(r'^  "([A-Za-z0-9-]+)(?:\[[a-z]+\])?(?:>=[0-9.]+)?",$', project, re.MULTILINE)
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    assert len(declared) > 15
    assert [name for name in declared if f"`{name}`" not in reasons] == []
