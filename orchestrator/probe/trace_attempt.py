"""A traced attempt: one cell once more, with its packets, TLS keys, qlogs and HAProxy's own traces kept.

It is another run than the one that was judged, and slower: what it shows explains a verdict and changes none.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from orchestrator import bounds
from orchestrator.errors import MatrixctlError, TooLargeError
from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.engine.engine import WORK, ContainerSpec, Engine, container
from orchestrator.outcome import Outcome, Reason
from orchestrator.probe import session
from orchestrator.probe.session import OnLine, Raw, Session
from orchestrator.probe.session_files import FIRST_PORT
from orchestrator.record.model import CellRecord

FOLDER = "traced"
"""Below the cell's folder of evidence; as templates/probe/tracing.py calls its own, below WORK."""
_PLACE = f"{WORK}/{FOLDER}"
_PACKETS = 2000
"""How many packets are listed as text."""
_READING_S = 60
_MEMORY = 512 << 20
"""Bytes for capturing, and then for reading."""
_SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0x1304: "TLS_AES_128_CCM_SHA256",
    0x1305: "TLS_AES_128_CCM_8_SHA256",
}
"""RFC 8446, B.4."""
EACH = 3
"""Of the cells that fail alike, how many are traced, unless all are."""
_QLOG = re.compile(r"qlog-\d{1,2}(\.\w{1,10})?")


@dataclass(kw_only=True)
class Catch:
    """What a traced session left. ``missing`` says what it did not, or what was cut, a sentence each."""

    files: dict[str, bytes] = field(default_factory=dict)
    negotiated_cipher: str | None = None
    """The suite of the ServerHello that was captured."""
    missing: list[str] = field(default_factory=list)


def run(engine: Engine, made: Session, image: Callable[[], str], on_line: OnLine) -> Catch:
    """Run a session of one cell with a capture beside it; return what was caught.

    Without an image that captures, or where the engine grants no container that power, the rest is done.

    :param image: returns the tag of the image that captures and reads.
    :raises EngineError, DeadlineError: as ``session.run``.
    """
    catch, told = Catch(), _Told(on_line)
    with session.open_session(engine, made), ExitStack() as stack:
        reading = None
        try:
            capturing, reader = make_specs(made, image())
            stack.enter_context(container(engine, capturing, keep=made.keep))
            reading = reader
        except MatrixctlError as error:
            catch.missing.append(f"no packets were captured: {error.brief}")
        session.drive(engine, made, told)
        catch.missing += told.notes
        if reading is not None:
            _read_capture(engine, reading, catch, keep=made.keep)
        _fetch(engine, session.make_specs(made)[1].name, told.qlogs, catch)
    return catch


def make_specs(made: Session, image: str) -> tuple[ContainerSpec, ContainerSpec]:
    """Return the container that captures, in the server's network, and the one that reads, without any power.

    What takes packets apart is a large program, and the packets may come from a server that was planted.
    """
    server, _ = session.make_specs(made)
    script = ("sh", f"{WORK}/capture.sh", _PLACE, str(FIRST_PORT), str(bounds.CAPTURE >> 10))
    common = {"image": image, "memory_bytes": _MEMORY, "pids": 64}
    capturing = server.model_copy(
        update={
            **common,
            "name": f"{made.name}-capture",
            "argv": script,
            "network": f"container:{server.name}",
            "captures": True,
        }
    )
    reading = server.model_copy(
        update={**common, "name": f"{made.name}-reading", "argv": ("sleep", "infinity")}
    )
    return capturing, reading


