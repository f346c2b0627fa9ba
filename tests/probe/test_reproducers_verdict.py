"""verdict.py of a reproducer holds a cell's line against what is declared, as matrixctl's own judge does."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from builders import (
    BINARY,
    CHOSEN,
    GCM,
    NO_QUIC_FEATURES,
    Raw,
    broken,
    dead,
    exchange,
    first_broken,
    request,
    server_line,
    vv,
)
from builders import line as good_line
from fakes import cell

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Limits
from orchestrator.outcome import FAILURES, Outcome
from orchestrator.plan.render import Renderer
from orchestrator.probe.classify import classify
from orchestrator.probe.judge import _PROVES, _challenge, judge
from orchestrator.probe.observe import observe
from orchestrator.probe.session_files import list_requests, make_session_files

CELL = cell(cipher=GCM)
DEFAULT = cell(cipher="default")
FIRST, _, UPLOAD = list_requests()
CCM = cell(cipher="TLS_AES_128_CCM_SHA256")
OFFERED = cell(cipher="TLS_AES_128_CCM_SHA256", client="gtlsclient")


@pytest.fixture(scope="module")
def verdict() -> ModuleType:
    path = resources.find_root() / "templates/reproduce/verdict.py"
    spec = importlib.util.spec_from_file_location("verdict", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdict"] = module
    spec.loader.exec_module(module)
    return module


def told(module: ModuleType, folder: Path, one: Cell, lines: list[Raw], *argv: str, **expected: Any) -> int:
    """The exit code that reproduce.sh makes of it, with the files that a folder has."""
    declared = capabilities.find_unsupported(one, ARCHES["amd64"])
    known = {"declared": declared.reason if declared else None, **expected.pop("cell", {})}
    session = make_session_files(Renderer(), [one], Limits(), None)["session.json"]
    (folder / "session.json").write_bytes(session)
    expectations = {"machine": "x86_64", "cells": {one.id: known}, **expected}
    (folder / "expected.json").write_text(json.dumps(expectations))
    code: int = module.main(list(argv), [json.dumps(line) for line in lines], folder)
    return {0: 0, 42: 1, 125: 125}[code]


def reset(**changed: Any) -> Raw:
    return first_broken(95, "stream reset", handshake_s=0.1, **changed)


RAWS = {
    "pass": (CELL, good_line(CELL)),
    "default": (DEFAULT, good_line(DEFAULT)),
    "refused": (CELL, good_line(CELL, h3=first_broken(28, "t", close_code=0x128), handshake_failures=1)),
    "timeout": (CELL, good_line(CELL, h3=first_broken(28, "timed out"))),
    "hang": (CELL, good_line(CELL, h3=first_broken(28, "timed out", handshake_s=0.01))),
    "late alert": (CELL, good_line(CELL, h3=first_broken(56, "x", handshake_s=0.01, close_code=0x128))),
    "reset": (CELL, good_line(CELL, h3=reset())),
    "cut body": (CELL, good_line(CELL, h3=reset(received=7))),
    "wrong cipher": (CELL, good_line(CELL, h3=exchange(cipher=CHOSEN))),
    "no cipher": (CELL, good_line(CELL, h3=exchange(cipher=None))),
    "not http3": (CELL, good_line(CELL, h3=exchange(http_version="2"))),
    "status": (CELL, good_line(CELL, h3=exchange(status=500))),
    "gateway, origin down": (CELL, good_line(CELL, h3=exchange(status=503), origin_ok=False)),
    "timeout, origin down": (CELL, good_line(CELL, h3=first_broken(28, "t"), origin_ok=False)),
    "hang, origin down": (CELL, good_line(CELL, h3=reset(), origin_ok=False)),
    "wrong bytes": (CELL, good_line(CELL, h3=exchange(sha256="3" * 64))),
    "upload lost": (
        CELL,
        good_line(
            CELL, h3=exchange([request(one) for one in list_requests()[:2]] + [request(UPLOAD, text="{}")])
        ),
    ),
    "upload broken": (
        CELL,
        good_line(
            CELL,
            h3=exchange(
                [request(one) for one in list_requests()[:2]] + [broken(UPLOAD, 28, "t", handshake_s=0.1)]
            ),
        ),
    ),
    "certificate": (CELL, good_line(CELL, h3=first_broken(60, "certificate"))),
    "stopped": (CELL, good_line(CELL, h3=first_broken(124, "stopped"))),
    "cannot offer": (CELL, good_line(CELL, h3=first_broken(59, "no such cipher"))),
    "no request": (CELL, good_line(CELL, h3=exchange([]))),
    "one request": (CELL, good_line(CELL, h3=exchange([request(FIRST)]))),
    "not ready": (CELL, good_line(CELL, ready_s=None, h3=None, control=None)),
    "crash": (CELL, dead(CELL, 139, ready_s=0.1)),
    "crash at start": (CELL, dead(CELL, 139)),
    "exit": (CELL, dead(CELL, 3, ready_s=0.1)),
    "killed": (CELL, dead(CELL, 137, ready_s=0.1)),
    "refuses its configuration": (CELL, dead(CELL, 1, "[ALERT] (7) : no such cipher")),
    "sanitizer": (
        CELL,
        good_line(CELL, files={"haproxy.log": "==7==ERROR: AddressSanitizer: heap-use-after-free"}),
    ),
    "qemu": (CELL, dead(CELL, 1, "qemu-aarch64: unknown option")),
    "CCM passes": (CCM, good_line(CCM)),
    "CCM crashes": (CCM, dead(CCM, 139, ready_s=0.1)),
    "CCM by another client passes": (OFFERED, good_line(OFFERED)),
    "CCM by another client times out": (OFFERED, good_line(OFFERED, h3=first_broken(28, "t"))),
    "CCM by another client crashes": (OFFERED, dead(OFFERED, 139, ready_s=0.1)),
    "CCM times out": (CCM, good_line(CCM, h3=first_broken(28, "timed out"))),
}


def as_judged(one: Cell, raw: Raw, **server: Any) -> int:
    """The exit code that the judge's own outcome means."""
    declared = capabilities.find_unsupported(one, ARCHES["amd64"])
    found = judge(one, BINARY, server_line(**server), raw, declared)
    if found.outcome is Outcome.PASS:
        return 1 if found.contradicts else 0
    if found.outcome is Outcome.UNSUPPORTED:
        return 0 if declared and found.reason == declared.reason else 125
    return 1 if found.outcome in FAILURES else 125


