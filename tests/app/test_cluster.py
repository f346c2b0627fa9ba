"""Builds and probes done by the workers of a Dask cluster, each with an engine in memory."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from distributed import Scheduler, Worker
from engine_run import GCM, PACKAGES, EngineRun, Programs, chosen
from fake_host import FakeHost

from orchestrator.app.cluster.dispatch import ClusterActions, WorkerCluster, connect_cluster, is_evidence
from orchestrator.app.cluster.perform import Listener, Machine
from orchestrator.app.cluster.security import Access
from orchestrator.app.cluster.task import find_tool
from orchestrator.app.cluster.worker import work
from orchestrator.arch import ARCHES, Arch
from orchestrator.cli import worker as cli_worker
from orchestrator.errors import EngineError, EngineLostError, MatrixctlError, UsageError
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import Workshop
from orchestrator.execute.schedule.pool import is_idle
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.setup import doctor
from orchestrator.execute.store.shared import open_store
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import RunRecord


class Lab:
    """A scheduler, and workers, in one thread of this process."""

    def __init__(self, access: Access | None = None) -> None:
        self.access = access
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.workers: list[Any] = []
        self.scheduler = self._call(self._start())

    @property
    def address(self) -> str:
        return str(self.scheduler.address)

    async def _start(self) -> Any:
        # Without an address it takes port 8787, which another test run may have.
        page: Any = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
        if self.access is None:
            return await Scheduler(host="127.0.0.1", port=0, **page)
        security = self.access.make_security("tls://127.0.0.1:8786")
        return await Scheduler(host="tls://127.0.0.1", port=0, security=security, **page)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def add(self, machine: Machine, folder: Path) -> None:
        security = self.access.make_security(self.address) if self.access else None
        job = work(self.address, security, machine, 8 << 30, folder=folder)
        self.workers.append(asyncio.run_coroutine_threadsafe(job, self.loop))

    def add_plain(self) -> None:
        """Start a worker as Dask itself would."""

        async def start() -> Any:
            return await Worker(self.address, dashboard=False)

        worker = self._call(start())

        async def stay() -> None:
            await worker.finished()

        self.workers.append(asyncio.run_coroutine_threadsafe(stay(), self.loop))

    def drop(self, address: str) -> None:
        """As ``remove``, from a thread for which the worker itself would wait."""
        asyncio.run_coroutine_threadsafe(self._lose(address), self.loop)

    def remove(self, address: str) -> None:
        """Let the scheduler lose a worker in the middle of its task."""
        self._call(self._lose(address))

    async def _lose(self, address: str) -> None:
        await self.scheduler.remove_worker(address, close=True, stimulus_id="lost")

    def close_scheduler(self) -> None:
        self._call(self.scheduler.close())

    def close(self) -> None:
        self._call(self.scheduler.close())
        for worker in self.workers:
            worker.result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.close()


def make_machine(
    folder: Path,
    url: str,
    programs: Programs,
    packages: Mapping[str, Mapping[str, str]],
    *,
    host: Arch = ARCHES["amd64"],
    cpus: int = 2,
) -> tuple[Machine, EngineRun]:
    folder.mkdir()
    played = EngineRun(folder, programs=programs, packages=packages, fetches=True)
    store = open_store(folder / "store", url)

    def images(limit: float) -> ImageSet:
        shop = Workshop(
            engine=played.engine,
            host=FakeHost(),
            arch=host,
            proxies={},
            store=store,
            limit=limit,
        )
        return ImageSet(shop=shop)

    machine = Machine(
        address="",
        host=host,
        engine=played.engine,
        keeping=played.keeping,
        store=store,
        cpus=cpus,
        images=images,
    )
    return machine, played


@dataclass
class Site:
    """A run here, and workers elsewhere, with one remote store."""

    folder: Path
    lab: Lab

    def __post_init__(self) -> None:
        (self.folder / "here").mkdir()
        self.url = f"file://{self.folder}/there"
        self.here = EngineRun(
            self.folder / "here", fetches=True, choices={"remote_store": self.url, "elsewhere": True}
        )
        self.played: list[EngineRun] = []

    def add(
        self,
        before: Callable[[str], None] = lambda _: None,
        packages: Mapping[str, Mapping[str, str]] = PACKAGES,
        own_images: Sequence[str] = (),
        arch: str = "amd64",
        cpus: int = 2,
        **told: Any,
    ) -> EngineRun:
        """Start a worker.

        :param packages: of the images that it makes itself.
        :param own_images: those that it has made.
        """
        folder = self.folder / f"worker-{len(self.played)}"
        programs = Programs(before=before, cells=self.here.cells, **told)
        machine, played = make_machine(folder, self.url, programs, packages, host=ARCHES[arch], cpus=cpus)
        played.programs.cells = self.here.cells
        for name in own_images:
            machine.images(600).get(name, machine.host)
        self.lab.add(machine, folder)
        self.played.append(played)
        wait_for(lambda: len(self.lab.scheduler.workers) == len(self.lab.workers))
        return played

    def go(self) -> RunRecord:
        access = self.lab.access
        security = access.make_security(self.lab.address) if access else None
        with connect_cluster(self.lab.address, security) as cluster:
            self.here.choices = {**self.here.choices, "natives": cluster.find_natives(ARCHES["amd64"])}
            self.here.actions = partial(ClusterActions, cluster=cluster)
            return self.here.go()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def has_servers(played: EngineRun) -> bool:
    return any("server" in name for name in played.engine.containers)


@pytest.fixture
def site(tmp_path: Path, lab: Lab) -> Site:
    return Site(tmp_path, lab)


def test_a_run_has_its_builds_and_probes_done_by_a_worker(site: Site) -> None:
    there, here = site.add(), site.here
    record = site.go()
    assert [cell.verdict for cell in record.cells] == [Verdict.AS_EXPECTED]
    assert not {"build", "driver", "proof"} & set(here.programs.ran)
    assert {"build", "driver", "proof"} <= set(there.programs.ran)
    assert record.cells[0].evidence
    for path in record.cells[0].evidence:
        assert (here.folder / "run" / path).is_file()
    assert record.clients
    assert [attempt.load for attempt in record.cells[0].attempts] == [None], "that would be our own machine's"
    assert here.tracebacks == []
    assert there.engine.left == set()


def test_it_is_judged_as_the_same_run_at_home(site: Site, tmp_path: Path) -> None:
    site.here.cells = chosen("arch=amd64", "tls=openssl-3.5.7")
    fails: dict[str, Any] = {"fails": lambda cell, _: "CHACHA20" in cell}
    site.add(**fails)
    away = site.go()
    (tmp_path / "home").mkdir()
    home = EngineRun(tmp_path / "home", cells=site.here.cells, programs=Programs(**fails))

    def told(record: RunRecord) -> list[tuple[object, ...]]:
        return [
            (cell.id, cell.outcome, cell.reason, cell.verdict, len(cell.evidence)) for cell in record.cells
        ]

    assert told(away) == told(home.go())
    assert {cell.outcome for cell in away.cells} > {Outcome.PASS}


def test_a_build_that_fails_there_fails_here_with_its_log(site: Site) -> None:
    site.add(breaks="build")
    record = site.go()
    assert {cell.reason for cell in record.cells} == {Reason.BUILD_FAILED}
    (failed,) = [action for action in record.actions if action.status == "failed"]
    assert failed.log
    assert "planted" in (site.here.folder / "run" / failed.log).read_text()


def test_a_worker_builds_and_probes_in_the_images_of_the_run(site: Site) -> None:
    """It made images itself on another day: of the same recipes, with other packages."""
    images = ("toolchain", "runtime", "client")
    there = site.add(packages={name: {"gcc": "99"} for name in images}, own_images=images)
    own = {image.id for image in there.engine.images.values()}
    record = site.go()
    assert [cell.verdict for cell in record.cells] == [Verdict.AS_EXPECTED]
    used = {spec.image for spec in there.engine.specs}
    assert len(used) == 3
    assert used <= {image.id for image in site.here.engine.images.values()}
    assert not used & own


def test_an_image_is_made_once_and_travels_once(site: Site) -> None:
    one = site.add()
    site.go()
    assert one.engine.built == []
    saved = [name for verb, name in site.here.engine.calls if verb == "save_image"]
    loaded = [verb for verb, _ in one.engine.calls if verb == "load_image"]
    assert len(saved) == len(set(saved)) == len(loaded) == 3
    site.here.name = "second"
    site.go()
    again = [name for verb, name in site.here.engine.calls if verb == "save_image"]
    assert again == saved, "the store has noted which files they are"
    for file in (site.folder / "there" / "images").iterdir():
        assert file.name == f"{sha256(file.read_bytes()).hexdigest()}.tar"


def test_an_image_with_other_bytes_is_not_loaded(site: Site) -> None:
    site.add()
    site.go()
    images = site.folder / "there" / "images"
    for file in images.iterdir():
        file.write_bytes(b"something else")
    site.lab.remove(next(iter(site.lab.scheduler.workers)))
    site.lab.workers.clear()
    fresh, site.here.name = site.add(), "second"
    record = site.go()
    assert {cell.outcome for cell in record.cells} == {Outcome.ERROR}
    assert "has something else as the image" in record.cells[0].message
    assert ("load_image", "") not in fresh.engine.calls
    assert len(list(images.iterdir())) == 2, "the one that was asked for is gone"


def test_a_saved_image_that_is_another_one_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    there = site.add()
    monkeypatch.setattr(there.engine, "load_image", lambda _: None)
    record = site.go()
    assert {cell.outcome for cell in record.cells} == {Outcome.ERROR}
    assert "is not the one that it is called" in record.cells[0].message


def chosen_for_two() -> tuple[Cell, ...]:
    """A cell of this machine's architecture, and one of another."""
    return chosen("arch=amd64,arm64", "tls=openssl-3.5.7", f"cipher={GCM}")


