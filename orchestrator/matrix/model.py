"""The values of the axes, and the cell: what the rest of the package knows about a matrix."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from orchestrator.arch import Arch
from orchestrator.frozen_value import Value
from orchestrator.outcome import Outcome, Reason

AXES = ("arch", "haproxy", "tls", "cipher", "client", "execution")
"""Every axis, in the order in which it stands in a cell's id."""


class ArchValue(Value):
    """A value of the axis ``arch``."""

    name: str
    arch: Arch


SourceKind = Literal["distro", "tarball", "git", "path", "prebuilt"]
ClientSource = Literal["package", "path", "image"]


class Patch(Value):
    """A diff that is applied with ``patch -p1``: a developer tries a fix, a test plants a fault."""

    name: str
    """Of the file, without its folder."""
    sha256: str
    """Part of every digest; the file is verified against it when it is used."""
    path: str
    """Where the file was read."""


class Software(Value):
    """What HAProxy and a TLS library have in common: a version, and where its files come from."""

    name: str
    family: str
    version: str
    """What the table of capabilities takes it for; of a moving source (git, path) it is a declaration. Empty
    until it is read from a source that moves, where the file leaves it out: cells never see it so."""
    source: SourceKind = "tarball"
    """``distro``: Debian's package, HAProxy itself or a library's development files, as the images have it;
    ``tarball``: ``sources.yaml`` has ``family`` and ``version``, unless ``where`` names a file; ``git``,
    ``path`` and ``prebuilt``: see ``where``."""
    where: str = ""
    """The URL of a git repository, the folder of a working tree, a tarball, or a binary or .deb (``{arch}``
    in it stands for the architecture's name)."""
    ref: str = ""
    """Branch, tag or commit of a git repository; resolved to a commit once per run."""
    patches: tuple[Patch, ...] = ()
    make_flags: tuple[str, ...] = ()
    """Added to HAProxy's ``make`` line: the table's first, then the library's, then HAProxy's own, so they
    win."""
    build_packages: tuple[str, ...] = ()
    """Debian packages that compiling it needs beside the toolchain's; those whose name ends with ``-dev`` are
    of the target's architecture, and the server gets what they depend on."""
    runtime_packages: tuple[str, ...] = ()
    """Debian packages of the target's architecture that the server needs beside the runtime image's."""

    @property
    def is_pinned(self) -> bool:
        """Whether ``sources.yaml`` has to know it."""
        return self.source == "tarball" and not self.where

    @property
    def moves(self) -> bool:
        """Whether it is compiled from a source that moves: of its version only the series is sure to stay."""
        return self.is_compiled and not self.is_pinned

    @property
    def is_compiled(self) -> bool:
        """Whether it is compiled here, so that patches and flags get into it."""
        return self.source not in {"distro", "prebuilt"}


class HaproxyValue(Software):
    """A value of the axis ``haproxy``."""

    family: str = "haproxy"


def name_haproxy(haproxy: str) -> str:
    """Return a HAProxy's name as ids and builds have it: a version alone says little in a list of files."""
    return haproxy if haproxy.startswith("haproxy-") else f"haproxy-{haproxy}"


class TlsValue(Software):
    """A value of the axis ``tls``."""

    configure_flags: tuple[str, ...] = ()


class CipherValue(Value):
    """A value of the axis ``cipher``. ``suite`` is the IANA name; ``None`` forces nothing."""

    name: str
    suite: str | None


class ClientValue(Value):
    """A value of the axis ``client``."""

    name: str
    family: str
    source: ClientSource = "image"
    """``image``: of a container image, ours where ``where`` is empty; ``package``: Debian packages;
    ``path``: a program, or a folder with it and its libraries."""
    where: tuple[str, ...] = ()
    """An image's name or its saved tar; packages, each a .deb or as apt names it; a path. Empty: the client
    is the one of our own client image."""
    declared_version: str = ""
    """What it is, where it does not say so itself."""
    lacks: tuple[str, ...] | None = None
    """The suites that it cannot offer over QUIC; ``None``: those of the table for its family."""

    @property
    def is_own(self) -> bool:
        """Whether the matrix brings this client, so that it has an image of its own."""
        return bool(self.where)


