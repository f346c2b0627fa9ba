"""``store key``, ``export`` and ``import``: between two machines, each an engine in memory."""

from hashlib import sha256
from pathlib import Path

import engine_run
import pytest
from cli_samples import matrixctl
from engine_run import TARBALL, EngineRun, chosen
from fakes import FakeEngine
from git_samples import Repository

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.cli import store as command
from orchestrator.execute.store.store import Store
from orchestrator.outcome import Outcome

SOURCES = f"""\
version: 1
components:
  haproxy:
    "3.0.11": {{file: haproxy-3.0.11.tar.gz, sha256: {sha256(TARBALL).hexdigest()}}}
  openssl:
    "3.5.7": {{file: openssl-3.5.7.tar.gz, sha256: {sha256(TARBALL).hexdigest()}}}
"""
CHOICE = ("--filter", "haproxy=3.0.11", "--filter", "client=curl", "--filter", "execution=default")
ONE = (*CHOICE, "--filter", "arch=amd64", "--filter", "tls=openssl-3.5.7", "--sources", "sources.yaml")


class Machines:
    """The one has run the cells, the other has not."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        (folder / "one").mkdir()
        (folder / "sources.yaml").write_text(SOURCES)
        self.run = EngineRun(folder / "one")
        self.work_at(None)

    def work_at(self, engine: FakeEngine | None) -> None:
        self.patch.setattr(command, "find_engine", lambda: (engine, ARCHES["amd64"]))

    def go(self) -> None:
        assert all(cell.outcome is not None for cell in self.run.go().cells)
        self.work_at(self.run.engine)

    def say(self, *args: str, store: str = "one/store", code: int = 0) -> str:
        done = matrixctl("store", *args, "--store", store, cwd=self.folder)
        assert done.returncode == code, done.stderr
        self.said = " ".join(done.stderr.split())
        return done.stdout.strip()

    def key(self, *args: str) -> str:
        return self.say("key", *(args or ONE))


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(tmp_path, monkeypatch)


# The key


def test_the_key_is_one_line_and_longer_once_the_toolchain_is_known(machines: Machines) -> None:
    asked = machines.key()
    assert len(asked) == 32
    assert int(asked, 16) >= 0
    machines.go()
    whole = machines.key()
    assert whole.startswith(f"{asked}-")
    assert len(whole) == 65
    machines.work_at(None)
    assert machines.key() == asked


def test_what_needs_nothing_else_has_the_same_key(machines: Machines) -> None:
    key = machines.key()
    assert machines.key(*ONE, "--filter", "cipher=TLS_AES_128_GCM_SHA256") == key
    (machines.folder / "matrix.yaml").write_text(
        "# a remark\n" + (resources.find_root() / "matrix.yaml").read_text()
    )
    assert machines.key() == key


MATRIX = """\
version: 1
axes:
  arch: [amd64]
  haproxy: [{{name: "3.0.11", version: "3.0.11"{haproxy}}}]
  tls: [{{name: openssl-3.5.7, family: openssl, version: 3.5.7{tls}}}]
  cipher: [default]
  client: [curl]
