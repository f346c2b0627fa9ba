"""What needs no engine does not import one: ``--version`` and ``--help`` answer at once."""

import gc
import json
import os
import subprocess
import sys
from functools import cache

import click
import pytest
from cli_samples import NO_ENGINE

from orchestrator.cli.main import main, process

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
LATE = {"analyse", "app", "execute", "matrix", "plan", "probe", "record", "report", "serve", "site"}
"""Rooms of the package."""
ASK = """
import json, sys
from orchestrator.cli.main import process
for args in json.loads(sys.argv[1]):
    sys.argv[1:] = args
    try:
        process()
    except SystemExit as end:
        assert not end.code, args
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@cache
def imported(*commands: str) -> frozenset[str]:
    """What a process that gives these commands, without an engine, has imported in the end."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps([command.split() for command in commands])],
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


def test_what_needs_nothing_imports_nothing_heavy() -> None:
    assert heavy(imported("--version", "--help", "-h")) == set()


def test_what_needs_no_engine_does_not_import_its_package() -> None:
    helps = [f"{name} --help" for name in ("clean", "doctor", "plan", "run", "compare")]
    modules = imported("cells --format ids", *helps)
    assert not {"docker", "paramiko"} & heavy(modules)
    assert not {"sqlalchemy", "alembic", "psycopg"} & {name.partition(".")[0] for name in modules}


def test_cells_import_nothing_that_builds_or_probes() -> None:
    found = heavy(imported("cells"))
    assert not {"cryptography", "elftools", "jinja2"} & found
    assert not {"orchestrator.app", "orchestrator.probe"} & found


def test_what_takes_one_module_of_app_does_not_import_a_run() -> None:
    modules = imported("github issues --help")
    assert "orchestrator.app.issues" in modules
    assert not {"orchestrator.app.running", "orchestrator.app.stages"} & modules


def test_the_names_of_what_is_heavy_are_right() -> None:
    """To look for an engine is what needs it, and a history is what needs a database."""
    made = heavy(imported("plan --profile quick --filter arch=amd64"))
    assert made >= {"docker", "paramiko", "pydantic", "rich", "orchestrator.execute"}
    assert heavy(imported("history --help")) >= {"sqlalchemy", "alembic"}


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


def test_a_process_of_the_program_looks_for_garbage_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr("orchestrator.cli.main.main", lambda **_: None)
    try:
        process()
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.set_threshold(*before)
