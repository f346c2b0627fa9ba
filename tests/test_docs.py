"""What the documentation claims about the code is printed by the code."""

import re
from pathlib import Path

import pytest
import readme
import yaml
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.select import FULL, profile_filters, select
from orchestrator.report.outcomes import table, verdicts

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_tables_of_outcomes_and_verdicts_are_the_code_s() -> None:
    page = (ROOT / "docs" / "outcomes.md").read_text()
    assert table() in page
    assert verdicts() in page


def test_the_table_of_capabilities_is_the_command_s() -> None:
    printed = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["capabilities"]).stdout
    assert f"```text\n{printed}```" in (ROOT / "docs" / "capabilities.md").read_text()


def test_the_sizes_of_the_profiles_are_the_default_matrix_s() -> None:
    matrix = load(ROOT / "matrix.yaml")
    cells = expand(matrix)
    told = re.findall(
        r"^\| `([a-z0-9-]+)` \| (\d+) \|", (ROOT / "docs" / "matrix.md").read_text(), re.MULTILINE
    )
    assert {name for name, _ in told} == {*matrix.profiles, FULL}
    assert told == [(name, str(len(select(cells, profile_filters(matrix, name))))) for name, _ in told]


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


def test_few_commands_of_the_readme_are_run_by_no_test() -> None:
    """What sets up a machine, is all tests, or needs upstream's hosts; the rest works as pasted."""
    found = {command.line.split("#")[0].strip() for command in readme.commands() if command.why}
    assert found == {
        "git clone https://github.com/OWNER/matrixctl && cd matrixctl",
        "make run",
        "make test",
        "matrixctl run --with haproxy=path:. --filter tls=openssl-distro",
        "matrixctl run --with tls=libressl:path:../libressl --with haproxy=git:https://git.haproxy.org/git/haproxy.git",
        "matrixctl run --filter tls=openssl-3.5.7 --patch openssl=fix.diff",
    }


def test_the_commands_of_the_readme_that_a_test_runs_are_cheap_and_the_first_finds_the_program() -> None:
    run = [command.line for command in readme.commands() if not command.why]
    assert run[0] == ". .venv/bin/activate"
    assert all(line.startswith("matrixctl ") for line in run[1:])
    assert [line for line in run if " run " in line and "haproxy" in line and "distro" not in line] == []


def test_the_page_that_the_readme_names_is_published_by_the_nightly_workflow() -> None:
    (folder,) = re.findall(r"https://OWNER\.github\.io/matrixctl/(\w+)/", readme.README.read_text())
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())
    steps = workflow["jobs"]["night"]["steps"]
    made = next(step["run"] for step in steps if step["name"] == "Make the dashboard")
    copied, there = re.findall(r"cp -r (\S+) (\S+)", made)[0]
    assert (ROOT / copied / "index.html").is_file()
    (kept,) = (step["with"]["path"] for step in steps if step["name"] == "Keep the dashboard")
    assert there == f"{kept}/{folder}"
