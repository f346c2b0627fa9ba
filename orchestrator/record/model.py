"""The shape of ``run.json``, schema version 1.

All times are UTC in ISO 8601; all durations are seconds; all paths are relative to the run's folder.
A field that was not measured is ``null``, never a made-up zero.
"""

from datetime import UTC, datetime
from typing import Literal

from orchestrator.matrix.model import ArchValue, CipherValue, ClientValue, HaproxyValue, TlsValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.value import Value

SCHEMA_VERSION = 1


def utc_now() -> str:
    """The time in the form that every record uses, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Axes(Value):
    """The cell's point in the matrix, every value spelled out."""

    arch: ArchValue
    haproxy: HaproxyValue
    tls: TlsValue
    cipher: CipherValue
    client: ClientValue


class Request(Value):
    """One request as the client saw it. ``get-1k``, ``get-1m``, ``post-1m`` in this order."""

    name: str
    http_version: str | None
    """"3", "2", "1.1"."""
    status: int | None
    cipher: str | None
    """What the server says it negotiated (``ssl_fc_cipher``)."""
    protocol: str | None
    """What the server says of TLS (``ssl_fc_protocol``)."""
    bytes_received: int
    bytes_sent: int
    sha256: str | None
    """Of the body received; for the upload, what the origin says it received."""
    expected_sha256: str
    exit_code: int
    """curl's (https://curl.se/docs/manpage.html#EXIT)."""
    error: str
    """curl's message, empty if none."""
    handshake_s: float | None
    """From the first packet to the end of the handshake; ``null`` if it never ended."""
    first_byte_s: float | None
    total_s: float | None


class Exchange(Value):
    """One curl process: three requests over one transport."""

    exit_code: int
    duration_s: float
    requests: tuple[Request, ...]


class Server(Value):
    """The HAProxy process of one cell."""

    ready_s: float | None
    """From the probe's start to the open QUIC listener; ``null`` if it never opened."""
    exit_code: int | None
    """Its own exit status, ``null`` while it ran to the end of the probe."""
    signal: str | None
    """The signal that ended it, as in ``SIGSEGV``."""
    log_tail: tuple[str, ...]
    """Its last lines."""
    handshake_failures: int | None
    """HAProxy's own count of QUIC handshakes that failed."""
    forced_ciphersuites: str | None
    """What the bind line had to name, since the library's default list lacks it."""


class Observations(Value):
    """What was measured of one cell in its last attempt."""

    h3: Exchange | None
    control: Exchange | None
    """The same requests over TCP and HTTP/2."""
    negotiated_cipher: str | None
    negotiated_protocol: str | None
    server: Server | None
    origin_ok: bool | None


class Attestation(Value):
    """Proof, taken inside the cell, that what ran is what was declared."""

    machine: str | None
    """``uname -m`` in the server's container."""
    elf_machine: str | None
    """``e_machine`` of the HAProxy binary, e.g. ``EM_AARCH64``."""
    haproxy_version: str | None
    tls_built: str | None
    """"Built with ..." of ``haproxy -vv``."""
    tls_running: str | None
    """"Running on ..." of ``haproxy -vv``."""
    tls_prefix_found: bool | None
    """A source build's own OPENSSLDIR stands in the binary; ``null`` for the distro's library."""
    needed: tuple[str, ...]
    """Shared libraries that the binary asks for."""
    quic: bool | None
    quic_api: str | None
    """``native`` or ``compat``, from the feature list."""


class Execution(Value):
    """Where the server ran."""

    mode: Literal["native", "emulated"]
    host_arch: str
    qemu_version: str | None
    cpu_features: tuple[str, ...]
    """The ones that move TLS defaults: ``aes``, ``pclmulqdq``, ``avx2``, ``vaes``, ``sha_ni``, ``pmull``...
    of the host's CPU; under emulation of QEMU's, where it says."""


class Build(Value):
    """The HAProxy build that the cell shares with others."""

    name: str
    digest: str | None


class Attempt(Value):
    """One try at a cell. ``why`` is "first", "repeat", or the harness's failure that made it try again."""

    number: int
    why: str
    outcome: Outcome
    reason: Reason | None
    message: str
    started_at: str
    duration_s: float


class CellRecord(Value):
    """One cell. ``outcome`` is ``null`` until it is judged; such a cell is never shown as green."""

    id: str
    axes: Axes
    outcome: Outcome | None
    reason: Reason | None
    message: str
    """One sentence for a person."""
    verdict: Verdict
    attempts: tuple[Attempt, ...]
    execution: Execution
    build: Build
    observations: Observations | None
    attestation: Attestation | None
    evidence: tuple[str, ...]
    duration_s: float | None
    reproducer: str


ActionStatus = Literal["waiting", "running", "succeeded", "cached", "failed", "blocked", "interrupted"]


class ActionRecord(Value):
    """One action of the plan. ``digest`` is ``null`` where it never came to be known."""

    digest: str | None
    kind: str
    name: str
    status: ActionStatus
    duration_s: float | None
    log: str | None
    message: str


class Component(Value):
    """A resolved ingredient: an image, a source, a distribution package, an emulator."""

    kind: Literal["image", "source", "package", "emulator"]
    name: str
    version: str
    digest: str | None
    origin: str
    """Where it came from: an origin as ``sources.yaml`` names it, or the image that carries it."""


class Host(Value):
    """The machine of the orchestrator."""

    arch: str
    system: str
    kernel: str
    cpus: int
    memory_bytes: int


class EngineInfo(Value):
    """The container engine."""

    name: str
    version: str
    api_version: str
    arch: str


class RunInfo(Value):
    """The run itself. ``exit_code`` is ``null`` until it ended."""

    id: str
    status: Literal["running", "finished", "interrupted"]
    started_at: str
    finished_at: str | None
    duration_s: float | None
    tool_version: str
    matrix_digest: str
    profile: str
    filters: tuple[str, ...]
    host: Host
    engine: EngineInfo | None
    planned: int
    judged: int
    exit_code: int | None
    message: str
    """Why it ended early, if it did."""


class RunRecord(Value):
    """``run.json``."""

    schema_version: Literal[1]
    run: RunInfo
    components: tuple[Component, ...]
    actions: tuple[ActionRecord, ...]
    cells: tuple[CellRecord, ...]
