"""Memory and disk run out, containers are taken away, a client hangs: none is the product's fault."""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from conftest import Overlay, Runner, runner_in

from orchestrator.app import demand
from orchestrator.cli.log import show_log
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason
from orchestrator.record import journal, model
from orchestrator.record.fold import fold

pytestmark = pytest.mark.containers

GCM, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
ONE = ("arch=amd64", f"cipher={GCM}")
TWO = ("arch=amd64", f"cipher={CHACHA},{GCM}")
_OF_CHACHA = f'{{% if cell.cipher.suite == "{CHACHA}" %}}'


# Memory.

_EATER = r"""
{ i=0; echo '#define B0 1,'; while [ $i -lt 30 ]; do echo "#define B$((i+1)) B$i B$i"; i=$((i+1)); done
  echo 'int eaten[] = { B30 };'; } > eater.c
gcc -c eater.c
"""
"""A source of 1 KiB of which the compiler makes 2^30 numbers."""


@pytest.mark.fault(
    "the kernel kills a compiler, or the whole build, since the container's memory is used up",
    "`error: exhausted`, never `build-failed`; its log is kept",
)
@pytest.mark.parametrize("plant", [_EATER, "\ntail /dev/zero\n"], ids=["a compiler", "the build"])
def test_a_build_that_takes_all_memory(
    run: Runner, overlay: Overlay, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    monkeypatch.setattr(demand, "BUILD_MEMORY", 192 << 20)
    overlay.edit("build/haproxy.sh.j2", ("step=compiling\n", f"step=compiling{plant}"))
    ran = run(*ONE, overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.ERROR, Reason.EXHAUSTED), cell.message
    assert cell.evidence, "the build's log"
    assert ran.record.run.exit_code == 4


@pytest.mark.fault(
    "the kernel kills HAProxy, since it takes more memory than the server's container has",
    "`error: killed` after three tries; its neighbour in the same container passes at once",
)
def test_a_server_that_takes_all_memory(run: Runner, overlay: Overlay) -> None:
    # Of a session cache HAProxy touches every block when it starts.
    overlay.edit(
        "probe/haproxy.cfg.j2",
        ("    nbthread 1", f"    nbthread 1\n{_OF_CHACHA}    tune.ssl.cachesize 20000000\n{{% endif %}}"),
    )
    ran = run(*TWO, overlay=overlay.folder)
    eater, neighbour = ran.cell(CHACHA), ran.cell(GCM)
    assert (eater.outcome, eater.reason) == (Outcome.ERROR, Reason.KILLED), eater.message
    assert len(eater.attempts) == 3
    assert (neighbour.outcome, len(neighbour.attempts)) == (Outcome.PASS, 1), neighbour.message


# Disk.


class OnSmallDisks(DockerEngine):
    """A real engine whose volumes lie on a disk that is nearly full: a tmpfs of our own."""

    place: Path

    def create_volume(self, name: str, run_id: str) -> None:
        place = self.place / name
        place.mkdir()
        place.chmod(0o777)
        self.client.volumes.create(
            name=name,
            driver="local",
            driver_opts={"type": "none", "o": "bind", "device": str(place)},
            labels=owner.make_labels(run_id),
        )


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Mounts a tmpfs of the size in MiB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(mib: int) -> Path:
        argv = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)]
        if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a small disk needs root")
        return place

    yield mount
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


@pytest.mark.fault(
    "the disk of the engine becomes full in a build: as it unpacks, as it compiles, with its log there",
    "`error: exhausted`, never `build-failed`",
)
@pytest.mark.parametrize("mib", [8, 32], ids=["unpacking", "compiling"])
def test_a_build_that_fills_the_disk(
    engine: DockerEngine, store: Path, tmp_path: Path, small_disk: Callable[[int], Path], mib: int
) -> None:
    full = OnSmallDisks(engine.client)
    full.place = small_disk(mib)
    own = tmp_path / "store"
    shutil.copytree(store / "sources", own / "sources")
    ran = runner_in(tmp_path, full, own)(*ONE)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.ERROR, Reason.EXHAUSTED), cell.message
    assert ran.record.run.exit_code == 4


_IN_A_SMALL_DISK = """
mount -t tmpfs -o size=1m tmpfs "$1" || exit 99
{run}
echo "$?" > "$2/first.code"
cp -r "$1" "$2/first"
mount -o remount,size=64m "$1"
{resume}
echo "$?" > "$2/second.code"
cp -r "$1" "$2/second"
"""


@pytest.mark.soak
@pytest.mark.fault(
    "the disk of the reports becomes full in mid-run",
    "a message for people, exit code 4, each line of the journal whole; with room, `--resume` ends the run",
)
def test_the_disk_of_the_reports_becomes_full(store: Path, tmp_path: Path) -> None:
    reports, kept = tmp_path / "reports", tmp_path / "kept"
    reports.mkdir()
    kept.mkdir()
    tool = f"{sys.executable} -m orchestrator run"
    places = f"--store {store} --out {reports}"
    cells = "--profile quick --filter arch=amd64 --filter haproxy=3.0.11"
    first = f"{tool} {cells} --repeat 12 {places} 2> {kept}/said"
    second = f"{tool} --resume latest {places} 2> {kept}/said-2"
    script = _IN_A_SMALL_DISK.format(run=first, resume=second)
    # In a mount namespace of its own: nothing of it outlives the test.
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(reports), str(kept)]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=300)
    if done.returncode == 99 or b"unshare failed" in done.stderr:
        pytest.skip("mounting a small disk needs root")
    said = (kept / "said").read_text()
    assert (kept / "first.code").read_text().strip() == "4", said
    assert "Traceback" not in said
    assert "No space left on device" in said
    (run_id,) = [path.name for path in (kept / "first").iterdir()]
    assert f"matrixctl run --resume {run_id}" in said
    with show_log(pytest.fail):
        events = list(journal.read(kept / "first" / run_id / "journal.jsonl", warn=True))
    before = fold(events).run
    assert before.status == "running"
    assert re.search(rf"\b{before.judged} of {before.planned} cells were judged before", said)
    assert (kept / "second.code").read_text().strip() == "0", (kept / "said-2").read_text()
    with show_log(pytest.fail):
        after = fold(journal.read(kept / "second" / run_id / "journal.jsonl", warn=True))
    assert (after.run.status, after.run.judged) == ("finished", after.run.planned)
    assert (kept / "second" / run_id / "index.html").is_file()