@pytest.mark.parametrize("name", RAWS)
def test_it_ends_as_the_judge_does(verdict: ModuleType, tmp_path: Path, name: str) -> None:
    one, raw = RAWS[name]
    assert told(verdict, tmp_path, one, [server_line(), raw]) == as_judged(one, raw)


@pytest.mark.parametrize(
    ("server", "code"),
    [
        pytest.param({"machine": "aarch64\n"}, 125, id="another machine"),
        pytest.param({"vv": "", "vv_status": 139}, 1, id="-vv crashes"),
        pytest.param({"vv": "", "vv_status": 127}, 125, id="-vv cannot be started"),
        pytest.param({"vv": vv(features=NO_QUIC_FEATURES)}, 125, id="no QUIC"),
        pytest.param({"vv": vv(version="3.0.12")}, 125, id="another HAProxy"),
        pytest.param({"vv": vv(running="OpenSSL 3.5.8")}, 125, id="another library"),
    ],
)
def test_nothing_is_told_of_another_haproxy_than_the_runs(
    verdict: ModuleType, tmp_path: Path, server: dict[str, Any], code: int
) -> None:
    expected = {"haproxy_version": "3.0.11-d60d1a7", "tls_running": "OpenSSL 3.5.7 9 Jun 2026"}
    assert told(verdict, tmp_path, CELL, [server_line(), good_line(CELL)], **expected) == 0
    assert told(verdict, tmp_path, CELL, [server_line(**server), good_line(CELL)], **expected) == code


def test_a_tree_of_another_version_is_judged(verdict: ModuleType, tmp_path: Path) -> None:
    lines = [server_line(vv=vv(version="3.3-dev1")), good_line(CELL)]
    assert told(verdict, tmp_path, CELL, lines, "--other", haproxy_version="3.0.11") == 0


def test_a_rules_default_is_asked_for(verdict: ModuleType, tmp_path: Path) -> None:
    lines = [server_line(), good_line(DEFAULT)]
    assert told(verdict, tmp_path, DEFAULT, lines, cell={"default_cipher": CHOSEN}) == 0
    assert told(verdict, tmp_path, DEFAULT, lines, cell={"default_cipher": GCM}) == 1


@pytest.mark.parametrize("lines", [[], [server_line()], [good_line(CELL)]], ids=["none", "server", "cell"])
def test_a_driver_that_said_too_little_tells_nothing(
    verdict: ModuleType, tmp_path: Path, lines: list[Raw]
) -> None:
    assert told(verdict, tmp_path, CELL, lines) == 125


