"""The values of the axes, and the cell: what the rest of the house knows of a matrix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.arch import Arch
from orchestrator.value import Value

AXES = ("arch", "haproxy", "tls", "cipher", "client")
"""Every axis, in the order in which it stands in a cell's id."""


class ArchValue(Value):
    """A value of the axis ``arch``."""

    name: str
    arch: Arch


class HaproxyValue(Value):
    """A value of the axis ``haproxy``."""

    name: str
    family: str = "haproxy"
    version: str
    make_flags: tuple[str, ...] = ()
    """Added to the ``make`` line after the ones that the TLS library needs, so they win."""


class TlsValue(Value):
    """A value of the axis ``tls``."""

    name: str
    family: str
    version: str
    source: Literal["distro", "tarball"]
    """``distro``: the base image's development package, version resolved once per run;
    ``tarball``: ``sources.yaml`` has ``family`` and ``version``."""
    configure_flags: tuple[str, ...] = ()
    make_flags: tuple[str, ...] = ()
    """Added to HAProxy's ``make`` line."""


class CipherValue(Value):
    """A value of the axis ``cipher``. ``suite`` is the IANA name; ``None`` forces nothing."""

    name: str
    suite: str | None


class ClientValue(Value):
    """A value of the axis ``client``."""

    name: str
    family: str


AxisValue = ArchValue | HaproxyValue | TlsValue | CipherValue | ClientValue

DEFAULTS: Mapping[str, AxisValue] = {"client": ClientValue(name="curl", family="curl")}
"""Axes that a file may leave out. At its default an axis stays out of the cell's id, so a new axis
with a default changes no id; changing a default here changes ids."""

REQUIRED = tuple(axis for axis in AXES if axis not in DEFAULTS)
"""Axes that every file declares and every id shows."""


class Limits(Value):
    """Time limits in seconds, of one action of each kind; ``emulated`` multiplies what runs under QEMU."""

    fetch: float = 180
    image: float = 900
    build: float = 1200
    ready: float = 10
    """From starting HAProxy to its QUIC listener."""
    request: float = 8
    """One request; a curl process makes three and gets four times as long."""
    emulated: float = 3


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

    @property
    def axes(self) -> Mapping[str, AxisValue]:
        return {
            "arch": self.arch,
            "haproxy": self.haproxy,
            "tls": self.tls,
            "cipher": self.cipher,
            "client": self.client,
        }


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
