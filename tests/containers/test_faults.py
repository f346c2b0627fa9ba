"""Planted faults: each comes out as what it is, and its neighbours pass."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.probe import certificates
from orchestrator.probe.certificates import Certificates

pytestmark = pytest.mark.containers

CHACHA, GCM = "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"
TWO = ("arch=amd64", f"cipher={CHACHA},{GCM}")
ONE = ("arch=amd64", f"cipher={GCM}")
SHORT = Limits(ready=10, request=3)
"""For what is waited for until the end."""


def one(ran: Any) -> tuple[Outcome, Reason | None]:
    (cell,) = ran.record.cells
    return cell.outcome, cell.reason


_PROBED = '"$@" "$loader" --list-diagnostics'
"""A line of the supervisor, after the one that starts the servers."""
_WATCH = """(while sleep 0.05; do for f in cells/*/signal; do
  [ -e "$f" ] && kill -s "$(cat "$f")" "$(cat "${f%/signal}/pid")" && rm -f "$f"
done; done) &
"""


def signalled(overlay: Any, signal: str, path: str, suite: str = CHACHA, arch: str = "") -> Any:
    """HAProxy of one cell gets a signal from its supervisor when a request for ``path`` has come in.

    :param arch: of this architecture alone; of all, if empty.
    """
    overlay.edit(
        "probe/haproxy.cfg.j2",
        (
            "    default_backend origin",
            (
                "    http-request set-header x-folder {{ folder }}\n"
                '    http-request set-header x-suite "{{ cell.cipher.suite }}"\n'
                '    http-request set-header x-arch "{{ cell.arch.name }}"\n    default_backend origin'
            ),
        ),
    )
    overlay.edit(
        "probe/origin.py",
        (
            "        body = BODIES.get",
            (
                f'        if (self.path == "{path}" and self.headers["x-suite"] == "{suite}"\n'
                f'                and self.headers["x-arch"] in {[arch] if arch else ["amd64", "arm64"]}):\n'
                f'            path = Path(sys.argv[2], self.headers["x-folder"], "signal")\n'
                f'            path.write_text("{signal}")\n'
                "            import time; until = time.monotonic() + 30\n"
                "            while path.exists() and time.monotonic() < until: time.sleep(0.02)\n"
                "        body = BODIES.get"
            ),
        ),
    )
    return overlay.edit(
        "probe/supervise.sh",
        (
            _PROBED,
            _WATCH + _PROBED,
        ),
    )


@pytest.mark.fault(
    "HAProxy crashes (SEGV) in the middle of a body",
    "`fail: server-crashed` with the signal, not tried again; its neighbours pass",
)
def test_a_crash_takes_one_cell_with_it(run: Any, overlay: Any) -> None:
    ran = run(*TWO, overlay=signalled(overlay, "SEGV", "/1m").folder)
    crashed, healthy = ran.cell(CHACHA), ran.cell(GCM)
    assert (crashed.outcome, crashed.reason) == (Outcome.FAIL, Reason.SERVER_CRASHED)
    assert crashed.observations.server.signal == "SIGSEGV"
    assert crashed.verdict is Verdict.REGRESSION
    assert len(crashed.attempts) == 1, "a product failure is never tried again"
    assert healthy.outcome is Outcome.PASS
    assert ran.record.run.exit_code == 1


@pytest.mark.fault(
    "HAProxy is killed from outside (KILL)",
    "`error: killed` after three tries, exit code 4; its neighbours pass at once",
)
def test_a_kill_from_outside_is_the_harness(run: Any, overlay: Any) -> None:
    ran = run(*TWO, limits=SHORT, overlay=signalled(overlay, "KILL", "/1m").folder)
    killed, healthy = ran.cell(CHACHA), ran.cell(GCM)
    assert (killed.outcome, killed.reason) == (Outcome.ERROR, Reason.KILLED)
    assert len(killed.attempts) == 3, "a failure of the harness is tried again"
    assert (healthy.outcome, len(healthy.attempts)) == (Outcome.PASS, 1)
    assert ran.record.run.exit_code == 4


@pytest.mark.fault(
    "HAProxy stops for good after the handshake",
    "`fail: handshake-then-hang`; its neighbours pass",
)
def test_a_server_that_stops_answering_hangs_after_the_handshake(run: Any, overlay: Any) -> None:
    ran = run(*TWO, limits=SHORT, overlay=signalled(overlay, "STOP", "/1k").folder)
    cell = ran.cell(CHACHA)
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.HANDSHAKE_THEN_HANG)
    assert cell.observations.h3.requests[0].handshake_s
    assert ran.cell(GCM).outcome is Outcome.PASS


@pytest.mark.fault(
    "HAProxy stops for good before the handshake",
    "`fail: handshake-timeout`",
)
def test_a_silent_server_is_a_handshake_timeout(run: Any, overlay: Any) -> None:
    overlay.edit("probe/supervise.sh", (_PROBED, _WATCH + _PROBED))
    stop = "(folder / 'signal').write_text('STOP')\n    while (folder / 'signal').exists(): time.sleep(0.02)"
    overlay.edit(
        "probe/driver.py",
        ("    ready = wait_ready(cell, folder)", f"    ready = wait_ready(cell, folder)\n    {stop}"),
    )
    assert one(run(*ONE, limits=SHORT, overlay=overlay.folder)) == (Outcome.FAIL, Reason.HANDSHAKE_TIMEOUT)


def test_a_suite_that_the_server_lacks_is_refused(run: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("alpn h3", f"alpn h3 ciphersuites {GCM}"))
    ran = run(*TWO, overlay=overlay.folder)
    cell = ran.cell(CHACHA)
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.HANDSHAKE_REFUSED), cell.message
    assert cell.observations.server.handshake_failures > 0
    assert cell.observations.control.requests[0].status == 200, "over TCP the suite still works"
    assert ran.cell(GCM).outcome is Outcome.PASS


def test_wrong_certificate(run: Any) -> None:
    def mixed() -> Certificates:
        return Certificates(ca=certificates.make().ca, server=certificates.make().server)

    assert one(run(*ONE, certificates=mixed)) == (Outcome.FAIL, Reason.BAD_CERTIFICATE)


def test_wrong_body(run: Any, overlay: Any) -> None:
    get = 'body = BODIES.get(self.path.lstrip("/"))'
    flip = 'if self.path == "/1m": body = body[:-1] + bytes([body[-1] ^ 1])'
    overlay.edit("probe/origin.py", (get, f"{get}\n        {flip}"))
    ran = run(*ONE, overlay=overlay.folder)
    assert one(ran) == (Outcome.FAIL, Reason.WRONG_BODY)
    assert "get-1m" in ran.record.cells[0].message


def test_cut_body(run: Any, overlay: Any) -> None:
    half = 'self.wfile.write(body[: len(body) // 2] if self.path == "/1m" else body)'
    overlay.edit(
        "probe/origin.py", ("self.wfile.write(body)", f"{half}\n        self.close_connection = True")
    )
    assert one(run(*ONE, overlay=overlay.folder)) == (Outcome.FAIL, Reason.WRONG_BODY)


def test_cut_upload(run: Any, overlay: Any) -> None:
    overlay.edit(
        "probe/origin.py",
        (
            "            length += len(data)\n",
            "            length += len(data)\n            if length > 1 << 19: break\n",
        ),
    )
    assert one(run(*ONE, overlay=overlay.folder)) == (Outcome.FAIL, Reason.UPLOAD_INCOMPLETE)


@pytest.mark.fault(
    "the origin behind HAProxy never answers",
    "`error: origin-down` after three tries: not the product's fault",
)
def test_dead_origin_is_the_harness(run: Any, overlay: Any) -> None:
    overlay.edit(
        "probe/origin.py", ("ThreadingHTTPServer((", "import time; time.sleep(600); ThreadingHTTPServer((")
    )
    ran = run(*ONE, limits=SHORT, overlay=overlay.folder)
    assert one(ran) == (Outcome.ERROR, Reason.ORIGIN_DOWN)
    assert len(ran.record.cells[0].attempts) == 3


def test_bad_status(run: Any, overlay: Any) -> None:
    overlay.edit(
        "probe/haproxy.cfg.j2",
        ("    default_backend origin", "    http-request deny\n    default_backend origin"),
    )
    assert one(run(*ONE, overlay=overlay.folder)) == (Outcome.FAIL, Reason.BAD_STATUS)


def test_wrong_cipher(run: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("%[ssl_fc_cipher]", "TLS_AES_256_GCM_SHA384"))
    assert one(run(*ONE, overlay=overlay.folder)) == (Outcome.FAIL, Reason.WRONG_CIPHER)


def test_not_http3(run: Any, overlay: Any) -> None:
    # In the cells alone: the proof of the clients would else find the plant first.
    overlay.edit("probe/curlrc.j2", ('"http3-only" if', '"http3-only" if cell is not defined and'))
    assert one(run(*ONE, overlay=overlay.folder)) == (Outcome.FAIL, Reason.NOT_HTTP3)


def test_refused_configuration(run: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("nbthread 1", "nbthread one"))
    ran = run(*ONE, overlay=overlay.folder)
    assert one(ran) == (Outcome.FAIL, Reason.CONFIG_REFUSED)
    assert "nbthread" in ran.record.cells[0].message


def test_no_listener(run: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("    limited-quic", "    no-quic"))
    assert one(run(*ONE, limits=SHORT, overlay=overlay.folder)) == (Outcome.FAIL, Reason.NOT_READY)


@pytest.mark.soak
def test_a_build_without_quic_is_misbuilt(run: Any, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(
        """
version: 1
axes:
  arch: [amd64]
  haproxy: [{name: without-quic, version: "3.0.11", make_flags: ["USE_QUIC=", "USE_QUIC_OPENSSL_COMPAT="]}]
  tls: [openssl-distro]
  cipher: [TLS_AES_128_GCM_SHA256]
"""
    )
    ran = run(profile="full", matrix=matrix)
    assert one(ran) == (Outcome.MISBUILT, Reason.NO_QUIC), ran.record.cells[0].message
    assert ran.record.run.exit_code == 1


def test_a_build_that_fails_says_why(run: Any, overlay: Any) -> None:
    overlay.edit(
        "build/haproxy.sh.j2",
        ("step=compiling\nmake", 'echo "#error planted fault" >> src/mux_h2.c\nstep=compiling\nmake'),
    )
    ran = run(*TWO, overlay=overlay.folder)
    assert {(cell.outcome, cell.reason) for cell in ran.record.cells} == {(Outcome.FAIL, Reason.BUILD_FAILED)}
    (log,) = ran.record.cells[0].evidence
    assert "planted fault" in (ran.folder / log).read_text()
    (action,) = [action for action in ran.record.actions if action.kind == "haproxy"]
    assert "planted fault" in action.message


def test_fail_fast_stops_at_the_first_failure(run: Any, overlay: Any) -> None:
    overlay.edit("probe/haproxy.cfg.j2", ("nbthread 1", "nbthread one"))
    ran = run(*TWO, overlay=overlay.folder, fail_fast=True, jobs=1, repeat=3)
    (first, *_) = sorted(ran.record.cells, key=lambda cell: len(cell.attempts), reverse=True)
    assert (first.reason, len(first.attempts)) == (Reason.CONFIG_REFUSED, 1)
    assert ran.record.run.status == "finished"
    assert ran.record.run.exit_code == 1


def test_more_jobs_than_cpus_are_no_error(run: Any) -> None:
    assert one(run(*ONE, jobs=64)) == (Outcome.PASS, None)
