"""Actions: repeatable units of work, shared by the cells that need them."""

from typing import Literal

from orchestrator.arch import Arch
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.matrix.model import HaproxyValue, Patch, TlsValue
from orchestrator.value import Value

Kind = Literal["image", "source", "tls", "haproxy", "selftest", "probe"]


PREFIX = "/opt/matrixctl"
"""Below it lies the prefix of every TLS library that is built; nothing is ever installed there."""


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
    patches: tuple[Patch, ...]
    """Applied to the source in this order."""
    packages: tuple[tuple[str, str], ...]
    """Exact versions of compiler, libc and development packages, sorted."""


class SelfTestRecipe(Value):
    """How the AEAD self-test is compiled; the script brings its sources along."""

    template: str
    target: Arch
    compiler_arch: Arch
    tls: TlsValue
    packages: tuple[tuple[str, str], ...]
    """As in ``Recipe``."""


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
    optional: tuple[str, ...] = ()
    """The needs that are waited for, and whose failure does not block it."""
    cells: tuple[str, ...] = ()
    recipe: Recipe | None = None
    selftest: SelfTestRecipe | None = None
    source: Source | None = None
    moving: Moving | None = None
    """Of a source that moves; ``source`` is ``None`` until it is resolved."""
    problem: str = ""
    """Why it cannot be done at all: a source without entry or digest, a library without a recipe."""
    image: str = ""
    """``toolchain``, ``client``, ``runtime``, ``emulated-runtime`` or ``emulated-toolchain``."""
    arch: str = ""
    """The architecture that the image serves; a toolchain compiles for it."""
