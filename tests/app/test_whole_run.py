"""A whole run, composition included: real actions, on an engine that answers as a good one would."""

import hashlib
import json
from pathlib import Path

import pytest
from builders import line, server_line
from fakes import FakeEngine, Files, cell, ran
from plan_samples import SUITES, TOOLCHAIN
from whole_run import Bench, FakeImages, summed

from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import RunRecord

CELLS = [cell(cipher=suite) for suite in SUITES]
BY_ID = {one.id: one for one in CELLS}
# An ELF header of x86_64 with nothing behind it, and the mark of the library.
BINARY = (
    bytes.fromhex("7f454c4602010100" + "00" * 8 + "02003e0001000000")
    + bytes(40)
    + b"/opt/matrixctl/openssl-3.5.7/ssl"
)


class Programs:
    """Stands for compilers, clients and servers; ``breaks`` is a word of the command that fails."""

    def __init__(self, breaks: str = "") -> None:
        self.breaks = breaks
        self.ran: list[str] = []

    def __call__(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
        command = " ".join(argv)
        name = next(one for one in ("build.sh", "prove.py", "selftest", "driver.py") if one in command)
        self.ran.append(name)
        if name == self.breaks:
            files["build.log"] = b"x.c:1: error: planted\n"
            return ran(exit_code=1, stderr=b"planted")
        match name:
            case "build.sh":
                built = {"tls/lib/libssl.a": b"", "haproxy": BINARY, "selftest": b"\x7fELF"}
                files |= {f"out/{path}": content for path, content in built.items()}
                files |= {"build.log": b"compiled\n", "ccache/x": b""}
                return ran()
            case "prove.py":
                asked = json.loads(files["proof.json"])["proofs"]
                return ran(stdout=b"".join(map(_proof, asked)))
            case "driver.py":
                cells = [BY_ID[one["id"]] for one in json.loads(files["session.json"])["cells"]]
                lines = [server_line(), *map(line, cells)]
                return ran(stdout=b"".join(json.dumps(one).encode() + b"\n" for one in lines))
        return ran(stdout=b"nothing that could be read")


def _proof(entry: dict[str, str]) -> bytes:
    told = {name: entry[name] for name in ("client", "transport", "suite")}
    return json.dumps({**told, "version": "1", "ok": True, "message": ""}).encode() + b"\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Sources that lie in a mirror."""
    sources = {}
    (tmp_path / "mirror").mkdir()
    for component, version in (("haproxy", "3.0.11"), ("openssl", "3.5.7")):
        content, file = pack({f"{component}/Makefile": b"all:\n"}), f"{component}-{version}.tar.gz"
        (tmp_path / "mirror" / file).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        sources[component, version] = Source(
            component=component, version=version, file=file, sha256=sha256, strip=1, origins=()
        )
    return Catalog(sources=sources)


def bench(folder: Path, catalog: Catalog, programs: Programs) -> Bench:
    return Bench(
        folder,
        cells=CELLS,
        engine=FakeEngine(programs),
        images=FakeImages(found=TOOLCHAIN),
        catalog=catalog,
        mirrors=(str(folder / "mirror"),),
        played=False,
    )


def statuses(record: RunRecord) -> dict[str, str]:
    return {f"{one.kind} {one.name}": one.status for one in record.actions if one.kind != "image"}


NAMES = (
    *("source openssl-3.5.7", "tls openssl-3.5.7--amd64", "source haproxy-3.0.11"),
    *("haproxy haproxy-3.0.11--openssl-3.5.7--amd64", "selftest selftest--openssl-3.5.7--amd64"),
    "probe haproxy-3.0.11--openssl-3.5.7--amd64",
)


def test_everything_is_fetched_built_and_judged_once(tmp_path: Path, catalog: Catalog) -> None:
    programs = Programs()
    made = bench(tmp_path, catalog, programs)
    record = made.go()
    assert (summed(record), record.run.exit_code) == ([(Outcome.PASS, None)], 0)
    assert statuses(record) == dict.fromkeys(NAMES, "succeeded")
    assert sorted(programs.ran) == ["build.sh"] * 3 + ["driver.py", "prove.py", "selftest"]
    assert all(one.digest for one in record.actions if one.kind in {"tls", "haproxy", "selftest"})
    assert {one.build.digest for one in record.cells} == {
        one.digest for one in record.actions if one.kind == "haproxy"
    }
    assert (made.engine.left, made.tracebacks) == (set(), [])


def test_a_second_run_finds_all_in_the_store(tmp_path: Path, catalog: Catalog) -> None:
    bench(tmp_path, catalog, Programs()).go()
    (tmp_path / "run").rename(tmp_path / "before")
    programs = Programs()
    record = bench(tmp_path, catalog, programs).go()
    assert summed(record) == [(Outcome.PASS, None)]
    assert statuses(record) == {**dict.fromkeys(NAMES, "cached"), NAMES[-1]: "succeeded"}
    assert "build.sh" not in programs.ran


@pytest.mark.parametrize(
    ("breaks", "reason", "exit_code"),
    [
        ("build.sh", Reason.BUILD_FAILED, 1),
        ("prove.py", Reason.ENGINE_UNAVAILABLE, 4),
        ("driver.py", Reason.ENGINE_UNAVAILABLE, 4),
    ],
)
def test_what_breaks_reaches_every_cell(
    tmp_path: Path, catalog: Catalog, breaks: str, reason: Reason, exit_code: int
) -> None:
    made = bench(tmp_path, catalog, Programs(breaks))
    record = made.go()
    assert {one.reason for one in record.cells} == {reason}
    assert (record.run.exit_code, made.engine.left) == (exit_code, set())
