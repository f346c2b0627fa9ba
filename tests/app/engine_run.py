"""A whole run on an engine in memory: each action is done; programs in containers are played.

The tests that use it look at the record, the journal and the store alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from builders import exchange, first_broken, line, server_line, vv
from fake_host import FakeHost
from fakes import FakeEngine, Files, ran
from plan_samples import TOOLCHAIN

from orchestrator import resources
from orchestrator.app import running
from orchestrator.app.actions import Actions
from orchestrator.app.options import Options
from orchestrator.cli.log import show_log
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.matrix.select import select
from orchestrator.probe.certificates import Certificates
from orchestrator.record.journal import Event
from orchestrator.record.model import RunRecord

MATRIX = load(resources.find_root() / "matrix.yaml")
FOUR_BUILDS = """\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: ["3.0.11", {name: again, version: "3.0.11"}]
  tls: [openssl-3.5.7]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256]
  client: [curl]
"""
"""A matrix file: four builds, two cells in each."""
GCM = "TLS_AES_128_GCM_SHA256"
TARBALL = pack({"source/Makefile": b"all:\n"})
PACKAGES = {
    "toolchain": TOOLCHAIN,
    "client": {"curl": "8.14.1-2", "libssl3t64": "3.5.7-1", "libssl3t64:arm64": "3.5.6-1", "tar": "1.35"},
    "emulated-runtime": {"libc6:arm64": "2.41-12", "qemu-user": "1:10.0.13+ds-0+deb13u1"},
    "runtime": {"libc6": "2.41-12", "libssl3t64": "3.5.7-1", "dash": "0.5.12"},
}
"""Of the images, by name."""


def _elf(machine: int) -> bytes:
    """The header of a program, with its ``e_machine`` (elf(5))."""
    start = bytes.fromhex("7f454c4602010100" + "00" * 8 + "0200")
    return start + machine.to_bytes(2, "little") + bytes.fromhex("01000000") + bytes(40)


_ELF = {"amd64": _elf(62), "arm64": _elf(183)}


def chosen(*filters: str, haproxy: str = "3.0.11") -> tuple[Cell, ...]:
    every = expand(MATRIX)
    return select(every, (f"haproxy={haproxy}", "client=curl", "execution=default", *filters), known=every)


def source(component: str, version: str) -> Source:
    return Source(
        component=component,
        version=version,
        file=f"{component}-{version}.tar.gz",
        sha256=sha256(TARBALL).hexdigest(),
        strip=1,
        origins=(),
    )


CATALOG = Catalog(
    sources={
        (name, version): source(name, version)
        for name, version in (("haproxy", "3.0.11"), ("openssl", "3.5.7"))
    }
)


@dataclass
class Programs:
    """What runs in the containers. ``proves`` says whether a client passes its proof with a suite."""

    proves: Callable[[str, str | None], bool] = lambda _client, _suite: True
    built: list[str] = field(default_factory=list)
    """What each build was given, as the names in its volume."""
    probed: list[str] = field(default_factory=list)
    cells: Sequence[Cell] = ()
    before: Callable[[str], None] = lambda _: None
    """Is called with ``build``, ``proof``, ``driver`` or ``selftest`` before it runs; it may raise."""
    breaks: str = ""
    """The kind of program that fails."""
    fails: Callable[[str, int], bool] = lambda _cell, _number: False
    """Whether this cell hangs when it is probed for the ``number``-th time, from 1."""
    ran: list[str] = field(default_factory=list)
    """The kinds of the programs, as they ran."""

    def __call__(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
        kind = _kind(argv)
        self.ran.append(kind)
        self.before(kind)
        if kind == self.breaks:
            files["build.log"] = b"x.c:1: error: planted\n"
            return ran(exit_code=1, stderr=b"planted")
        if kind == "build":
            return self._build(files)
        if kind == "proof":
            return self._prove(json.loads(files["proof.json"]))
        if kind == "reading":
            return ran(stdout=b"0x1303\n")
        return self._drive(files) if kind == "driver" else ran()

    def _build(self, files: Files) -> ExecResult:
        self.built.append(" ".join(sorted(files)))
        files["build.log"] = b"compiled\n"
        files["ccache/a"] = b"an object"
        target = "arm64" if b"aarch64-linux-gnu" in b"".join(files.values()) else "amd64"
        mark = b"/opt/matrixctl/openssl-3.5.7/ssl"
        made = {
            "out/haproxy": _ELF[target] + mark,
            "out/tls/lib/libssl.so": b"a library",
            "out/selftest": b"elf",
        }
        files.update(made)
        return ran()

    def _prove(self, proof: dict[str, Any]) -> ExecResult:
        lines = []
        for entry in proof["proofs"]:
            able = self.proves(entry["name"], entry["suite"])
            told = {"client": entry["name"], "transport": entry["transport"], "suite": entry["suite"]}
            lines.append({**told, "version": "1", "ok": able, "message": "as it was played"})
        return ran(stdout="".join(json.dumps(one) + "\n" for one in lines).encode())

    def _drive(self, files: Files) -> ExecResult:
        session = json.loads(files["session.json"])
        ids = [one["id"] for one in session["cells"]]
        self.probed += ids
        by_id = {one.id: one for one in self.cells}
        machine = f"{by_id[ids[0]].arch.arch.machine}\n"
        lines = [server_line(vv=vv(), machine=machine)]
        for one in ids:
            hangs = self.fails(one, self.probed.count(one))
            lines.append(_hung(by_id[one]) if hangs else _answered(by_id[one]))
            if session.get("traced"):
                files.update(CAUGHT)
                lines[-1]["traced"] = {"notes": ["a note"], "qlogs": ["qlog-1.sqlog", "../driver.py"]}
        return ran(stdout="".join(json.dumps(one) + "\n" for one in lines).encode())


def _answered(cell: Cell) -> dict[str, Any]:
    """As OpenSSL does: of all suites it prefers AES-256-GCM, and so HAProxy with it."""
    suite = cell.cipher.suite or "TLS_AES_256_GCM_SHA384"
    return line(cell, h3=exchange(cipher=suite), control=exchange(cipher=suite, http_version="2"))


def _hung(cell: Cell) -> dict[str, Any]:
    """As in haproxy#2569: a handshake, and nothing after it."""
    timed_out = first_broken(28, "Operation timed out", handshake_s=0.01, cipher=cell.cipher.suite)
    return {**_answered(cell), "h3": timed_out}