def test_cells_of_a_workers_architecture_are_probed_there_natively(site: Site) -> None:
    site.here.cells = chosen_for_two()
    ours, theirs = site.add(), site.add(arch="arm64")
    record = site.go()
    assert {cell.verdict for cell in record.cells} == {Verdict.AS_EXPECTED}
    mine, foreign = record.cells
    assert (mine.execution.mode, mine.execution.host_arch) == ("native", "amd64")
    assert (foreign.execution.mode, foreign.execution.host_arch) == ("native", "arm64")
    assert foreign.execution.cpu_model is None
    assert ours.programs.probed == [mine.id]
    assert theirs.programs.probed == [foreign.id]
    assert "build" not in theirs.programs.ran, "it is compiled where the toolchain of the run is native"
    platforms = {spec.platform for spec in theirs.engine.specs}
    assert platforms == {"linux/arm64"}
    made = {one.name for one in record.components if one.kind == "image"}
    assert {"client-arm64", "runtime-arm64", "client-amd64", "runtime-amd64"} <= made
    assert "emulated-runtime-arm64" not in made
    assert "curl in client-arm64" in {one.name for one in record.components}
    assert theirs.engine.left == set()


def test_where_no_worker_is_of_an_architecture_it_is_emulated(site: Site) -> None:
    site.here.cells = chosen_for_two()
    site.add()
    record = site.go()
    assert [cell.execution.mode for cell in record.cells] == ["native", "emulated"]
    assert {cell.verdict for cell in record.cells} == {Verdict.AS_EXPECTED}


