"""What needs no engine does not import one: ``--version`` and ``--help`` answer at once."""

import json
import os
import subprocess
import sys
from functools import cache

import click
import pytest
from cli_samples import NO_ENGINE

from orchestrator.cli.main import main

HEAVY = {
    "alembic",
    "cryptography",
    "docker",
    "elftools",
    "jinja2",
    "paramiko",
    "pydantic",
    "requests",
    "rich",
    "sqlalchemy",
    "tenacity",
    "urllib3",
    "yaml",
}
"""What matrixctl depends on, but for click."""
LATE = {"analyse", "app", "execute", "matrix", "plan", "probe", "record", "report"}
"""Rooms of the package."""
ASK = """
import json, sys
from orchestrator.cli.main import process
try:
    process()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@cache
def imported(*args: str) -> frozenset[str]:
    """What a ``matrixctl`` of its own, without an engine, has imported in the end."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "DOCKER_HOST": NO_ENGINE},
    )
    assert done.stdout
    return frozenset(json.loads(done.stderr))


def heavy(modules: frozenset[str]) -> set[str]:
    rooms = {f"orchestrator.{room}" for room in LATE}
    tops = {name.partition(".")[0] for name in modules}
    return (tops & HEAVY) | {".".join(name.split(".")[:2]) for name in modules} & rooms


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["-h"]], ids=" ".join)
def test_what_needs_nothing_imports_nothing_heavy(args: list[str]) -> None:
    assert heavy(imported(*args)) == set()


@pytest.mark.parametrize(
    "args", [["cells"], *([name, "--help"] for name in ("clean", "doctor", "plan", "run"))], ids=" ".join
)
def test_what_needs_no_engine_does_not_import_its_package(args: list[str]) -> None:
    assert not {"docker", "paramiko"} & heavy(imported(*args))


def test_cells_import_nothing_that_builds_or_probes() -> None:
    found = heavy(imported("cells"))
    assert not {"cryptography", "elftools", "jinja2"} & found
    assert not {"orchestrator.app", "orchestrator.probe"} & found


@pytest.mark.parametrize("args", [["cells", "--format", "ids"], ["run", "--help"], ["compare", "--help"]])
def test_only_the_history_imports_a_database(args: list[str]) -> None:
    assert imported("history", "--help") >= {"sqlalchemy", "alembic"}
    tops = {name.partition(".")[0] for name in imported(*args)}
    assert tops & {"sqlalchemy", "alembic", "psycopg"} == set()


def test_the_names_of_what_is_heavy_are_right() -> None:
    """To look for an engine is what needs it."""
    made = heavy(imported("plan", "--profile", "quick", "--filter", "arch=amd64"))
    assert made >= {"docker", "paramiko", "pydantic", "rich", "orchestrator.execute"}


def test_no_dependency_was_forgotten() -> None:
    """A new one is heavy until somebody measures it."""
    from importlib.metadata import requires  # noqa: PLC0415

    modules = {"pyyaml": "yaml", "pyelftools": "elftools"}
    names = [
        text.partition(";")[0].partition(">")[0].partition("[")[0]
        for text in requires("matrixctl") or []
        if "extra" not in text
    ]
    assert {modules.get(name, name) for name in names} <= HEAVY | {"click"}


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_list_of_commands_says_what_their_own_help_says(name: str) -> None:
    listed = main.commands[name]
    _, command, _ = main.resolve_command(click.Context(main), [name])
    assert command is not None
    assert command is not listed, "it was imported"
    assert (command.name, listed.name) == (name, name)
    first, _, _ = (command.help or "").partition("\n\n")
    assert listed.help == " ".join(first.split())
