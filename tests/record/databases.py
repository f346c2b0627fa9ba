"""Real databases for the history: a file, and a PostgreSQL (Debian's package) of the session's own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.record.history.place import HistoryPlace, parse_place

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
_PATIENCE = "300"
"""Seconds that a server may take to start on a busy machine."""


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The folder of the socket of a server, without any network."""
    if not _PROGRAMS:
        pytest.skip("needs PostgreSQL: make test-tools")
    folder = Path(tempfile.mkdtemp(prefix="matrixctl-pg-", dir="/tmp"))
    programs, user = _PROGRAMS[-1].parent, _as_nobody()
    try:
        if user:
            os.chown(folder, user["user"], user["group"])  # type: ignore[arg-type]

        def do(*argv: str) -> None:
            done = subprocess.run(
                argv,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=2 * int(_PATIENCE),
                check=False,
                **user,  # type: ignore[call-overload]
            )
            assert done.returncode == 0, done.stdout

        data, log = str(folder / "data"), str(folder / "log")
        do(str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        try:
            do(str(programs / "pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "-t", _PATIENCE, "start")
            yield str(folder)
        finally:  # a start that was given up may have left a server
            if (folder / "data" / "postmaster.pid").exists():
                do(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.whole)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> HistoryPlace:
    """A place where there is no history yet."""
    if request.param == "sqlite":
        return parse_place(str(tmp_path / "history.db"))
    host, name = request.getfixturevalue("postgresql"), f"h{os.urandom(6).hex()}"
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return parse_place(f"postgresql+psycopg://postgres@/{name}?host={host}")