limits: {{build: {build}}}
"""


def test_each_thing_that_is_built_otherwise_changes_it(machines: Machines) -> None:
    keys = []
    (machines.folder / "fix.diff").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    changes: tuple[dict[str, str], ...] = (
        {},
        {"haproxy": ", make_flags: [DEBUG=-g]"},
        {"tls": ", configure_flags: [no-asm]"},
        {"tls": ", patches: [fix.diff]"},
    )
    for change in changes:
        text = MATRIX.format(**{"haproxy": "", "tls": "", "build": 100, **change})
        (machines.folder / "matrix.yaml").write_text(text)
        keys.append(machines.key("--sources", "sources.yaml"))
    other = SOURCES.replace(sha256(TARBALL).hexdigest(), "b" * 64, 1)
    (machines.folder / "matrix.yaml").write_text(MATRIX.format(haproxy="", tls="", build=100))
    (machines.folder / "sources.yaml").write_text(other)
    keys.append(machines.key("--sources", "sources.yaml"))
    assert len(set(keys)) == len(keys)
    (machines.folder / "sources.yaml").write_text(SOURCES)
    (machines.folder / "matrix.yaml").write_text(MATRIX.format(haproxy="", tls="", build=200))
    assert machines.key("--sources", "sources.yaml") == keys[0], "a time limit builds nothing else"


def test_other_compilers_change_its_second_half(machines: Machines) -> None:
    machines.go()
    key = machines.key()
    toolchain = dict(engine_run.PACKAGES["toolchain"])
    newer = {**engine_run.PACKAGES, "toolchain": {**toolchain, "gcc-14-x86-64-linux-gnu": "14.2.0-20"}}
    machines.run.engine = FakeEngine(machines.run.programs, builder=machines.run.builder, packages=newer)
    (machines.folder / "one" / "again").mkdir()
    machines.run.name = "again/run"
    machines.go()
    other = machines.key()
    assert (other[:33] == key[:33], other[33:] == key[33:]) == (True, False)


def test_a_branch_that_moves_on_changes_it_and_pins_hold_it(machines: Machines) -> None:
    upstream = Repository(machines.folder / "upstream")
    upstream.commit(Makefile="all:\n")
    moves = ("--with", "haproxy={git: ./upstream master, version: 3.5-dev5}", *ONE[4:])
    first = machines.key(*moves)
    assert machines.key(*moves) == first
    done = matrixctl("github", "matrix", *moves[:-2], "--pins", "pins.json", cwd=machines.folder)
    assert done.returncode == 0, done.stderr
    upstream.commit(Makefile="all: more\n")
    assert machines.key(*moves) != first
    assert machines.key(*moves, "--pins", "pins.json") == first


# Out and in


def test_another_machine_builds_nothing_of_what_came_in(machines: Machines, tmp_path: Path) -> None:
    machines.go()
    said = machines.say("export", "nightly.tar.gz", *ONE)
    assert said.startswith("nightly.tar.gz: 3 artifacts, 2 sources, ")
    assert machines.said == ""
    (tmp_path / "two").mkdir()
    other = EngineRun(tmp_path / "two", fetches=True)
    assert (
        machines.say("import", "nightly.tar.gz", store="two/store")
        == "nightly.tar.gz: 3 artifacts, 2 sources"
    )
    said = machines.say("import", "nightly.tar.gz", store="two/store")
    assert said == "nightly.tar.gz: nothing new; 5 were there"
    record = other.go()
    assert {cell.outcome for cell in record.cells} == {Outcome.PASS}
    assert other.programs.built == []
    assert {action.status for action in record.actions if action.kind in {"tls", "haproxy", "source"}} == {
        "cached"
    }


def test_no_more_than_the_plan_needs_goes_out(machines: Machines) -> None:
    machines.run = EngineRun(
        machines.folder / "one",
        cells=chosen("arch=amd64", "tls=openssl-3.5.7,openssl-distro", "cipher=default"),
    )
    machines.go()
    held = {path.name for path in (machines.folder / "one/store/artifacts").iterdir()}
    assert len(held) == 5
    assert machines.say("export", "x.tar.gz", *ONE).startswith("x.tar.gz: 3 artifacts, 2 sources, ")
    assert machines.say("export", "x.tar.gz", *ONE, "--ccache").startswith(
        "x.tar.gz: 3 artifacts, 2 sources, 2 compiler caches, "
    )


def test_what_is_not_there_is_said(machines: Machines) -> None:
    machines.go()
    store = Store(machines.folder / "one/store")
    found = [store.find_artifact(path.name) for path in (store.root / "artifacts").iterdir()]
    library = next(one for one in found if one and "-tls-" in one.meta["name"])
    store.discard([library.path.parent])
    machines.say("export", "x.tar.gz", *ONE)
    assert machines.said == "not in the store: tls:openssl-3.5.7--amd64"


def test_without_images_the_sources_go_out_and_the_builds_are_named(machines: Machines) -> None:
    assert machines.say("export", "x.tar.gz", *ONE).startswith("x.tar.gz: 2 sources, ")
    assert "not known yet: haproxy:haproxy-3.0.11--openssl-3.5.7--amd64" in machines.said


def test_nothing_there_is_exit_code_3_and_no_file(machines: Machines) -> None:
    machines.say("export", "x.tar.gz", *ONE, store="empty", code=3)
    assert "has nothing that this selection needs" in machines.said
    assert not (machines.folder / "x.tar.gz").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("import", "none"), 2, "none cannot be read: No such file or directory"),
        (("import", "sources.yaml"), 2, "is no export that can be taken in"),
        (("export", "none/x", *ONE), 4, "none/x cannot be written"),
        (("key", "--filter", "tls=openssl-9"), 2, "openssl-9"),
    ],
)
def test_what_is_wrong_is_a_sentence(machines: Machines, args: tuple[str, ...], code: int, said: str) -> None:
    machines.say(*args, code=code)
    assert said in machines.said