def test_a_run_that_goes_on_is_not_mixed_with_another_execution(site: Site) -> None:
    site.here.cells = chosen_for_two()
    site.add(before=lambda kind: site.here.cancel.ask() if kind == "build" else None)
    assert site.go().run.status != "finished"
    site.add(arch="arm64")
    site.here.cancel, site.here.resume = Cancel(), True
    with pytest.raises(UsageError, match="cannot be resumed") as caught:
        site.go()
    assert "the machine that probes it is arm64, and was amd64" in str(caught.value)


def test_two_workers_of_an_architecture_have_the_same_images(site: Site) -> None:
    """The one that makes them gives them to the other, whose own would have other packages."""
    site.here.cells = chosen("arch=arm64", "tls=openssl-3.5.7,distro", f"cipher={GCM}")
    site.add()
    together = threading.Barrier(2, timeout=60)

    def meet(kind: str) -> None:
        if kind == "driver":
            together.wait()

    other = {name: {"libc6": "99"} for name in PACKAGES}
    both = [site.add(meet, packages, arch="arm64", cpus=1) for packages in (PACKAGES, other)]
    site.go()
    one, two = ({spec.image for spec in played.engine.specs} for played in both)
    assert one == two
    loaded = [verb for played in both for verb, _ in played.engine.calls if verb == "load_image"]
    assert len(loaded) == len(one) == 2, "each by the one that had not made it"


