"""Actions: repeatable units of work, shared by the cells that need them."""

from typing import Literal

from orchestrator.arch import Arch
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.value import Value

Kind = Literal["image", "source", "tls", "haproxy", "probe"]


class Recipe(Value):
    """How one component is compiled: a template of ``templates/build`` and what it is rendered with."""

    template: str
    source: Source
    target: Arch
    compiler_arch: Arch
    """The architecture of the build container: the host's, or with ``--build emulated`` the target's."""
    haproxy: HaproxyValue | None
    tls: TlsValue
    flags: tuple[str, ...]
    """HAProxy's make flags."""
    prefix: str
    """Where a source-built TLS library believes to be installed: its mark in the binary."""
    packages: tuple[tuple[str, str], ...]
    """Exact versions of compiler, libc and development packages, sorted."""


class Action(Value):
    """One node of the plan.

    ``key`` is unique in a plan; ``needs`` are keys; ``cells`` are the ids that it serves. ``digest`` is
    ``None`` where no output is kept (image, probe) or where the toolchain's versions are not known yet.
    """

    key: str
    kind: Kind
    name: str
    digest: str | None = None
    needs: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    recipe: Recipe | None = None
    source: Source | None = None
    problem: str = ""
    """Why it cannot be done at all: a source without entry or digest, a library without a recipe."""
    image: str = ""
    """``toolchain``, ``client``, ``runtime`` or ``emulated-toolchain``."""
    arch: str = ""
    """The architecture of the image."""
