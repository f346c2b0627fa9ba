"""A repository of matrixctl with a small matrix, and GitHub around it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_run import FOUR_BUILDS
from fake_github import FakeGitHub, fake_gh, serving
from hosted import ROOT, Hosted, Job

REPOSITORY = "example/matrixctl"
USER = "somebody/haproxy"
MATRIX = f"""{FOUR_BUILDS}profiles:
  quick: {{filters: [arch=amd64, haproxy=again]}}
  nightly: {{filters: ["arch=amd64,arm64"]}}
"""
PLAYED = str(Path(__file__).parent / "played.py")
PARTS = (
    *(".github", "images", "orchestrator", "reports/sample", "templates"),
    *(
        "LICENSE",
        "Makefile",
        "README.md",
        "action.yml",
        "pyproject.toml",
        "requirements.lock",
        "sources.yaml",
    ),
)
"""What the workflows need of the repository."""
GH = """#!/bin/sh
# `auth setup-git` needs a token, and prints nothing. The rest is asked of a GitHub in memory.
[ "$*" != "auth setup-git" ] || exec test -n "$GH_TOKEN"
exec "$(dirname "$0")/issues/gh" "$@"
"""


@contextmanager
def with_issues(hosted: Hosted, github: FakeGitHub) -> Iterator[None]:
    """Have `gh` talk to a GitHub that keeps issues."""
    with serving(github) as address:
        fake_gh(hosted.folder / "bin" / "issues", address)
        yield


def http3(run: Job) -> Job:
    """Return the one job of a user's workflow."""
    (job,) = run.jobs["http3"]
    return job


def begin(tree: Path) -> None:
    """Make a repository of a folder, with all that is in it."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(tree)], check=True)
    commit(tree)


def commit(tree: Path, message: str = "a change") -> None:
    for args in (
        ["add", "--all"],
        [
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.org",
            "commit",
            "-qm",
            message,
            "--allow-empty",
        ],
    ):
        subprocess.run(["git", *args], cwd=tree, check=True)


def host(folder: Path, matrix: str, *, program: str = PLAYED) -> Hosted:
    """Return a GitHub with one repository, whose matrix is the given one."""
    tree = folder / "repositories" / "matrixctl"
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tree / part)
    (tree / "matrix.yaml").write_text(matrix)
    (tree / ".gitignore").write_text(".venv/\n/reports/*\n!/reports/sample/\n__pycache__/\n")
    begin(tree)
    (folder / "bin").mkdir()
    (folder / "bin" / "gh").write_text(GH)
    (folder / "bin" / "gh").chmod(0o755)
    played = {"DOCKER_HOST": "tcp://127.0.0.1:1"} if program == PLAYED else {}
    return Hosted(folder, {REPOSITORY: tree}, program, {"PYTHONDONTWRITEBYTECODE": "", **played})
