"""A repository of matrixctl with a small matrix, and GitHub around it."""

import shutil
import subprocess
from pathlib import Path

from hosted import ROOT, Hosted

REPOSITORY = "somebody/matrixctl"
PLAYED = str(Path(__file__).parent / "played.py")
PARTS = (
    *(".github", "images", "orchestrator", "templates"),
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
# gh auth setup-git, as far as the workflows ask it: it needs a token, and prints nothing.
[ "$*" = "auth setup-git" ] && [ -n "$GH_TOKEN" ]
"""


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
    (tree / ".gitignore").write_text(".venv/\n/reports/\n__pycache__/\n")
    begin(tree)
    (folder / "bin").mkdir()
    (folder / "bin" / "gh").write_text(GH)
    (folder / "bin" / "gh").chmod(0o755)
    played = {"DOCKER_HOST": "tcp://127.0.0.1:1"} if program == PLAYED else {}
    return Hosted(folder, {REPOSITORY: tree}, program, {"PYTHONDONTWRITEBYTECODE": "", **played})
