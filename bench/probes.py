"""What a probe session costs with everything in the store, beside a plain shell loop.

Sessions of 1, 2, 4 and 8 cells of one build are timed. From each wall time the time of its own curl
processes is taken away, and a line is fitted through the medians: its slope is what each further cell
costs, its value at no cell what the build itself costs.
"""

import itertools
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from bench import command
from bench.figures import Section, check_target
from orchestrator import resources
from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images.emulation import make_emulator_prefix
from orchestrator.execute.store.store import Store
from orchestrator.execute.system import process
from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Limits
from orchestrator.matrix.select import find_filters, select
from orchestrator.outcome import Outcome
from orchestrator.plan.plan import choose_runtime_image
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates
from orchestrator.probe.judge import Judgement
from orchestrator.probe.prober import Circumstances, Prober, SessionImages
from orchestrator.probe.session_files import ORIGIN_PORT, make_session_files, scale_limits
from orchestrator.record.model import RunRecord

SIZES = (1, 2, 4, 8)
ROUNDS = 5
# One HAProxy build per architecture; four ciphers that work on both.
_PROFILE = "quick"
_FILTERS = ("haproxy=3.0.11", "cipher!=TLS_AES_128_CCM_SHA256")
_LOOP = Path(__file__).with_name("plain_loop.sh")
_TIMEOUT = 1800


class Timed(NamedTuple):
    """Seconds of one session, and of the curl processes in it."""

    wall_s: float
    curl_s: float


class Line(NamedTuple):
    """Seconds: a build's own cost, and what each cell adds above its curl time."""

    fixed_s: float
    each_s: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """Seconds that issue and documentation promise."""

    fixed_s: float
    each_s: float


TARGETS = {"native": Target(fixed_s=2, each_s=0.15), "emulated": Target(fixed_s=4, each_s=0.5)}


@dataclass(frozen=True, kw_only=True)
class Bed:
    """What the sessions of one architecture work with. ``cells`` are four of one build."""

    engine: DockerEngine
    host: Arch
    target: Arch
    cells: Sequence[Cell]
    limits: Limits
    artifact: Path
    images: SessionImages

    @property
    def mode(self) -> str:
        return "native" if self.target == self.host else "emulated"


Series = dict[int, list[Timed]]
"""Sessions by the number of their cells."""


