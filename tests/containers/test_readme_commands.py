"""The README's first commands, in their order, as a reader pastes them."""

import os
import subprocess
from pathlib import Path

import pytest
import readme

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[2]
SAID = "--- done: "


@pytest.mark.timeout(1800)
def test_the_commands_of_the_readme_work_as_pasted(store: Path, tmp_path: Path) -> None:
    """With Debian's own HAProxy, so that nothing is compiled; ``make run`` has set the machine up before."""
    here, cache = tmp_path / "matrixctl", tmp_path / "cache"
    here.mkdir()
    cache.mkdir()
    (here / ".venv").symlink_to(ROOT / ".venv")
    (here / "matrix.yaml").symlink_to(ROOT / "matrix.yaml")
    store.mkdir(exist_ok=True)
    (cache / "matrixctl").symlink_to(store.resolve())
    lines = [command.line for command in readme.commands() if not command.why]
    script = "set -e\n" + "\n".join(f"{line}\necho '{SAID}{number}'" for number, line in enumerate(lines))
    path = os.environ["PATH"].replace(f"{ROOT}/.venv/bin:", "")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=here,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    ended = done.stdout.count(SAID)
    assert ended == len(lines), f"{lines[ended]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert list((here / "bug").iterdir()), "what repro writes"
