"""How expanding, filtering and planning grow with the number of cells.

Each size has a process of its own (``python -m bench.scale CELLS``), so that its peak of memory is its own.
"""

import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Section, check_target
from orchestrator.arch import ARCHES, Arch
from orchestrator.cli.main import collect_seldom
from orchestrator.execute.system import process
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.schema import CIPHERS
from orchestrator.matrix.select import select
from orchestrator.plan.action import BuildAction
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer

TARGET_S = 3.0
TARGET_MIB = 1024
_PHASES = ("load", "expand", "filter", "plan")
_TIMEOUT = 600
_MIB = 1 << 20
_SERIES = 50
"""Patch releases of one made-up OpenSSL series."""
# Each looks at every cell and keeps it, so that the plan has all of them.
_FILTERS = ("arch=amd64,arm64", "haproxy>=3.0", "tls=openssl*", "cipher=TLS_*,default")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Values per axis, besides two architectures and five ciphers."""

    haproxy: int
    tls: int


SHAPES: Mapping[int, Shape] = {
    1_000: Shape(haproxy=2, tls=50),
    10_000: Shape(haproxy=10, tls=100),
    100_000: Shape(haproxy=20, tls=500),
}
"""By the number of cells: 2 architectures x HAProxy versions x libraries x 5 ciphers."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size: seconds per phase, the process's peak of resident memory, and the plan's actions."""

    cells: int
    seconds: Mapping[str, float]
    peak_bytes: int
    actions: int

    @property
    def judged_s(self) -> float:
        """Return what the target is about: expand, filter and plan."""
        return sum(self.seconds[name] for name in ("expand", "filter", "plan"))


def measure(sizes: Sequence[int] = tuple(SHAPES)) -> Section:
    """Measure each size in a process of its own."""
    return make_section([_measure_in_process(size) for size in sizes])


def make_section(points: Sequence[Point]) -> Section:
    """Return the table of these sizes; the target is judged at the largest."""
    last = points[-1]
    first = points[0]
    growth = (last.judged_s / last.cells) / (first.judged_s / first.cells)
    return Section(
        key="scale",
        title="Expand, filter and plan",
        header=("cells", "actions", *(f"{name} (s)" for name in _PHASES), "per 1,000 (ms)", "peak (MiB)"),
        rows=tuple(_write_row(point) for point in points),
        notes=(
            check_target(f"Expand, filter and plan {last.cells:,} cells", last.judged_s, TARGET_S, "s"),
            check_target("Peak of memory", last.peak_bytes / _MIB, TARGET_MIB, "MiB"),
            f"One of {last.cells:,} cells costs {growth:.2f} times one of {first.cells:,} (linear: 1).",
        ),
    )


def _write_row(point: Point) -> tuple[str, ...]:
    times = tuple(f"{point.seconds[name]:.3f}" for name in _PHASES)
    each = f"{point.judged_s / point.cells * 1e6:.0f}"
    return f"{point.cells:,}", f"{point.actions:,}", *times, each, f"{point.peak_bytes // _MIB}"


def _measure_in_process(size: int) -> Point:
    done = process.run([sys.executable, "-m", "bench.scale", str(size)], timeout=_TIMEOUT)
    if done.exit_code != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return Point(**json.loads(done.stdout))


def measure_point(cells: int, folder: Path) -> Point:
    """Measure here and now; ``folder`` gets the matrix file."""
    shape = SHAPES[cells]
    path = folder / "matrix.yaml"
    path.write_text(write_matrix(shape))
    seconds: dict[str, float] = {}
    planner = _make_planner(shape)
    with _time(seconds, "load"):
        matrix = load(path)
    with _time(seconds, "expand"):
        expanded = expand(matrix)
    with _time(seconds, "filter"):
        selected = select(expanded, _FILTERS)
    with _time(seconds, "plan"):
        plan = planner.plan(selected)
    builds = [action for action in plan.actions.values() if isinstance(action, BuildAction)]
    missing = [action.key for action in builds if action.recipe and action.digest is None]
    if len(plan.cells) != cells or missing:
        raise RuntimeError(f"planned {len(plan.cells)} of {cells} cells, {len(missing)} without a digest")
    return Point(cells=cells, seconds=seconds, peak_bytes=read_peak_rss(), actions=len(plan.actions))


def make_haproxy_versions(shape: Shape) -> list[str]:
    """Return made-up releases in order."""
    return [f"3.0.{number}" for number in range(shape.haproxy)]


def make_tls_versions(shape: Shape) -> list[str]:
    """Return made-up releases of OpenSSL in order, in series of fifty."""
    return [f"3.{number // _SERIES}.{number % _SERIES}" for number in range(shape.tls)]


def write_matrix(shape: Shape) -> str:
    """Return a matrix file; JSON is YAML."""
    axes = {
        "arch": list(ARCHES)[:2],
        "haproxy": make_haproxy_versions(shape),
        "tls": [f"openssl-{version}" for version in make_tls_versions(shape)],
        "cipher": list(CIPHERS),
    }
    return json.dumps({"version": 1, "axes": axes})


def _make_planner(shape: Shape) -> Planner:
    arches = list(ARCHES.values())[:2]
    return Planner(
        host=arches[0],
        catalog=_make_catalog(shape),
        renderer=Renderer(),
        packages={arch.name: _make_packages(arches) for arch in arches},
    )


def _make_catalog(shape: Shape) -> Catalog:
    named = [("haproxy", version) for version in make_haproxy_versions(shape)]
    named += [("openssl", version) for version in make_tls_versions(shape)]
    return Catalog(sources={(name, version): _make_source(name, version) for name, version in named})


def _make_source(component: str, version: str) -> Source:
    file = f"{component}-{version}.tar.gz"
    sha256 = hashlib.sha256(file.encode()).hexdigest()
    return Source(component=component, version=version, file=file, sha256=sha256, strip=1, origins=())


def _make_packages(arches: Sequence[Arch]) -> dict[str, str]:
    """Return as many packages as a real toolchain image has, those that matter among them."""
    found = {f"lib-made-up-{number}": "1.0-1" for number in range(200)}
    for arch in arches:
        gnu = arch.gnu.replace("_", "-")
        found |= {f"{tool}-{gnu}": "14.2.0-19" for tool in ("gcc-14", "cpp-14", "binutils")}
        found |= {f"{name}:{arch.name}": "2.41-12" for name in ("libc6-dev", "libcrypt-dev", "libssl-dev")}
    return found | {"libc6-dev": "2.41-12", "libcrypt-dev": "4.4.38-1", "libssl-dev": "3.5.6-1"}


@contextmanager
def _time(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


def read_peak_rss() -> int:
    """Return bytes. Not ``ru_maxrss``: a child inherits that of its parent."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no VmHWM")
    return int(found[1]) * 1024


def _main() -> None:
    collect_seldom()  # as the program that is measured
    with tempfile.TemporaryDirectory() as folder:
        measured = measure_point(int(sys.argv[1]), Path(folder))
    print(json.dumps(measured.__dict__))  # noqa: T201 - the answer to the process that asked


if __name__ == "__main__":
    _main()
