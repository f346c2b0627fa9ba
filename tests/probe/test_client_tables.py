"""The table of clients, their adapters, their versions and their scripts: what one has, all have.

A client that stands in the table alone would be planned, and break the proof, and so every cell of its run.
"""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_scripts import SCRIPTS, loaded

from orchestrator.execute.images.dockerfiles import CLIENT_PACKAGES
from orchestrator.matrix.clients import CLIENTS
from orchestrator.probe.session_files import CLIENT_SCRIPTS

ADAPTERS = "templates/probe/clients.py"
PROGRAMS = {"curl": "curl", "gtlsclient": "ngtcp2-client", "aioquic": ""}
"""The package that has a client's program; aioquic comes from PyPI."""
DOCS = Path(__file__).resolve().parents[2] / "docs" / "clients.md"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The adapters' script; no program is there that it could ask for a version."""

    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr(subprocess, "run", absent)
    return loaded("clients")


def lacking(clients: Any, name: str) -> list[str]:
    """What has to be written before a client of this name can be asked."""
    found = []
    if name not in clients.ADAPTERS:
        found.append(f"no adapter in ADAPTERS of {ADAPTERS}")
    try:
        clients.find_version(name)
    except KeyError:
        found.append(f"version() of {ADAPTERS} does not know it")
    if name not in PROGRAMS:
        found.append(f"PROGRAMS of {Path(__file__).name} does not say where it is from")
    elif (package := PROGRAMS[name]) and package not in CLIENT_PACKAGES:
        found.append(f"CLIENT_PACKAGES of orchestrator/execute/images/dockerfiles.py lacks {package}")
    if f"`{name}`" not in DOCS.read_text():
        found.append("docs/clients.md does not name it")
    return found


def scripts() -> Iterator[str]:
    """Each file of ours that the adapters import or run."""
    tree = ast.parse((SCRIPTS / "clients.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = (f"{alias.name}.py" for alias in node.names)
            yield from (file for file in ours if (SCRIPTS / file).exists())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py"):
            yield node.value.rpartition("/")[2]


def test_each_client_of_the_table_can_be_asked(clients: Any) -> None:
    faults = [f"{name}: {what}" for name in CLIENTS for what in lacking(clients, name)]
    assert not faults, "\n".join(faults)


def test_each_adapter_is_that_of_a_client_of_the_table(clients: Any) -> None:
    strange = set(clients.ADAPTERS) - set(CLIENTS)
    assert not strange, f"orchestrator/matrix/clients.py declares nothing of {', '.join(sorted(strange))}"


def test_each_script_that_an_adapter_needs_is_brought_along() -> None:
    wanted = {"clients.py", *scripts()}
    assert "aioquic_client.py" in wanted, "they are found"
    left_out = wanted - set(CLIENT_SCRIPTS)
    assert not left_out, (
        f"CLIENT_SCRIPTS of orchestrator/probe/session_files.py lacks {', '.join(sorted(left_out))}"
    )
    missing = [name for name in CLIENT_SCRIPTS if not (SCRIPTS / name).is_file()]
    assert not missing, f"templates/probe lacks {', '.join(missing)}"


def test_what_a_client_of_the_table_lacks_is_named(clients: Any) -> None:
    assert lacking(clients, "no-client") == [
        f"no adapter in ADAPTERS of {ADAPTERS}",
        f"version() of {ADAPTERS} does not know it",
        "PROGRAMS of test_client_tables.py does not say where it is from",
        "docs/clients.md does not name it",
    ]
