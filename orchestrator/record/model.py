"""The shape of ``run.json``, schema version 3.

All times are UTC in ISO 8601; all durations are seconds; all paths are relative to the run's folder.
A field that was not measured is ``null``, never a made-up zero.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator

from orchestrator.frozen_value import Value
from orchestrator.matrix.model import (
    ArchValue,
    CipherValue,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    Limits,
    TlsValue,
)
from orchestrator.outcome import FAILURES, Outcome, Reason, Verdict


def utc_now() -> str:
    """Return the time in the form that every record uses, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("no moment without its offset from UTC")
    return text


Moment = Annotated[str, AfterValidator(_check_moment)]
"""As ``utc_now`` writes it; a run that goes on reckons with it."""


class Axes(Value):
    """The cell's point in the matrix, every value spelled out."""

    arch: ArchValue
    haproxy: HaproxyValue
    tls: TlsValue
    cipher: CipherValue
    client: ClientValue
    execution: ExecutionValue


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
    """curl's, or the one of curl's that fits what another client showed: 28 no answer came in time, 56 the
    server closed, 59 the client cannot offer the suite, 60 the certificate, 96 what the server
    sent breaks a rule (https://curl.se/docs/manpage.html#EXIT)."""
    error: str
    """The client's message, empty if none."""
    handshake_s: float | None
    """From the first packet of the request's connection to the end of the handshake; ``null`` if it never
    ended. Requests that share a connection share it."""
    first_byte_s: float | None
    total_s: float | None
    close_code: int | None = None
    """Of the QUIC CONNECTION_CLOSE that the server sent, where the client shows it: 0x128 is TLS alert 40."""
    shows: Literal["cannot-offer", "closed-by-server", "fault-in-answer"] | None = None
    """What the client's message shows beyond its exit code, as the client's own adapter reads it: it sent
    nothing, since it cannot offer the suite; the server closed the connection and its code is not shown; what
    the server sent breaks a rule of QUIC or TLS, which the message names."""


class Exchange(Value):
    """Three requests over one transport."""

    exit_code: int
    """Of the client; several processes reduce to the first that is not 0."""
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
    sanitizer: str | None = None
    """The first report of a sanitizer that was compiled in, in one sentence; the whole is in its log."""
    handshake_failures: int | None
    """HAProxy's own count of QUIC handshakes that failed."""
    forced_ciphersuites: str | None
    """What the bind line had to name, since the library's default list lacks it."""
    ended_in: Literal["start", "h3", "control", "stop"] | None = None
    """The phase in which it ended: before it listened, while it was asked over HTTP/3, in the control, after
    the last answer of the control. ``null`` where it ran to the end of the probe."""


class Observations(Value):
    """What was measured of one cell in the attempt that decided it."""

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
    """What a program like HAProxy sees as ``uname -m``, as the C library's loader tells it."""
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
    cpu_model: str | None = None
    """QEMU's ``-cpu``, of each emulated server; records of version 2 have it only where one was asked for."""
    cpu_features: tuple[str, ...]
    """The ones that move TLS defaults: ``aes``, ``pclmulqdq``, ``avx2``, ``vaes``, ``sha_ni``, ``pmull``...
    of the host's CPU; under emulation of QEMU's, where it says."""


class Build(Value):
    """The HAProxy build that the cell shares with others."""

    name: str
    digest: str | None
    vv: str | None = None
    """The file with what ``haproxy -vv`` of this build says; ``null`` before it was asked."""


class Expected(Value):
    """What a rule of the matrix says of a cell; without a rule, what is declared of its capabilities.

    A cell of which neither says anything is to pass.
    """

    outcome: Outcome
    reason: Reason | None
    cipher: str | None
    """Of a ``default`` cell: the suite that is to be negotiated, if the rule names one."""
    because: str
    """The rule's link; of a declaration, its sentence."""
    rule: str
    """``matrix.yaml:41``; empty for a declaration."""
    stale: str
    """Why the rule is out of date, or empty."""


class Rule(Value):
    """One ``expect`` rule of the matrix, and what became of it in this run."""

    place: str
    """``matrix.yaml:41``."""
    when: tuple[str, ...]
    outcome: Outcome
    reason: Reason | None
    cipher: str | None
    because: str
    until: str
    stale: str
    """Why it is out of date for a cell of this run, or empty."""
    met: int
    """How many cells of the whole matrix it fits."""
    seen: str = ""
    """When a run last showed it, and with what, as the matrix says it; empty where it does not."""


