"""Every verdict, met for real: failures are planted into the distro's build, rules expect them or others."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from test_faults import signalled

from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.store.store import Store
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import CellRecord
from orchestrator.report.headline import write_parts

pytestmark = pytest.mark.containers

GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
CCM = "TLS_AES_128_CCM_SHA256"
HEAD = f"""version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro, libressl-3.9.2]
  cipher: [{GCM}, {AES256}, {CHACHA}, {CCM}, default]
expect:
"""
TODAY = date(2026, 11, 22)


def write(folder: Path, *rules: str) -> Path:
    path = folder / "matrix.yaml"
    path.write_text(HEAD + "".join(f"  - {{{rule}, because: 'https://a.example/1'}}\n" for rule in rules))
    return path


HANG = "outcome: fail, reason: handshake-then-hang"
CRASH = "outcome: fail, reason: server-crashed"


def test_every_verdict_in_one_run(run: Any, overlay: Any, tmp_path: Path) -> None:
    """Both forced GCM cells crash. Of one it is known, of the other a hang is; ChaCha20 is well after all."""
    matrix = write(
        tmp_path,
        f"when: [tls=openssl, cipher={GCM}], {CRASH}",
        f"when: [tls=openssl, cipher={AES256}], {HANG}",
        f"when: [tls=openssl, cipher={CHACHA}], {HANG}",
        f"when: [tls=openssl, cipher=default], outcome: pass, cipher: {CHACHA}",
        "when: [tls=libressl, cipher=*GCM*], outcome: blocked, reason: source-unreachable",
        f"when: [tls=nossl], {HANG}",
    )
    planted = signalled(signalled(overlay, "SEGV", "/1m", GCM), "SEGV", "/1k", AES256).folder
    ran = run(profile="full", matrix=matrix, overlay=planted, today=TODAY)

    def seen(part: str) -> tuple[Outcome, Reason | None, Verdict]:
        cell = ran.cell(part)
        return cell.outcome, cell.reason, cell.verdict

    distro, libressl = "openssl-distro--", "libressl-3.9.2--"
    crashed = (Outcome.FAIL, Reason.SERVER_CRASHED)
    assert seen(distro + GCM) == (*crashed, Verdict.KNOWN_FAILURE)
    assert seen(distro + AES256) == (*crashed, Verdict.CHANGED_FAILURE)
    assert seen(distro + CHACHA) == (Outcome.PASS, None, Verdict.NOW_PASSING)
    assert seen(distro + "default") == (Outcome.FAIL, Reason.DEFAULT_CHANGED, Verdict.REGRESSION)
    negotiated = ran.cell(distro + "default").observations.negotiated_cipher
    assert ran.cell(distro + "default").message == (
        f"With nothing forced, {negotiated} was negotiated; {CHACHA} is expected."
    )
    assert seen(distro + CCM) == (Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER, Verdict.AS_EXPECTED)
    blocked = (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)
    assert seen(libressl + GCM) == (*blocked, Verdict.AS_EXPECTED)
    assert seen(libressl + CHACHA) == (*blocked, Verdict.NOT_JUDGED)
    assert [rule.met for rule in ran.record.rules] == [1, 1, 1, 1, 2, 0]
    assert ran.record.run.exit_code == 1
    assert "1 regression" in write_parts(ran.record)[0]


@pytest.fixture
def crashing(run: Any, overlay: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs a GCM cell that crashes at its first request, and what else is asked for, against one rule."""

    def runner(rule: str, cipher: str = GCM, **options: Any) -> Any:
        return run(
            "tls=openssl-distro",
            f"cipher={cipher}",
            profile="full",
            matrix=write(tmp_path, f"when: [cipher={GCM}], {rule}"),
            overlay=signalled(overlay, "SEGV", "/1k", GCM).folder,
            today=TODAY,
            limits=Limits(ready=4, request=3),
            **options,
        )

    return runner


