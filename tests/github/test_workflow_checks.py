"""The checkers of `make lint` find nothing in the workflows, and each finds what is planted for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
FILES = ("action.yml", ".github")


def recipe() -> list[list[str]]:
    """The commands of `make lint` that look at workflows."""
    lines = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0].splitlines()
    checks = ("check-jsonschema", "actionlint", "zizmor")
    found = [line.strip().removeprefix("$(BIN)/") for line in lines if line.strip().startswith("$(BIN)/")]
    return [line.split() for line in found if line.startswith(checks)]


def check(folder: Path) -> dict[str, str]:
    """What each checker that fails has printed, by its name."""
    said = {}
    for program, *args in recipe():
        words = [str(one) for arg in args for one in (sorted(folder.glob(arg)) if "*" in arg else [arg])]
        done = subprocess.run(
            [BIN / program, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            said[program] = done.stdout + done.stderr
    return said


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def test_they_find_nothing(copy: Path) -> None:
    assert [words[0] for words in recipe()] == [
        "check-jsonschema",
        "check-jsonschema",
        "actionlint",
        "zizmor",
    ]
    assert check(copy) == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "found_by", "said"),
    [
        (
            ".github/workflows/ci.yml",
            "timeout-minutes: 10",
            "timeout-minuets: 10",
            "check-jsonschema",
            "minuets",
        ),
        ("action.yml", "using: composite", "using: composed", "check-jsonschema", "composed"),
        (
            ".github/workflows/matrix.yml",
            "steps.cut.outputs.matrix",
            "steps.cuts.outputs.matrix",
            "actionlint",
            "cuts",
        ),
        (
            ".github/workflows/ci.yml",
            "- run: make lint",
            "- run: echo ${{ github.head_ref }}",
            "zizmor",
            "template-injection",
        ),
        (
            ".github/workflows/nightly.yml",
            "permissions:\n  contents: read",
            "permissions: write-all",
            "zizmor",
            "excessive-permissions",
        ),
        (
            "action.yml",
            "@27d5ce7f107fe9357f9df03efb73ab90386fccae",
            "@v5",
            "zizmor",
            "unpinned-uses",
        ),
    ],
)
def test_each_finds_what_is_planted_for_it(  # noqa: PLR0917 - the columns of the table above
    copy: Path, file: str, old: str, new: str, found_by: str, said: str
) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    found = check(copy)
    assert found_by in found
    assert said in found[found_by]
