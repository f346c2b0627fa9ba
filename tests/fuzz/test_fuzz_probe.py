"""What reads the answers of containers, clients and servers: every byte of them may be anything."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from threading import Thread
from typing import Any

import pytest
import test_prober
from builders import BINARY, FEATURES, line, server_line, vv
from client_scripts import SCRIPTS, loaded, loaded_driver
from fakes import cell
from fuzzing import Fuzz
from hypothesis import strategies as st
from mutations import near_bytes, near_text, near_tree
from record_samples import cell as a_record

from orchestrator.errors import MatrixctlError
from orchestrator.frozen_value import Value, replace_surrogates
from orchestrator.outcome import Outcome
from orchestrator.probe import classify, cpu, observe, proof, selftest, session
from orchestrator.probe.attest import attest, find_misbuild, inspect
from orchestrator.probe.judge import judge
from orchestrator.probe.prober import _EndsHere, _SessionReader
from orchestrator.probe.session_files import list_requests
from orchestrator.record.model import SelfTest

CELL = cell()
LINE, SERVER = line(CELL), server_line()
LOGS = tuple(
    path.read_bytes().decode(errors="replace")
    for path in sorted((Path(test_prober.__file__).parent / "gtlsclient").glob("*.log"))
)
ANSWER = "\n".join(line for line in LOGS[0].splitlines() if line.lower().startswith(("http", "quic")))
"""What is read of a long log."""
REAL = Path(sys.executable).resolve().read_bytes()[:4096] + test_prober.BINARY
GET, POST = (
    {"name": one.name, "path": one.path, "upload": one.upload}
    for one in (list_requests()[0], list_requests()[2])
)


def of_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_driver_bytes(fuzz: Fuzz) -> None:
    fuzz(near_bytes(of_json(LINE), of_json(SERVER)), lambda content: judged(session._parse(content)))


def judged(raw: Any) -> object:
    """A judgement, whatever the line says."""
    found = judge(CELL, BINARY, SERVER, raw, None)
    assert found.outcome in Outcome
    return kept(found)


def kept(found: Value) -> str:
    """As a journal has it, which replaces what UTF-8 cannot say."""
    return type(found).model_validate(replace_surrogates(found.model_dump())).model_dump_json()


def test_driver_tree(fuzz: Fuzz) -> None:
    def call(lines: tuple[Any, Any]) -> object:
        server, raw = lines
        if not isinstance(server, dict) or not isinstance(raw, dict):
            return None
        return kept(judge(CELL, BINARY, server, raw, None))

    fuzz(st.tuples(st.one_of(st.just(SERVER), near_tree(SERVER)), near_tree(LINE)), call)


def test_attempts(fuzz: Fuzz, tmp_path: Path) -> None:
    """Every cell of a session is judged, whatever the driver says of whichever."""
    cells = [CELL, cell(cipher="TLS_AES_256_GCM_SHA384")]
    test = {"kind": "selftest", "output": "{}", "exit_code": 0, "timed_out": False}
    lines = [SERVER, test, LINE, line(cells[1])]

    def call(raws: list[Any]) -> object:
        bench = test_prober.Bench(tmp_path)
        ends = _EndsHere(last_round=True, last_try=True, again=False)
        whys = {one.id: "first" for one in cells}
        attempt = _SessionReader(bench.prober, cells, b"", whys, ends, server="server")
        error: MatrixctlError | None = None
        try:
            for raw in raws:
                attempt.on_line(session._parse(of_json(raw)))
        except MatrixctlError as caught:
            error = caught
        attempt.close(error)
        assert {key for key, _, _ in bench.told} == {one.id for one in cells}
        assert len(bench.told) == len(cells)
        return [(key, judged.outcome) for key, judged, _ in bench.told]

    fuzz(st.lists(st.one_of(near_tree(*lines), st.sampled_from(lines)), max_size=4), call)


def test_elf(fuzz: Fuzz) -> None:
    fuzz(near_bytes(REAL, test_prober.BINARY), inspect)


def test_haproxy_vv(fuzz: Fuzz) -> None:
    def call(texts: tuple[str, str]) -> object:
        found = attest(CELL, BINARY, *texts)
        return kept(found), find_misbuild(CELL, found)

    fuzz(st.tuples(near_text("x86_64\n"), near_text(vv(), vv(library="SSL library"), FEATURES)), call)


def test_cpu_diagnostics(fuzz: Fuzz) -> None:
    arches = [cell(arch=name) for name in ("amd64", "arm64", "s390x", "riscv64")]
    sample = "dl_hwcap=0x8\nx86.cpu_features.features[0x0].cpuid[0x2]=0x7ffafbff\ndl_platform=haswell\n"

    def call(text: str) -> object:
        return [(cpu.read_features(one.arch.arch, text), cpu.find_contradiction(one, text)) for one in arches]

    fuzz(near_text(sample), call)


CHECK = {"suite": selftest.INITIAL, "api": "evp-cipher", "check": "open", "ok": False, "detail": "at 3"}


def test_selftest_output(fuzz: Fuzz) -> None:
    """What it says is a result, and can be told of a cell that failed."""
    lines = near_tree({"library": "OpenSSL 3.5.7"}, CHECK).map(of_json)
    outputs = st.one_of(
        st.lists(lines, max_size=5).map(b"\n".join),
        near_bytes(b'{"library": "x"}\n' + of_json(CHECK) + b"\n"),
    )
    failed = a_record("a", Outcome.FAIL)

    def call(output: bytes) -> object:
        text = output.decode(errors="replace")
        library, checks, problem = selftest.read(text, exit_code=len(output) % 3, timed_out=False)
        axes = failed.axes
        test = SelfTest(
            tls=axes.tls.name,
            arch=axes.arch.name,
            execution=axes.execution.name,
            library=library,
            problem=problem,
            checks=checks,
            evidence=(),
        )
        joined = selftest.join_results(test, test, "another")
        return kept(joined), selftest.find_cause(failed, [joined], "evp-cipher")

    fuzz(outputs, call)


def test_clients_proof(fuzz: Fuzz) -> None:
    sample = {
        "client": "curl",
        "version": "curl 8",
        "transport": "h3",
        "suite": None,
        "ok": True,
        "message": "",
    }
    samples = st.one_of(near_tree(sample).map(of_json), near_bytes(of_json(sample)))

    def call(content: bytes) -> object:
        made = proof._read_proof(content, None)
        return kept(made), proof.find_contradictions([made]), proof.find_unproved(CELL, [made])

    fuzz(samples, call)


def test_gtlsclient_log(fuzz: Fuzz) -> None:
    """What the script in the client's container makes of it is an answer that can be observed."""
    gtls = loaded("gtlsclient")

    def call(log: str) -> object:
        found = [gtls.read_log(log, wanted, 1024) for wanted in (GET, POST)]
        json.dumps(found)
        return found, [len(one) for one in gtls.read_certificates(log)]

    fuzz(near_text(*LOGS, ANSWER, ANSWER, edits=8), call)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The adapters, with a curl that says what lies in a file."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "curl").write_text(f'#!/bin/sh\ncat "{tmp_path}/said"\n')
    (programs / "curl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return loaded("clients")


WROTE = {
    "http_version": "3",
    "http_code": 200,
    "exitcode": 0,
    "errormsg": None,
    "num_connects": 1,
    "size_upload": 0,
    "time_appconnect": 0.01,
    "time_starttransfer": 0.02,
    "time_total": 0.03,
}
HEADERS = b"HTTP/3 200\r\nx-matrixctl-cipher: TLS_AES_128_GCM_SHA256\r\nx-matrixctl-protocol: TLSv1.3\r\n\r\n"


def test_curl_output(fuzz: Fuzz, clients: Any, tmp_path: Path) -> None:
    """curl's JSON, the server's headers and its body: the answer is one that can be judged."""
    job = {
        "client": "curl",
        "own": False,
        "folder": str(tmp_path),
        "transport": "h3",
        "request_s": 5,
        "suite": None,
        "requests": [GET, POST],
    }
    several = st.lists(near_tree(WROTE).map(of_json), min_size=1, max_size=2).map(b"\n".join)
    printed = st.one_of(several, near_bytes(of_json(WROTE) + b"\n" + of_json(WROTE)))

    def call(given: tuple[bytes, bytes, bytes]) -> object:
        (tmp_path / "said").write_bytes(given[0])
        for kind, content in zip(("headers", "body"), given[1:], strict=True):
            (tmp_path / f"h3.{GET['name']}.{kind}").write_bytes(content)
            (tmp_path / f"h3.{POST['name']}.{kind}").write_bytes(content)
        code, requests = clients.ask_curl(job)
        exchange = {"exit_code": code, "duration_s": 0.1, "requests": requests}
        return judged(session._parse(of_json({**LINE, "h3": exchange})))

    fuzz(st.tuples(printed, near_bytes(HEADERS), near_bytes(b'{"sha256": "00"}')), call)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    return loaded_driver(monkeypatch, tmp_path)


@pytest.fixture
def stats(tmp_path: Path) -> Iterator[list[bytes]]:
    """A server's statistics socket; it says what stands in the list."""
    said = [b""]

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(said[0])

    with ThreadingUnixStreamServer(str(tmp_path / "stats.sock"), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield said
        server.shutdown()


TYPED = b"F.2.0.66.quic_hdshk_fail.1:MCP:u64:3\nB.3.0.0.pxname.1:KNSV:str:be\n" * 3


def test_stats_and_status(fuzz: Fuzz, driver: Any, stats: list[bytes], tmp_path: Path) -> None:
    """What the server's statistics and its supervisor's files say is a number, or nothing."""

    def call(given: tuple[bytes, bytes]) -> object:
        stats[0] = given[0]
        (tmp_path / "status").write_bytes(given[1])
        failures = driver.count_handshake_failures(driver.read_statistics(tmp_path))
        status = driver.read_status(tmp_path)
        raw = {
            **LINE,
            "handshake_failures": failures,
            "exit_code": status,
            "files": driver.read_evidence(tmp_path),
        }
        raw["files"].pop("stats.txt", None)
        return judged(session._parse(of_json(raw)))

    fuzz(st.tuples(near_bytes(TYPED), near_bytes(b"139\n")), call)


def test_log_lines(fuzz: Fuzz) -> None:
    """What HAProxy wrote before it ended."""
    log = "[NOTICE]   (7) : x\n[ALERT]    (7) : config : y\nqemu: uncaught target signal 11\n"

    def call(given: tuple[str, int]) -> object:
        text, status = given
        raw = {**LINE, "ready_s": None, "exit_code": status, "files": {"haproxy.log": text}}
        return classify.classify(CELL, observe.observe(CELL, raw))

    fuzz(st.tuples(near_text(log), st.integers(0, 300)), call, refuses=observe.MALFORMED)