class ExecutionValue(Value):
    """A value of the axis ``execution``: on which CPU the server runs, and with which variables."""

    name: str
    cpu: str = ""
    """Empty: natively where the engine's machine can, else on ``Cpus.default``. ``aes-on`` and ``aes-off``
    are QEMU's models of ``Cpus.models``; anything else is QEMU's own ``-cpu``."""
    environment: tuple[str, ...] = ()
    """``NAME=VALUE``, of the names in ``environment.VARIABLES``: set for HAProxy, the self-test, and the
    loader that says what a program sees."""


AxisValue = ArchValue | HaproxyValue | TlsValue | CipherValue | ClientValue | ExecutionValue

DEFAULTS: Mapping[str, AxisValue] = {
    "client": ClientValue(name="curl", family="curl"),
    "execution": ExecutionValue(name="default"),
}
"""Axes that a file may leave out. At its default an axis stays out of the cell's id, so a new axis
with a default changes no id; changing a default here changes ids."""

REQUIRED = tuple(axis for axis in AXES if axis not in DEFAULTS)
"""Axes that `axes` and each include name, and every id shows."""


class Limits(Value):
    """Time limits in seconds, of one action of each kind; ``emulated`` multiplies what runs under QEMU."""

    fetch: float = 180
    image: float = 900
    build: float = 2400
    """A library takes 100 to 150 s on two cores; the rest is for a machine that others keep busy."""
    ready: float = 10
    """From starting HAProxy to its QUIC listener."""
    request: float = 8
    """One request; a curl process makes three and gets four times as long."""
    emulated: float = 3
    sessions: Mapping[str, int] = Field(default_factory=dict)
    """No time, but a number: how many probe sessions of an architecture may run at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsupported:
    """Why a cell is declared to be impossible: a reason of the outcome ``unsupported`` and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One point of the matrix. ``id`` is stable and never parsed; ``axes`` has every axis, in order."""

    id: str
    arch: ArchValue
    haproxy: HaproxyValue
    tls: TlsValue
    cipher: CipherValue
    client: ClientValue
    execution: ExecutionValue

    def is_emulated_on(self, host: Arch) -> bool:
        """Return whether QEMU runs the server: its architecture is foreign, or a CPU is wanted."""
        return self.arch.arch != host or bool(self.execution.cpu)

    def find_host(self, here: Arch, natives: AbstractSet[str]) -> Arch:
        """Return the architecture of the machine that the cell is probed on.

        :param here: of the machine where the run is.
        :param natives: the names of those for which other machines do it.
        """
        return self.arch.arch if self.arch.name in natives and not self.execution.cpu else here

    @property
    def axes(self) -> Mapping[str, AxisValue]:
        return {
            "arch": self.arch,
            "haproxy": self.haproxy,
            "tls": self.tls,
            "cipher": self.cipher,
            "client": self.client,
            "execution": self.execution,
        }


class ExpectRule(Value):
    """A rule of ``expect:`` as read: what is documented of the cells that pass every filter of ``when``."""

    when: tuple[str, ...]
    outcome: Outcome
    reason: Reason | None
    cipher: str | None
    """The suite that a ``default`` cell is to negotiate."""
    because: str
    """A link."""
    until: str
    """An ISO date, a family and a version (``haproxy 3.0.11``), or empty; the last for which it holds."""
    place: str
    """``matrix.yaml:41``."""
    seen: str = ""
    """The day on which a run last showed it, and with what; ``never`` where it was only read; empty where the
    file says nothing."""

    @property
    def says(self) -> str:
        """``fail: handshake-refused``, ``pass with TLS_AES_128_GCM_SHA256``."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.outcome}{reason}" + (f" with {self.cipher}" if self.cipher else "")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A validated matrix file. ``profiles`` maps a name to its filters; ``digest`` is that of the bytes."""

    axes: Mapping[str, tuple[AxisValue, ...]]
    defaults: Mapping[str, AxisValue]
    include: tuple[Mapping[str, AxisValue], ...]
    exclude: tuple[Mapping[str, AxisValue], ...]
    profiles: Mapping[str, tuple[str, ...]]
    limits: Limits
    digest: str
    path: str
    expect: tuple[ExpectRule, ...] = ()
    notes: tuple[str, ...] = ()
    """Of entries without effect: ``matrix.yaml:41:5: exclude[0]: removes nothing: ...``."""
