"""Ctrl-C at any moment leaves nothing behind, and a record that says what was not judged."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.execute.engine.docker_engine import DockerEngine

pytestmark = pytest.mark.containers


def named(engine: DockerEngine, part: str) -> list[str]:
    """Names of the containers, volumes and networks with ``part`` in them, whatever their state."""
    api = engine.client.api
    names = [container["Names"][0] for container in api.containers(all=True)]
    names += [volume["Name"] for volume in api.volumes()["Volumes"] or ()]
    names += [network["Name"] for network in api.networks()]
    return [name for name in names if part in name]


@pytest.mark.fault(
    "Ctrl-C or TERM while something is built or probed",
    "exit code 130 within a minute, nothing left in the engine; what was judged stays, the rest is named",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["-build", "-client"])
def test_an_interrupted_run_leaves_nothing(
    engine: DockerEngine, store: Path, tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    # A fresh store: there is something to compile.
    own_store = tmp_path / "store" if moment == "-build" else store
    reports = tmp_path / "reports"
    command = (
        "run --profile quick --filter arch=amd64 --filter haproxy=3.0.11"
        f" --store {own_store} --out {reports} --repeat 50"
    )
    process = subprocess.Popen(
        # Whoever runs the tests in the background has made it deaf to Ctrl-C.
        ["env", "--default-signal=INT", sys.executable, "-m", "orchestrator", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        run_id = wait_for(
            lambda: next((path.parent.name for path in reports.glob("*/journal.jsonl")), ""), process
        )
        wait_for(lambda: "".join(n for n in named(engine, run_id) if moment in n), process)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, stderr.decode()
    assert b"Traceback" not in stderr
    assert stdout == b""
    assert named(engine, run_id) == []
    record = json.loads((reports / run_id / "run.json").read_text())
    assert record["run"]["status"] == "interrupted"
    assert record["run"]["exit_code"] == 130
    judged = [cell for cell in record["cells"] if cell["outcome"] is not None]
    assert record["run"]["judged"] == len(judged)
    assert not [cell["id"] for cell in judged if cell["outcome"] in {"fail", "error"}], "an end is no fault"
    if moment == "-build":
        assert record["run"]["judged"] < record["run"]["planned"]


def wait_for(look: Callable[[], str], process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 300
    while not (found := look()):
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.05)
    return found