REPORT = "==7==ERROR: AddressSanitizer: heap-use-after-free"
GATEWAY = {"h3": exchange(status=503), "origin_ok": False}
SHAPES: dict[str, Raw] = {
    "well": {},
    "refused": {"h3": first_broken(28, "t", close_code=0x128)},
    "closed": {"h3": first_broken(56, "t", shows="closed-by-server")},
    "fault in the answer": {"h3": first_broken(56, "t", shows="fault-in-answer")},
    "gave up": {"h3": first_broken(7, "t")},
    "timeout": {"h3": first_broken(28, "t")},
    "hang": {"h3": first_broken(28, "t", handshake_s=0.01)},
    "late alert": {"h3": first_broken(56, "x", handshake_s=0.01, close_code=0x128)},
    "alert after bytes": {
        "h3": first_broken(56, "x", handshake_s=0.01, first_byte_s=0.1, close_code=0x128, received=7)
    },
    "closed by HTTP/3": {"h3": first_broken(56, "x", handshake_s=0.01, close_code=0x10C)},
    "closed by QUIC": {"h3": first_broken(56, "x", handshake_s=0.01, close_code=2)},
    "reset": {"h3": reset()},
    "cut body": {"h3": reset(received=7)},
    "cut body, closed": {"h3": reset(received=7, close_code=2)},
    "wrong body": {"h3": exchange(sha256="3" * 64)},
    "wrong status": {"h3": exchange(status=500)},
    "gateway, origin down": GATEWAY,
    "timeout, origin down": {"h3": first_broken(28, "t"), "origin_ok": False},
    "reset, origin down": {"h3": reset(), "origin_ok": False},
    "no HTTP/3": {"h3": exchange(http_version="2")},
    "wrong cipher": {"h3": exchange(cipher="TLS_CHACHA20_POLY1305_SHA256")},
    "no cipher": {"h3": exchange(cipher=None)},
    "upload broken": {
        "h3": exchange(
            [request(one) for one in list_requests()[:2]] + [broken(UPLOAD, 28, "t", handshake_s=0.1)],
            exit_code=28,
        )
    },
    "second handshake refused": {
        "h3": exchange([request(FIRST, status=500), broken(list_requests()[1], 28, "t", close_code=0x128)])
    },
    "certificate": {"h3": first_broken(60, "certificate")},
    "stopped": {"h3": first_broken(124, "stopped")},
    "cannot offer": {"h3": first_broken(59, "no such cipher")},
    "no request": {"h3": exchange([])},
    "one request": {"h3": exchange([request(FIRST)])},
    "not ready": {"ready_s": None, "h3": None, "control": None},
}
LOGS = ("", "[ALERT] (7) : no such cipher", "qemu-aarch64: unknown option", REPORT)


def of_each_kind() -> dict[str, Cell]:
    """A cell of each declaration and client in the default matrix, and one of which nothing is declared."""
    found = {"none": CELL, "default": DEFAULT}
    for one in expand(load(resources.find_root() / "matrix.yaml")):
        if declared := capabilities.find_unsupported(one, ARCHES["amd64"]):
            found.setdefault(f"{declared.reason} {one.client.name}", one)
    return found


KINDS = of_each_kind()


def as_challenged(one: Cell, raw: Raw) -> int:
    """What the judge makes of a cell whose HAProxy is the right one."""
    declared = capabilities.find_unsupported(one, ARCHES["amd64"])
    found, contradicts = _challenge(declared, classify(one, observe(one, raw)), no_quic=False)
    if found.outcome is Outcome.PASS:
        return 1 if contradicts else 0
    if found.outcome is Outcome.UNSUPPORTED:
        return 0 if declared and found.reason == declared.reason else 125
    return 1 if found.outcome in FAILURES else 125


def lines_of(one: Cell) -> dict[str, Raw]:
    """Lines of a cell: each shape with each count of failed handshakes and a report, and each end."""
    made = {}
    for shape, changed in SHAPES.items():
        for failures in (0, 1):
            for log in ("", REPORT):
                raw = good_line(one, **changed, handshake_failures=failures, files={"haproxy.log": log})
                made[f"{shape}, {failures} failed, {log}"] = raw
    for status in (0, 1, 3, 126, 127, 134, 137, 139, 143):
        for log in LOGS:
            for ready in (None, 0.1):
                made[f"ended {status} {log} {ready}"] = dead(one, status, log, ready_s=ready)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_as_the_judge_does_for_each_declaration(
    verdict: ModuleType, tmp_path: Path, kind: str
) -> None:
    one = KINDS[kind]
    machine = f"{one.arch.arch.machine}\n"
    differ = {}
    for name, raw in lines_of(one).items():
        lines = [server_line(machine=machine), raw]
        mine = told(verdict, tmp_path, one, lines, machine=machine.strip())
        if mine != (wanted := as_challenged(one, raw)):
            differ[name] = (mine, wanted)
    assert differ == {}


def test_it_is_held_against_each_declaration_of_the_product() -> None:
    assert {kind.split()[0] for kind in KINDS} >= {"client-cannot-offer", "library-cannot", "haproxy-cannot"}


def test_the_table_of_proofs_is_the_judges(verdict: ModuleType) -> None:
    assert {
        reason.value: {str(one) for one in proofs} for reason, proofs in _PROVES.items()
    } == verdict.PROVES


def test_an_haproxy_without_quic_is_as_declared_where_that_is_declared(
    verdict: ModuleType, tmp_path: Path
) -> None:
    lines = [server_line(vv=vv(features=NO_QUIC_FEATURES)), dead(CELL, 1, "[ALERT] no quic")]
    declared = {"cell": {"declared": "haproxy-cannot"}}
    assert told(verdict, tmp_path, CELL, lines, no_quic=True, **declared) == 0
    assert told(verdict, tmp_path, CELL, lines, no_quic=False, **declared) == 125
    assert told(verdict, tmp_path, CELL, lines, no_quic=True) == 125
