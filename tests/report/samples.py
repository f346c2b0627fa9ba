"""Realistic run records: a quick run that passes, one with every outcome, a running one, a large one."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from orchestrator.arch import ARCHES
from orchestrator.matrix import banner
from orchestrator.matrix.model import (
    ArchValue,
    CipherValue,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    TlsValue,
)
from orchestrator.outcome import REASONS, Outcome, Reason, Verdict
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
    Span,
)

SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
)
CIPHERS = (*(CipherValue(name=name, suite=name) for name in SUITES), CipherValue(name="default", suite=None))
DISTRO = TlsValue(name="openssl-distro", family="openssl", version="distro", source="distro")
OPENSSL = TlsValue(name="openssl-3.5.7", family="openssl", version="3.5.7", source="tarball")
LIBRESSL = TlsValue(name="libressl-3.9.2", family="libressl", version="3.9.2", source="tarball")
CURL = ClientValue(name="curl", family="curl")
ARCH_VALUES = tuple(ArchValue(name=name, arch=ARCHES[name]) for name in ("amd64", "arm64"))
SHA_1K = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
SHA_1M = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"
DIGEST = "sha256:9f2c4a7e0b1d8c6355aa1f0e7d21c94b8a6f3e5d7c90b12e4f6a8d3c5b7e9f01"

type_of_judge = Callable[[Axes], Reason | None]


def haproxy(version: str) -> HaproxyValue:
    return HaproxyValue(name=version, version=version)


def request(name: str, version: str, axes: Axes, *, slow: float, ok: bool = True) -> Request:
    upload = name.startswith("post")
    big = name.endswith("1m")
    body = 1_048_576 if big else 1024
    sha = SHA_1M if big else SHA_1K
    return Request(
        name=name,
        http_version=version if ok else None,
        status=200 if ok else None,
        cipher=(axes.cipher.suite or SUITES[1]) if ok else None,
        protocol="TLSv1.3" if ok else None,
        bytes_received=(98 if upload else body) if ok else 0,
        bytes_sent=body if upload and ok else 0,
        sha256=sha if ok else None,
        expected_sha256=sha,
        exit_code=0 if ok else 28,
        error="" if ok else "Operation timed out after 8002 milliseconds with 0 bytes received",
        handshake_s=0.0121 * slow,
        first_byte_s=0.0154 * slow if ok else None,
        total_s=(0.0311 if big else 0.0158) * slow if ok else 8.002,
    )


def exchange(version: str, axes: Axes, *, slow: float, ok: bool = True) -> Exchange:
    names = ("get-1k", "get-1m", "post-1m") if ok else ("get-1k",)
    requests = tuple(request(name, version, axes, slow=slow, ok=ok) for name in names)
    return Exchange(exit_code=0 if ok else 28, duration_s=0.087 * slow if ok else 8.01, requests=requests)


def server(reason: Reason | None) -> Server:
    crashed = reason is Reason.SERVER_CRASHED
    lines = [
        "[NOTICE]   (14) : haproxy version is 3.0.11-1b0cbc7",
        "[NOTICE]   (14) : New worker (16) forked",
        '127.0.0.1:43210 [22/Nov/2026:06:59:12.114] fe~ be/origin 0/0/1/1/2 200 1201 - - ---- 1/1/0 "GET',
        '127.0.0.1:43210 [22/Nov/2026:06:59:12.120] fe~ be/origin 0/0/1/1/8 200 1048791 - - ---- 1/1/0 "GET',
    ]
    if crashed:
        lines.append("[ALERT]    (14) : Current worker (16) exited with code 139 (Segmentation fault)")
    return Server(
        ready_s=0.052,
        exit_code=139 if crashed else None,
        signal="SIGSEGV" if crashed else None,
        ended_in="h3" if crashed else None,
        log_tail=tuple(lines),
        handshake_failures=0,
        forced_ciphersuites=None,
    )


def observations(axes: Axes, outcome: Outcome | None, reason: Reason | None) -> Observations | None:
    if outcome is None or not outcome.judged_product or reason in {Reason.BUILD_FAILED, Reason.NO_QUIC}:
        return None
    slow = 1.0 if axes.arch.name == "amd64" else 3.4
    ok = outcome is Outcome.PASS
    return Observations(
        h3=exchange("3", axes, slow=slow, ok=ok),
        control=exchange("2", axes, slow=slow * 0.8),
        negotiated_cipher=axes.cipher.suite or SUITES[1],
        negotiated_protocol="TLSv1.3",
        server=server(reason),
        origin_ok=True,
    )


def attestation(axes: Axes) -> Attestation:
    running = "OpenSSL 3.5.7 7 Oct 2026" if axes.tls.source == "distro" else banner.spell_banner(axes.tls)
    return Attestation(
        machine=axes.arch.arch.machine,
        elf_machine=axes.arch.arch.elf_machine,
        haproxy_version=axes.haproxy.version,
        tls_built=running,
        tls_running=running,
        tls_prefix_found=True if axes.tls.source == "tarball" else None,
        needed=("libcrypt.so.1", "libssl.so.3", "libcrypto.so.3", "libpcre2-8.so.0", "libc.so.6"),
        quic=True,
        quic_api="compat" if axes.tls.source == "distro" else "native",
    )


def execution(axes: Axes) -> Execution:
    emulated = axes.arch.name != "amd64"
    return Execution(
        mode="emulated" if emulated else "native",
        host_arch="amd64",
        qemu_version="7.2.19" if emulated else None,
        cpu_features=("aes", "pmull", "sha2") if emulated else ("aes", "pclmulqdq", "avx2", "sha_ni"),
    )


MESSAGES = {
    Reason.HANDSHAKE_THEN_HANG: "the handshake ended after 41 ms, then nothing came for 8.0 s (curl 28)",
    Reason.SERVER_CRASHED: "HAProxy died of SIGSEGV 12 ms after the client's first packet",
    Reason.CLIENT_CANNOT_OFFER: "curl 8.14.1 (OpenSSL 3.5.7, ngtcp2) does not offer AES-128-CCM over QUIC",
    Reason.NO_QUIC: "haproxy -vv shows no QUIC in its feature list",
    Reason.DEADLINE: "the probe session did not end within 90 s",
    Reason.CHECKSUM_MISMATCH: "libressl-3.9.2.tar.gz: both origins have other bytes than declared",
    Reason.BUILD_FAILED: "haproxy: src/quic_ssl.c:412: error: implicit declaration of SSL_set_quic_tls_cbs",
}


def cell(axes: Axes, reason: Reason | None, *, judged: bool = True) -> CellRecord:
    outcome = (REASONS[reason].outcome if reason else Outcome.PASS) if judged else None
    build = ".".join((axes.arch.name, f"haproxy-{axes.haproxy.name}", axes.tls.name))
    id_ = f"{build}.{axes.cipher.name}{'' if axes.client == CURL else f'.{axes.client.name}'}"
    measured = observations(axes, outcome, reason)
    message = MESSAGES.get(reason, "") if reason else ""
    tried = outcome is not None and outcome is not Outcome.UNSUPPORTED
    return CellRecord(
        id=id_,
        axes=axes,
        outcome=outcome,
        reason=reason,
        message=message,
        verdict=verdict_of(outcome),
        attempts=attempts(outcome, reason, message) if tried and outcome else (),
        execution=execution(axes),
        build=Build(name=build, digest=DIGEST if judged else None),
        observations=measured,
        attestation=attestation(axes) if measured else None,
        evidence=(f"cells/{id_}/h3.json", f"cells/{id_}/control.json", f"cells/{id_}/haproxy.log")
        if measured
        else (),
        duration_s=0.31 if tried else None,
        reproducer=f"matrixctl run --cell {id_}",
    )


def verdict_of(outcome: Outcome | None) -> Verdict:
    if outcome in {Outcome.PASS, Outcome.UNSUPPORTED}:
        return Verdict.AS_EXPECTED
    if outcome in {Outcome.FAIL, Outcome.MISBUILT}:
        return Verdict.REGRESSION
    return Verdict.NOT_JUDGED


def attempts(outcome: Outcome, reason: Reason | None, message: str) -> tuple[Attempt, ...]:
    def attempt(number: int, why: str, *, again: bool = False) -> Attempt:
        return Attempt(
            number=number,
            why=why,
            outcome=outcome,
            reason=reason,
            message=message,
            started_at="2026-11-22T06:59:12Z",
            duration_s=0.31,
            again=again,
        )

    if outcome is Outcome.ERROR:
        return (attempt(1, "first"), attempt(2, "again: deadline", again=True))
    return (attempt(1, "first"),)


COMPONENTS = (
    Component(kind="image", name="base", version="trixie", digest=DIGEST, origin="mmdebstrap, Debian mirror"),
    Component(
        kind="source", name="haproxy", version="3.0.11", digest=DIGEST, origin="debian-pool: main/h/haproxy"
    ),
    Component(
        kind="package", name="libssl-dev:arm64", version="3.5.7-1~deb13u1", digest=None, origin="toolchain"
    ),
    Component(kind="emulator", name="qemu-aarch64", version="7.2.19", digest=None, origin="host"),
)


def _later(seconds: int) -> str:
    """So long after the start of the run."""
    return (datetime(2026, 11, 22, 6, 58, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()


def actions(builds: Iterable[str]) -> tuple[ActionRecord, ...]:
    fetch = ActionRecord(
        digest=DIGEST,
        kind="fetch",
        name="haproxy 3.0.11",
        status="cached",
        duration_s=0.02,
        log=None,
        message="",
    )
    rest = (
        ActionRecord(
            digest=DIGEST,
            kind="build-haproxy",
            name=name,
            status="succeeded",
            duration_s=64.2,
            log=f"actions/{name}.log",
            message="",
            spans=(Span(started_at=_later(32 * place), duration_s=64.2, status="succeeded"),),
        )
        for place, name in enumerate(builds)
    )
    return (fetch, *rest)


def run(cells: tuple[CellRecord, ...], **changes: Any) -> RunRecord:
    info: dict[str, Any] = {
        "id": "20261122-065801-7f3a",
        "status": "finished",
        "started_at": "2026-11-22T06:58:01Z",
        "finished_at": "2026-11-22T07:04:13Z",
        "duration_s": 372.4,
        "tool_version": "0.1.0",
        "matrix_digest": DIGEST,
        "profile": "quick",
        "filters": (),
        "host": Host(
            arch="amd64",
            system="Debian GNU/Linux 12",
            kernel="6.18.0",
            cpus=2,
            memory_bytes=24 * 2**30,
        ),
        "engine": EngineInfo(name="docker", version="20.10.24", api_version="1.41", arch="amd64"),
        "planned": len(cells),
        "judged": sum(cell.outcome is not None for cell in cells),
        "exit_code": 0,
        "message": "",
    }
    return RunRecord(
        schema_version=3,
        run=RunInfo(**(info | changes)),
        components=COMPONENTS,
        actions=actions(dict.fromkeys(cell.build.name for cell in cells)),
        cells=cells,
    )


def product(
    judge: type_of_judge,
    haproxies: Iterable[HaproxyValue],
    tls: Iterable[TlsValue],
    ciphers: Iterable[CipherValue] = CIPHERS,
    *,
    clients: Iterable[ClientValue] = (CURL,),
    arches: Iterable[ArchValue] = ARCH_VALUES,
) -> tuple[CellRecord, ...]:
    """Every combination, in the order of an expansion: architecture, HAProxy, library, cipher, client."""
    libraries, suites, versions, asking = tuple(tls), tuple(ciphers), tuple(haproxies), tuple(clients)
    points = (
        Axes(
            arch=a,
            haproxy=h,
            tls=t,
            cipher=c,
            client=k,
            execution=ExecutionValue(name="default"),
        )
        for a in arches
        for h in versions
        for t in libraries
        for c in suites
        for k in asking
    )
    return tuple(cell(axes, judge(axes)) for axes in points)


def ccm(axes: Axes) -> Reason | None:
    return Reason.CLIENT_CANNOT_OFFER if axes.cipher.name == SUITES[3] else None


@cache
def quick() -> RunRecord:
    """The quick profile: 2 architectures x 1 build x 5 ciphers, all well, CCM unsupported."""
    return run(product(ccm, [haproxy("3.0.11")], [DISTRO]))


def _mixed(axes: Axes) -> Reason | None:
    where = (axes.haproxy.name, axes.tls.name)
    if where == ("2.8.9", "libressl-3.9.2"):
        if axes.cipher.name == SUITES[3]:
            return Reason.SERVER_CRASHED
        hangs = {SUITES[2], "default"} if axes.arch.name == "arm64" else {SUITES[2]}
        return Reason.HANDSHAKE_THEN_HANG if axes.cipher.name in hangs else None
    if where == ("3.0.11", "libressl-3.9.2"):
        return Reason.CHECKSUM_MISMATCH
    if where == ("3.0.11", "openssl-3.5.7") and axes.arch.name == "arm64":
        return Reason.NO_QUIC
    if where == ("2.8.9", "openssl-3.5.7") and axes.cipher.name == "default":
        return Reason.DEADLINE
    return ccm(axes)


@cache
def mixed() -> RunRecord:
    """Every outcome at once, the shape of haproxy#2569 among them, and one cell that was never judged."""
    cells = list(product(_mixed, [haproxy("2.8.9"), haproxy("3.0.11")], [DISTRO, OPENSSL, LIBRESSL]))
    spare = next(i for i, c in enumerate(cells) if c.id == f"arm64.haproxy-3.0.11.openssl-distro.{SUITES[1]}")
    cells[spare] = cell(cells[spare].axes, None, judged=False)
    return run(tuple(cells), profile="full", filters=("haproxy=2.8.9,3.0.11", "client=curl"), exit_code=1)


