"""The Docker daemon goes away in mid-run, for a moment or for good. It is a daemon of the tests' own."""

import gc
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Overlay, Ran, Runner, runner_in
from second_daemon import SecondDaemon, lacking, second_daemon

from orchestrator.arch import find_arch
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images.workshop import find_existing
from orchestrator.outcome import Outcome, Reason

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    # The docker package leaves the socket open on which nobody took its call.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GCM, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
NEEDED = {"base", "toolchain", "client", "runtime"}


@pytest.fixture(scope="module")
def host(engine: DockerEngine) -> str:
    return engine.describe().arch


@pytest.fixture(scope="module")
def daemon(engine: DockerEngine, run_once: Runner, host: str) -> Iterator[SecondDaemon]:
    """The second daemon, with the images that a run of the host's own architecture wants."""
    run_once(f"arch={host}", f"cipher={CHACHA},{GCM}")  # they are made, and HAProxy is in the store
    arch = find_arch(engine.client.version()["Arch"])
    found = find_existing(engine, arch, [arch])
    tags = [image.tag for (name, target), image in found.items() if name in NEEDED and target == arch.name]
    assert len(tags) == len(NEEDED)
    with second_daemon() as made:
        made.load(tags, engine.client)
        yield made


@pytest.fixture(autouse=True)
def up(daemon: SecondDaemon) -> Iterator[None]:
    """Each test finds it running, and empty."""
    daemon.start()
    assert daemon.left() == []
    yield
    daemon.start()
    daemon.empty()
    gc.collect()  # here, where those sockets are forgiven


class Background:
    """A run in a thread; ``ended`` gives what it came to."""

    def __init__(self, run: Callable[[], Ran]) -> None:
        self._result: list[Ran | BaseException] = []
        self._thread = threading.Thread(target=self._work, args=(run,))
        self._thread.start()

    def _work(self, run: Callable[[], Ran]) -> None:
        try:
            self._result.append(run())
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self._result.append(error)

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def ended(self, seconds: float) -> Ran:
        self._thread.join(seconds)
        assert not self.goes_on, f"the run does not end within {seconds} s"
        match self._result:
            case [Ran() as ran]:
                return ran
            case [BaseException() as error]:
                raise error
        raise AssertionError


def until_there(daemon: SecondDaemon, part: str, run: Background) -> None:
    """A container with ``part`` in its name, to the end of a word, runs."""
    until = time.monotonic() + 120
    while not any(re.search(f"{part}\\b", name) for name in daemon.running()):
        assert run.goes_on, run.ended(0)
        assert time.monotonic() < until
        time.sleep(0.02)


def attempts(ran: Ran) -> set[tuple[Outcome, Reason | None]]:
    return {(one.outcome, one.reason) for cell in ran.record.cells for one in cell.attempts}


def whole(ran: Ran) -> None:
    """Every planned cell is judged, in the record and in the report."""
    assert ran.record.run.judged == ran.record.run.planned == len(ran.record.cells)
    page = (ran.folder / "index.html").read_text()
    assert all(cell.id in page for cell in ran.record.cells)
    assert json.loads((ran.folder / "run.json").read_text())["run"]["exit_code"] == ran.record.run.exit_code


GONE = (Outcome.ERROR, Reason.ENGINE_UNAVAILABLE)


@pytest.mark.fault(
    "the Docker daemon is restarted while cells are probed",
    "waited for; what was not judged is probed again, and `run.json` says why; same verdicts as without",
)
def test_a_restart_while_cells_are_probed(
    daemon: SecondDaemon, store: Path, tmp_path: Path, host: str, overlay: Overlay
) -> None:
    overlay.edit("probe/driver.py", ("    ready = wait_ready(", "    time.sleep(2)\n    ready = wait_ready("))
    runner = runner_in(tmp_path, DockerEngine(daemon.client(), patience=180), store)
    run = Background(lambda: runner(f"arch={host}", f"cipher={CHACHA},{GCM}", overlay=overlay.folder))
    until_there(daemon, "-client", run)
    daemon.stop()
    daemon.start()
    ran = run.ended(400)
    whole(ran)
    assert {cell.outcome for cell in ran.record.cells} == {Outcome.PASS}
    assert ran.record.run.exit_code == 0
    assert attempts(ran) == {GONE, (Outcome.PASS, None)}
    again = [cell.attempts[-1].why for cell in ran.record.cells if len(cell.attempts) > 1]
    assert again
    assert all(why.startswith("again: ") for why in again)
    assert daemon.left() == []