CAUGHT = {
    "traced/capture.pcapng": b"packets",
    "traced/keys.log": b"keys",
    "traced/haproxy.log": b"packet decryption failed",
    "traced/qlog-1.sqlog": b"{}",
}
"""What a traced session leaves in its volume."""


def _kind(argv: tuple[str, ...]) -> str:
    if argv[0] == "env":
        return "build"
    if argv[0] == "sh" and "read_capture.sh" in argv[1]:
        return "reading"
    script = argv[-1] if argv[0] != "python3" else argv[1]
    return {"prove.py": "proof", "driver.py": "driver", "selftest": "selftest"}[script.rpartition("/")[2]]


@dataclass
class EngineRun:
    """A run of cells below a folder, whose store several of them may share."""

    folder: Path
    cells: Sequence[Cell] = field(
        default_factory=lambda: chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
    )
    builder: Callable[[str], ExecResult] = lambda _dockerfile: ran()
    """Builds the images: as ``FakeEngine`` takes it."""
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: PACKAGES)
    programs: Programs = field(default_factory=Programs)
    name: str = "run"
    fetches: bool = False
    """The sources lie in a mirror; else the store has them."""
    listen: Callable[[Event], None] = lambda _: None
    said: list[str] = field(default_factory=list)
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``Options``."""
    cancel: Cancel = field(default_factory=Cancel)
    resume: bool = False
    actions: Callable[..., Any] = Actions
    """What does the actions."""
    engine: FakeEngine = field(init=False)
    keeping: FakeEngine = field(init=False)
    """Of a worker: the engine as it is for ``--keep``."""

    def __post_init__(self) -> None:
        self.programs.cells = self.cells
        self.engine = FakeEngine(self.programs, builder=self.builder, packages=self.packages)
        self.keeping = FakeEngine(self.programs, builder=self.builder, packages=self.packages)
        self.keeping.images = self.engine.images
        self.store = Store(self.folder / "store")
        self.mirror = self.folder / "mirror"
        self.mirror.mkdir(exist_ok=True)
        if self.fetches:
            for one in CATALOG.sources.values():
                (self.mirror / one.file).write_bytes(TARBALL)
            return
        with self.store.scratch() as scratch:
            for one in CATALOG.sources.values():
                (scratch / one.file).write_bytes(TARBALL)
                self.store.put_source(
                    scratch / one.file, sha256=one.sha256 or "", file=one.file, origin="played"
                )

    def go(self) -> RunRecord:
        options = Options(
            profile="full",
            filters=(),
            out=self.folder,
            store=self.store.root,
            memory=1 << 34,
            mirrors=(str(self.mirror),),
            certificates=lambda: Certificates(ca=b"", server=b""),
            here=FakeHost(),
            **{"jobs": 2, **self.choices},
        )
        with pytest.MonkeyPatch.context() as patch, show_log(self.said.append):
            patch.setattr(running, "begin", lambda _out, _now: self._begin())
            record, _ = running.run_matrix(
                MATRIX,
                self.cells,
                CATALOG,
                self.engine,
                options,
                expectations=resolve(MATRIX, expand(MATRIX), date(2026, 11, 1)),
                listen=self.listen,
                cancel=self.cancel,
                resume=self.folder / self.name if self.resume else None,
                actions=self.actions,
            )
        return record

    @property
    def tracebacks(self) -> list[Path]:
        return list((self.folder / self.name).glob("internal-*.txt"))

    def _begin(self) -> Path:
        folder = self.folder / self.name
        folder.mkdir()
        return folder