class _Told:
    """Passes each line on, and keeps what the driver says of the traces."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self.notes: list[str] = []
        self.qlogs: list[str] = []

    def __call__(self, raw: Raw) -> None:
        said = raw.get("traced")
        if isinstance(said, Mapping):
            self.notes = [bounds.cut(note, bounds.WORDS) for note in _read_texts(said.get("notes"))]
            self.qlogs = [name for name in _read_texts(said.get("qlogs")) if _QLOG.fullmatch(name)]
        self._on_line(raw)


def _read_texts(said: object) -> list[str]:
    found = said if isinstance(said, Sequence) and not isinstance(said, str) else ()
    return [one for one in found if isinstance(one, str)][: bounds.EVIDENCE_FILES]


def _read_capture(engine: Engine, spec: ContainerSpec, catch: Catch, *, keep: bool) -> None:
    argv = ("sh", f"{WORK}/read_capture.sh", _PLACE, str(FIRST_PORT), str(_PACKETS))
    try:
        with container(engine, spec, keep=keep):
            done = engine.exec(spec.name, argv, timeout=_READING_S, on_line=None)
    except MatrixctlError as error:
        catch.missing.append(f"the capture was not read: {error.brief}")
        return
    if done.exit_code != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        said = bounds.cut("".join(why), bounds.WORDS) or f"exit code {done.exit_code}"
        catch.missing.append(f"the capture was not read: {said}")
    catch.negotiated_cipher = read_suite(done.stdout.decode(errors="replace"))


def read_suite(said: str) -> str | None:
    """Return the suite that the last ServerHello names, of tshark's words; ``None`` without any.

    A suite that TLS 1.3 had not when this was written has its number for a name, as in ``0x1399``.
    """
    numbers = re.findall(r"0x([0-9a-f]{4})\b", said)
    return _SUITES.get(int(numbers[-1], 16), f"0x{numbers[-1]}") if numbers else None


def _fetch(engine: Engine, client: str, qlogs: Sequence[str], catch: Catch) -> None:
    """Get the files out of the volume, each below its own limit, all together below one for the cell."""
    left = bounds.TRACED
    limits = {"capture.pcapng": bounds.CAPTURE + bounds.EVIDENCE}  # keys are added, and a packet more
    for name in ("capture.pcapng", "keys.log", "packets.txt", "haproxy.log", *qlogs):
        limit = min(left, limits.get(name, 2 * bounds.EVIDENCE))
        try:
            content = read_member(engine.get(client, f"{_PLACE}/{name}", limit=limit), name)
        except MatrixctlError as error:
            if isinstance(error, TooLargeError) or name in qlogs:
                catch.missing.append(f"{name} is left out: {error.brief}")
            continue
        if content:
            catch.files[name] = content
            left -= len(content)
    if len(catch.files.get("capture.pcapng", b"")) >= bounds.CAPTURE:
        catch.missing.append(f"capture.pcapng ends after {bounds.format_size(bounds.CAPTURE)}")


def choose(cells: Sequence[CellRecord], *, every: bool) -> list[str]:
    """Return the ids of the cells that are worth a trace and have none, the most useful first.

    Of those that fail alike a few come first: those whose negotiated suite is not known, since a capture
    tells it, before others; then each build once before one comes twice.

    :param every: the others that fail are traced as well, after a few of each kind, and last what passes.
    """
    alike: dict[tuple[Outcome, Reason | None], list[CellRecord]] = {}
    for cell in cells:
        if cell.outcome in {Outcome.FAIL, Outcome.PASS} and cell.observations and cell.observations.h3:
            alike.setdefault((cell.outcome, cell.reason), []).append(cell)
    passes = alike.pop((Outcome.PASS, None), [])
    spread = [_spread(same) for same in alike.values()]
    chosen = [cell for same in spread for cell in same[:EACH]]
    others = [cell for same in spread for cell in same[EACH:]]
    return [cell.id for cell in (*chosen, *((*others, *passes) if every else ())) if cell.traced is None]


def _spread(cells: Sequence[CellRecord]) -> list[CellRecord]:
    turns: Counter[str] = Counter()
    ordered = []
    for cell in cells:
        seen = cell.observations
        known = bool(cell.axes.cipher.suite or (seen and seen.negotiated_cipher))
        ordered.append((cell.traced is None, known, turns[cell.build.name], cell))
        turns[cell.build.name] += 1
    return [cell for *_, cell in sorted(ordered, key=lambda one: one[:3])]
