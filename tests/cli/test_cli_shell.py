"""``shell``: of a run in memory; what is in place in each container, and that nothing is left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_samples import matrixctl
from engine_run import CATALOG, GCM, EngineRun, Programs, chosen
from fake_host import FakeHost
from fakes import FakeEngine, Files, ran

from orchestrator.cli import shell
from orchestrator.errors import EngineError
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.record.interrupted_run import read_past


@dataclass
class Shell(Programs):
    """Programs of the run, and then the shell of a person."""

    seen: Files = field(default_factory=dict)
    ends: Callable[[], ExecResult] = lambda: ran(exit_code=7)

    def __call__(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
        if argv != ("sh",):
            return super().__call__(files, argv)
        self.seen = dict(files)
        return self.ends()


@dataclass
class Bench:
    """A run that is over, and its engine."""

    run: EngineRun
    programs: Shell

    @property
    def engine(self) -> FakeEngine:
        return self.run.engine

    def shell(self, *args: str, cell: str = GCM) -> tuple[int, str]:
        where = ("--run", str(self.run.folder / "run"), "--store", str(self.run.store.root))
        sources = ("--sources", str(self.run.folder / "sources.yaml"))
        done = matrixctl("shell", cell, *args, *where, *sources, cwd=self.run.folder)
        return done.returncode, done.stderr

    @property
    def opened(self) -> list[str]:
        return [name for verb, name in self.engine.calls if verb == "interact"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    programs = Shell()
    run = EngineRun(tmp_path, chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}"), programs=programs)
    run.go()
    catalog = "version: 1\ncomponents:\n"
    for (name, version), one in CATALOG.sources.items():
        catalog += f"  {name}: {{'{version}': {{file: {one.file}, sha256: {one.sha256}}}}}\n"
    (tmp_path / "sources.yaml").write_text(catalog)
    monkeypatch.setattr(shell, "connect", lambda: run.engine)
    monkeypatch.setattr(shell, "LocalHost", FakeHost)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return Bench(run, programs)


def test_the_server_has_the_runs_haproxy_and_the_client_lives_beside_it(bench: Bench) -> None:
    code, said = bench.shell()
    assert code == 7
    assert "HAProxy runs, and logs to cells/000/haproxy.log. Once more: ./haproxy -db -f" in said
    (name,) = bench.opened
    assert name.endswith("-server")
    server, client = bench.engine.specs[-2:]
    assert (server.name, client.network) == (name, f"container:{name}")
    assert {"haproxy", "selftest", "cells/000/haproxy.cfg", "cells/000/h3.curlrc", "server.pem"} <= set(
        bench.programs.seen
    )
    assert bench.engine.left == set()


def test_the_client_knows_how_to_ask(bench: Bench) -> None:
    code, said = bench.shell("client")
    assert (code, bench.opened[0].endswith("-client")) == (7, True)
    assert "To ask it: curl -v --config /work/cells/000/h3.curlrc" in said
    assert bench.engine.left == set()


def test_the_build_has_source_script_and_library(bench: Bench) -> None:
    code, said = bench.shell("build")
    assert (code, bench.opened[0].endswith("-build")) == (7, True)
    assert "sh build.sh" in said
    assert {"build.sh", "src/haproxy-3.0.11.tar.gz", "tls/lib/libssl.so"} <= set(bench.programs.seen)
    assert bench.engine.left == set()


@pytest.mark.parametrize("role", ["server", "client", "build"])
@pytest.mark.parametrize("end", [SystemExit(129), EngineError("gone")], ids=["SIGHUP", "engine"])
def test_whatever_ends_it_nothing_is_left(bench: Bench, role: str, end: BaseException) -> None:
    def raising() -> ExecResult:
        raise end

    bench.programs.ends = raising
    code, _ = bench.shell(role)
    assert code == (129 if isinstance(end, SystemExit) else 4)
    assert bench.engine.left == set()


def test_what_was_pruned_is_said_with_the_command_that_makes_it_anew(bench: Bench) -> None:
    for path in (bench.run.store.root / "artifacts").rglob("artifact.tar"):
        path.unlink()
    code, said = bench.shell()
    assert code == 2
    assert "the haproxy of amd64--haproxy-3.0.11" in said
    assert "run the cell again: matrixctl run" in said
    assert bench.opened == []


def test_a_role_that_there_is_not_is_refused(bench: Bench) -> None:
    code, said = bench.shell("proxy")
    assert code == 2
    assert "'server', 'client', 'build'" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"host_arch":"amd64"', '"host_arch":"pdp11"', "execution.host_arch: no architecture 'pdp11'"),
        ('"family":"openssl"', '"family":"nosuch"', "axes.tls.family"),
        ('"client":{"name":"curl","family":"curl"', '"client":{"name":"curl","family":"x"', "client.family"),
    ],
)
def test_a_foreign_record_opens_nothing(bench: Bench, old: str, new: str, says: str) -> None:
    change(bench, old, new)
    code, said = bench.shell()
    assert code == 2
    assert says in said
    assert bench.opened == []


@pytest.mark.parametrize(("role", "kind"), [("server", "haproxy"), ("server", "selftest"), ("build", "tls")])
def test_a_digest_that_is_none_is_no_artifact(bench: Bench, role: str, kind: str) -> None:
    past = read_past(bench.run.folder / "run")
    (digest,) = {one.digest for one in past.record.actions if one.kind == kind}
    assert digest
    change(bench, f'"{digest}"', '"../../x"')
    code, said = bench.shell(role)
    assert code == 2
    assert "'../../x'" in said
    assert bench.opened == []


def change(bench: Bench, old: str, new: str) -> None:
    journal = bench.run.folder / "run" / "journal.jsonl"
    text = journal.read_text()
    assert old in text
    journal.write_text(text.replace(old, new))