def test_without_a_worker_that_can_compile_it_says_so(site: Site) -> None:
    site.add(arch="arm64")
    with pytest.raises(UsageError, match="are arm64, and the engine of this run is amd64"):
        site.go()


def test_a_worker_with_a_wrong_label_is_caught_by_attestation(site: Site) -> None:
    """It says that it is arm64, and what runs there is not."""
    site.here.cells = chosen_for_two()
    site.add()
    liar = site.add(arch="arm64")
    amd64, arm64 = site.here.cells
    liar.programs.cells = [replace(arm64, arch=amd64.arch)]
    record = site.go()
    found = record.cells[1]
    assert (found.outcome, found.reason) == (Outcome.MISBUILT, Reason.WRONG_ARCH), found.message
    assert "x86_64, not aarch64" in found.message


def test_what_no_worker_has_room_for_does_not_wait_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that the run began with is lost, and a smaller one comes."""
    monkeypatch.setattr("orchestrator.app.cluster.dispatch._ALONE", 0.5)
    monkeypatch.setattr("orchestrator.app.cluster.dispatch._LOOKS_AT_WORKERS_EVERY", 0.1)
    over = threading.Event()

    def leave(kind: str) -> None:
        if kind == "build":
            first = next(iter(site.lab.scheduler.workers))
            site.lab.drop(first)
            over.wait(60)
            raise EngineError("the machine is off")

    site.add(before=leave)

    def come() -> None:
        wait_for(lambda: any("build" in one.programs.ran for one in site.played))
        wait_for(lambda: not site.lab.scheduler.workers)
        site.lab.workers.pop()
        site.add(cpus=1)

    with ThreadPoolExecutor() as pool:
        coming = pool.submit(come)
        try:
            record = site.go()
        finally:
            over.set()
        coming.result()
    assert {cell.reason for cell in record.cells} == {Reason.ENGINE_UNAVAILABLE}
    assert "that is large enough" in record.cells[0].message


def test_what_is_kept_on_a_worker_is_marked_as_kept(site: Site) -> None:
    site.here.choices = {**site.here.choices, "keep": True}
    there = site.add()
    site.go()
    assert there.keeping.left, "containers, for inspection"
    assert ("sweep", "") not in there.keeping.calls
    assert there.engine.left == set()


def test_a_fault_of_a_workers_comes_home_with_its_traceback(site: Site) -> None:
    def fail(kind: str) -> None:
        if kind == "driver":
            raise ZeroDivisionError("planted there")

    site.add(before=fail)
    record = site.go()
    assert {cell.reason for cell in record.cells} == {Reason.INTERNAL}
    told = [path for path in site.here.tracebacks if path.name in record.cells[0].message]
    assert "in fail\n" in told[0].read_text()


def test_a_lost_worker_costs_no_verdict_and_is_said(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    begun, lost = threading.Event(), threading.Event()

    def hang(kind: str) -> None:
        if kind == "driver":
            begun.set()
            lost.wait(60)
            raise EngineError("the machine is off")

    site.add(before=hang)
    first = next(iter(site.lab.scheduler.workers))

    def lose() -> None:
        begun.wait(60)
        site.add()
        site.lab.remove(first)

    with ThreadPoolExecutor() as pool:
        losing = pool.submit(lose)
        record = site.go()
        losing.result()
    lost.set()
    assert [cell.verdict for cell in record.cells] == [Verdict.AS_EXPECTED]
    assert f"was done again: the worker {first} was lost" in caplog.text
    assert [one.why for one in record.cells[0].attempts] == [f"first, after {first} was lost"]


def test_where_no_worker_is_left_the_run_does_not_wait_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.app.cluster.dispatch._ALONE", 0.5)
    monkeypatch.setattr("orchestrator.app.cluster.dispatch._LOOKS_AT_WORKERS_EVERY", 0.1)
    over = threading.Event()

    def leave(kind: str) -> None:
        if kind == "driver":
            site.lab.drop(next(iter(site.lab.scheduler.workers)))
            over.wait(60)
            raise EngineError("the machine is off")

    site.add(before=leave)
    try:
        record = site.go()
    finally:
        over.set()
    assert {cell.reason for cell in record.cells} == {Reason.ENGINE_UNAVAILABLE}
    assert "has had no worker for" in record.cells[0].message


def test_what_loses_each_worker_is_done_again_three_times_at_most(site: Site) -> None:
    begun: list[str] = []
    addresses: list[str] = []
    over = threading.Event()

    def leave(number: int, kind: str) -> None:
        if kind == "driver":
            begun.append(addresses[number])
            site.lab.drop(addresses[number])
            over.wait(60)
            raise EngineError("the machine is off")

    for number in range(5):
        site.add(before=partial(leave, number))
        addresses += site.lab.scheduler.workers.keys() - addresses
    try:
        record = site.go()
    finally:
        over.set()
    assert len(begun) == len({*begun}) == 4
    assert {cell.verdict for cell in record.cells} == {Verdict.NOT_JUDGED}
    assert "each worker that tried" in record.cells[0].message


def test_a_worker_that_leaves_has_time_to_come_back_whatever_is_asked_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is wanted once in an hour waits no shorter than what is wanted all the time."""
    now, present = 1000.0, {"tcp://a": {"resources": {"cpu": 4.0}}}
    monkeypatch.setattr("orchestrator.app.cluster.dispatch.time.monotonic", lambda: now)
    client: Any = SimpleNamespace(scheduler_info=lambda: {"workers": present})
    cluster = WorkerCluster(address="a", client=client, workers={})
    for _ in range(100):
        cluster.refuse_to_wait({"cpu": 1})
        if now == 1000.0:
            cluster.refuse_to_wait({"cpu": 4})
        now += 30
    present.clear()
    cluster.refuse_to_wait({"cpu": 4})
    now += 3600  # images are made here
    for _ in range(4):
        cluster.refuse_to_wait({"cpu": 4})
        now += 30
    with pytest.raises(EngineLostError, match="no worker for 120 s"):
        cluster.refuse_to_wait({"cpu": 4})


