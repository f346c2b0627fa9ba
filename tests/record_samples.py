"""A small record with every kind of content, for the tests of this folder."""

from orchestrator.arch import ARCHES
from orchestrator.matrix.model import (
    ArchValue,
    CipherValue,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    TlsValue,
)
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import (
    ActionRecord,
    Attempt,
    Attestation,
    Axes,
    Build,
    CellRecord,
    Component,
    EngineInfo,
    Exchange,
    Execution,
    Host,
    Observations,
    Request,
    RunInfo,
    RunRecord,
    Server,
)

AT = "2026-01-02T03:04:05.678+00:00"


def cell(name: str, outcome: Outcome | None = None, *, message: str = "") -> CellRecord:
    reason = Reason.HANDSHAKE_TIMEOUT if outcome is Outcome.FAIL else None
    attempts = (
        ()
        if outcome is None
        else (
            Attempt(
                number=1,
                why="first",
                outcome=outcome,
                reason=reason,
                message=message,
                started_at=AT,
                duration_s=0.25,
            ),
        )
    )
    return CellRecord(
        id=name,
        axes=Axes(
            arch=ArchValue(name="arm64", arch=ARCHES["arm64"]),
            haproxy=HaproxyValue(name="haproxy-3.0.11", version="3.0.11"),
            tls=TlsValue(name="openssl-3.5.7", family="openssl", version="3.5.7", source="tarball"),
            cipher=CipherValue(name="default", suite=None),
            client=ClientValue(name="curl", family="curl"),
            execution=ExecutionValue(name="default"),
        ),
        outcome=outcome,
        reason=reason,
        message=message,
        verdict=Verdict.NOT_JUDGED,
        attempts=attempts,
        execution=Execution(mode="emulated", host_arch="amd64", qemu_version="7.2", cpu_features=("aes",)),
        build=Build(name="arm64-3.0.11-openssl-3.5.7", digest=None),
        observations=None if outcome is None else _observations(),
        attestation=None if outcome is None else _attestation(),
        evidence=(),
        duration_s=None,
        reproducer="matrixctl run --cell x",
    )


def record(*cells: CellRecord) -> RunRecord:
    return RunRecord(
        schema_version=3,
        run=RunInfo(
            id="20260102-030405-abcd",
            status="running",
            started_at=AT,
            finished_at=None,
            duration_s=None,
            tool_version="0.1",
            matrix_digest="0" * 64,
            profile="quick",
            filters=("arch=arm64",),
            host=Host(arch="amd64", system="Debian 12", kernel="6.1", cpus=2, memory_bytes=1 << 30),
            engine=EngineInfo(name="docker", version="20.10", api_version="1.41", arch="amd64"),
            planned=len(cells),
            judged=0,
            exit_code=None,
            message="",
        ),
        components=(Component(kind="source", name="haproxy", version="3.0.11", digest=None, origin="store"),),
        actions=(action("waiting"),),
        cells=cells,
    )


def action(status: str) -> ActionRecord:
    return ActionRecord.model_validate(
        {
            "digest": "1" * 64,
            "kind": "haproxy",
            "name": "arm64-3.0.11-openssl-3.5.7",
            "status": status,
            "duration_s": None,
            "log": None,
            "message": "",
        }
    )


def _observations() -> Observations:
    request = Request(
        name="get-1k",
        http_version="3",
        status=200,
        cipher="TLS_AES_128_GCM_SHA256",
        protocol="TLSv1.3",
        bytes_received=1024,
        bytes_sent=0,
        sha256="2" * 64,
        expected_sha256="2" * 64,
        exit_code=0,
        error="",
        handshake_s=0.1,
        first_byte_s=0.2,
        total_s=0.3,
    )
    return Observations(
        h3=Exchange(exit_code=0, duration_s=0.3, requests=(request,)),
        control=None,
        negotiated_cipher="TLS_AES_128_GCM_SHA256",
        negotiated_protocol="TLSv1.3",
        server=Server(
            ready_s=0.5,
            exit_code=None,
            signal=None,
            log_tail=("line",),
            handshake_failures=0,
            forced_ciphersuites=None,
        ),
        origin_ok=True,
    )


def _attestation() -> Attestation:
    return Attestation(
        machine="aarch64",
        elf_machine="EM_AARCH64",
        haproxy_version="3.0.11",
        tls_built="OpenSSL 3.5.7",
        tls_running="OpenSSL 3.5.7",
        tls_prefix_found=True,
        needed=("libc.so.6",),
        quic=True,
        quic_api="compat",
    )
