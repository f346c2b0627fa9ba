"""Servers that answer and log without end: the outcome stays what it is, and what is kept is bounded."""

from typing import Any

import pytest

from orchestrator import bounds
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason

pytestmark = pytest.mark.containers

ONE = ("arch=amd64", "cipher=TLS_AES_128_GCM_SHA256")
SHORT = Limits(ready=4, request=3)
MIB = 1 << 20


@pytest.mark.fault(
    "HAProxy's log is flooded without end while it is probed",
    "the cell passes, its log is cut and says so, nothing fills up",
)
def test_a_log_without_end_fills_nothing_and_the_cell_still_passes(run: Any, overlay: Any) -> None:
    # A process beside it writes into the same file, under the same limit.
    flood = '(while :; do yes flood; done) >> "${cell}haproxy.log" 2>/dev/null &'
    overlay.edit("probe/supervise.sh", ('    wait "$!"', f'    haproxy=$!\n    {flood}\n    wait "$haproxy"'))
    ran = run(*ONE, overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.PASS, None), cell.message
    files = {path: (ran.folder / path).stat().st_size for path in cell.evidence}
    assert len(files) <= bounds.EVIDENCE_FILES
    assert sum(files.values()) < MIB
    cut_log(ran)
    assert sum(path.stat().st_size for path in ran.folder.rglob("*") if path.is_file()) < 4 * MIB


@pytest.mark.fault(
    "HAProxy itself floods its log: a line of 60,000 characters to each of 64 targets for each request",
    "the cell passes, its log is cut and says so",
)
def test_a_haproxy_that_floods_its_log_still_passes(run: Any, overlay: Any) -> None:
    targets = "\n".join(["    log stdout len 65535 format raw local0"] * 64)
    overlay.edit("probe/haproxy.cfg.j2", ("    log stdout format raw local0", targets))
    overlay.edit("probe/haproxy.cfg.j2", ("    option httplog", f"    log-format {'x' * 60_000}"))
    ran = run(*ONE, overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.PASS, None), cell.message
    cut_log(ran)


def cut_log(ran: Any) -> None:
    """HAProxy's log among the evidence is the end of 8 MiB, and says so."""
    (cell,) = ran.record.cells
    log = next((ran.folder / path).read_text() for path in cell.evidence if path.endswith("/haproxy.log"))
    assert log.startswith("(cut: the last 65536 of 8388608 bytes)\n")


@pytest.mark.fault(
    "a body without end comes through HAProxy",
    "`fail: wrong-body`, and the client takes 16 MiB of it at most",
)
def test_a_body_without_end_is_a_wrong_body(run: Any, overlay: Any) -> None:
    endless = (
        'if self.path == "/1m":\n'
        "            self.send_response(200)\n"
        "            self.end_headers()\n"
        "            self.close_connection = True\n"
        "            while True: self.wfile.write(bytes(1 << 16))\n"
        '        body = BODIES.get(self.path.lstrip("/"))'
    )
    overlay.edit("probe/origin.py", ('body = BODIES.get(self.path.lstrip("/"))', endless))
    ran = run(*ONE, limits=SHORT, overlay=overlay.folder)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.WRONG_BODY), cell.message
    assert len(cell.attempts) == 1
    assert cell.observations.h3.requests[1].bytes_received <= 16 * MIB
