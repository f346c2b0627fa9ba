"""What a plan needs besides cells: a catalog, and the packages of a real toolchain image (trixie)."""

from collections.abc import Mapping, Sequence

from fakes import cell

from orchestrator.arch import ARCHES
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.model import Cell
from orchestrator.plan.action import BuildAction, Recipe
from orchestrator.plan.plan import Plan
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "default")

TOOLCHAIN: Mapping[str, str] = {
    "binutils": "2.44-3",
    "binutils-aarch64-linux-gnu": "2.44-3",
    "binutils-x86-64-linux-gnu": "2.44-3",
    "ccache": "4.11.2-2",
    "cpp-14-aarch64-linux-gnu": "14.2.0-19cross1",
    "cpp-14-x86-64-linux-gnu": "14.2.0-19",
    "gcc": "4:14.2.0-1",
    "gcc-14-aarch64-linux-gnu": "14.2.0-19cross1",
    "gcc-14-aarch64-linux-gnu-base": "14.2.0-19cross1",
    "gcc-14-x86-64-linux-gnu": "14.2.0-19",
    "gcc-aarch64-linux-gnu": "4:14.2.0-1",
    "gcc-x86-64-linux-gnu": "4:14.2.0-1",
    "libc6": "2.41-12+deb13u4",
    "libc6-dev": "2.41-12+deb13u4",
    "libc6-dev-arm64-cross": "2.41-11cross1",
    "libcrypt-dev": "1:4.4.38-1",
    "libcrypt-dev:arm64": "1:4.4.38-1",
    "libgcc-14-dev": "14.2.0-19",
    "libgcc-14-dev-arm64-cross": "14.2.0-19cross1",
    "libssl-dev": "3.5.7-1~deb13u3",
    "libssl-dev:arm64": "3.5.7-1~deb13u3",
    "linux-libc-dev": "6.12.117-1",
    "linux-libc-dev-arm64-cross": "6.12.38-1cross1",
    "perl": "5.40.1-6",
}


def source(component: str, version: str, *, sha256: str | None = None, strip: int = 1) -> Source:
    return Source(
        component=component,
        version=version,
        file=f"{component}-{version}.tar.gz",
        sha256=sha256 or (component[0].encode().hex() * 32),
        strip=strip,
        origins=(),
    )


CATALOG = Catalog(
    sources={
        ("haproxy", "3.0.11"): source("haproxy", "3.0.11"),
        ("openssl", "3.5.7"): source("openssl", "3.5.7"),
    }
)


def planner(
    *,
    host: str = "amd64",
    catalog: Catalog = CATALOG,
    packages: Mapping[str, str] = TOOLCHAIN,
    renderer: Renderer | None = None,
    emulated: bool = False,
) -> Planner:
    # An emulated toolchain is an image of the target's: its packages have no suffix.
    return Planner(
        host=ARCHES[host],
        catalog=catalog,
        renderer=renderer or Renderer(),
        packages=dict.fromkeys(ARCHES, packages) if packages else {},
        emulated_build=emulated,
    )


def cells(
    *,
    arches: Sequence[str] = ("amd64", "arm64"),
    tls: Sequence[str] = ("openssl-distro", "openssl-3.5.7"),
    ciphers: Sequence[str] = SUITES,
) -> list[Cell]:
    return [
        cell(arch=arch, tls=library, cipher=suite) for arch in arches for library in tls for suite in ciphers
    ]


def plan(chosen: Sequence[Cell] | None = None) -> Plan:
    return planner().plan(cells() if chosen is None else chosen)


def recipes(made: Plan) -> dict[str, Recipe]:
    """Of the TLS libraries and HAProxys that are compiled from a known source."""
    builds = [action for action in made.actions.values() if isinstance(action, BuildAction)]
    return {action.key: action.recipe for action in builds if action.recipe and action.recipe.source}


def digests(made: Plan) -> dict[str, str | None]:
    """Of what is compiled."""
    return {key: action.digest for key, action in made.actions.items() if action.kind in {"tls", "haproxy"}}