def measure(
    host: Arch,
    store: Path,
    *,
    say: Callable[[str], None],
    sizes: Sequence[int] = SIZES,
    rounds: int = ROUNDS,
) -> Section:
    """Make what is missing, then time sessions and loops in turns, so that a busy minute hits both."""
    say("probes: make what is missing")
    options = ["--profile", _PROFILE, *itertools.chain(*(("--filter", text) for text in _FILTERS))]
    command.run(options, store=store, timeout=_TIMEOUT)
    started = time.monotonic()
    warm = command.run(options, store=store, timeout=_TIMEOUT)
    warm_s = time.monotonic() - started
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for target in sorted({cell.axes.arch.arch for cell in warm.cells}, key=lambda arch: arch != host):
        bed = _make_bed(warm, host, target, store)
        sessions, loops = _time_both(bed, sizes, rounds, say)
        rows += [
            write_row(f"matrixctl, {target.name} ({bed.mode})", sessions),
            write_row(f"plain loop, {target.name} ({bed.mode})", loops),
        ]
        notes += judge(bed.mode, fit(sessions))
    notes.append(f"`matrixctl run` of these {len(warm.cells)} cells, warm, as a whole: {warm_s:.1f} s.")
    return Section(
        key="probes",
        title="Probing",
        header=(
            f"seconds, median of {rounds}",
            *(f"{size} cell{'s' if size > 1 else ''}" for size in sizes),
            "curl per cell",
            "each further cell, without curl",
            "fixed",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def fit(series: Series) -> Line:
    """Fit a line by least squares through the medians of wall time without curl time."""
    if len(series) == 1:
        raise ValueError("a line needs two sizes")
    medians = [statistics.median(one.wall_s - one.curl_s for one in series[size]) for size in series]
    slope, intercept = statistics.linear_regression(list(series), medians)
    return Line(fixed_s=intercept, each_s=slope)


def write_row(name: str, series: Series) -> tuple[str, ...]:
    """Return one line of the table."""
    line = fit(series)
    walls = [f"{statistics.median(one.wall_s for one in timed):.2f}" for timed in series.values()]
    curl = statistics.median(one.curl_s / size for size, timed in series.items() for one in timed)
    return name, *walls, f"{curl:.3f}", f"{line.each_s:.3f}", f"{line.fixed_s:.2f}"


def judge(mode: str, line: Line) -> tuple[str, ...]:
    """Return the sentences that compare a line with its targets."""
    target = TARGETS[mode]
    return (
        check_target(f"Each further cell above its curl time, {mode}", line.each_s, target.each_s, "s"),
        check_target(f"Fixed cost of a build, {mode}", line.fixed_s, target.fixed_s, "s"),
    )


def _make_bed(record: RunRecord, host: Arch, target: Arch, store: Path) -> Bed:
    matrix = load(resources.find_root() / "matrix.yaml")
    filters = (*find_filters(matrix, _PROFILE), *_FILTERS, f"arch={target.name}")
    digest = next(cell.build.digest for cell in record.cells if cell.axes.arch.arch == target)
    artifact = Store(store).find_artifact(digest or "")
    if artifact is None:
        raise MatrixctlError(f"The build {digest} is not in the store {store}.")
    tags = {part.name: part.version for part in record.components if part.kind == "image"}
    cells = select(expand(matrix), filters)
    runtime = choose_runtime_image(cells[0], host)
    return Bed(
        engine=docker_engine.connect(),
        host=host,
        target=target,
        cells=cells,
        limits=matrix.limits,
        artifact=artifact.path,
        images=SessionImages(server=tags[f"{runtime}-{target.name}"], client=tags[f"client-{host.name}"]),
    )


def _time_both(
    bed: Bed, sizes: Sequence[int], rounds: int, say: Callable[[str], None]
) -> tuple[Series, Series]:
    sessions: Series = {size: [] for size in sizes}
    loops: Series = {size: [] for size in sizes}
    for number, size in itertools.product(range(rounds), sizes):
        say(f"probes: {bed.target.name}, round {number + 1} of {rounds}, {size} cells")
        cells = repeat_cells(bed.cells, size)
        with tempfile.TemporaryDirectory() as folder:
            sessions[size].append(time_session(bed, cells, Path(folder)))
            loops[size].append(time_plain_loop(bed, cells, Path(folder)))
    return sessions, loops


def repeat_cells(cells: Sequence[Cell], count: int) -> list[Cell]:
    """Return so many cells with ids of their own: the ciphers in turn, and again from the first."""
    turns = enumerate(itertools.islice(itertools.cycle(cells), count))
    return [replace(cell, id=f"{cell.id}--{number}") for number, cell in turns]


def time_session(bed: Bed, cells: Sequence[Cell], folder: Path) -> Timed:
    """Time one session as in a run: certificates, the binary from the store, judging, evidence."""
    seen: list[Judgement] = []

    def on_judged(cell: Cell, judged: Judgement, told: Circumstances) -> None:  # noqa: ARG001 - the names of the protocol
        seen.append(judged)

    started = time.monotonic()
    prober = Prober(
        engine=bed.engine,
        host=bed.host,
        renderer=Renderer(),
        limits=bed.limits,
        certificates=certificates.make(),
        run_id=f"bench-{secrets.token_hex(3)}",
        folder=folder,
        cpus=os.cpu_count() or 1,
        rounds=("first",),
        keep=False,
        declared=lambda _: None,
        cancelled=lambda: False,
        judged=on_judged,
    )
    prober.probe(cells, read_member([bed.artifact.read_bytes()], "haproxy"), bed.images)
    wall_s = time.monotonic() - started
    failed = [one.message for one in seen if one.outcome is not Outcome.PASS]
    if failed or len(seen) != len(cells):
        raise MatrixctlError(f"{len(seen)} of {len(cells)} cells were judged.", details="\n".join(failed))
    return Timed(wall_s, sum(_sum_curl(one) for one in seen))


def _sum_curl(one: Judgement) -> float:
    seen = one.observations
    exchanges = (seen.h3, seen.control) if seen else ()
    return sum(exchange.duration_s for exchange in exchanges if exchange)


def time_plain_loop(bed: Bed, cells: Sequence[Cell], folder: Path) -> Timed:
    """Time the same cells by bench/plain_loop.sh; its files are made before and are not timed."""
    archive = folder / "files.tar"
    archive.write_bytes(_pack_loop_files(bed, cells))
    emulator = make_emulator_prefix(bed.target, capabilities.find_cpu_model(cells[0], bed.host))
    argv = ["sh", _LOOP, archive, bed.images.server, bed.images.client, *emulator]
    started = time.monotonic()
    done = process.run([str(part) for part in argv], timeout=_TIMEOUT)
    wall_s = time.monotonic() - started
    curl = [int(line) / 1e9 for line in done.stdout.decode().split()]
    if done.exit_code != 0 or len(curl) != len(cells):
        raise MatrixctlError("The plain loop failed.", details=done.stderr.decode(errors="replace"))
    return Timed(wall_s, sum(curl))


def _pack_loop_files(bed: Bed, cells: Sequence[Cell]) -> bytes:
    limits = scale_limits(bed.limits, emulated=bed.target != bed.host)
    files = make_session_files(Renderer(), cells, limits, certificates.make())
    ports = {
        f"{cell['folder']}/port": str(cell["port"]).encode()
        for cell in json.loads(files["session.json"])["cells"]
    }
    haproxy = read_member([bed.artifact.read_bytes()], "haproxy")
    more = {"haproxy": haproxy, "origin.port": str(ORIGIN_PORT).encode(), **ports}
    return pack({**files, **more}, executable=("haproxy",))