# Containers that somebody takes away.


def taken(engine: DockerEngine, part: str, *, after: float) -> threading.Thread:
    """A stranger who removes the first container whose name ends so, some seconds after it was started."""

    def work() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            for one in engine.client.api.containers(
                filters={"label": owner.make_own_label()}
            ):  # of this run alone
                if one["Names"][0].endswith(part):
                    time.sleep(after)
                    engine.client.api.remove_container(one["Id"], force=True)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.fault(
    "a stranger removes the server's, or the client's, container while it is probed",
    "not believed to be a hang of the product's; probed again, same verdicts",
)
@pytest.mark.parametrize(("part", "after"), [("-server", 1.2), ("-client", 1.2)])
def test_a_container_that_is_taken_away(
    engine: DockerEngine, run: Runner, overlay: Overlay, part: str, after: float
) -> None:
    overlay.edit("probe/driver.py", ("    ready = wait_ready(", "    time.sleep(1)\n    ready = wait_ready("))
    stranger = taken(engine, part, after=after)
    ran = run(*TWO, limits=Limits(request=3), overlay=overlay.folder)
    stranger.join()
    assert [cell.message for cell in ran.record.cells if cell.outcome is not Outcome.PASS] == []
    seen = {(one.outcome, one.reason) for cell in ran.record.cells for one in cell.attempts}
    assert seen == {(Outcome.PASS, None), (Outcome.ERROR, Reason.ENGINE_UNAVAILABLE)}
    assert ran.record.run.exit_code == 0


def test_the_container_of_the_clients_proof_is_taken_away(engine: DockerEngine, run: Runner) -> None:
    stranger = taken(engine, "-clients", after=0.1)
    ran = run(*ONE)
    stranger.join()
    (cell,) = ran.record.cells
    assert cell.outcome is Outcome.PASS, cell.message
    (probe,) = [action for action in ran.record.actions if action.kind == "probe"]
    assert probe.message.startswith("again: ")


# A client that hangs.


@pytest.mark.soak
@pytest.mark.fault(
    "a client hangs and ignores TERM",
    "killed at its deadline, `error: deadline` after three tries; its neighbours pass",
)
def test_a_client_that_hangs_and_ignores_term(run: Runner, overlay: Overlay) -> None:
    overlay.edit(
        "probe/clients.py",
        (
            '        [*find_program(job), "--config", config], folder',
            (
                '        ["sh", "-c", "trap \'\' TERM INT; sleep 600; sleep 600"]\n'
                f'        if job["suite"] == "{CHACHA}" and transport == "h3" and "proof" not in config\n'
                '        else [*find_program(job), "--config", config], folder'
            ),
        ),
    )
    ran = run(*TWO, limits=Limits(request=3), overlay=overlay.folder)
    cell = ran.cell(CHACHA)
    assert (cell.outcome, cell.reason) == (Outcome.ERROR, Reason.DEADLINE), cell.message
    assert len(cell.attempts) == 3
    assert ran.cell(GCM).outcome is Outcome.PASS


@pytest.mark.soak
@pytest.mark.fault(
    "the probe driver itself hangs and ignores TERM",
    "killed at the session's deadline, `error: deadline` after three tries, nothing left in the engine",
)
def test_a_driver_that_hangs_and_ignores_term(run: Runner, overlay: Overlay) -> None:
    overlay.edit(
        "probe/driver.py",
        (
            "    ready = wait_ready(",
            (
                "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)\n"
                "    ready = wait_ready("
            ),
        ),
    )
    started = time.monotonic()
    ran = run(*ONE, limits=Limits(ready=1, request=0.5), overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason, len(cell.attempts)) == (Outcome.ERROR, Reason.DEADLINE, 3)
    assert time.monotonic() - started < 600


# The clock.


@pytest.mark.fault(
    "the wall clock jumps by hours, back and ahead, with every look at it in a run",
    "same verdicts, no duration below zero, the run's limits hold",
)
def test_a_clock_that_jumps(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = [0, 5, -7, 3, -9, 11]
    looks = iter(range(1 << 30))

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Jumping":
            moved = datetime.now(tz) + timedelta(hours=jumps[next(looks) % len(jumps)])
            return cls.fromtimestamp(moved.timestamp(), tz or UTC)

    real = time.time
    monkeypatch.setattr(model, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * jumps[next(looks) % len(jumps)])
    started = time.monotonic()
    ran = run(*TWO)
    took = time.monotonic() - started
    record = ran.record
    assert next(looks) > 20, "so that it was looked at"
    assert {cell.outcome for cell in record.cells} == {Outcome.PASS}
    durations = [cell.duration_s for cell in record.cells] + [action.duration_s for action in record.actions]
    durations += [one.duration_s for cell in record.cells for one in cell.attempts]
    assert all(0 <= one <= took for one in durations if one is not None)
    assert record.run.duration_s is not None
    assert 0 < record.run.duration_s <= took