class ClientProof(Value):
    """Can this client do what is asked of it, against a server that is known to be good?"""

    client: str
    version: str
    transport: Literal["h3", "h2"]
    suite: str
    ok: bool
    message: str


class AeadCheck(Value):
    """One line of the AEAD self-test: many lengths and offsets, reduced to the first that went wrong."""

    suite: str
    api: Literal["evp-cipher", "evp-aead"]
    check: str
    """``known-answer``, ``seal``, ``open``, ``open-in-place``, ``open-unaligned``, ``reject-tag``..."""
    ok: bool | None
    """``null``: the library has no such suite or interface."""
    detail: str
    """What went wrong, with length and offset in bytes."""


class SelfTest(Value):
    """The AEAD self-test of one library on one architecture and CPU."""

    tls: str
    arch: str
    execution: str
    library: str
    """What the library says of itself."""
    problem: str
    """Why there is no result: it did not compile, it crashed. Empty if there is one."""
    checks: tuple[AeadCheck, ...]
    evidence: tuple[str, ...]


HEAVY_PER_CPU, HEAVY_STEAL, HEAVY_LATE_S = 3.0, 0.2, 0.25
"""Above one of these the load is heavy: processes that want a CPU, the share of stolen time, seconds."""


class Load(Value):
    """How busy the orchestrator's machine was when an attempt ended; the engine may be on another one."""

    average: float
    """Processes that wanted to run, over the last minute (getloadavg(3))."""
    cpus: int
    steal: float | None
    """The share of all CPUs' time, from 0 to 1, that a hypervisor gave to others since the attempt before
    (``/proc/stat``)."""
    late_s: float | None = None
    """How late the probe's driver woke up, at worst, when it slept for a moment beside the client."""

    @property
    def is_heavy(self) -> bool:
        """Return whether the machine was so busy that a failure may be a matter of time."""
        return (
            self.average > HEAVY_PER_CPU * self.cpus
            or (self.steal or 0.0) > HEAVY_STEAL
            or (self.late_s or 0.0) > HEAVY_LATE_S
        )


class Attempt(Value):
    """One try at a cell.

    ``why`` is "first", "repeat 2", "confirm 1", or the harness's failure that made it try again. Behind a
    comma it may say which worker of a cluster was lost before.
    """

    number: int
    why: str
    outcome: Outcome
    reason: Reason | None
    message: str
    started_at: str
    duration_s: float
    again: bool = False
    """It replaces the attempt before it, in which the harness failed; both stay in the list."""
    evidence: tuple[str, ...] = ()
    """Its own files; those of the attempt that decided the cell are the cell's, too."""
    load: Load | None = None


