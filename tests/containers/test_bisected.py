"""A bisection of real commits of HAProxy: three builds, of which two have a fault."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from git_samples import Repository

from orchestrator.analyse.bisection import Bisection
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.find import read_run

pytestmark = pytest.mark.containers

PATCHES = Path(__file__).parent / "patches"
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
CELL = f"amd64--haproxy-3.0.11--openssl-distro--{CHACHA}"
MATRIX = f"""
version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro]
  cipher: [{CHACHA}]
"""


@pytest.fixture
def clone(run: Any, store: Path, tmp_path: Path) -> tuple[Repository, list[str]]:
    """HAProxy in three commits: as it was released, with a fault, and with a comment more."""
    run("arch=amd64", f"cipher={CHACHA}")
    (archive,) = store.glob("sources/*/haproxy-3.0.11.tar.gz")
    made = Repository(tmp_path / "haproxy")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    shutil.copytree(tmp_path / "haproxy-3.0.11", made.folder, dirs_exist_ok=True)
    commits = [made.commit()]
    made.git("apply", str(PATCHES / "haproxy-refuses-chacha20.diff"))
    commits.append(made.commit())
    commits.append(made.commit(NOTE="nothing that is compiled\n"))
    return made, commits


def matrixctl(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *args],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_commit_that_brought_a_fault_is_found(
    clone: tuple[Repository, list[str]], store: Path, tmp_path: Path
) -> None:
    made, commits = clone
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    where = ("--store", str(store))
    args = ("--git", str(made.folder), "--good", commits[0], "--format", "json")
    done = matrixctl("bisect", CELL, *args, *where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = Bisection.model_validate_json(done.stdout)
    assert found.message == f"the first bad one is {commits[1][:12]} (a change)"
    good, bad = found.find_step(0), found.find_step(1)
    assert (good.mark, bad.mark) == ("good", "bad")
    assert bad.message.startswith("fail: handshake-refused")
    folder = tmp_path / "reports" / found.id
    record = read_run(folder / bad.runs[-1])
    (cell,) = record.cells
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.HANDSHAKE_REFUSED)
    assert all((folder / bad.runs[-1] / file).is_file() for file in cell.evidence)
    assert json.loads((folder / "bisect.json").read_text()) == json.loads(done.stdout)

    again = [
        matrixctl(*shlex.split(one.rerun)[1:], *where, "--as-bisect", cwd=tmp_path).returncode
        for one in (good, bad)
    ]
    assert again == [0, 1]


@pytest.mark.soak
def test_git_bisect_itself_finds_the_commit(
    clone: tuple[Repository, list[str]], store: Path, tmp_path: Path
) -> None:
    """As docs/bisect.md says: in a clone, with its working tree. It meets a commit that does not compile."""
    made, (good, *_) = clone
    made.git("checkout", "--quiet", "-b", "row", good)
    source = made.folder / "src" / "h3.c"
    text = source.read_text()
    made.commit(NOTE="nothing that is compiled\n")
    source.write_text("#error planted\n" + text)
    made.commit()
    source.write_text(text)
    made.commit()
    made.git("apply", str(PATCHES / "haproxy-refuses-chacha20.diff"))
    bad = made.commit()
    last = made.commit(NOTE="nothing that is compiled, either\n")
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    step = ["run", "--matrix", str(tmp_path / "matrix.yaml"), "--store", str(store), "--quiet", "--as-bisect"]
    step += [
        "--out",
        str(tmp_path / "steps"),
        "--with",
        "haproxy=path:.",
        "--cell",
        CELL.replace("3.0.11", "path"),
    ]
    made.git("bisect", "start", last, good)
    said = made.git("bisect", "run", sys.executable, "-m", "orchestrator", *step)
    assert f"{bad} is the first bad commit" in said
    records = [read_run(path.parent) for path in (tmp_path / "steps").glob("*/run.json")]
    reasons = {record.cells[0].reason for record in records}
    assert reasons == {Reason.BUILD_FAILED, None, Reason.HANDSHAKE_REFUSED}