def test_ctrl_c_ends_what_runs_there(site: Site) -> None:
    ended = threading.Event()
    there = None

    def interrupt(kind: str) -> None:
        if kind == "driver":
            site.here.cancel.ask()
            wait_for(lambda: there is not None and not has_servers(there))
            ended.set()
            raise EngineError("its container was taken away")

    there = site.add(before=interrupt)
    record = site.go()
    assert ended.is_set()
    assert record.run.status != "finished"
    assert [cell.outcome for cell in record.cells] == [None]
    assert there.engine.left == set()
    assert ("sweep", "") not in there.engine.calls, "that would end the tasks of other runs, too"


def test_ctrl_c_ends_the_wait_for_a_result_that_does_not_come(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task may have ended, and its worker be lost before it sends what the task told."""
    monkeypatch.setattr("orchestrator.app.cluster.dispatch._PATIENCE", 0.1)
    monkeypatch.setattr("orchestrator.app.stages._SHUTDOWN", 10.0)
    over = asyncio.Event()

    async def gather(*_: Any, **__: Any) -> dict[str, str]:
        site.here.cancel.ask()
        await over.wait()
        return {"status": "OK"}

    site.lab.scheduler.handlers["gather"] = gather
    site.add()
    try:
        record = site.go()
        assert is_idle(), "no thread waits for it any more"
    finally:
        site.lab.loop.call_soon_threadsafe(over.set)
    ended = {one.status for one in record.actions if one.kind in {"tls", "haproxy"}}
    assert "interrupted" in ended


def test_the_scheduler_gone_is_as_an_engine_that_is_gone(site: Site) -> None:
    def leave(kind: str) -> None:
        if kind == "driver":
            site.lab.close_scheduler()

    site.add(before=leave)
    record = site.go()
    assert {cell.reason for cell in record.cells} == {Reason.ENGINE_UNAVAILABLE}
    assert "is gone" in record.cells[0].message


def test_another_matrixctl_is_refused_with_both_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add()
    own = find_tool()
    other = replace(own, matrixctl="f" * 16, python="3.9.1")
    monkeypatch.setattr("orchestrator.app.cluster.dispatch.find_tool", lambda: other)
    with pytest.raises(UsageError, match="Install the same on both") as caught:
        site.go()
    assert str(own) in str(caught.value)
    assert str(other) in str(caught.value)


def test_a_worker_that_joins_later_refuses_the_tasks_of_another_matrixctl(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add()
    monkeypatch.setattr(
        "orchestrator.app.cluster.perform.find_tool", lambda: replace(find_tool(), python="4")
    )
    record = site.go()
    assert {cell.outcome for cell in record.cells} == {Outcome.ERROR}
    assert "Python 4" in record.cells[0].message


def test_without_a_worker_nothing_is_begun(site: Site) -> None:
    with pytest.raises(MatrixctlError, match="the scheduler has no worker"):
        site.go()
    assert not (site.here.folder / "run").exists()


def test_a_worker_that_is_only_dasks_is_refused(site: Site) -> None:
    site.lab.add_plain()
    with pytest.raises(UsageError, match="was not started by `matrixctl worker`"):
        site.go()


def test_a_worker_without_matrixctl_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that cannot import it."""

    class Unknown:
        def __reduce__(self) -> tuple[Any, ...]:
            return __import__, ("matrixctl_is_not_installed",)

    site.lab.add_plain()
    monkeypatch.setattr("orchestrator.app.cluster.dispatch.describe_here", Unknown())
    with pytest.raises(UsageError, match="was not started by `matrixctl worker`") as caught:
        site.go()
    assert "No module named 'matrixctl_is_not_installed'" in str(caught.value)


def test_no_scheduler_is_a_sentence() -> None:
    with (
        pytest.raises(MatrixctlError, match=r"the scheduler tcp://127\.0\.0\.1:1 does not answer"),
        connect_cluster("tcp://127.0.0.1:1", None, patience=1),
    ):
        pass


def test_evidence_is_written_in_folders_of_the_run_alone() -> None:
    for path in ("cells/a/haproxy.log", "internal-0a1b2c.txt"):
        assert is_evidence(path)
    for path in (
        "journal.jsonl",
        "internal-/../a.txt",
        "internal-.txt",
        "/etc/passwd",
        "../x/y",
        "cells/../../x",
        "",
        ".",
    ):
        assert not is_evidence(path)


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("tcp://h:1", {}, "has no TLS"),
        ("tls://h:1", {}, "needs --tls-ca"),
        ("h:1", {"insecure": True}, "is no scheduler"),
        ("tcp://", {"insecure": True}, "is no scheduler"),
        ("tcp://h", {"insecure": True}, "is no scheduler"),
        ("tcp://h:x", {"insecure": True}, "is no scheduler"),
        ("tcp://h:99999", {"insecure": True}, "is no scheduler"),
        ("tls://[::1", {"insecure": True}, "is no scheduler"),
        ("tls://h:1", {"ca": Path("no"), "cert": Path("no"), "key": Path("no")}, "no is no file"),
    ],
)
def test_who_may_join_is_said_before_anything_else(address: str, options: dict[str, Any], said: str) -> None:
    access = Access(**{"ca": None, "cert": None, "key": None, "insecure": False, **options})
    with pytest.raises(UsageError, match=said):
        access.make_security(address)