@cache
def running() -> RunRecord:
    """The quick run, stopped in the middle of its work."""
    done = quick().cells
    cells = tuple(c if i < 4 else cell(c.axes, None, judged=False) for i, c in enumerate(done))
    return run(cells, status="running", finished_at=None, duration_s=41.0, exit_code=None)


def large(count: int = 2000) -> RunRecord:
    """``count`` cells: 2 architectures x versions x 8 libraries x 5 ciphers, a few of them failing."""
    versions = [haproxy(f"3.{i // 13}.{i % 13}") for i in range(-(-count // 80))]
    libraries = [DISTRO] + [
        TlsValue(name=f"openssl-3.5.{i}", family="openssl", version=f"3.5.{i}", source="tarball")
        for i in range(7)
    ]

    def judge(axes: Axes) -> Reason | None:
        if axes.tls.name == "openssl-3.5.3" and axes.cipher.name == SUITES[2] and axes.arch.name == "arm64":
            return Reason.HANDSHAKE_THEN_HANG
        return ccm(axes)

    return run(product(judge, versions, libraries)[:count], profile="full", exit_code=1)


HOSTILE = (
    "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=2><!--]]>&amp;\"'|`\n::error::x\n"
    "\x1b[31mred\x00\x08\x9b2J\u202ednib\u2066\ud800\ufffe {{7*7}} {%x%} javascript:window.hurt=3 @me"
    " #1 **b**"
)
"""Markup, ANSI, controls, direction marks, a lone surrogate, template and workflow syntax."""
_CLOSED = {"status", "kind", "mode", "source", "outcome", "reason", "verdict", "transport", "api", "ended_in"}
"""Fields whose values come from a short list."""


def hostile(record: RunRecord | None = None) -> RunRecord:
    """``record`` (by default the mixed run) with HOSTILE in every text that it has."""
    return RunRecord.model_validate(_poison((record or mixed()).model_dump(mode="json")))


def _poison(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _poison(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_poison(item, key) for item in value]
    return value + HOSTILE if isinstance(value, str) and key not in _CLOSED else value