@pytest.mark.soak
@pytest.mark.fault(
    "the Docker daemon is restarted while HAProxy is built",
    "waited for; the build is done again, its action says why; the cells pass",
)
def test_a_restart_while_something_is_built(
    daemon: SecondDaemon, store: Path, tmp_path: Path, host: str, overlay: Overlay
) -> None:
    own = tmp_path / "store"
    for part in ("sources", "ccache"):  # nothing to download, and not much to compile
        shutil.copytree(store / part, own / part)
    overlay.edit("build/haproxy.sh.j2", ("step=compiling\n", "step=compiling\nsleep 4\n"))
    runner = runner_in(tmp_path, DockerEngine(daemon.client()), own)
    run = Background(lambda: runner(f"arch={host}", f"cipher={GCM}", overlay=overlay.folder))
    until_there(daemon, "-build", run)
    time.sleep(1)
    daemon.stop()
    daemon.start()
    ran = run.ended(400)
    whole(ran)
    (cell,) = ran.record.cells
    assert (cell.outcome, len(cell.attempts)) == (Outcome.PASS, 1), cell.message
    (build,) = [action for action in ran.record.actions if action.kind == "haproxy"]
    assert build.status == "succeeded"
    assert build.message.startswith("again: ")
    assert daemon.left() == []


@pytest.mark.fault(
    "the Docker daemon is killed in mid-run, for good",
    "the run ends soon, each cell `error: engine-unavailable`, with its report and exit code 4",
)
def test_a_daemon_that_is_gone_for_good(
    daemon: SecondDaemon, store: Path, tmp_path: Path, host: str, overlay: Overlay
) -> None:
    overlay.edit("probe/driver.py", ("    ready = wait_ready(", "    time.sleep(2)\n    ready = wait_ready("))
    runner = runner_in(tmp_path, DockerEngine(daemon.client(), patience=3), store)
    run = Background(lambda: runner(f"arch={host}", f"cipher={CHACHA},{GCM}", overlay=overlay.folder))
    until_there(daemon, "-client", run)
    daemon.stop(signal.SIGKILL)
    ran = run.ended(120)
    whole(ran)
    assert {(cell.outcome, cell.reason) for cell in ran.record.cells} == {GONE}
    assert ran.record.run.exit_code == 4
    assert attempts(ran) == {GONE}


@pytest.mark.soak
@pytest.mark.fault(
    "the Docker daemon is killed for good under the command line",
    "a message for people within two minutes, no traceback, exit code 4; the next run removes what was left",
)
def test_people_are_told_of_a_daemon_that_is_gone(
    daemon: SecondDaemon, store: Path, tmp_path: Path, host: str
) -> None:
    command = f"run --profile quick --filter haproxy=3.0.11 --filter arch={host} --repeat 50 --store {store}"
    argv = [sys.executable, "-m", "orchestrator", *command.split(), "--out", f"{tmp_path}/reports"]
    environment = {**os.environ, "DOCKER_HOST": daemon.host}
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        until = time.monotonic() + 120
        while not any(name.endswith("-client") for name in daemon.running()):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        daemon.stop(signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    said = stderr.decode()
    assert process.returncode == 4, said
    assert "Traceback" not in said
    assert "engine-unavailable" in said
    assert "Report: " in said
    daemon.start()
    assert daemon.left() != [], "so that its absence below means something"
    command = (
        f"run --profile quick --filter haproxy=3.0.11 --filter arch={host}"
        f" --filter cipher={GCM} --store {store}"
    )
    again = [sys.executable, "-m", "orchestrator", *command.split(), "--out", f"{tmp_path}/reports"]
    done = subprocess.run(again, capture_output=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert b"of dead runs" in done.stderr
    assert daemon.left() == []


@pytest.mark.soak
@pytest.mark.fault(
    "the Docker daemon stands still for 20 seconds while cells are probed",
    "the run goes on where it stood; nothing is a fault of the product's",
)
def test_a_daemon_that_stands_still(daemon: SecondDaemon, store: Path, tmp_path: Path, host: str) -> None:
    runner = runner_in(tmp_path, DockerEngine(daemon.client()), store)
    run = Background(lambda: runner(f"arch={host}", f"cipher={CHACHA},{GCM}", repeat=5))
    until_there(daemon, "-client", run)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(20)
    daemon.process.send_signal(signal.SIGCONT)
    ran = run.ended(300)
    whole(ran)
    assert {cell.outcome for cell in ran.record.cells} == {Outcome.PASS}
    assert attempts(ran) <= {GONE, (Outcome.PASS, None)}
    assert daemon.left() == []


@pytest.mark.soak
@pytest.mark.fault(
    "the Docker daemon is restarted or killed six times in one run, at random moments",
    "the verdicts are those of a quiet run, or `error: engine-unavailable` for what was lost three times",
)
def test_restart_after_restart(daemon: SecondDaemon, store: Path, tmp_path: Path, host: str) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    runner = runner_in(tmp_path, DockerEngine(daemon.client()), store)
    run = Background(lambda: runner(f"arch={host}", f"cipher={CHACHA},{GCM}", repeat=12))
    for _ in range(6):
        time.sleep(chance.uniform(1, 5))
        if not run.goes_on:
            break
        daemon.stop(chance.choice([signal.SIGTERM, signal.SIGKILL]))
        time.sleep(chance.uniform(0, 3))
        daemon.start()
    ran = run.ended(600)
    whole(ran)
    assert attempts(ran) <= {GONE, (Outcome.PASS, None)}, f"seed {seed}"
    for cell in ran.record.cells:
        assert cell.outcome is Outcome.PASS or cell.reason is Reason.ENGINE_UNAVAILABLE, f"seed {seed}"
    assert daemon.left() == []