def make_access(folder: Path) -> Access:
    """Make an authority, and one certificate of it for all."""
    folder.mkdir()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("lab", "machine")]
    made = []
    for name, key, ca in zip(names, keys, (True, False), strict=True):
        cert = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        made.append(cert.public_bytes(Encoding.PEM))
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for file, content in (("ca.pem", made[0]), ("cert.pem", made[1]), ("key.pem", private)):
        (folder / file).write_bytes(content)
    return Access(ca=folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem", insecure=False)


def test_with_tls_only_those_of_its_authority_take_part(tmp_path: Path) -> None:
    lab = Lab(make_access(tmp_path / "own"))
    try:
        site = Site(tmp_path, lab)
        site.add()
        assert lab.address.startswith("tls://127.0.0.1:")
        assert [cell.verdict for cell in site.go().cells] == [Verdict.AS_EXPECTED]
        stranger = make_access(tmp_path / "other").make_security(lab.address)
        open_address = lab.address.replace("tls://", "tcp://")
        for address, security in ((lab.address, stranger), (open_address, None)):
            with (
                pytest.raises(MatrixctlError, match="does not answer"),
                connect_cluster(address, security, patience=3),
            ):
                pass
    finally:
        lab.close()


def test_a_worker_listens_where_the_scheduler_is_reached_alone(site: Site) -> None:
    site.add()
    (address,) = site.lab.scheduler.workers
    assert address.startswith("tcp://127.0.0.1:")
    assert "dashboard" not in site.lab.scheduler.workers[address].services


def test_a_run_that_was_interrupted_goes_on_with_the_same_worker(site: Site) -> None:
    there = None

    def interrupt(kind: str) -> None:
        if kind == "driver":
            site.here.cancel.ask()
            wait_for(lambda: there is not None and not has_servers(there))
            raise EngineError("its container was taken away")

    there = site.add(before=interrupt)
    assert site.go().run.status != "finished"
    there.programs.before = lambda _: None
    site.here.cancel, site.here.resume = Cancel(), True
    record = site.go()
    assert [cell.verdict for cell in record.cells] == [Verdict.AS_EXPECTED]
    assert record.clients


def test_a_worker_that_cannot_write_down_costs_its_own_tasks_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add()

    def refuse(self: Listener, *_: object) -> None:
        raise self.give_up(OSError(28, "No space left on device"))

    monkeypatch.setattr(Listener, "keep_calls", lambda self, _: partial(refuse, self))
    record = site.go()
    assert record.run.status == "finished"
    assert {cell.outcome for cell in record.cells} == {Outcome.ERROR}
    assert "on the worker tcp://127.0.0.1" in record.cells[0].message
    assert "No space left" in record.cells[0].message


def test_what_a_run_has_already_reaches_the_workers(site: Site) -> None:
    """Its store was there before its remote store was."""
    site.here.choices = {}
    site.here.go()
    site.here.name, site.here.choices = "second", {"remote_store": site.url, "elsewhere": True}
    for tarball in site.here.mirror.iterdir():
        tarball.unlink()
    site.add()
    assert [cell.verdict for cell in site.go().cells] == [Verdict.AS_EXPECTED]


def test_a_cell_is_traced_by_a_worker(site: Site) -> None:
    site.here.choices = {**site.here.choices, "evidence": "all"}
    there = site.add()
    (cell,) = site.go().cells
    assert "reading" in there.programs.ran
    assert cell.traced is not None
    assert cell.traced.negotiated_cipher == "TLS_CHACHA20_POLY1305_SHA256"
    assert "a note" in cell.traced.missing
    assert len(cell.attempts) == 1
    for path in cell.traced.evidence:
        assert (site.here.folder / "run" / path).is_file()
    assert there.engine.left == set()


def test_a_cell_is_confirmed_by_a_worker(site: Site) -> None:
    site.here.choices = {**site.here.choices, "confirm": 2}
    there = site.add(fails=lambda *_: True)
    record = site.go()
    assert [attempt.why for attempt in record.cells[0].attempts] == ["first", "confirm 1", "confirm 2"]
    assert record.cells[0].verdict is Verdict.REGRESSION
    assert len(there.programs.probed) == 3


def test_the_command_serves_on_a_machine_where_it_never_ran(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EngineRun(tmp_path).engine
    monkeypatch.setattr(cli_worker, "connect", lambda **_: engine)
    monkeypatch.setattr(doctor, "examine", lambda _: ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "never"))
    options = ["--scheduler", lab.address, "--insecure", "--remote-store", f"file://{tmp_path}/there"]
    options += ["--store", str(tmp_path / "store")]

    def end() -> None:
        wait_for(lambda: bool(lab.scheduler.workers))
        lab.close_scheduler()

    with ThreadPoolExecutor() as pool:
        ending = pool.submit(end)
        done = CliRunner().invoke(cli_worker.command, options)
        ending.result()
    assert done.exit_code == 0, done.output
