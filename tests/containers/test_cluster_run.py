"""A real cluster on one machine: a scheduler, two workers with a Docker engine each, an S3 store."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import Runner, link_store
from seaweed import Bucket, bucket
from second_daemon import SecondDaemon, lacking, second_daemon

from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.record.find import read_run

__all__ = ["bucket"]
pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    # The docker package leaves a socket open where its daemon was ended.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 240
"""Seconds for each step, on a busy machine."""
CIPHERS = "TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_GCM_SHA256"


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


class Cluster:
    """Processes of a cluster below a folder; ``environment`` is that of all."""

    def __init__(self, folder: Path, environment: dict[str, str], url: str) -> None:
        self.folder, self.environment, self.url = folder, environment, url
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    @contextmanager
    def start(self, name: str, *argv: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process; it is ended afterwards, and has its log in a file of its name."""
        with (self.folder / name).open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment, **more},
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)

    @contextmanager
    def scheduler(self) -> Iterator[subprocess.Popen[bytes]]:
        dask = str(Path(sys.executable).parent / "dask")
        port = self.address.rpartition(":")[2]
        options = ("--host", "127.0.0.1", "--port", port, "--no-dashboard")
        argv = (dask, "scheduler", *options, "--dashboard-address", "127.0.0.1:0")
        with self.start("scheduler", *argv) as process:
            log = self.folder / "scheduler"
            wait_for(lambda: "Scheduler at" in log.read_text(), process, log)
            yield process

    @contextmanager
    def worker(self, name: str, docker: str) -> Iterator[subprocess.Popen[bytes]]:
        options = ("--scheduler", self.address, "--insecure", "--remote-store", self.url, "--cpus", "1")
        argv = (sys.executable, "-m", "orchestrator", "worker", *options, "--memory", "5")
        store = ("--store", str(self.folder / f"store-{name}"))
        with self.start(name, *argv, *store, **({"DOCKER_HOST": docker} if docker else {})) as process:
            log = self.folder / name
            before = log.read_text().count("does tasks for") if log.is_file() else 0
            wait_for(lambda: log.read_text().count("does tasks for") > before, process, log)
            yield process


def list_listening(process: subprocess.Popen[bytes]) -> set[str]:
    """The addresses on which a process takes connections."""
    said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in said.splitlines() if f"pid={process.pid}," in line]
    return {words[3].rpartition(":")[0] for words in lines}


@pytest.mark.parametrize("builds", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_worker_that_is_killed_changes_no_verdict(
    engine: DockerEngine, run_once: Runner, store: Path, bucket: Bucket, tmp_path: Path, *, builds: bool
) -> None:
    """The second worker's engine has nothing: its images come by the store."""
    host = engine.describe().arch
    chosen = (f"arch={host}", f"cipher={CIPHERS}", "client=curl", "execution=default")
    undisturbed = run_once(*chosen).record
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, bucket.environment("writer"), f"s3://matrixctl/{tmp_path.name}")
        daemon = stack.enter_context(second_daemon())
        processes = [stack.enter_context(cluster.scheduler())]
        victim = stack.enter_context(cluster.worker("second", daemon.host))
        mine = link_store(store, tmp_path / "mine", "sources", "ccache") if builds else store
        argv = [sys.executable, "-m", "orchestrator", "run", "--profile", "quick", "--repeat", "2"]
        argv += [word for one in ("haproxy=3.0.11", *chosen) for word in ("--filter", one)]
        argv += ["--scheduler", cluster.address, "--insecure", "--remote-store", cluster.url]
        argv += ["--store", str(mine), "--out", str(tmp_path / "reports"), "--evidence", "none"]
        run = stack.enter_context(cluster.start("run", *argv))
        wait_for(lambda: has_client(daemon), run, tmp_path / "run")
        victim.send_signal(signal.SIGSTOP)  # so that it does not end its task before it is killed
        processes.append(stack.enter_context(cluster.worker("first", "")))
        assert set().union(*map(list_listening, (*processes, victim))) == {"127.0.0.1"}
        victim.send_signal(signal.SIGKILL)
        assert run.wait(PATIENCE) == 0, (tmp_path / "run").read_text()
        assert daemon.left() != [], "so that its absence below means something"
        stack.enter_context(cluster.worker("second", daemon.host))
        assert daemon.left() == []
        ids, known = ({one.id for one in client.images.list()} for client in (daemon.client(), engine.client))
        assert len(ids) == (3 if builds else 2)
        assert ids <= known
        said = (tmp_path / "run").read_text()
        assert "was done again: the worker" in said
        (folder,) = (tmp_path / "reports").glob("2*")
        record = read_run(folder)
    verdicts = {cell.id: (cell.outcome, cell.reason, cell.verdict) for cell in undisturbed.cells}
    assert {cell.id: (cell.outcome, cell.reason, cell.verdict) for cell in record.cells} == verdicts
    assert {len(cell.attempts) for cell in record.cells} == {2}
    assert any("was lost" in one.why for cell in record.cells for one in cell.attempts)
    built = [action for action in record.actions if action.kind in {"tls", "haproxy", "selftest"}]
    assert {action.status for action in built} == ({"succeeded"} if builds else {"cached"})
    assert "making the image" not in (tmp_path / "second").read_text()


def has_client(daemon: SecondDaemon) -> bool:
    return any(name.endswith("-client") for name in daemon.running())