def list_counted(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts that count: all but those that another one replaced."""
    found: list[Attempt] = []
    for attempt in attempts:
        if attempt.again and found:
            found.pop()
        found.append(attempt)
    return tuple(found)


class Ends(NamedTuple):
    """How the attempts that count ended."""

    attempts: int
    passed: int
    failed: int
    """How many were a failure of the product."""
    failures: frozenset[tuple[Outcome, Reason | None]]


def count_ends(attempts: Sequence[Attempt]) -> Ends:
    """Count how the attempts at a cell ended, without those that another one replaced."""
    ends = [(attempt.outcome, attempt.reason) for attempt in list_counted(attempts)]
    failures = [end for end in ends if end[0] in FAILURES]
    passed = sum(outcome is Outcome.PASS for outcome, _ in ends)
    return Ends(attempts=len(ends), passed=passed, failed=len(failures), failures=frozenset(failures))


class Confirmation(Value):
    """What became of an alarm, or of a pass that a rule does not expect, when its cell was probed again."""

    state: Literal["confirmed", "flaky", "open"]
    """``flaky``: its attempts disagree. ``open``: it was not probed again to the end."""
    why: str = ""
    """Why it is open."""


class Traced(Value):
    """A second run of a judged cell, alone, with its packets and HAProxy's QUIC traces kept.

    It is slower than the one that was judged, so that it may end otherwise: it never changes the cell's
    outcome, verdict or attempts.
    """

    outcome: Outcome
    """Its own."""
    reason: Reason | None
    message: str
    started_at: str
    duration_s: float
    negotiated_cipher: str | None
    """The suite of the ServerHello in the capture, which is there even if no answer ever came."""
    evidence: tuple[str, ...]
    missing: tuple[str, ...]
    """What was not captured, or was cut, and why: a sentence each."""


class Backtrace(Value):
    """What came of a second run of a cell under gdb, since its server had crashed; it decides nothing."""

    tries: int
    """How often it was run so, until it crashed; 0: not at all."""
    signal: str
    """At which gdb stopped, as ``SIGSEGV``; empty where it did not crash again."""
    frames: tuple[str, ...]
    """The first ones of the crashed thread, the innermost first, as gdb writes them."""
    symbols: str
    """Where the names and lines come from, or why there are none: one clause."""
    problem: str
    """Why it was not run, or not to the end; empty if it was."""
    evidence: str | None
    """The file with all that gdb said."""


class CellRecord(Value):
    """One cell. ``outcome`` is ``null`` until it is judged; such a cell is never shown as green."""

    id: str
    axes: Axes
    outcome: Outcome | None
    reason: Reason | None
    message: str
    """One sentence for a person, of the attempt that decided the cell: the worst one that counts."""
    verdict: Verdict
    attempts: tuple[Attempt, ...]
    execution: Execution
    build: Build
    expected: Expected | None = None
    confirmation: Confirmation | None = None
    """``null`` where nothing had to be confirmed, or that was not asked for."""
    cause: str = ""
    """What the AEAD self-test of the cell's library says of a failure, one sentence, or empty."""
    backtrace: Backtrace | None = None
    """``null`` where its server did not crash, or that was not looked at."""
    observations: Observations | None
    attestation: Attestation | None
    evidence: tuple[str, ...]
    duration_s: float | None
    reproducer: str
    traced: Traced | None = None
    """``null`` where it was not run a second time."""
    untraced: str = ""
    """Why it was not, though it was its turn: a limit of time or size, or what failed."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return its evidence, that of its second run included."""
        return (*self.evidence, *(self.traced.evidence if self.traced else ()))

    @property
    def traced_alike(self) -> Traced | None:
        """Return the second run where it ended as the first: another end says nothing of it."""
        same = self.traced and (self.traced.outcome, self.traced.reason) == (self.outcome, self.reason)
        return self.traced if same else None

    @property
    def captured_cipher(self) -> str | None:
        """Return the suite that the capture shows, where the server's own answer never came to tell it."""
        told = self.observations.negotiated_cipher if self.observations else None
        return self.traced_alike.negotiated_cipher if self.traced_alike and not told else None


ActionStatus = Literal["waiting", "running", "succeeded", "cached", "failed", "blocked", "interrupted"]


class Span(Value):
    """One time that an action was worked on. A run that was resumed or merged may have several of one."""

    started_at: str
    duration_s: float | None
    """``null`` while it goes on, and where it was cut off."""
    status: ActionStatus
    """How it ended."""
    shard: int | None = None
    """Of a merged run: the place in ``shards`` of the run that did it, counted from 0."""


def is_intermittent(cell: CellRecord) -> bool:
    """Return whether the product failed in some attempts at the cell and passed in others."""
    ends = {attempt.outcome for attempt in list_counted(cell.attempts)}
    return Outcome.PASS in ends and bool(ends & FAILURES)


class ActionRecord(Value):
    """One action of the plan. ``digest`` is ``null`` where it was never known."""

    digest: str | None
    kind: str
    name: str
    status: ActionStatus
    duration_s: float | None
    log: str | None
    message: str
    needs: tuple[str, ...] | None = None
    """The actions that it waited for, each as ``KIND:NAME``; ``null`` in older records."""
    spans: tuple[Span, ...] = ()
    """When it was worked on; empty where it never began, and in older records."""

    @property
    def key(self) -> str:
        """Return what ``needs`` and ``Component.used_by`` call it."""
        return f"{self.kind}:{self.name}"


class Component(Value):
    """A resolved ingredient: an image, a source, a distribution package, an emulator."""

    kind: Literal["image", "source", "package", "emulator", "patch"]
    name: str
    version: str
    digest: str | None
    origin: str
    """Where it came from: an origin as ``sources.yaml`` names it, or the image that carries it."""
    used_by: tuple[str, ...] | None = None
    """The actions that used it, each as ``KIND:NAME``, sorted; ``null`` in older records."""
    rest: str | None = None
    """Of an image: the SHA-256 of the names and versions of all its packages that are no components of their
    own; ``null`` where they were not looked at."""


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


class Resumption(Value):
    """The run went on after it had been cut off. ``stood``: cells that were judged by then, and stay so."""

    at: str
    stood: int


class Selection(Value):
    """Which cells were asked for, beside ``profile`` and ``filters``, and how."""

    cells: tuple[str, ...]
    """The ids that ``--cell`` named."""
    options: tuple[str, ...]
    """Options that decide what a cell is: ``--patch``, ``--build``, ``--challenge-unsupported``..."""
    of: int
    """How many cells the whole matrix has."""
    shard: str = ""
    """``K/N``: the K-th of N parts of what the rest chooses; empty for all of it."""
    command: str = ""
    """The whole command line as it was typed, with passwords masked; empty for a merged run."""


class Exploration(Value):
    """The run asked for some cells of a selection only: those that were not needed are no part of it."""

    start: Literal["all", "pairwise"]
    """``pairwise``: it began with cells that have each pair of values once."""
    budget_minutes: float | None
    selected: int
    """How many cells there were to choose from, those that it began with and impossible ones included."""
    rounds: tuple[tuple[str, ...], ...]
    """The ids of the cells that were asked for later, one group after another."""
    end: str
    """Why it asked for no more; empty until then."""
    left: tuple[str, ...]
    """The ids of the cells that were never asked for; empty until the end."""


class RunInfo(Value):
    """The run itself. ``exit_code`` is ``null`` until it ended."""

    id: str
    status: Literal["running", "finished", "interrupted", "cut-off"]
    """``cut-off``: it has no end, and no process goes on with it."""
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
    resumed: tuple[Resumption, ...] = ()
    series: str = ""
    """What ``--series`` named: the runs that are compared with one another. Empty: a run by hand."""
    selection: Selection | None = None
    limits: Limits | None = None
    """Of the matrix: a shorter one can make a failure."""
    fail_on_flaky: bool = False
    """``--fail-on-flaky`` was given: a flaky cell is a failure of the run."""
    tool_digest: str | None = None
    """SHA-256 of matrixctl's own modules, templates and image recipes."""
    exploration: Exploration | None = None
    """Of a run with ``--explain``."""


class ShardRecord(Value):
    """A run that became a part of this one: where it ran, and what it was made of."""

    id: str
    shard: str
    """``K/N``; empty for a run of the whole selection."""
    host: Host
    engine: EngineInfo | None
    status: Literal["running", "finished", "interrupted", "cut-off"]
    duration_s: float | None
    planned: int
    judged: int
    problem: str
    """Why its cells, or those that it left, are not judged; empty if it is whole."""
    components: tuple[Component, ...]
    cells: tuple[str, ...]
    """The ids of the cells that are in this record as they are in its own."""


class Alarm(Value):
    """Cells that fail alike though no rule expects it; it is worked out from a record, and not part of it."""

    key: str
    """A hash of outcome, reason and conditions, or cells if there are none: it is the same alarm tomorrow."""
    outcome: Outcome | None
    reason: Reason | None
    conditions: tuple[str, ...]
    """What its cells have in common, and the rest of the run does not, sorted; of one cell, all its axes."""
    cells: tuple[str, ...]


class Ingredient(NamedTuple):
    """Something that a cell depended on; like an alarm it is worked out from a record."""

    kind: str
    name: str
    version: str
    digest: str
    """Empty where there is none."""
    built_in: bool
    """It is part of the digest of the cell's build."""


class RunRecord(Value):
    """``run.json``."""

    schema_version: Literal[2, 3]
    """3 added ``Request.shows``, ``Attempt.again``, ``Attempt.evidence``, ``Server.ended_in``,
    ``Execution.cpu_model`` of each emulated server, and what a comparison needs: ``ActionRecord.needs``,
    ``Component.used_by`` and ``rest``, ``RunInfo.series``, ``selection``, ``limits``
    and ``tool_digest``, ``Attempt.load``; ``CellRecord.confirmation`` and ``RunInfo.fail_on_flaky``;
    ``shards``; ``RunInfo.exploration``; ``CellRecord.traced``; ``ActionRecord.spans``. What version 2 lacks
    has a default, so its records are still read."""
    run: RunInfo
    components: tuple[Component, ...]
    actions: tuple[ActionRecord, ...]
    cells: tuple[CellRecord, ...]
    rules: tuple[Rule, ...] = ()
    clients: tuple[ClientProof, ...] = ()
    selftests: tuple[SelfTest, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    """The runs of which it was merged; files of the n-th lie below ``shards/n``. ``run.host`` and
    ``run.engine`` are then those of the first."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Return where it ran: of a merged run each machine, once."""
        return tuple(dict.fromkeys(one.host for one in self.shards)) or (self.run.host,)

    @property
    def engines(self) -> str:
        """Return name and version of the engine, or engines, for a line; empty if none was reached."""
        found = [one.engine for one in self.shards] or [self.run.engine]
        return "; ".join(dict.fromkeys(f"{one.name} {one.version}" for one in found if one))