@pytest.mark.parametrize(
    ("rule", "exit_code", "verdict"),
    [
        pytest.param(CRASH, 0, "known-failure", id="known"),
        pytest.param(HANG, 1, "changed-failure", id="changed", marks=pytest.mark.soak),
        pytest.param("outcome: pass", 1, "regression", id="regression", marks=pytest.mark.soak),
        pytest.param(
            f"{CRASH}, until: 2026-11-21", 1, "known-failure", id="stale by date", marks=pytest.mark.soak
        ),
        pytest.param(f"{CRASH}, until: haproxy 3.0.10", 1, "known-failure", id="stale by version"),
        pytest.param(
            f"{CRASH}, until: 2026-11-22", 0, "known-failure", id="last day", marks=pytest.mark.soak
        ),
    ],
)
def test_exit_codes_of_a_crash(
    crashing: Callable[..., Any], rule: str, exit_code: int, verdict: str, request: pytest.FixtureRequest
) -> None:
    ran = crashing(rule)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason, cell.verdict) == (Outcome.FAIL, Reason.SERVER_CRASHED, verdict)
    assert ran.record.run.exit_code == exit_code
    stale = [rule.stale for rule in ran.record.rules if rule.stale]
    assert len(stale) == request.node.name.count("stale")
    assert cell.expected.stale == "".join(stale)


def test_now_passing_alone_is_no_failure(run: Any, tmp_path: Path) -> None:
    matrix = write(tmp_path, f"when: [cipher={GCM}], {HANG}")
    ran = run("tls=openssl-distro", f"cipher={GCM},default", profile="full", matrix=matrix, today=TODAY)
    assert [cell.verdict for cell in ran.record.cells] == [Verdict.NOW_PASSING, Verdict.AS_EXPECTED]
    assert ran.record.run.exit_code == 0


def test_fail_fast_goes_on_after_a_known_failure(crashing: Callable[..., Any]) -> None:
    ran = crashing(CRASH, f"{GCM},{CHACHA}", fail_fast=True)
    assert [cell.verdict for cell in ran.record.cells] == [Verdict.KNOWN_FAILURE, Verdict.AS_EXPECTED]
    assert ran.record.run.exit_code == 0


def test_nobody_asks_for_what_the_client_cannot_offer(run: Any, tmp_path: Path) -> None:
    matrix = write(tmp_path, f"when: [cipher={CCM}], {CRASH}")
    ran = run("tls=openssl-distro", f"cipher={CCM}", profile="full", matrix=matrix, today=TODAY)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.verdict, cell.observations) == (
        Outcome.UNSUPPORTED,
        Verdict.AS_EXPECTED,
        None,
    )
    assert ran.record.rules[0].met == 2


def test_a_rule_about_the_server_runs_what_is_declared_impossible(
    run: Any, store: Path, tmp_path: Path
) -> None:
    """A binary that says to be older than QUIC with plain OpenSSL; it is not, and that is what is seen."""
    digest = run("arch=amd64", f"cipher={GCM}", today=TODAY).record.cells[0].build.digest
    artifact = Store(store).find_artifact(digest)
    assert artifact is not None
    (tmp_path / "haproxy").write_bytes(read_member([artifact.path.read_bytes()], "haproxy"))
    old = '[{name: old, version: "2.8.3", prebuilt: haproxy}]'

    def cell(rule: str) -> CellRecord:
        matrix = write(tmp_path, f"when: [cipher={GCM}], {rule}")
        matrix.write_text(matrix.read_text().replace('["3.0.11"]', old))
        ran = run("tls=openssl-distro", f"cipher={GCM}", profile="full", matrix=matrix, today=TODAY)
        found: CellRecord = ran.record.cells[0]
        return found

    declared = cell("outcome: blocked, reason: source-unreachable")
    assert (declared.reason, declared.observations) == (Reason.HAPROXY_CANNOT, None)
    assert declared.verdict is Verdict.AS_EXPECTED
    for rule, verdict in (
        ("outcome: misbuilt, reason: wrong-version", Verdict.KNOWN_FAILURE),
        (CRASH, Verdict.CHANGED_FAILURE),
        ("outcome: unsupported, reason: haproxy-cannot", Verdict.REGRESSION),
    ):
        tried = cell(rule)
        assert (tried.reason, tried.verdict) == (Reason.WRONG_VERSION, verdict), tried.message
        assert tried.observations is not None
