"""What the documentation claims about the code is printed by the code."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import readme
import yaml
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.select import FULL, find_filters, parse, select
from orchestrator.report.outcomes import write_table, write_verdicts

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_tables_of_outcomes_and_verdicts_are_the_code_s() -> None:
    page = (ROOT / "docs" / "outcomes.md").read_text()
    renew = "paste what `python -m orchestrator.report.outcomes` prints into docs/outcomes.md"
    assert write_table() in page, renew
    assert write_verdicts() in page, renew


def test_the_table_of_capabilities_is_the_command_s() -> None:
    printed = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["capabilities"]).stdout
    page = (ROOT / "docs" / "capabilities.md").read_text()
    renew = "paste what `COLUMNS=80 matrixctl capabilities` prints into docs/capabilities.md"
    assert f"```text\n{printed}```" in page, renew


def test_the_sizes_of_the_profiles_are_the_default_matrix_s() -> None:
    matrix = load(ROOT / "matrix.yaml")
    cells = expand(matrix)
    told = re.findall(
        r"^\| `([a-z0-9-]+)` \| (\d+) \|", (ROOT / "docs" / "matrix.md").read_text(), re.MULTILINE
    )
    assert {name for name, _ in told} == {*matrix.profiles, FULL}
    assert told == [(name, str(len(select(cells, find_filters(matrix, name))))) for name, _ in told]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text())
    missing = [link for link, _ in links if not (page.parent / link).exists()]
    assert not missing
    pages = [(page.parent / link if link else page, anchor) for link, anchor in links if anchor]
    lost = [f"{to.name}#{name}" for to, name in pages if to.suffix == ".md" and name not in anchors(to)]
    assert not lost


RIDDLES = re.compile(r"\b(nobody|whoever|for ever|be had|came about|spoilt|amid|lest)\b", re.IGNORECASE)
"""Words that a reader with plain English looks up; CONTRIBUTING.md asks for others."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_are_in_plain_words(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert RIDDLES.findall(text) == []


FIGURES = re.compile(r"<!-- figures.*?<!-- end of the figures -->", re.DOTALL)
CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_prose_of_the_pages_fits_a_window(page: Path) -> None:
    """Tables, code, figures and pictures are as wide as they are."""
    prose = CODE.sub("", FIGURES.sub("", page.read_text()))
    lines = (line for line in prose.splitlines() if not line.startswith(("|", "    ", "![")))
    wide = [line for line in lines if len(line) > 120]
    assert wide == []


def test_the_table_of_contents_names_each_page() -> None:
    docs = ROOT / "docs"
    text = (docs / "README.md").read_text()
    pages = [page.relative_to(docs).as_posix() for page in PAGES if docs in page.parents]
    assert [page for page in pages if page != "README.md" and f"]({page}" not in text] == []


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


def read_examples() -> list[tuple[str, str]]:
    """Return the calls of matrixctl in the pages' blocks of code, each with its page."""
    call = re.compile(r"^(?:\$ )?((?:echo .* \| )?matrixctl [^\n]+)$", re.MULTILINE)
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"^```(?:sh|console|text)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
        found += [(page.name, line) for block in blocks for line in call.findall(block)]
    return found


EXAMPLES = read_examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 60


@pytest.mark.parametrize(("page", "line"), EXAMPLES, ids=lambda text: text)
def test_the_program_understands_each_example_of_the_pages(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[words.index("matrixctl") + 1 :]
    ends = [words.index(end) for end in ("|", ">", ">>", "&&", "||", ";") if end in words]
    words = words[: min(ends, default=len(words))]
    command: click.Command = main
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command, info_name=page), words)
        assert found is not None
        command = found
    values, rest, _ = command.make_parser(click.Context(command)).parse_args(words)
    assert rest == []
    if command.name in {"cells", "plan", "run", "render"}:
        for text in values.get("filters", ()):
            parse(text)


def test_the_page_of_the_command_line_names_each_command_and_no_option_that_is_none() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [
        name for name in main.commands if f"`{name}`" not in page and f"matrixctl {name}" not in page
    ] == []
    known = {"--help", "--version"}
    for name in main.commands:
        _, command, _ = main.resolve_command(click.Context(main), [name])
        commands = command.commands.values() if isinstance(command, click.Group) else [command]
        known |= {
            text
            for one in commands
            if one
            for option in one.params
            for text in (*option.opts, *option.secondary_opts)
        }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - known == set()


def test_the_tests_that_hold_the_claims_about_security_are_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    table = page.partition("## The tests\n")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z_/]*test_[a-z_]+\.py)`", table)
    assert named
    assert [one for one in named if not (ROOT / "tests" / one).is_file()] == []


def test_the_script_of_the_night_finds_the_program_where_cron_runs_it(tmp_path: Path) -> None:
    """Cron and systemd read no profile, and pipx installs below the home; the night's own end is told."""
    (script,) = re.findall(
        r"```sh\n(#!/bin/sh\n.*?)```", (ROOT / "docs" / "nightly.md").read_text(), re.DOTALL
    )
    program = tmp_path / ".local" / "bin" / "matrixctl"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$1 $MATRIXCTL_HISTORY"\ntest "$1" != run\n')
    program.chmod(0o755)
    night = subprocess.run(
        ["/bin/sh", "-c", script.replace("/srv/matrixctl", str(tmp_path))],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    assert night.stdout.split("\n")[:3] == [f"{one} reports/history.db" for one in ("run", "site", "clean")]
    assert night.returncode == 1
