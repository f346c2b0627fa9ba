"""What a shell completes, as click and bash ask for it."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_samples import RUN, a_run, cells, matrixctl

WOLFSSL = (*dict.fromkeys(cell.tls.name for cell in cells() if cell.tls.family == "wolfssl"), "wolfssl")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    a_run(tmp_path / "reports")
    return tmp_path


def complete(here: Path, line: str, shell: str = "zsh") -> list[str]:
    """What is offered at the end of a command line."""
    words = line.split(" ")
    asked = {
        "_MATRIXCTL_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    lines = matrixctl(cwd=here, env=asked).stdout.splitlines()
    return lines[1::3] if shell == "zsh" else [line.partition(",")[2] for line in lines]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("matrixctl run --profile q", ["quick"]),
        ("matrixctl run --profile fu", ["full"]),
        ("matrixctl cells --filter ar", ["arch="]),
        ("matrixctl cells --filter arch=amd", ["arch=amd64"]),
        ("matrixctl cells --filter arch!=s", ["arch!=s390x"]),
        ("matrixctl plan --filter tls=wolf", [f"tls={name}" for name in WOLFSSL]),
        ("matrixctl plan --filter nonsense=x", []),
        ("matrixctl logs --run la", ["latest", "last-good"]),
        ("matrixctl report 2026", [RUN]),
        ("matrixctl run --failed-of 2026", [RUN]),
        ("matrixctl compare latest last-", ["last-good"]),
        ("matrixctl logs amd64--", [cell.id for cell in cells()[:2]]),
        ("matrixctl repro AES_256", [cells()[1].id]),
        ("matrixctl run --matrix nowhere.yaml --profile q", []),
    ],
)
def test_names_are_offered_and_nothing_is_said(here: Path, line: str, offered: list[str]) -> None:
    assert complete(here, line) == offered


def test_the_matrix_that_the_line_names_is_read(here: Path) -> None:
    text = (
        'version: 1\naxes: {arch: [amd64], haproxy: ["3.0.11"], tls: [openssl-distro], cipher: [default]}\n'
    )
    (here / "own.yaml").write_text(text + "profiles: {mine: {filters: []}}\n")
    assert complete(here, "matrixctl run --matrix own.yaml --profile m") == ["mine"]
    assert complete(here, "matrixctl run --matrix own.yaml --cell ") == [
        "amd64--haproxy-3.0.11--openssl-distro--default"
    ]
    assert complete(here, "matrixctl run --reports nowhere --resume 2026") == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("matrixctl cells --filter arch = amd", ["amd64"]),
        ("matrixctl cells --filter arch =", [*dict.fromkeys(cell.arch.name for cell in cells())]),
        ("matrixctl cells --profile = qui", ["quick"]),
        ("matrixctl re", ["report", "repro", "render"]),
    ],
)
def test_bash_splits_at_equals_signs_and_gets_the_last_word(
    here: Path, words: str, offered: list[str]
) -> None:
    assert complete(here, words, "bash") == offered


def test_bash_itself_completes_a_value_of_a_filter(here: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    program = here / "matrixctl"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m orchestrator "$@"\n')
    program.chmod(0o755)
    source = matrixctl(cwd=here, env={"_MATRIXCTL_COMPLETE": "bash_source"}).stdout
    array = "COMP_WORDS=(matrixctl cells --filter arch = amd); COMP_CWORD=5"
    call = f'{array}; _matrixctl_completion ./matrixctl; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        [bash, "-c", f"{source}\n{call}"], cwd=here, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("amd64\n", "")
